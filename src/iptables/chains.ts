/** The chains the kernel calls by itself in each table of iptables. */
import type { BaseChain } from '../nftables/index.ts';

type Place = Pick<BaseChain, 'type' | 'hook' | 'priority'>;

const hooks = {
  PREROUTING: 'prerouting',
  INPUT: 'input',
  FORWARD: 'forward',
  OUTPUT: 'output',
  POSTROUTING: 'postrouting',
} as const;
type BuiltIn = keyof typeof hooks;

const at = (type: BaseChain['type'], priority: number, ...names: readonly BuiltIn[]): Readonly<Record<string, Place>> =>
  Object.fromEntries(names.map((name) => [name, { type, hook: hooks[name], priority }]));

/**
 * By table: chains with their hook and priority (enum nf_ip_hook_priorities of netfilter_ipv4.h, the same numbers in IPv6).
 * What mangle changes in OUTPUT has the route looked up again, as nft's chains of type `route` do (ipt_mangle_out).
 */
const tables: Readonly<Record<string, Readonly<Record<string, Place>>>> = {
  raw: at('filter', -300, 'PREROUTING', 'OUTPUT'),
  mangle: {
    ...at('filter', -150, 'PREROUTING', 'INPUT', 'FORWARD', 'POSTROUTING'),
    ...at('route', -150, 'OUTPUT'),
  },
  nat: { ...at('nat', -100, 'PREROUTING', 'OUTPUT'), ...at('nat', 100, 'INPUT', 'POSTROUTING') },
  filter: at('filter', 0, 'INPUT', 'FORWARD', 'OUTPUT'),
  security: at('filter', 50, 'INPUT', 'FORWARD', 'OUTPUT'),
};

/** Where the kernel calls a chain; undefined for a table or built-in chain that is not known. */
export const placeOf = (table: string, chain: string): Place | undefined => tables[table]?.[chain];
