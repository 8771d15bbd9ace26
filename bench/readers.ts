/** How long it takes to read what stands on a host, beside nft, which lists it: a ruleset of many elements of several kinds. */
import { startNamespace } from '../src/lab/index.ts';
import { readRuleset, type Table } from '../src/nftables/index.ts';
import { atMost, inTurns, type Line, median } from './measure.ts';

const AT_MOST_MS = 2_000;

/** A fifth of each: addresses, blocks, addresses with ports, a map to addresses and ports, a map to verdicts. */
function ruleset(count: number): string {
  const each = count / 5;
  const address = (index: number, first = 10): string =>
    `${first}.${index >> 16}.${(index >> 8) & 0xff}.${index & 0xff}`;
  const elements = (write: (index: number) => string): string =>
    `elements = { ${Array.from({ length: each }, (_, index) => write(index)).join(', ')} }`;
  return `table inet many {
  set hosts { type ipv4_addr; ${elements((index) => address(index))} }
  set blocks { type ipv4_addr; flags interval; ${elements((index) => `11.${index >> 8}.${index & 0xff}.0/25`)} }
  set pairs { type ipv4_addr . inet_proto . inet_service; ${elements((index) => `${address(index)} . tcp . 80`)} }
  map targets { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; ${elements(
    (index) => `${address(index)} . udp . ${1 + (index % 60_000)} : ${address(index, 12)} . 53`,
  )} }
  map verdicts { type ipv4_addr : verdict; ${elements((index) => `${address(index)} : ${index % 2 === 0 ? 'accept' : 'drop'}`)} }
  chain in { type filter hook input priority 0; ip saddr @hosts counter; ip saddr @blocks drop; ip saddr . meta l4proto . th dport @pairs accept; ip saddr vmap @verdicts; }
}
`;
}

const elementsOf = ({ sets, maps }: Table): number =>
  [...sets, ...maps].reduce((sum, { elements }) => sum + elements.length, 0);

export async function measureReaders(count: number, rounds: number): Promise<readonly Line[]> {
  await using kernel = await startNamespace();
  await kernel.run(['nft', '-f', '-'], { stdin: ruleset(count) });
  const list = async (): Promise<string> => (await kernel.run(['nft', '-j', 'list', 'ruleset'])).stdout;
  const text = await list();
  const found = readRuleset(text).reduce((sum, table) => sum + elementsOf(table), 0);
  if (found !== count) throw new Error(`${found} elements were read of ${count}`);
  const times = await inTurns(rounds, { list, read: async () => readRuleset(text) });
  const [listed, read] = [median(times('list')), median(times('read'))];
  const beside = { what: 'nft -j list ruleset', value: listed };
  const goal = atMost(AT_MOST_MS, 'ms', read);
  return [{ what: `a ruleset of ${count} elements: read`, value: read, unit: 'ms', beside, goal }];
}
