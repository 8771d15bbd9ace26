/**
 * Who asks at a public link: of all that may come in there one of each kind that rules, routes and keys on the way tell apart, so that what holds
 * of those asked holds of all; with `allow` the first and last address of each prefix, and those just outside, besides.
 */
import {
  type Address,
  type AddressScope,
  addressBits,
  addressScope,
  containsAddress,
  containsValue,
  differenceOf,
  type Family,
  type Interval,
  type IntervalSet,
  intersectionOf,
  intervals,
  isEmpty,
  isPublicAddress,
  lastAddress,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixesOf,
  prefixInterval,
  printAddress,
  printPrefix,
  wholeFamily,
} from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import { isTurnedAway } from './excuse.ts';
import { clientOn, isBorne } from './outsider.ts';
import { larger, type Piece, pieceAt, piecesOf, smaller } from './pieces.ts';
import type { Ground } from './promise.ts';
import { tellsAt } from './tells.ts';

/** The kernel takes no packet from these (martians: fib_validate_source, ip6_rcv_core), or not from afar. */
export const NOBODYS: ReadonlySet<AddressScope> = new Set([
  ...(['unspecified', 'thisNetwork', 'loopback', 'linkLocal'] as const),
  ...(['multicast', 'broadcast', 'reserved', 'mapped'] as const),
]);

const whole = (family: Family): IntervalSet => intervals([prefixInterval(wholeFamily(family))]);
const prefixSet = (prefixes: readonly Prefix[]): IntervalSet => intervals(prefixes.map(prefixInterval));
const without = (family: Family, prefixes: readonly string[]): IntervalSet =>
  differenceOf(whole(family), prefixSet(prefixes.flatMap((text) => parsePrefix(text) ?? [])));

/** Where strangers are; of IPv6 what IANA gives out, 2000::/3. */
const INTERNET: Readonly<Record<Family, IntervalSet>> = {
  4: without(4, [
    ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
    ...['192.0.0.0/24', '192.168.0.0/16', '224.0.0.0/3'],
  ]),
  6: without(6, ['::/3', '4000::/2', '8000::/1']),
};

export interface Client {
  readonly address: Address;
  /** Absent: the usual one. */
  readonly sourcePort?: number;
  /** Which clients these are; absent: of those that are meant the most. */
  readonly few?: string;
  /** The same of the ports that they ask from. */
  readonly fewPorts?: string;
}

export interface Clients {
  readonly inside: readonly Client[];
  readonly outside: readonly Address[];
  /** Whether it is of those that are the most, as far as rules and routes tell. */
  readonly isUsual: (address: Address) => boolean;
  /** Why these may not stand for all. */
  readonly doubt?: string;
}

/** Where clients ask, and the hosts that their packets and the answers come by. */
export interface Door {
  readonly host: string;
  readonly link: string;
  readonly family: Family;
  readonly hosts: readonly string[];
}

/** More kinds of clients than this are not asked. */
const MOST_KINDS = 64;

/** The clients to ask as at a link of a host; without `allow` strangers, inside. */
export function clientsOf(ground: Ground, door: Door, allow: readonly Prefix[] | undefined): Clients {
  const { family } = door;
  const spectrum = spectrumOf(ground, door);
  const own = allow?.filter(({ address }) => address.family === family) ?? [];
  if (allow === undefined || own.some(({ length }) => length === 0)) return spectrum.everybody;
  const chosen = own.map((entry) => ({ entry, ...choose(spectrum, prefixSet([entry])) }));
  const inside = chosen.flatMap(({ entry, usual, clients }): readonly Client[] => [
    ...clients,
    ...[entry.address, lastAddress(entry)].filter(spectrum.comesIn).map((address) => ({
      ...{ address, ...(kindAt(spectrum, address) !== usual && { few: printAddress(address) }) },
    })),
  ]);
  const beyond = differenceOf(whole(family), prefixSet(own));
  const outside = [
    ...own.flatMap(besides).filter((each) => containsValue(beyond, each.value) && spectrum.comesIn(each)),
    ...choose(spectrum, beyond).clients.map(({ address }) => address),
  ];
  const doubt = chosen.find((each) => each.doubt !== undefined)?.doubt;
  return {
    inside: distinct(inside, ({ address }) => address),
    outside: distinct(outside, (address) => address),
    isUsual: (address) => chosen.some(({ usual }) => usual !== undefined && kindAt(spectrum, address) === usual),
    ...(doubt !== undefined && { doubt }),
  };
}

