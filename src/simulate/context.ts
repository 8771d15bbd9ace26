/** What a host's rules see of a packet on its way. */
import { type Address, sameAddress } from '../net/index.ts';
import type { AddressType, ConnectionContext, PacketContext } from '../nftables/index.ts';
import { lookupRoute, printRoute, type RouteResult } from '../routing/index.ts';
import type { Tracked } from './connections.ts';
import type { SimulatedHost } from './network.ts';
import { familyOf, isIcmp, type Packet, printPacket } from './packet.ts';
import type { Passage } from './passage.ts';
import { socketAt } from './sockets.ts';
import { expectationOf } from './standing.ts';

export function contextOf(passage: Passage): PacketContext {
  const { packet, host, iif, hardware, oif, tracked, untracked, zone, draws } = passage;
  const { sourcePort, destinationPort, fragment, ...rest } = packet;
  return {
    ...rest,
    ...(!isIcmp(packet) && { sourcePort, destinationPort }),
    family: familyOf(packet),
    ...(fragment !== undefined && { fragment: 'first' }),
    ...hardwareOf(host, iif, hardware),
    ...(iif !== undefined && { iif }),
    ...(oif !== undefined && { oif }),
    socketAt: (address, port) => socketAt(host, packet, iif, address, port),
    ...(cameByNoBridge(host, iif) && { unbridged: true }),
    isExpected: (first) => expectationOf(host.standing, first) !== undefined,
    ...(tracked !== undefined && { connection: connectionContext(tracked) }),
    ...(untracked !== undefined && { untracked }),
    ...(zone !== undefined && { zone }),
    ...(draws !== undefined && { draw: draws.draw }),
    addressType: (address, link) => addressType(host, packet, address, link),
    linkTowards: (destination) => linkTowards(host, destination, packet),
    sendsTo: (destination, source, mark, link) => sendsTo(passage, { destination, source, mark }, link),
  };
}

/** What was made here, and what came by a link that is there and no bridge. */
function cameByNoBridge({ links }: SimulatedHost, iif: string | undefined): boolean {
  const kind = iif === undefined ? 'none' : links.get(iif)?.kind;
  return kind !== undefined && kind !== 'bridge';
}

/**
 * `fib` asks the rules with the packet's protocol and without its ports; for IPv4 kernels of before 2025 leave the protocol out, too
 * (nft_fib4_eval, nft_fib6_eval): where that makes a difference it is not known.
 */
function fibLookup(
  { routes }: SimulatedHost,
  flow: { readonly destination: Address; readonly source: Address; readonly mark?: number },
  { protocol }: Packet,
): RouteResult {
  const asked = (number: number): RouteResult =>
    lookupRoute(routes, { ...flow, uid: 0, transport: { protocol: number, sourcePort: 0, destinationPort: 0 } });
  const way = asked(protocol);
  if (flow.destination.family === 6 || way.kind === 'undecided') return way;
  const older = asked(0);
  return older.kind === way.kind && (!('route' in older) || !('route' in way) || older.route === way.route)
    ? way
    : { kind: 'undecided', why: 'whether fib asks with the protocol depends on the kernel' };
}

/** IPv4 looks into the local table alone (inet_dev_addr_type), IPv6 asks the routes first, which may refuse (__nft_fib6_eval_type). */
function addressType(
  host: SimulatedHost,
  packet: Packet,
  address: Address,
  link: string | undefined,
): AddressType | undefined {
  if (address.family === 4) return host.isLocal(address, link) ? 'local' : 'unicast';
  const { source, destination } = packet;
  const other = sameAddress(address, destination) ? source : destination;
  const way = fibLookup(host, { destination: address, source: other }, packet);
  if (way.kind === 'undecided') return undefined;
  if (way.kind !== 'route' && way.kind !== 'local') return way.kind;
  return (link === undefined ? way.kind === 'local' : host.isLocal(address, link)) ? 'local' : 'unicast';
}

/** As the kernel's `fib` asks, without the packet's mark; of several next hops it takes any. */
function linkTowards(host: SimulatedHost, destination: Address, packet: Packet): string | undefined {
  const way = fibLookup(host, { destination, source: packet.source }, packet);
  if (way.kind !== 'route') return way.kind === 'undecided' ? undefined : '';
  return way.choices?.some(({ link }) => link !== way.link) === true ? undefined : way.link;
}

/**
 * Of several next hops IPv4's `fib` is content with any (fib_info_nh_uses_dev); IPv6's looks at the one that a hash chose (nft_fib6_eval),
 * with a seed that nobody knows.
 */
function sendsTo(
  { host, packet, draws }: Passage,
  flow: { readonly destination: Address; readonly source: Address; readonly mark: number },
  link: string | undefined,
): boolean | undefined {
  const way = fibLookup(host, flow, packet);
  if (way.kind !== 'route') return way.kind === 'undecided' ? undefined : false;
  const links = [...new Set((way.route.nexthops ?? [way]).map((each) => each.link))];
  if (link === undefined || !links.includes(link)) return link === undefined;
  if (flow.destination.family === 4 || links.length === 1) return true;
  const by = `fib on ${host.name} ${printRoute(way.route)} ${printPacket(packet)}`;
  const drawn = draws?.drawNexthop(by, links.length);
  return drawn === undefined ? undefined : links[drawn] === link;
}

/** A tunnel of layer 3 has none; where it is not known, a rule that asks for it is undecided. */
function hardwareOf(
  host: SimulatedHost,
  iif: string | undefined,
  hardware: string | undefined,
): Pick<PacketContext, 'hardwareSource'> {
  const kind = iif === undefined ? undefined : host.links.get(iif)?.kind;
  if (iif === undefined || kind === 'wireguard' || kind === 'loopback') return { hardwareSource: null };
  return hardware === undefined ? {} : { hardwareSource: hardware };
}

const connectionContext = ({ connection, direction, state }: Tracked): ConnectionContext => ({
  ...{ state, direction, mark: connection.mark, labels: connection.labels, status: connection.status },
  ...(connection.entry !== undefined && { mayBeExpected: true }),
  ...{ zone: connection.zone, original: connection.original, reply: connection.reply },
});
