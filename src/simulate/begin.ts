/** The first packet of a flow, as its sender makes it. */
import { lookupRoute, sourceOfRefused } from '../routing/index.ts';
import type { Start } from './answer.ts';
import { mtuBy, packetOf } from './flow-packet.ts';
import type { Network } from './network.ts';
import { transportOf } from './packet.ts';
import { noWay } from './passage.ts';
import { endOf, type Flow, type Way } from './trace.ts';

/** The first packet of a flow where it begins; undefined where its sender has no source for it. */
export function startOf(network: Network, flow: Flow, tcpFlags?: number): Start | undefined {
  const { from, to } = flow;
  // Of a connection that stands there is a socket already.
  const asks = flow.stands === true ? { answers: true as const } : { asks: true as const };
  if (from.kind === 'beyond')
    return { packet: packetOf(flow, from.address, tcpFlags), host: from.host, link: from.link, ...asks };
  const host = network.hosts.get(from.host);
  const routes = host?.routes;
  const way =
    routes === undefined ? undefined : lookupRoute(routes, { destination: to, ...transportOf(packetOf(flow, to)) });
  const refused =
    routes === undefined ||
    way === undefined ||
    way.kind === 'route' ||
    way.kind === 'local' ||
    way.kind === 'undecided'
      ? undefined
      : sourceOfRefused(routes, to);
  const source = from.address ?? (way !== undefined && 'source' in way ? way.source : refused);
  if (source === undefined) return undefined;
  const choseSource = from.address === undefined && refused === undefined && { choseSource: true as const };
  const mtu = host === undefined || way === undefined ? undefined : mtuBy(host, way);
  return { packet: packetOf(flow, source, tcpFlags, mtu), host: from.host, ...asks, ...choseSource };
}

/** Why a host cannot even ask: it has no way there, or none that gives its socket a source. */
export function unsent(network: Network, flow: Flow): Pick<Way, 'verdict' | 'reason' | 'cause' | 'through'> {
  const host = flow.from.kind === 'host' ? network.hosts.get(flow.from.host) : undefined;
  const packet = packetOf(flow, flow.to);
  const way = host && lookupRoute(host.routes, { destination: flow.to, ...transportOf(packet) });
  if (host === undefined || way === undefined || way.kind === 'route' || way.kind === 'local')
    return { verdict: 'undecided', reason: 'no source address', through: [] };
  return { ...endOf(noWay(host, packet, way)), through: [host.name] };
}
