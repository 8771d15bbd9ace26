/** Conntrack as far as a trace needs it: tuples of both directions, zones, marks, and translation with unique reply tuples. */
import type { Address } from '../net/index.ts';
import {
  CONNTRACK_STATUS,
  type ConntrackEntry,
  type Expectation,
  type PortRange,
  type Tuple,
} from '../nftables/index.ts';
import { ECHO, inverseOf, isIcmp, type Packet, PROTOCOLS, tupleOf } from './packet.ts';
import { advance, type TcpTrack } from './tcp-state.ts';

export type Direction = 'original' | 'reply';
export type Zone = Readonly<Record<Direction, number>>;

/** It changes while its packets pass: this is the one thing in the model that remembers. */
export interface Connection {
  readonly original: Tuple;
  reply: Tuple;
  readonly zone: Zone;
  mark: number;
  /** A bit for each of 128. */
  labels: bigint | 'unknown';
  /** IPS_*: 1 expected by another, 2 seen reply, 8 confirmed, 16 source NAT, 32 destination NAT. */
  status: number;
  /** Of TCP. */
  readonly tcp?: TcpTrack;
  /** Which halves of the translation are settled (IPS_SRC_NAT_DONE, IPS_DST_NAT_DONE). */
  readonly settled: Set<Half>;
  /** The one entered before it of the same source (nf_nat's bysource). */
  earlier?: Connection;
  /** The link that its source was masqueraded for (nf_conn_nat's masq_index). */
  masqueradedFor?: string;
  /** It stood before the first packet of the trace. */
  readonly entry?: ConntrackEntry;
}

/** What a translation rewrites. */
export type Half = 'source' | 'destination';

/** The connections of one host, by the tuple and zone of each direction. */
export interface Found {
  readonly connection: Connection;
  readonly direction: Direction;
}

/** A Map is one. */
export interface ConnectionTable {
  get(key: string): Found | undefined;
  has(key: string): boolean;
  set(key: string, found: Found): unknown;
  delete(key: string): unknown;
  /** Those that packets have met. */
  values(): Iterable<Found>;
  readonly size: number;
}

const SEEN_REPLY = 2;
export const CONFIRMED = 8;
const NAT_STATUS: Readonly<Record<Half, number>> = { source: 16, destination: 32 };

export const keyOf = (direction: Direction, zone: Zone, tuple: Tuple): string =>
  `${direction} ${zone[direction]} ${tuple.source.family} ${tuple.source.value} ${tuple.destination.value} ${tuple.protocol} ${tuple.sourcePort} ${tuple.destinationPort}`;

export interface Tracked {
  readonly connection: Connection;
  readonly direction: Direction;
  readonly state: 'new' | 'established' | 'related';
  /** Whether it belongs to it, or begins another, hangs on which side ended this one. */
  readonly unsure?: true;
}

/** What tells conntrack whether a packet may begin a connection, and which of an echo's two tuples it has. */
export type TrackedPacket = Pick<Packet, keyof Tuple | 'tcpFlags' | 'icmpType'>;

export interface TrackOptions {
  /** TCP connections may be taken up in their midst (nf_conntrack_tcp_loose). */
  readonly takesUp?: boolean;
}

/**
 * The connection a packet belongs to, or a new one; undefined where it is INVALID, and tracked by none. A zone that is set for the original
 * direction alone leaves replies in zone 0 (nf_ct_zone_id), so a packet without one finds the reply side.
 */
