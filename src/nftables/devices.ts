/** The devices of chains at ingress and egress, which nft before 1.0.9 does not list in its JSON. */
import type { BaseChain, Chain, Table } from './ruleset.ts';

/** Its output is for withDevices. */
export const CHAINS_COMMAND: readonly string[] = ['nft', 'list', 'chains'];

const lacksThem = (chain: Chain): chain is BaseChain =>
  chain.kind === 'base' && (chain.hook === 'ingress' || chain.hook === 'egress') && chain.devices === undefined;

/** Whether a chain stands at devices that are not listed. */
export const lackDevices = (tables: readonly Table[]): boolean => tables.some(({ chains }) => chains.some(lacksThem));

/** The tables with what CHAINS_COMMAND says of them. A chain of which it says nothing stays without. */
export function withDevices(tables: readonly Table[], text: string): readonly Table[] {
  const devices = readDevices(text);
  return tables.map((table) => ({
    ...table,
    chains: table.chains.map((chain) => {
      const own = lacksThem(chain) ? devices.get(`${table.family} ${table.name} ${chain.name}`) : undefined;
      return own === undefined ? chain : { ...chain, devices: own };
    }),
  }));
}

/** `type filter hook egress devices = { eth0, eth1 } priority filter; policy accept;`, within `table netdev NAME {` and `chain NAME {`. */
function readDevices(text: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  let table = '';
  let chain = '';
  for (const line of text.split('\n')) {
    const [, family, name] = /^table (\w+) (\S+) \{$/.exec(line) ?? [];
    if (name !== undefined) table = `${family} ${name}`;
    chain = /^\tchain (\S+) \{$/.exec(line)?.[1] ?? chain;
    const [, one, several] =
      /^\t\ttype \w+ hook (?:in|e)gress (?:device "(.*)"|devices = \{ (.*) \}) priority /.exec(line) ?? [];
    const devices = one === undefined ? several?.split(', ').map((each) => each.replace(/^"(.*)"$/, '$1')) : [one];
    if (devices !== undefined) found.set(`${table} ${chain}`, devices);
  }
  return found;
}
