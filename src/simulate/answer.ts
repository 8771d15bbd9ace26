/** Who answers a request, with what, and whether that is an answer to it. */
import { type Address, containsAddress, networkOf, sameAddress } from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import type { Tracked } from './connections.ts';
import { answerPacket, ETHERNET_MTU, mtuTowards } from './flow-packet.ts';
import type { Network, SimulatedHost } from './network.ts';
import type { Notice } from './notice.ts';
import type { Packet } from './packet.ts';
import type { Way } from './trace.ts';

/** A packet about to come in by a link, or about to be sent by a host. */
export interface Start {
  readonly packet: Packet;
  readonly host: string;
  readonly link?: string;
  /** It is for a socket that waits, not for the one that asked. */
  readonly asks?: true;
  /** Its source is the one that the routes gave. */
  readonly choseSource?: true;
  /** It carries what goes into that VXLAN. */
  readonly wraps?: string;
  /** It answers, or it follows an answer: known also where no host tracks connections. */
  readonly answers?: true;
  /** It tells of a packet that died there, and belongs to that one's connection. */
  readonly notice?: Notice;
  readonly tracked?: Tracked;
}

/**
 * The answer to a request: of the host it was delivered to; of a stranger on a link, who is known to answer to a host's own address by
 * that link; of a pod or container behind the host, which has no other way out.
 */
export function answerTo(network: Network, { verdict, host: name, link, packet }: Way): Start | undefined {
  const host = name === undefined ? undefined : network.hosts.get(name);
  if (host === undefined) return undefined;
  if (verdict === 'delivered')
    return { packet: answerPacket(packet, host, mtuTowards(host, packet.source)), host: host.name, answers: true };
  // Where some host could not be looked at, a stranger may be that one.
  const mayBeUnseen = [...network.hosts.values()].some(({ unseen }) => unseen !== undefined);
  if (verdict !== 'exits' || link === undefined || mayBeUnseen) return undefined;
  const mtu = host.links.get(link)?.mtu ?? ETHERNET_MTU;
  return isOnLink(host, link, packet) || isGuest(host, link, packet.destination)
    ? { packet: answerPacket(packet, undefined, mtu), host: host.name, link, answers: true }
    : undefined;
}

/**
 * Whether what bears the address is a pod or container of the host: straight on a bridge or veth by which the host knows no router,
 * so that it is the router of whatever stands there.
 */
function isGuest({ links, state, routes }: SimulatedHost, link: string, destination: Address): boolean {
  const kind = links.get(link)?.kind;
  if (kind !== 'bridge' && kind !== 'veth') return false;
  if (state.routes.some((route) => route.gateway !== undefined && route.link === link)) return false;
  const way = lookupRoute(routes, { destination });
  return way.kind === 'route' && way.link === link && way.gateway === undefined;
}

/** Whether source and destination stand in one network of the link, the source being the host's own. */
const isOnLink = (host: SimulatedHost, link: string, { source, destination }: Packet): boolean =>
  host.state.addresses.some(
    ({ link: on, address }) =>
      on === link && sameAddress(address.address, source) && containsAddress(networkOf(address), destination),
  );

/** Whether the client takes it for the answer: from where it asked, to where it asked from. */
export const answers = (reply: Packet, asked: Packet): boolean =>
  reply.source.value === asked.destination.value &&
  reply.sourcePort === asked.destinationPort &&
  reply.destination.value === asked.source.value &&
  reply.destinationPort === asked.sourcePort;
