/** The packets of a flow: the first, the next, and what answers them. */
import type { Address, Family } from '../net/index.ts';
import { lookupRoute, type RouteResult } from '../routing/index.ts';
import type { SimulatedHost } from './network.ts';
import { ECHO, isIcmp, type Packet, PROTOCOLS, printPacket, SEGMENT_HEADERS } from './packet.ts';
import { answersBearMark, echoesBearMark } from './setting.ts';
import type { Flow } from './trace.ts';

export const TCP_FLAGS = { syn: 2, rst: 4, ack: 16 } as const;
/** Of a client that names none: in nobody's way. */
export const SOURCE_PORT = 40_000;

export const ETHERNET_MTU = 1500;
const maxsegOf = (mtu: number, family: Family): number => mtu - SEGMENT_HEADERS[family];

/** A packet of the flow as its sender makes it; `port` of an echo counts nothing. `mtu`: of its sender's way. */
export function packetOf(
  flow: Flow,
  source: Address,
  tcpFlags: number = firstFlags(flow),
  mtu: number = ETHERNET_MTU,
): Packet {
  const { to, port, protocol, sourcePort = SOURCE_PORT, mark = 0, size, df } = flow;
  const isEcho = protocol === 'icmp' || protocol === 'icmpv6';
  return {
    ...{ source, destination: to, protocol: PROTOCOLS[protocol], mark },
    ...{ sourcePort, destinationPort: isEcho ? sourcePort : port },
    ...(isEcho && { icmpType: ECHO[to.family].request }),
    ...(protocol === 'tcp' && { tcpFlags }),
    ...(protocol === 'tcp' && tcpFlags === TCP_FLAGS.syn && { maxseg: maxsegOf(mtu, to.family) }),
    ...(size !== undefined && { size }),
    ...(df === true && { df }),
  };
}

const firstFlags = ({ stands }: Flow): number => (stands === true ? TCP_FLAGS.ack : TCP_FLAGS.syn);

/** `192.0.2.7:40000 → 198.51.100.10:80/tcp, 1500 bytes, not to be fragmented`. */
export function printFlow(flow: Flow): string {
  const { from, size, df, mark } = flow;
  const source = from.address ?? flow.to;
  const more = [
    ...(mark === undefined ? [] : [`mark 0x${mark.toString(16)}`]),
    ...(size === undefined ? [] : [`${size} bytes`]),
    ...(df === true ? ['not to be fragmented'] : []),
  ];
  return [printPacket(packetOf(flow, source)), ...more].join(', ');
}

/** From the address and port that were asked, as a connected socket answers. Absent `host`: a stranger on a link of that MTU. */
export function answerPacket(asked: Packet, host: SimulatedHost | undefined, mtu: number): Packet {
  const { source, destination, sourcePort, destinationPort, protocol, mark, size, tcpFlags = TCP_FLAGS.syn } = asked;
  const isTcp = protocol === PROTOCOLS.tcp;
  const isEcho = isIcmp(asked);
  const bearsMark =
    host !== undefined && ((isTcp && answersBearMark(host)) || (isEcho && echoesBearMark(host, destination.family)));
  return {
    ...{ source: destination, destination: source, protocol },
    ...{ sourcePort: destinationPort, destinationPort: sourcePort },
    mark: bearsMark ? mark : 0,
    // What was asked comes back as it came, and may be fragmented (icmp.c: IP_PMTUDISC_DONT).
    ...(isEcho && { icmpType: ECHO[source.family].reply, ...(size !== undefined && { size }) }),
    ...(isTcp &&
      ((tcpFlags & TCP_FLAGS.syn) === 0
        ? { tcpFlags: TCP_FLAGS.ack }
        : { tcpFlags: TCP_FLAGS.syn | TCP_FLAGS.ack, maxseg: maxsegOf(mtu, source.family) })),
  };
}

/** A socket offers, and makes, segments that fit its way as it is looked up first, before any mark (tcp_sync_mss: of the socket's own route). */
export const mtuTowards = (host: SimulatedHost, destination: Address): number =>
  mtuBy(host, lookupRoute(host.routes, { destination }));

/** Of a way that was looked up; what the host sends to itself goes by `lo`. */
export function mtuBy({ links }: SimulatedHost, way: RouteResult): number {
  if (way.kind === 'local') return links.get('lo')?.mtu ?? LOOPBACK_MTU;
  return (way.kind === 'route' ? (way.route.mtu ?? links.get(way.link)?.mtu) : undefined) ?? ETHERNET_MTU;
}

/** drivers/net/loopback.c. */
const LOOPBACK_MTU = 65_536;
