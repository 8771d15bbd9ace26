/** Segments of a connection that do not fit a tunnel on their way: they vanish where no ICMP error comes back. */
import type { Address } from '../net/index.ts';
import { ETHERNET_MTU, mtuTowards } from './flow-packet.ts';
import type { Network } from './network.ts';
import { SEGMENT_HEADERS } from './packet.ts';
import type { Flow, Trace, Way } from './trace.ts';

export interface WideSegments {
  readonly by: 'client' | 'target';
  /** In bytes, without headers. */
  readonly size: number;
  /** Of the narrowest tunnel on the way. */
  readonly mtu: number;
}

/**
 * The first that are too large: of the target, else of the client. Each sends what the other said it takes, as that arrived, and no more
 * than its own way carries as it is looked up before any mark.
 */
export function wideSegments(
  network: Network,
  flow: Flow,
  { request, reply }: Pick<Trace, 'request' | 'reply'>,
): WideSegments | undefined {
  const headers = SEGMENT_HEADERS[flow.to.family];
  const wide = (
    by: WideSegments['by'],
    taken: number | undefined,
    mtu: number | undefined,
    sender: string | undefined,
    to: Address,
  ): WideSegments | undefined => {
    if (taken === undefined || mtu === undefined || taken + headers <= mtu) return undefined;
    const host = sender === undefined ? undefined : network.hosts.get(sender);
    const size = host === undefined ? taken : Math.min(taken, mtuTowards(host, to) - headers);
    return size + headers > mtu ? { by, size, mtu } : undefined;
  };
  const target = request.verdict === 'delivered' ? request.host : undefined;
  const client = flow.from.kind === 'host' ? flow.from.host : undefined;
  return (
    wide('target', request.packet.maxseg, reply?.tunnelMtu, target, request.packet.source) ??
    wide('client', reply?.packet.maxseg, request.tunnelMtu, client, flow.to)
  );
}

/**
 * How large the largest packets are that the two sides of a flow make, in bytes: as large as their own way carries, those of TCP as large as
 * the other side said. Of a flow that is answered.
 */
export function largestPackets(
  { hosts }: Network,
  { from, to, protocol }: Flow,
  { request, reply }: Pick<Trace, 'request' | 'reply'>,
): { readonly client: number; readonly target: number } {
  const ofLink = (host: string | undefined, link: string | undefined): number =>
    hosts.get(host ?? '')?.links.get(link ?? '')?.mtu ?? ETHERNET_MTU;
  const ofHost = (name: string | undefined, towards: Address): number => {
    const host = hosts.get(name ?? '');
    return host === undefined ? ETHERNET_MTU : mtuTowards(host, towards);
  };
  const taken = (way: Way | undefined): number =>
    protocol === 'tcp' && way?.packet.maxseg !== undefined
      ? way.packet.maxseg + SEGMENT_HEADERS[to.family]
      : Number.POSITIVE_INFINITY;
  const client = from.kind === 'host' ? ofHost(from.host, to) : ofLink(from.host, from.link);
  const target =
    request.verdict === 'delivered' ? ofHost(request.host, request.packet.source) : ofLink(request.host, request.link);
  return { client: Math.min(client, taken(reply)), target: Math.min(target, taken(request)) };
}
