/** Expressions as functions of a packet, made once for each rule. */
import type { Address } from '../net/index.ts';
import { typeOf } from './datatype.ts';
import { chancesIn, drawWay } from './evaluate-chance.ts';
import { asksFragmentOffset, fragmentOffset, nextHeader } from './evaluate-fragment.ts';
import { jhash, reciprocalScale, registerBytes } from './evaluate-hash.ts';
import {
  type ConnectionContext,
  mayHaveMaster,
  type PacketContext,
  type Registers,
  type Tuple,
} from './evaluate-packet.ts';
import { dataOf, type Find, indexElements } from './evaluate-set.ts';
import { patternOf, type Scalar, stateBit, UNKNOWN, type Unknown } from './evaluate-value.ts';
import type { DataType, Expression, MapElement, SetElement, Value } from './ruleset.ts';

/** One scalar a part of a concatenation; null where the packet does not have it: then the rule does not match (NFT_BREAK). */
export type Read = (registers: Registers) => readonly Scalar[] | null | Unknown;

/** The named sets and maps of a table, made ready; undefined for one whose elements are not known. */
export interface TableSets {
  readonly sets: ReadonlyMap<string, Find<SetElement> | undefined>;
  readonly maps: ReadonlyMap<string, { readonly find: Find<MapElement> | undefined; readonly data: DataType }>;
  /** What is not modelled of the table (named limits and quotas), as nft's JSON shows it. */
  readonly objects: readonly unknown[];
}

const unknown: Read = () => UNKNOWN;
const absent: Read = () => null;
const constant =
  (...parts: readonly Scalar[]): Read =>
  () =>
    parts;
const field =
  (read: (packet: PacketContext, registers: Registers) => Scalar | null | undefined | Unknown): Read =>
  (registers) => {
    const value = read(registers.packet, registers);
    return value === undefined || value === null ? null : value === UNKNOWN ? UNKNOWN : [value];
  };

/** How to read an expression; `type` is what its constants are, where the place tells. */
export function readerOf(expression: Expression, tables: TableSets, type?: DataType): Read {
  switch (expression.kind) {
    case 'payload':
      return payloadReader(expression.protocol, expression.field);
    case 'meta':
      return metaReader(expression.key);
    case 'ct':
      return connectionReader(expression.key, expression.direction);
    case 'fib':
      return fibReader(expression.result, expression.flags);
    case 'binary':
      return binaryReader(expression, tables, type);
    case 'join':
      return joined(expression.parts.map((part, index) => readerOf(part, tables, partType(type, index))));
    case 'lookup':
      return lookupReader(expression, tables, type);
    case 'number':
    case 'symbol':
    case 'string':
    case 'address':
      return valueReader(expression, type?.[0]);
    case 'concat':
      return joined(expression.parts.map((part, index) => valueReader(part, type?.[index])));
    case 'tcpOption':
      if (expression.option !== 'maxseg' || expression.field !== 'size') return unknown;
      return field(({ protocol, maxseg }) => (protocol === TCP ? maxseg : null));
    case 'hash':
      return hashReader(expression, tables);
    case 'symhash':
    case 'numgen':
    case 'rawPayload':
    case 'rt':
    case 'prefix':
    case 'range':
    case 'wildcard':
    case 'opaque':
    case 'setReference':
    case 'anonymousSet':
    case 'anonymousMap':
      return unknown;
  }
}

/** As Read, of a key to look up: what is not known of a concatenation is one part of it, and the others may tell that no element fits. */
export type ReadKey = (registers: Registers) => readonly (Scalar | Unknown)[] | null | Unknown;

export function keyReaderOf(expression: Expression, tables: TableSets): ReadKey {
  const type = typeOf(expression);
  if (expression.kind !== 'join') return readerOf(expression, tables, type);
  const reads = expression.parts.map((part, index) => readerOf(part, tables, partType(type, index)));
  return (registers) => {
    const parts: (Scalar | Unknown)[] = [];
    for (const read of reads) {
      const part = read(registers);
      if (part === null) return null;
      if (part === UNKNOWN) parts.push(UNKNOWN);
      else parts.push(...part);
    }
    return parts;
  };
}

const partType = (type: DataType | undefined, index: number): DataType | undefined => {
  const part = type?.[index];
  return part === undefined ? undefined : [part];
};