export function track(
  table: ConnectionTable,
  packet: TrackedPacket,
  zone: Zone,
  { takesUp = true }: TrackOptions = {},
): Tracked | undefined {
  const tuple = tupleOf(packet);
  const found = directionsOf(packet)
    .map((direction) => table.get(keyOf(direction, zone, tuple)))
    .find(Boolean);
  if (found === undefined) {
    const tcp: TcpTrack | undefined = follows(packet) ? { state: 'none' } : undefined;
    if (!mayBegin(packet, tcp) || (tcp?.state === 'established' && !takesUp)) return undefined;
    const connection: Connection = {
      ...(tcp && { tcp }),
      original: tuple,
      reply: inverseOf(tuple),
      zone,
      mark: 0,
      labels: 0n,
      status: 0,
      settled: new Set(),
    };
    return { connection, direction: 'original', state: 'new' };
  }
  const { connection, direction } = found;
  const followed =
    connection.tcp !== undefined && follows(packet) ? advance(connection.tcp, direction, packet.tcpFlags) : 'taken';
  if (followed === 'invalid') return undefined;
  if (followed === 'unsure') return { connection, direction, state: 'established', unsure: true };
  if (followed === 'anew') {
    forget(table, connection);
    return track(table, packet, zone, { takesUp });
  }
  if (direction === 'reply') connection.status |= SEEN_REPLY;
  return { connection, direction, state: stateOf(connection) };
}

/** Of its packets in the original direction (resolve_normal_ct). */
const stateOf = ({ status }: Connection): Tracked['state'] =>
  (status & SEEN_REPLY) !== 0 ? 'established' : (status & CONNTRACK_STATUS.expected) !== 0 ? 'related' : 'new';

/**
 * A first packet that another connection made known: it has that one's mark, and is related to it (init_conntrack). Undefined where that
 * one is translated: then so is this, as its helper chose (nf_nat_follow_master).
 */
export function relate(tracked: Tracked, { status, mark }: Expectation['master']): Tracked | undefined {
  if ((status & (CONNTRACK_STATUS.sourceNat | CONNTRACK_STATUS.destinationNat)) !== 0) return undefined;
  tracked.connection.status |= CONNTRACK_STATUS.expected;
  tracked.connection.mark = mark;
  return { ...tracked, state: 'related' };
}

/** The type is part of an ICMP tuple: a request is never its own reply (icmp_pkt_to_tuple, icmp_invert_tuple). */
const directionsOf = ({ protocol, icmpType, destination }: TrackedPacket): readonly Direction[] =>
  !isIcmp({ protocol })
    ? ['original', 'reply']
    : icmpType === ECHO[destination.family].reply
      ? ['reply']
      : ['original'];

const follows = <P extends TrackedPacket>(packet: P): packet is P & { readonly tcpFlags: number } =>
  packet.protocol === PROTOCOLS.tcp && packet.tcpFlags !== undefined;

/** An echo's reply begins nothing (nf_conntrack_icmp_packet); of TCP a SYN does, or an ACK alone (tcp_new). */
function mayBegin(packet: TrackedPacket, tcp: TcpTrack | undefined): boolean {
  if (isIcmp(packet)) return packet.icmpType !== ECHO[packet.destination.family].reply;
  return tcp === undefined || packet.tcpFlags === undefined || advance(tcp, 'original', packet.tcpFlags) === 'taken';
}

/** A link goes down: what was masqueraded for it ends (nf_nat_masquerade.c, masq_device_event). */
export function endMasqueraded(table: ConnectionTable, link: string): void {
  for (const { connection } of [...table.values()]) if (connection.masqueradedFor === link) forget(table, connection);
}

export function forget(table: ConnectionTable, connection: Connection): void {
  const { original, reply, zone, earlier } = connection;
  table.delete(keyOf('original', zone, original));
  table.delete(keyOf('reply', zone, reply));
  const key = sourceKey(connection);
  let later = table.get(key)?.connection;
  if (later === connection) {
    if (earlier === undefined) table.delete(key);
    else table.set(key, { connection: earlier, direction: 'original' });
    return;
  }
  while (later !== undefined && later.earlier !== connection) later = later.earlier;
  if (later === undefined) return;
  if (earlier === undefined) delete later.earlier;
  else later.earlier = earlier;
}