const distinct = <T>(list: readonly T[], addressOf: (each: T) => Address): readonly T[] => [
  ...new Map(list.map((each) => [addressOf(each).value, each])).values(),
];

/** Just before a prefix and just after it. */
function besides(prefix: Prefix): readonly Address[] {
  const { family, value } = prefix.address;
  const after = lastAddress(prefix).value + 1n;
  return [
    ...(value === 0n ? [] : [{ family, value: value - 1n }]),
    ...(after >> BigInt(addressBits(family)) > 0n ? [] : [{ family, value: after }]),
  ];
}

// ---- kinds

/** All addresses of a family, by what tells them apart on the way from a door. */
interface Spectrum {
  readonly family: Family;
  readonly pieces: readonly Piece[];
  /** Whether the host answers an address by that link, and somebody may have it. */
  readonly comesIn: (address: Address) => boolean;
  /** Those that are no strangers, and yet ask there. */
  readonly isNeighbour: (address: Address) => boolean;
  readonly stranger: Address;
  readonly doubt?: string;
}

interface Chosen {
  /** The kind that is most of them; absent: nobody comes in. */
  readonly usual?: number;
  /** One of each kind. */
  readonly clients: readonly Client[];
  readonly doubt?: string;
}

/** What is asked of a door more than once. */
export type Spectra = Map<string, Spectrum & { readonly everybody: Clients }>;

function spectrumOf(ground: Ground, door: Door): Spectrum & { readonly everybody: Clients } {
  const { host, link, family, hosts } = door;
  const key = `${host} ${link} ${family} ${hosts.join()}`;
  const known = ground.spectra.get(key);
  if (known !== undefined) return known;
  const { network, outsiders } = ground;
  const { addresses, unclear } = tellsAt(ground, hosts);
  const spectrum: Spectrum = {
    ...{ family, pieces: piecesOf(addresses[family], prefixInterval(wholeFamily(family))) },
    comesIn: comesInBy(ground, door),
    isNeighbour: (address) =>
      network.hosts
        .get(host)
        ?.state.addresses.some((each) => each.link === link && containsAddress(networkOf(each.address), address)) ===
      true,
    stranger: clientOn(network, host, link, family, outsiders[family]),
    ...(unclear !== undefined && { doubt: `clients are told apart by a part of their address or port: ${unclear}` }),
  };
  const { usual, clients, doubt } = choose(spectrum, whole(family));
  const everybody: Clients = {
    ...{ inside: clients, outside: [], isUsual: (address) => kindAt(spectrum, address) === usual },
    ...(doubt !== undefined && { doubt }),
  };
  const made = { ...spectrum, everybody };
  ground.spectra.set(key, made);
  return made;
}

const NO_CLIENTS: ReadonlySet<string> = new Set(['local', 'broadcast', 'anycast', 'multicast']);

/** A client that the host would not answer by this link, or that no host may be, cannot come in there whatever is allowed. */
function comesInBy({ network }: Ground, { host, link, family, hosts }: Door): (address: Address) => boolean {
  const routes = network.hosts.get(host)?.routes;
  // Addresses of the hosts, broadcasts, and of a router the first of each network (RFC 4291, 2.6.1).
  const taken = hosts.flatMap((name) =>
    (network.hosts.get(name)?.state.routes ?? []).flatMap(({ type, destination }) =>
      NO_CLIENTS.has(type) && destination.address.family === family ? [destination] : [],
    ),
  );
  return (address) => {
    // What a host of ours asks is asked as that host (inside.ts).
    if (taken.some((each) => containsAddress(each, address))) return false;
    if (routes === undefined || NOBODYS.has(addressScope(address)) || isBorne(network, address)) return false;
    const way = lookupRoute(routes, { destination: address });
    return (way.kind === 'route' && way.link === link) || isTurnedAway(way);
  };
}

