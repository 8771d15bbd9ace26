/** What a host tells the sender of a packet that died there: an ICMP error, or a reset of TCP. */
import { type Address, type Family, printAddress } from '../net/index.ts';
import type { RuleReference, Statement } from '../nftables/index.ts';
import { lookupRoute, sourceOfLink } from '../routing/index.ts';
import type { Tracked } from './connections.ts';
import { TCP_FLAGS } from './flow-packet.ts';
import type { SimulatedHost } from './network.ts';
import { familyOf, inverseOf, type Packet, PROTOCOLS, tupleOf } from './packet.ts';
import { echoesBearMark, errorLimit, errorsBearInbound } from './setting.ts';

export type Notice =
  | {
      readonly kind: 'icmp';
      readonly type: number;
      readonly code: number;
      /** What fits, in bytes: of a packet that was too big. */
      readonly mtu?: number;
    }
  | { readonly kind: 'reset' };

const icmp = (type: number, code: number): Notice => ({ kind: 'icmp', type, code });

/** IANA's numbers (RFC 792, 1812, 4443): a type and a code for each family. */
const ERRORS = {
  noRoute: { 4: icmp(3, 0), 6: icmp(1, 0) },
  hostUnreachable: { 4: icmp(3, 1), 6: icmp(1, 3) },
  portUnreachable: { 4: icmp(3, 3), 6: icmp(1, 4) },
  prohibited: { 4: icmp(3, 13), 6: icmp(1, 1) },
  timeExceeded: { 4: icmp(11, 0), 6: icmp(3, 0) },
} as const satisfies Record<string, Readonly<Record<Family, Notice>>>;

export const noticeOf = (what: keyof typeof ERRORS, family: Family): Notice => ERRORS[what][family];

export const tooBig = (family: Family, mtu: number): Extract<Notice, { readonly kind: 'icmp' }> =>
  family === 4 ? { kind: 'icmp', type: 3, code: 4, mtu } : { kind: 'icmp', type: 2, code: 0, mtu };

/** nft's words (nft(8), REJECT STATEMENT), each with the number of its code, or of both families' where one word stands for either. */
const REJECTS: Readonly<Record<string, Readonly<Record<string, Partial<Readonly<Record<Family, Notice>>>>>>> = {
  icmp: {
    ...{ 'net-unreachable': { 4: icmp(3, 0) }, 'host-unreachable': { 4: icmp(3, 1) } },
    ...{ 'prot-unreachable': { 4: icmp(3, 2) }, 'port-unreachable': { 4: icmp(3, 3) } },
    ...{ 'net-prohibited': { 4: icmp(3, 9) }, 'host-prohibited': { 4: icmp(3, 10) } },
    'admin-prohibited': { 4: icmp(3, 13) },
  },
  icmpv6: {
    ...{ 'no-route': { 6: icmp(1, 0) }, 'admin-prohibited': { 6: icmp(1, 1) } },
    ...{ 'addr-unreachable': { 6: icmp(1, 3) }, 'port-unreachable': { 6: icmp(1, 4) } },
    ...{ 'policy-fail': { 6: icmp(1, 5) }, 'reject-route': { 6: icmp(1, 6) } },
  },
  icmpx: {
    ...{ 'no-route': ERRORS.noRoute, 'host-unreachable': ERRORS.hostUnreachable },
    ...{ 'port-unreachable': ERRORS.portUnreachable, 'admin-prohibited': ERRORS.prohibited },
  },
};

/** What the rule that rejected says; undefined where it is not modelled. */
export function rejectionOf({ rule }: RuleReference, family: Family): Notice | undefined {
  const statement = rule?.statements.find(
    (each): each is Extract<Statement, { readonly kind: 'reject' }> => each.kind === 'reject',
  );
  if (statement === undefined) return undefined;
  const { type, with: answer } = statement;
  if (type === 'tcp reset') return { kind: 'reset' };
  if (type === undefined) return ERRORS.portUnreachable[family];
  const word = answer === undefined ? 'port-unreachable' : answer.kind === 'symbol' ? answer.name : '';
  return REJECTS[type]?.[word]?.[family];
}

const NAMES: Readonly<Record<Family, Readonly<Record<string, string>>>> = {
  4: {
    ...{ '3 0': 'network unreachable', '3 1': 'host unreachable', '3 2': 'protocol unreachable' },
    ...{ '3 3': 'port unreachable', '3 4': 'fragmentation needed', '3 9': 'network prohibited' },
    ...{ '3 10': 'host prohibited', '3 13': 'administratively prohibited', '11 0': 'time exceeded' },
  },
  6: {
    ...{ '1 0': 'no route', '1 1': 'administratively prohibited', '1 3': 'address unreachable' },
    ...{ '1 4': 'port unreachable', '1 5': 'source address failed policy', '1 6': 'reject route' },
    ...{ '2 0': 'packet too big', '3 0': 'time exceeded' },
  },
};

