/** Next hop objects, which routes may name instead of saying the way themselves (ip-nexthop(8)). */
import { parseAddress } from '../net/index.ts';
import {
  addressField,
  type Entry,
  flagsOf,
  listField,
  numberField,
  objectField,
  readEntries,
  required,
  textField,
  wrong,
} from './json.ts';
import type { Nexthop } from './state.ts';

/** Its output is for readNexthops. A route that names one is listed without its way where `nexthop_compat_mode` is 0 (ip-sysctl.rst). */
export const NEXTHOPS_COMMAND: readonly string[] = ['ip', '-j', '-N', '-d', 'nexthop', 'show'];

/** The ways of each object, by its number: one, or those of a group. A blackhole has none: its routes are listed as such themselves. */
export type NexthopObjects = ReadonlyMap<number, readonly Nexthop[]>;

/** Throws an Error where the text is not the output of NEXTHOPS_COMMAND. */
export function readNexthops(jsonText: string): NexthopObjects {
  const entries = readEntries(NEXTHOPS_COMMAND, jsonText).map((entry) => [idOf(entry), entry] as const);
  const single = new Map(entries.map(([id, entry]) => [id, readNexthop(entry)]));
  return new Map(
    entries.map(([id, entry]) => {
      const members = listField(entry, 'group');
      return [id, members.length === 0 ? waysOf(single.get(id)) : members.flatMap((each) => ofGroup(each, single))];
    }),
  );
}

const idOf = (entry: Entry): number => required(entry, 'id', numberField(entry, 'id'));

const waysOf = (nexthop: Nexthop | undefined): readonly Nexthop[] => (nexthop?.link === undefined ? [] : [nexthop]);

/** Groups hold no groups. */
const ofGroup = (member: Entry, single: ReadonlyMap<number, Nexthop>): readonly Nexthop[] => {
  const weight = numberField(member, 'weight') ?? 1;
  return waysOf(single.get(idOf(member))).map((nexthop) => ({ ...nexthop, ...(weight !== 1 && { weight }) }));
};

/** One way, of a route or of an object. */
export function readNexthop(entry: Entry): Nexthop {
  const gateway = addressField(entry, 'gateway') ?? readVia(entry);
  const link = textField(entry, 'dev');
  const weight = numberField(entry, 'weight');
  return {
    ...(gateway !== undefined && { gateway }),
    ...(link !== undefined && { link }),
    ...(weight !== undefined && weight !== 1 && { weight }),
    ...(flagsOf(entry).has('onlink') && { onlink: true }),
  };
}

/** A gateway of the other family: IPv4 over an IPv6 next hop (RFC 5549). */
function readVia(entry: Entry): Nexthop['gateway'] {
  const via = objectField(entry, 'via');
  if (via === undefined) return undefined;
  const address = parseAddress(required(via, 'host', textField(via, 'host')));
  if (address === undefined) throw wrong(via, 'host', 'an address');
  return address;
}