function valueReader(value: Value, type: string | undefined): Read {
  const pattern = patternOf(value, type);
  return pattern.kind === 'exact' ? constant(pattern.value) : unknown;
}

function joined(reads: readonly Read[]): Read {
  return (registers) => {
    const parts: Scalar[] = [];
    let doubtful = false;
    for (const read of reads) {
      const part = read(registers);
      if (part === null) return null;
      if (part === UNKNOWN) doubtful = true;
      else parts.push(...part);
    }
    return doubtful ? UNKNOWN : parts;
  };
}

const TCP = 6;
const UDP = 17;
/** Some checksum that is not left out: every datagram here has one. */
const A_CHECKSUM = 0xffff;
const ICMP = { 4: 1, 6: 58 } as const;
/** Protocols whose header begins with two ports. */
export const ported: Readonly<Record<string, number>> = { tcp: TCP, udp: UDP, dccp: 33, sctp: 132, udplite: 136 };

/** nft puts a test for the header before each field of it, so a field of another header ends the rule. */
function payloadReader(protocol: string, name: string): Read {
  if (protocol === 'ip' || protocol === 'ip6') {
    const family = protocol === 'ip' ? 4 : 6;
    const read = addressField(name);
    return field((packet) => (packet.family === family ? (read === undefined ? UNKNOWN : read(packet)) : null));
  }
  if (protocol === 'th') return field((packet) => firstBytes(packet, name));
  const number = ported[protocol];
  if (number !== undefined) {
    return field((packet) => {
      if (packet.protocol !== number) return null;
      if (name === 'checksum' && protocol === 'udp') return A_CHECKSUM;
      return name === 'flags' && protocol === 'tcp' ? packet.tcpFlags : portField(packet, name);
    });
  }
  if (protocol === 'icmp' || protocol === 'icmpv6') {
    const family = protocol === 'icmp' ? 4 : 6;
    return field((packet) => {
      if (packet.family !== family || packet.protocol !== ICMP[family]) return null;
      return name === 'type' ? packet.icmpType : name === 'code' ? codeOf(packet) : UNKNOWN;
    });
  }
  if (protocol === 'ether' && name === 'saddr') {
    return field(({ hardwareSource }) => (hardwareSource === undefined ? UNKNOWN : hardwareSource));
  }
  if (protocol === 'frag') return field(({ fragment }) => (fragment === undefined ? null : UNKNOWN));
  // Packets here are of IP and have no other headers between it and what it carries.
  return protocol === 'arp' || EXTENSIONS.has(protocol) ? absent : unknown;
}

const EXTENSIONS: ReadonlySet<string> = new Set(['rt', 'rt0', 'hbh', 'dst', 'mh']);

const addressField = (name: string): ((packet: PacketContext) => Scalar) | undefined => {
  if (name === 'saddr') return ({ source }) => source.value;
  if (name === 'daddr') return ({ destination }) => destination.value;
  if (name === 'nexthdr') return nextHeader;
  return name === 'protocol' ? ({ protocol }) => protocol : undefined;
};

const PORTED: ReadonlySet<number> = new Set(Object.values(ported));

/** Whatever the protocol, `th` reads where ports would be: of an ICMP message its type and code, and its checksum (nft_payload_eval). */
function firstBytes(packet: PacketContext, name: string): Scalar | undefined | Unknown {
  if (PORTED.has(packet.protocol)) return portField(packet, name);
  const code = codeOf(packet);
  return name === 'sport' && packet.icmpType !== undefined && code !== undefined
    ? (packet.icmpType << 8) | code
    : UNKNOWN;
}

const codeOf = ({ icmpType, icmpCode = 0 }: PacketContext): number | undefined =>
  icmpType === undefined ? undefined : icmpCode;

const portField = (packet: PacketContext, name: string): Scalar | undefined | Unknown =>
  name === 'sport' ? packet.sourcePort : name === 'dport' ? packet.destinationPort : UNKNOWN;

