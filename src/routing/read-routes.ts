import { addressBits, type Family, type Prefix, parsePrefix, wholeFamily } from '../net/index.ts';
import {
  addressField,
  type Entry,
  listField,
  numberField,
  otherFields,
  readEntries,
  required,
  textField,
  wrong,
} from './json.ts';
import { protocolField, routeTypeField, scopeField, tableField } from './numbers.ts';
import { type NexthopObjects, readNexthop } from './read-nexthops.ts';
import { leadsNowhere, MAIN_TABLE, type Nexthop, type Route, type RouteType } from './state.ts';

/** Its output is for readRoutes. `-N`: numbers, as the names of tables and protocols are each host's own. */
export const routesCommand = (family: Family): readonly string[] => [
  ...['ip', '-j', '-N', '-d', `-${family}`],
  ...['route', 'show', 'table', 'all'],
];

/** Modelled, or no part of what a route does: how long it lives, what its cache counts, what is said of its next hop twice. */
const KNOWN = new Set([
  ...['type', 'dst', 'table', 'protocol', 'scope', 'prefsrc', 'metric', 'flags', 'gateway', 'via', 'dev', 'nexthops'],
  ...['metrics', 'pref', 'expires', 'error', 'nh_info', 'cache', 'users', 'used', 'age', 'ipid', 'ts', 'tsage'],
]);
const KNOWN_OF_NEXTHOP = new Set(['gateway', 'via', 'dev', 'weight', 'flags']);

/**
 * The routes of all tables, from routesCommand(family); `objects` are what they may name instead of a way. Throws an Error where the text is
 * not its output.
 */
export const readRoutes = (jsonText: string, family: Family, objects: NexthopObjects = new Map()): readonly Route[] =>
  readEntries(routesCommand(family), jsonText).map((entry) => readRoute(entry, family, objects));

function readRoute(entry: Entry, family: Family, objects: NexthopObjects): Route {
  const type = routeTypeField(entry);
  const nexthops = listField(entry, 'nexthops');
  const only = nexthops.length === 0 ? readNexthop(entry) : {};
  // IPv6 hangs a route that leads nowhere on lo (net/ipv6/route.c, ip6_route_info_create); nobody asked for that.
  const { link, ...withoutLink } = only;
  const nexthop = type !== undefined && leadsNowhere(type) && link === 'lo' ? withoutLink : only;
  const source = addressField(entry, 'prefsrc');
  const { mtu, opaque } = readOpaque(entry, family, type, nexthops);
  const named = namedWays(entry, type, objects);
  return {
    table: tableField(entry) ?? MAIN_TABLE,
    destination: readDestination(entry, family),
    type: type ?? 'unicast',
    ...nexthop,
    ...(nexthops.length > 0 && { nexthops: nexthops.map(readNexthop) }),
    ...(named?.length === 1 ? named[0] : named !== undefined && { nexthops: named }),
    metric: numberField(entry, 'metric') ?? (family === 4 ? 0 : 1024),
    ...(source !== undefined && { source }),
    protocol: protocolField(entry),
    ...(mtu !== undefined && { mtu }),
    ...((opaque !== undefined || named?.length === 0) && {
      opaque: { ...opaque, ...(named?.length === 0 && { nexthop: 'not known' }) },
    }),
  };
}

/** The ways of an object that is all the route says of its way; none of one that is not known. */
function namedWays(entry: Entry, type: RouteType | undefined, objects: NexthopObjects): readonly Nexthop[] | undefined {
  const { gateway, via, dev, nexthops } = entry.fields;
  const id = numberField(entry, 'nhid');
  if (id === undefined || (type !== undefined && leadsNowhere(type))) return undefined;
  return (gateway ?? via ?? dev ?? nexthops) === undefined ? (objects.get(id) ?? []) : undefined;
}

function readDestination(entry: Entry, family: Family): Prefix {
  const text = required(entry, 'dst', textField(entry, 'dst'));
  if (text === 'default') return wholeFamily(family);
  const prefix = parsePrefix(text.includes('/') ? text : `${text}/${addressBits(family)}`);
  if (prefix === undefined || prefix.address.family !== family) throw wrong(entry, 'dst', `an IPv${family} prefix`);
  return prefix;
}

/** The MTU, and what is not modelled: unknown fields, a scope that `ip` would not choose by itself, a router preference, other metrics. */
function readOpaque(
  entry: Entry,
  family: Family,
  type: RouteType | undefined,
  nexthops: readonly Entry[],
): { readonly mtu?: number; readonly opaque?: Readonly<Record<string, unknown>> } {
  let mtu: number | undefined;
  const metrics: Record<string, unknown> = {};
  for (const metric of listField(entry, 'metrics')) {
    mtu ??= numberField(metric, 'mtu');
    Object.assign(metrics, otherFields(metric, new Set(['mtu'])));
  }
  const scope = scopeField(entry);
  const pref = textField(entry, 'pref') ?? 'medium';
  const opaque: Record<string, unknown> = {
    ...otherFields(entry, KNOWN),
    ...(type === undefined && { type: entry.fields.type }),
    ...(scope !== usualScope(entry, family, type, nexthops.length > 0) && { scope }),
    ...(pref !== 'medium' && { pref }),
    ...(Object.keys(metrics).length > 0 && { metrics }),
    ...(nexthops.some((nexthop) => otherFields(nexthop, KNOWN_OF_NEXTHOP) !== undefined) && {
      nexthops: nexthops.map(({ fields }) => fields),
    }),
  };
  return { ...(mtu !== undefined && { mtu }), ...(Object.keys(opaque).length > 0 && { opaque }) };
}

/** The scope that `ip route add` gives where none is named (iproute.c, iproute_modify). */
function usualScope(entry: Entry, family: Family, type: RouteType | undefined, multipath: boolean): number {
  if (family === 6) return 0;
  if (type === 'local') return 254;
  if (type === 'broadcast' || type === 'multicast' || type === 'anycast') return 253;
  const { gateway, via, nhid } = entry.fields;
  return type === 'unicast' && !multipath && (gateway ?? via ?? nhid) === undefined ? 253 : 0;
}
