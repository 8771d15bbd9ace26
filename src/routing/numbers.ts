/** Numbers that `ip` prints by name: with `-N` it prints the numbers, some versions print names in some places all the same. */
import { type Entry, required, textField, wrong } from './json.ts';
import type { RouteType } from './state.ts';

/** The names the kernel itself knows (rtnetlink.h). Names of /etc/iproute2/rt_tables never come, thanks to `-N`. */
const TABLES: Readonly<Record<string, number>> = { unspec: 0, default: 253, main: 254, local: 255 };

/** iproute2's etc/iproute2/rt_protos and rtnetlink.h. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  unspec: 0,
  none: 0,
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  gated: 8,
  ra: 9,
  mrt: 10,
  zebra: 11,
  bird: 12,
  dnrouted: 13,
  xorp: 14,
  ntk: 15,
  dhcp: 16,
  mrouted: 17,
  keepalived: 18,
  babel: 42,
  ovn: 84,
  openr: 99,
  bgp: 186,
  isis: 187,
  ospf: 188,
  rip: 189,
  eigrp: 192,
};

const SCOPES: Readonly<Record<string, number>> = {
  global: 0,
  universe: 0,
  site: 200,
  link: 253,
  host: 254,
  nowhere: 255,
};

/** rtnetlink.h, RTN_UNICAST is 1. */
const ROUTE_TYPES: readonly RouteType[] = [
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
];

/** A table's number; undefined where the field is absent. */
export const tableField = (entry: Entry): number | undefined => namedNumber(entry, 'table', TABLES);

/** A protocol's number; 0 (unspec) where the field is absent, as iproute2 prints none for it in places. */
export const protocolField = (entry: Entry): number => namedNumber(entry, 'protocol', PROTOCOLS) ?? 0;

/** A scope's number, 0 (global) where the field is absent. */
export const scopeField = (entry: Entry): number => namedNumber(entry, 'scope', SCOPES) ?? 0;

/** A route's type, unicast where the field is absent; undefined for a type the kernel does not use (nat, xresolve). */
export function routeTypeField(entry: Entry): RouteType | undefined {
  const text = textField(entry, 'type') ?? 'unicast';
  return routeTypeOf(text);
}

/** The type by name, or by number as `-N` prints it. */
export const routeTypeOf = (text: string): RouteType | undefined =>
  /^[0-9]+$/.test(text) ? ROUTE_TYPES[Number(text) - 1] : ROUTE_TYPES.find((type) => type === text);

/** The name of a table as `ip` prints it. */
export const tableName = (table: number): string =>
  Object.entries(TABLES).find(([name, number]) => number === table && name !== 'unspec')?.[0] ?? String(table);

/** The name of a protocol as `ip` prints it. */
export const protocolName = (protocol: number): string =>
  Object.entries(PROTOCOLS).find(([, number]) => number === protocol)?.[0] ?? String(protocol);

function namedNumber(entry: Entry, name: string, numbers: Readonly<Record<string, number>>): number | undefined {
  if (entry.fields[name] === undefined) return undefined;
  const text = required(entry, name, textField(entry, name));
  const number = /^[0-9]+$/.test(text) ? Number(text) : Object.hasOwn(numbers, text) ? numbers[text] : undefined;
  if (number === undefined) throw wrong(entry, name, 'a number or a name of the kernel; was ip run without -N?');
  return number;
}
