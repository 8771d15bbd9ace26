/** Segments of a connection that do not fit a tunnel on their way: they vanish where no ICMP error comes back. */
import type { Address } from '../net/index.ts';
import { mtuTowards } from './flow-packet.ts';
import type { Network } from './network.ts';
import { SEGMENT_HEADERS } from './packet.ts';
import type { Flow, Trace } from './trace.ts';

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
  const ownMtu = (name: string | undefined, to: Address): number => {
    const host = name === undefined ? undefined : network.hosts.get(name);
    return host === undefined ? Number.POSITIVE_INFINITY : mtuTowards(host, to);
  };
  const wide = (
    by: WideSegments['by'],
    taken: number | undefined,
    own: number,
    mtu: number | undefined,
  ): WideSegments | undefined => {
    if (taken === undefined || mtu === undefined) return undefined;
    const size = Math.min(taken, own - headers);
    return size + headers > mtu ? { by, size, mtu } : undefined;
  };
  const target = request.verdict === 'delivered' ? request.host : undefined;
  const client = flow.from.kind === 'host' ? flow.from.host : undefined;
  return (
    wide('target', request.packet.maxseg, ownMtu(target, request.packet.source), reply?.tunnelMtu) ??
    wide('client', reply?.packet.maxseg, ownMtu(client, flow.to), request.tunnelMtu)
  );
}