/** Enters a new connection into the table; false where another has one of its tuples, and the kernel drops the packet. */
export function confirm(table: ConnectionTable, connection: Connection): boolean {
  if ((connection.status & CONFIRMED) !== 0) return true;
  if (
    isTaken(table, 'original', connection.original, connection) ||
    isTaken(table, 'reply', connection.reply, connection)
  )
    return false;
  connection.status |= CONFIRMED;
  table.set(keyOf('original', connection.zone, connection.original), { connection, direction: 'original' });
  table.set(keyOf('reply', connection.zone, connection.reply), { connection, direction: 'reply' });
  if (connection.settled.has('source')) {
    const earlier = table.get(sourceKey(connection))?.connection;
    if (earlier !== undefined) connection.earlier = earlier;
    table.set(sourceKey(connection), { connection, direction: 'original' });
  }
  return true;
}

/** Whether another has it, of whichever direction; of echoes only as the same. */
const isTaken = (table: ConnectionTable, as: Direction, tuple: Tuple, { zone }: Connection): boolean =>
  isIcmp(tuple)
    ? table.has(keyOf(as, zone, tuple))
    : table.has(keyOf('original', zone, tuple)) || table.has(keyOf('reply', zone, tuple));

/** What a rule asks for; absent: what the packet has. */
export interface Target {
  readonly address?: Address;
  /** Any of these, where the source's own is taken. */
  readonly addresses?: { readonly first: bigint; readonly last: bigint };
  readonly port?: number;
  /** Whichever is free of these. */
  readonly ports?: PortRange;
}

/**
 * Settles one half of the translation (nf_nat_setup_info): to an address and port, or to what the packet has already, which may still
 * cost it its source port where another connection's answers would look the same.
 */
export function settle(
  table: ConnectionTable,
  connection: Connection,
  half: Half,
  to: Target,
  freePort: FreePort = nextPort,
): void {
  connection.settled.add(half);
  const now = inverseOf(connection.reply);
  const wanted: Tuple =
    half === 'destination'
      ? freeEcho(
          table,
          connection,
          { ...now, destination: to.address ?? now.destination, destinationPort: to.port ?? now.destinationPort },
          freePort,
        )
      : uniqueSource(table, connection, now, to, to.port === undefined ? freePort : undefined);
  if (isSameTuple(wanted, now)) return;
  connection.reply = inverseOf(wanted);
  connection.status |= NAT_STATUS[half];
}

/** Whether another connection's answers would look as those of this one, were it translated so. */
export function isTakenTo(table: ConnectionTable, connection: Connection, { address, port }: Target): boolean {
  const now = inverseOf(connection.reply);
  const to = { ...now, destination: address ?? now.destination, destinationPort: port ?? now.destinationPort };
  return isTaken(table, 'reply', inverseOf(to), connection);
}

/** The same of the source that it has. */
export const isTakenFrom = (table: ConnectionTable, connection: Connection, { address }: Target): boolean => {
  const now = inverseOf(connection.reply);
  return isTaken(table, 'reply', inverseOf({ ...now, source: address ?? now.source }), connection);
};

/** An echo's id is of both ends: a destination that makes its tuple another's costs it the id at once (nf_nat_l4proto_unique_tuple). */
function freeEcho(table: ConnectionTable, connection: Connection, wanted: Tuple, freePort: FreePort): Tuple {
  let tuple = wanted;
  while (isIcmp(tuple) && isTaken(table, 'reply', inverseOf(tuple), connection) && tuple.sourcePort < 65_535)
    tuple = { ...tuple, sourcePort: freePort(tuple.sourcePort) };
  return tuple;
}

const isSameTuple = (left: Tuple, right: Tuple): boolean =>
  left.source.value === right.source.value &&
  left.destination.value === right.destination.value &&
  left.sourcePort === right.sourcePort &&
  left.destinationPort === right.destinationPort;

/** The port to try after one that is taken. The kernel takes a random one (nf_nat_l4proto_unique_tuple); which does not matter here. */
export type FreePort = (taken: number) => number;
const nextPort: FreePort = (taken) => taken + 1;