/** One client of each kind in a set of addresses, of the kind that is most of them first. */
function choose(spectrum: Spectrum, set: IntervalSet): Chosen {
  const { family, pieces, stranger, doubt } = spectrum;
  const kinds = new Map<number, Interval[]>();
  for (const { first, last } of set.intervals)
    for (let at = pieceAt(pieces, first); ; at++) {
      const piece = pieces[at];
      if (piece === undefined || piece.first > last) break;
      const part = { first: larger(piece.first, first), last: smaller(piece.last, last) };
      const known = kinds.get(piece.kind);
      if (known === undefined) kinds.set(piece.kind, [part]);
      else known.push(part);
    }
  const isOpen = !isEmpty(intersectionOf(set, INTERNET[family]));
  const found = [...kinds].flatMap(([kind, parts]) => {
    const own = intervals(parts);
    const open = intersectionOf(own, INTERNET[family]);
    const address = example(spectrum, own, open, isOpen);
    const size = sizeOf(isOpen ? open : own);
    return address === undefined ? [] : [{ kind, own, address, size }];
  });
  const strange = found.find(({ own }) => containsValue(own, stranger.value));
  const usual = found.reduce((most, each) => (each.size > (most?.size ?? -1n) ? each : most), strange);
  const others = found
    .filter((each) => each !== usual)
    .sort((a, b) => (a.size > b.size ? -1 : a.size < b.size ? 1 : 0));
  const reason =
    doubt ?? (others.length < MOST_KINDS ? undefined : `more than ${MOST_KINDS} kinds of clients are told apart`);
  return {
    ...(usual !== undefined && { usual: usual.kind }),
    clients: [
      ...(usual === undefined ? [] : [{ address: usual.address }]),
      ...others.slice(0, MOST_KINDS - 1).map(({ address, own }) => ({ address, few: printFew(own, family) })),
    ],
    ...(reason !== undefined && { doubt: reason }),
  };
}

const sizeOf = ({ intervals: parts }: IntervalSet): bigint =>
  parts.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);

/** So many parts of a kind, the largest, are looked through for somebody who comes in. */
const MOST_PARTS = 16;

/** Somebody of a kind who comes in at the door; where strangers are meant they, and neighbours on the link. */
function example(
  { family, comesIn, isNeighbour, stranger }: Spectrum,
  own: IntervalSet,
  open: IntervalSet,
  isOpen: boolean,
): Address | undefined {
  const isMeant = (address: Address): boolean => !isOpen || isPublicAddress(address) || isNeighbour(address);
  if (containsValue(own, stranger.value)) return stranger;
  const parts = [...(isEmpty(open) ? own : open).intervals]
    .sort((a, b) => (a.last - a.first > b.last - b.first ? -1 : 1))
    .slice(0, MOST_PARTS);
  for (const { first, last } of parts)
    for (const value of [first + 1n, first, (first + last) / 2n, last]) {
      const address: Address = { family, value };
      if (value <= last && isMeant(address) && comesIn(address)) return address;
    }
  return undefined;
}

const kindAt = ({ pieces }: Spectrum, { value }: Address): number | undefined => pieces[pieceAt(pieces, value)]?.kind;

/** `203.0.113.7, 192.0.2.0/24 and 41 more`. */
function printFew({ intervals: parts }: IntervalSet, family: Family): string {
  const prefixes = parts.slice(0, SHOWN).flatMap((part) => prefixesOf(part, family));
  const names = prefixes
    .slice(0, SHOWN)
    .map((each) => (each.length === addressBits(family) ? printAddress(each.address) : printPrefix(each)));
  const rest = Math.max(parts.length - SHOWN, 0) + prefixes.length - names.length;
  return `${names.join(', ')}${rest > 0 ? ' and more' : ''}`;
}

const SHOWN = 2;