function metaReader(key: string): Read {
  switch (key) {
    // Without a device the kernel compares with an empty name (nft_meta_store_ifname).
    case 'iif':
    case 'iifname':
      return field(({ iif }) => iif ?? '');
    case 'oif':
    case 'oifname':
      return field(({ oif }) => oif ?? '');
    case 'mark':
      return field((_, { mark }) => mark);
    case 'nfproto':
      return field(({ family }) => (family === 4 ? 2 : 10));
    case 'protocol':
      return field(({ family }) => (family === 4 ? 0x0800 : 0x86dd));
    case 'l4proto':
      return field(({ protocol }) => protocol);
    case 'pkttype':
      return constant(0);
    default:
      return unknown;
  }
}

/** Without a connection all but the state ends the rule (nft_ct_get_eval). */
function connectionReader(key: string, direction: 'original' | 'reply' | undefined): Read {
  const of = (read: (connection: ConnectionContext, registers: Registers) => Scalar | null | Unknown): Read =>
    field(({ connection }, registers) => (connection === undefined ? null : read(connection, registers)));
  switch (key) {
    case 'state':
      return field(({ connection, untracked }, { notrack, zone }) => {
        if (connection !== undefined) return stateBit(connection.state);
        // A zone is set by a template, which is one of a new connection.
        if (zone !== undefined) return stateBit('new');
        return stateBit(untracked === true || notrack === true ? 'untracked' : 'invalid');
      });
    case 'direction':
      return of((connection) => (connection.direction === 'original' ? 0 : 1));
    case 'mark':
      return of((_, { connectionMark }) => connectionMark ?? 0);
    case 'label':
      return of(({ labels = 0n }, { labels: now = labels }) => (now === 'unknown' ? UNKNOWN : now));
    // That of the connection by which this one was expected (nft_ct_get_eval: ct->master).
    case 'helper':
      return of((connection) => (mayHaveMaster(connection) ? UNKNOWN : null));
    case 'status':
      return of(({ status }) => status);
    case 'zone':
      return of(({ zone }) => zone[direction ?? 'original']);
    case 'protocol':
      return of(({ original }) => original.protocol);
    case 'l3proto':
      return field(({ connection, family }) => (connection === undefined ? null : family === 4 ? 2 : 10));
    default: {
      const read = direction === undefined ? undefined : tupleField(key);
      return direction === undefined || read === undefined ? unknown : of((connection) => read(connection[direction]));
    }
  }
}

function tupleField(key: string): ((tuple: Tuple) => Scalar | null) | undefined {
  const address = (family: number | undefined, read: (tuple: Tuple) => Address) => (tuple: Tuple) => {
    const found = read(tuple);
    return family === undefined || found.family === family ? found.value : null;
  };
  const family = key.startsWith('ip6 ') ? 6 : key.startsWith('ip ') ? 4 : undefined;
  switch (key.slice(key.indexOf(' ') + 1)) {
    case 'saddr':
      return address(family, ({ source }) => source);
    case 'daddr':
      return address(family, ({ destination }) => destination);
    case 'proto-src':
      return ({ sourcePort }) => sourcePort;
    case 'proto-dst':
      return ({ destinationPort }) => destinationPort;
    default:
      return undefined;
  }
}

