/** Accepts of ours in chains of others: what stands there is looked at anew, and one command exchanges all of ours in a chain. */
import {
  ACCEPT_TAG,
  type AcceptPlace,
  type AcceptTraffic,
  acceptRule,
  iptablesRule,
  printPlace,
  type WrittenTraffic,
} from '../../host/index.ts';
import { readIptablesSave } from '../../iptables/index.ts';
import { printRule, printRuleExchange, type Rule, readRuleset, type Table } from '../../nftables/index.ts';
import { type Command, type Output, script, type Transport } from '../../transport/index.ts';
import { failure } from './ask.ts';
import { undoOwned, writeOwned } from './owners.ts';
import { EXCHANGE_IPTABLES, EXCHANGE_NFT, LIST_IPTABLES, RESTORE_IPTABLES } from './scripts.ts';

/** Makes what is ours at the place this and nothing else; of no traffic: takes it away. Gives the refusal, if there is one. */
export async function writeAccept(
  transport: Transport,
  place: AcceptPlace,
  traffic: readonly AcceptTraffic[],
): Promise<Error | undefined> {
  // What somebody made of ours cannot be written again.
  const wanted = traffic.filter((each): each is WrittenTraffic => each.kind !== 'other');
  if (place.kind === 'ufw' || place.kind === 'firewalld') return writeOwned(transport, place, wanted);
  const listing = await transport.run({ argv: listCommand(place) });
  const rules = tableIn(place, listing)?.chains.find(({ name }) => name === place.chain)?.rules;
  if (rules === undefined) {
    if (wanted.length === 0) return undefined;
    const why = listing.stderr.trim() || 'there is no such chain';
    return new Error(`${transport.host}: ${printPlace(place)}: ${why}`);
  }
  const own = rules.filter(isTagged);
  if (own.length + wanted.length === 0) return undefined;
  const others = rules.filter((each) => !isTagged(each) && each.continued !== true);
  const behind = Math.min(place.behind ?? 0, others.length);
  const command =
    place.kind === 'nft'
      ? exchangeNft(place, own, wanted, others[behind])
      : exchangeIptables(place, own, wanted, behind);
  const output = await transport.run(command);
  return output.status === 0 ? undefined : failure(transport.host, command.argv, output);
}

/** What makes `before` of `stands` at that place, on the host itself, which looks at the chain by itself. */
export async function undoAccept(
  transport: Transport,
  place: AcceptPlace,
  stands: readonly AcceptTraffic[],
  before: readonly AcceptTraffic[],
): Promise<readonly Command[]> {
  const wanted = before.filter((each): each is WrittenTraffic => each.kind !== 'other');
  if (place.kind === 'ufw' || place.kind === 'firewalld') return undoOwned(transport, place, stands, wanted);
  const behind = place.behind ?? 0;
  if (place.kind === 'nft') {
    const { family, table, chain } = place;
    const rules = wanted.map((traffic) => `${printRule(acceptRule(traffic))}\n`).join('');
    return [{ argv: script(EXCHANGE_NFT, family, table, chain, String(behind)), stdin: rules }];
  }
  const { family, backend, table, chain } = place;
  const rules = wanted.map((traffic, index) => `-I ${chain} ${behind + 1 + index} ${iptablesRule(traffic)}\n`).join('');
  return [{ argv: script(EXCHANGE_IPTABLES, String(family), backend, table, chain), stdin: rules }];
}

const isTagged = ({ comment }: Rule): boolean => comment === ACCEPT_TAG;

const listCommand = (place: PlaceOf<'nft' | 'iptables'>): readonly string[] =>
  place.kind === 'nft'
    ? ['nft', '-j', 'list', 'table', place.family, place.table]
    : script(LIST_IPTABLES, String(place.family), place.backend);

function tableIn(place: PlaceOf<'nft' | 'iptables'>, { status, stdout }: Output): Table | undefined {
  if (status !== 0) return undefined;
  if (place.kind === 'nft') return readRuleset(stdout)[0];
  // After the line that names the listing.
  const text = stdout.slice(stdout.indexOf('\n') + 1);
  const { family, table } = place;
  return readIptablesSave(text, { family, origin: 'iptables-nft' }).tables.find(({ name }) => name === table);
}

type PlaceOf<Kind extends AcceptPlace['kind']> = Extract<AcceptPlace, { readonly kind: Kind }>;

/** Before its owner's rule `next`, where there is one. */
const exchangeNft = (
  place: PlaceOf<'nft'>,
  own: readonly Rule[],
  wanted: readonly WrittenTraffic[],
  next: Rule | undefined,
): Command => ({
  argv: ['nft', '-f', '-'],
  stdin: printRuleExchange(place, own, wanted.map(acceptRule), next),
});

/** Without ours the lines count as their owner's do. */
const exchangeIptables = (
  { family, backend, table, chain }: PlaceOf<'iptables'>,
  own: readonly Rule[],
  wanted: readonly WrittenTraffic[],
  behind: number,
): Command => ({
  argv: script(RESTORE_IPTABLES, String(family), backend),
  stdin: [
    `*${table}`,
    ...own.map(({ text = '' }) => text.replace(/^-A /, '-D ')),
    ...wanted.map((traffic, index) => `-I ${chain} ${behind + 1 + index} ${iptablesRule(traffic)}`),
    'COMMIT\n',
  ].join('\n'),
});