/**
 * As get_unique_tuple goes: what the packet has already, where that will do; where it will not, what another connection of the same source
 * got (find_appropriate_src); else what the rule wants, with another port where that is taken. A rule that names the port gets no other:
 * then the tuple stays taken, and the packet is dropped where it is confirmed.
 */
function uniqueSource(
  table: ConnectionTable,
  connection: Connection,
  now: Tuple,
  to: Target,
  freePort?: FreePort,
): Tuple {
  const address = to.address ?? now.source;
  const willDo = ({ source, sourcePort }: Tuple): boolean =>
    source.value === address.value &&
    (to.port === undefined || sourcePort === to.port) &&
    isWithin(sourcePort, to.ports);
  const isFree = (tuple: Tuple): boolean => !isTaken(table, 'reply', inverseOf(tuple), connection);
  if (willDo(now) && isFree(now)) return now;
  const firstOfSource = willDo(now) ? undefined : table.get(sourceKey(connection))?.connection;
  for (let other = firstOfSource; other !== undefined; other = other.earlier) {
    const { source, sourcePort } = inverseOf(other.reply);
    const same = { ...now, source, sourcePort };
    if (!willDo(same)) continue;
    if (isFree(same)) return same;
    break;
  }
  let tuple: Tuple = { ...now, source: address, sourcePort: to.port ?? now.sourcePort };
  if (to.ports !== undefined && freePort !== undefined && !isWithin(now.sourcePort, to.ports))
    tuple = { ...tuple, sourcePort: freePort(to.ports.first - 1) };
  while (freePort !== undefined && !isFree(tuple) && tuple.sourcePort < 65_535) {
    tuple = { ...tuple, sourcePort: freePort(tuple.sourcePort) };
  }
  return tuple;
}

const isWithin = (port: number, range: PortRange | undefined): boolean =>
  range === undefined || (port >= range.first && port <= range.last);

/** Where the connections of one source are found (nf_nat's bysource). */
export const sourceKey = ({ original, zone }: Pick<Connection, 'original' | 'zone'>): string =>
  `source ${zone.original} ${original.source.family} ${original.source.value} ${original.protocol} ${original.sourcePort}`;

/**
 * The connection that an ICMP error tells of, found by the answer to the packet within; undefined where there is none, or where the error goes
 * to another than who sent that packet (nf_conntrack_inet_error).
 */
export function trackError(table: ConnectionTable, inner: Tuple, to: Address, zone: Zone): Tracked | undefined {
  const answer = inverseOf(inner);
  const found = (['original', 'reply'] as const)
    .map((direction) => table.get(keyOf(direction, zone, answer)))
    .find((each) => each !== undefined);
  return found === undefined || found.connection[found.direction].destination.value !== to.value
    ? undefined
    : { ...found, state: 'related' };
}

/** How an ICMP error looks after that half of its connection's translation, and the packet within it after the other (nf_nat_icmp_reply_translation). */
export function translatedError(packet: Packet, inner: Tuple, { connection, direction }: Tracked, half: Half): Packet {
  const other = half === 'source' ? 'destination' : 'source';
  if ((connection.status & NAT_STATUS[direction === 'original' ? half : other]) === 0) return packet;
  const target = inverseOf(direction === 'original' ? connection.reply : connection.original);
  const [address, port] = [target[half], half === 'source' ? target.sourcePort : target.destinationPort];
  return {
    ...packet,
    [half]: address,
    inner:
      other === 'source'
        ? { ...inner, source: address, sourcePort: port }
        : { ...inner, destination: address, destinationPort: port },
  };
}

/** How a packet of the connection looks after that half of its translation. */
export function translated<T extends Tuple>(packet: T, { connection, direction }: Tracked, half: Half): T {
  const target = inverseOf(direction === 'original' ? connection.reply : connection.original);
  return half === 'destination'
    ? { ...packet, destination: target.destination, destinationPort: target.destinationPort }
    : { ...packet, source: target.source, sourcePort: target.sourcePort };
}