/** RTN_UNICAST, RTN_LOCAL and so on of rtnetlink.h. */
const ADDRESS_TYPES = { unicast: 1, local: 2, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

function fibReader(result: 'oif' | 'oifname' | 'type', flags: readonly string[]): Read {
  if (result !== 'type' && flags.includes('saddr')) return reversePathReader(flags);
  const [flag] = flags;
  if (result === 'oifname' && flags.length === 1 && flag === 'daddr')
    return field(({ destination, linkTowards }) => linkTowards?.(destination) ?? UNKNOWN);
  const [by, ...others] = flags.filter((each) => each === 'iif' || each === 'oif');
  const [of, ...more] = flags.filter((each) => each !== by);
  if (result !== 'type' || more.length + others.length > 0 || (of !== 'daddr' && of !== 'saddr')) return unknown;
  return field((packet) => {
    const link = by === 'iif' ? packet.iif : packet.oif;
    if (by !== undefined && link === undefined) return UNKNOWN;
    const type = packet.addressType(
      of === 'daddr' ? packet.destination : packet.source,
      by === undefined ? undefined : link,
    );
    return type === undefined ? UNKNOWN : ADDRESS_TYPES[type];
  });
}

/** 1 where the host would answer, and with `iif` by the link it came by (nft_fib6_eval), else 0: as `exists` and `missing` are compared. */
function reversePathReader(flags: readonly string[]): Read {
  if (!flags.every((flag) => flag === 'saddr' || flag === 'mark' || flag === 'iif')) return unknown;
  return field(({ source, destination, mark, iif, sendsTo }) => {
    if (iif === undefined || iif === 'lo') return iif === undefined ? UNKNOWN : 1;
    const by = flags.includes('iif') ? iif : undefined;
    const sends = sendsTo?.(source, destination, flags.includes('mark') ? mark : 0, by);
    return sends === undefined ? UNKNOWN : Number(sends);
  });
}

type Binary = Extract<Expression, { readonly kind: 'binary' }>;

function binaryReader({ operator, left, right }: Binary, tables: TableSets, type: DataType | undefined): Read {
  if (asksFragmentOffset({ operator, left, right })) return fragmentOffset;
  const isShift = operator === '<<' || operator === '>>';
  const leftType = typeOf(left) ?? type;
  const readLeft = readerOf(left, tables, leftType);
  const readRight = readerOf(right, tables, isShift ? undefined : leftType);
  return (registers) => {
    const a = readLeft(registers);
    const b = readRight(registers);
    if (a === null || b === null) return null;
    if (a === UNKNOWN || b === UNKNOWN || a.length !== 1 || b.length !== 1) return UNKNOWN;
    const result = combine(operator, a[0], b[0]);
    return result === undefined ? UNKNOWN : [result];
  };
}

/** 32 bits wide for numbers; addresses with addresses. */
function combine(operator: Binary['operator'], a: Scalar | undefined, b: Scalar | undefined): Scalar | undefined {
  if (typeof a === 'bigint' && typeof b === 'bigint') {
    if (operator === '&') return a & b;
    if (operator === '|') return a | b;
    return operator === '^' ? a ^ b : undefined;
  }
  if (typeof a !== 'number' || typeof b !== 'number' || a > 0xffffffff || b > 0xffffffff) return undefined;
  switch (operator) {
    case '&':
      return (a & b) >>> 0;
    case '|':
      return (a | b) >>> 0;
    case '^':
      return (a ^ b) >>> 0;
    case '<<':
      return b > 31 ? 0 : (a << b) >>> 0;
    case '>>':
      return b > 31 ? 0 : a >>> b;
  }
}

type Hash = Extract<Expression, { readonly kind: 'hash' }>;

function hashReader({ of, modulus, seed, offset = 0 }: Hash, tables: TableSets): Read {
  const types = typeOf(of);
  const read = readerOf(of, tables, types);
  // A seed of its own the kernel tells nobody.
  if (seed === undefined || types === undefined) return unknown;
  return (registers) => {
    const parts = read(registers);
    if (parts === null || parts === UNKNOWN) return parts;
    const bytes = registerBytes(parts, types);
    return bytes === undefined ? UNKNOWN : [reciprocalScale(jhash(bytes, seed), modulus) + offset];
  };
}

/** Finds in the map that stands right of `map` or `vmap`; undefined where its elements are not known. */
export function mapFinder(map: Expression, key: Expression, tables: TableSets): Find<MapElement> | undefined {
  if (map.kind === 'setReference') return tables.maps.get(map.name)?.find;
  return map.kind === 'anonymousMap' ? indexElements(map.elements, typeOf(key)) : undefined;
}

type Lookup = Extract<Expression, { readonly kind: 'lookup' }>;

function lookupReader({ key, map }: Lookup, tables: TableSets, type: DataType | undefined): Read {
  const chances = chancesIn(key, map);
  if (chances !== undefined) {
    return (registers) => {
      const way = drawWay(registers, chances.length);
      const data = way === undefined ? undefined : chances[way]?.data;
      return (data && dataOf(data, type)) ?? UNKNOWN;
    };
  }
  const readKey = keyReaderOf(key, tables);
  const find = mapFinder(map, key, tables);
  const data = map.kind === 'setReference' ? tables.maps.get(map.name)?.data : type;
  if (find === undefined) return unknown;
  return (registers) => {
    const parts = readKey(registers);
    if (parts === null || parts === UNKNOWN) return parts;
    const element = find(parts);
    if (element === undefined) return null;
    return element === UNKNOWN ? UNKNOWN : (dataOf(element.data, data) ?? UNKNOWN);
  };
}