/** `ICMP fragmentation needed (MTU 1440)`, `TCP reset`. */
export function printNotice(notice: Notice, family: Family): string {
  if (notice.kind === 'reset') return 'TCP reset';
  const { type, code, mtu } = notice;
  const name = NAMES[family][`${type} ${code}`] ?? `type ${type} code ${code}`;
  return `ICMP${family === 6 ? 'v6' : ''} ${name}${mtu === undefined ? '' : ` (MTU ${mtu})`}`;
}

/** A packet that died on a host which tells its sender so. */
export interface Told {
  readonly notice: Notice;
  readonly host: string;
  /** As it was when it died. */
  readonly packet: Packet;
  /** By which it came in. */
  readonly link?: string;
  readonly tracked?: Tracked;
}

/** What the host sends. Undefined where it says nothing: of an error about an error, or for want of a source address. */
export function noticePacket(
  host: SimulatedHost,
  { notice, packet: dead, tracked, link }: Told,
): { readonly packet: Packet; readonly tracked?: Tracked; readonly choseSource?: true } | undefined {
  const family = familyOf(dead);
  if (dead.inner !== undefined) return undefined;
  const mark = echoesBearMark(host, family) ? dead.mark : 0;
  // It is part of the connection of what it tells of (nf_conntrack_attach), also where that one is not entered yet.
  const related: { tracked?: Tracked } =
    tracked === undefined
      ? {}
      : {
          tracked: {
            connection: tracked.connection,
            ...{ direction: tracked.direction === 'original' ? 'reply' : 'original', state: 'related' },
          },
        };
  if (notice.kind === 'reset') {
    const packet: Packet = { ...inverseOf(dead), mark, tcpFlags: TCP_FLAGS.rst | TCP_FLAGS.ack };
    return dead.protocol === PROTOCOLS.tcp ? { packet, ...related } : undefined;
  }
  const own = host.isLocal(dead.destination) ? dead.destination : undefined;
  const source = own ?? sourceTowards(host, dead.source, mark, link);
  if (source === undefined) return undefined;
  const packet: Packet = {
    ...{ source, destination: dead.source, protocol: family === 4 ? PROTOCOLS.icmp : PROTOCOLS.icmpv6 },
    ...{ sourcePort: 0, destinationPort: 0, icmpType: notice.type, icmpCode: notice.code },
    ...{ mark, inner: tupleOf(dead) },
  };
  return { packet, ...related, ...(own === undefined && { choseSource: true }) };
}

/**
 * As the routes choose it for what the host sends there (icmp_route_lookup); of IPv6 that of the link by which the packet came in, unless the
 * route names one (icmp6_send), of IPv4 so where it is told to.
 */
function sourceTowards(
  host: SimulatedHost,
  destination: Address,
  mark: number,
  link: string | undefined,
): Address | undefined {
  const { routes } = host;
  const byLink = link !== undefined && (destination.family === 6 || errorsBearInbound(host));
  const protocol = destination.family === 4 ? PROTOCOLS.icmp : PROTOCOLS.icmpv6;
  const way = lookupRoute(routes, { destination, mark, transport: { protocol, sourcePort: 0, destinationPort: 0 } });
  const isNamed = way.kind === 'route' && way.route.source !== undefined && destination.family === 6;
  if (byLink && !isNamed) return sourceOfLink(routes, link, destination);
  return way.kind === 'route' ? way.source : way.kind === 'local' ? (way.source ?? destination) : undefined;
}

/** What keeps the host from telling each time; undefined where nothing does. Of a size it always tells (icmpv4_xrlim_allow). */
export const limitOf = (host: SimulatedHost, notice: Notice, family: Family): string | undefined =>
  notice.kind === 'reset' || notice.mtu !== undefined ? undefined : errorLimit(host, family, notice.type);

/** Why the sender makes nothing of what came back; undefined where it does. */
export function misunderstood(asked: Packet, heard: Packet): string | undefined {
  const { inner } = heard;
  if (inner === undefined) return undefined;
  const isOwn =
    inner.source.value === asked.source.value &&
    inner.destination.value === asked.destination.value &&
    inner.sourcePort === asked.sourcePort &&
    inner.destinationPort === asked.destinationPort;
  return isOwn
    ? undefined
    : `it tells of a packet from ${printAddress(inner.source)} to ${printAddress(inner.destination)}, which was never sent so`;
}
