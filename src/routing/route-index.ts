/** Rules, routes, addresses and links made ready for many lookups. */
import {
  type Address,
  buildPrefixTable,
  comparePrefixes,
  type Family,
  lookupPrefixes,
  type PrefixTable,
  samePrefix,
} from '../net/index.ts';
import type { Link, LinkAddress, Route, RoutingRule, Sysctls } from './state.ts';

/** What decides a lookup. The order within each list is the kernel's, as the readers give it. */
export interface RoutingTables {
  readonly rules: readonly RoutingRule[];
  readonly routes: readonly Route[];
  readonly addresses: readonly LinkAddress[];
  readonly links: readonly Link[];
  /** `net/ipv6/conf/LINK/use_tempaddr` is read, where it is known. */
  readonly sysctls?: Sysctls;
}

/** Made by indexRoutes, for lookupRoute. */
export interface RouteIndex {
  readonly rules: Readonly<Record<Family, readonly RoutingRule[]>>;
  readonly tables: Readonly<Record<Family, ReadonlyMap<number, PrefixTable<readonly Route[]>>>>;
  /** In the kernel's order, which the choice of a source address goes by. */
  readonly links: ReadonlyMap<string, Link>;
  readonly addresses: ReadonlyMap<string, readonly LinkAddress[]>;
  readonly sysctls: Sysctls;
}

/** Sorts what decides lookups once: a lookup is then a walk over the rules and a binary search in each table they name. */
export const indexRoutes = ({ rules, routes, addresses, links, sysctls }: RoutingTables): RouteIndex => ({
  rules: { 4: sortRules(rules, 4), 6: sortRules(rules, 6) },
  tables: { 4: indexTables(routes, 4), 6: indexTables(routes, 6) },
  links: new Map(links.map((link) => [link.name, link])),
  addresses: groupBy(addresses, ({ link }) => link),
  sysctls: sysctls ?? new Map(),
});

/** The routes of a table that hold the address, by prefix from the longest, those of one prefix by metric. */
export function routesTo(index: RouteIndex, table: number, address: Address): readonly (readonly Route[])[] {
  const prefixes = index.tables[address.family].get(table);
  return prefixes === undefined ? [] : lookupPrefixes(prefixes, address).map(({ value }) => value);
}

/** Rules of equal priority keep their order: a new one comes after them (fib_rules.c, fib_nl_newrule). */
const sortRules = (rules: readonly RoutingRule[], family: Family): readonly RoutingRule[] =>
  rules.filter((rule) => rule.family === family).sort((left, right) => left.priority - right.priority);

function indexTables(routes: readonly Route[], family: Family): ReadonlyMap<number, PrefixTable<readonly Route[]>> {
  const byTable = groupBy(
    routes.filter(({ destination }) => destination.address.family === family),
    ({ table }) => table,
  );
  return new Map([...byTable].map(([table, members]) => [table, indexTable(members)]));
}

function indexTable(routes: readonly Route[]): PrefixTable<readonly Route[]> {
  const sorted = routes.toSorted(
    (left, right) => comparePrefixes(left.destination, right.destination) || left.metric - right.metric,
  );
  const groups: Route[][] = [];
  for (const route of sorted) {
    const group = groups.at(-1);
    const first = group?.[0];
    if (group !== undefined && first !== undefined && samePrefix(first.destination, route.destination))
      group.push(route);
    else groups.push([route]);
  }
  return buildPrefixTable(
    groups.flatMap((group) => (group[0] === undefined ? [] : [{ prefix: group[0].destination, value: group }])),
  );
}

/** Map.groupBy, which Node 20 has not. */
function groupBy<Key, T>(members: readonly T[], keyOf: (member: T) => Key): ReadonlyMap<Key, readonly T[]> {
  const groups = new Map<Key, T[]>();
  for (const member of members) {
    const group = groups.get(keyOf(member));
    if (group === undefined) groups.set(keyOf(member), [member]);
    else group.push(member);
  }
  return groups;
}
