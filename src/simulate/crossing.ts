/** What lies beyond a link: the far end of a tunnel, a host on the same network, the Internet, or nothing known. */
import { type Address, lookupPrefix, printAddress, printPrefix, sameAddress } from '../net/index.ts';
import { evaluate, type PacketContext, printReference } from '../nftables/index.ts';
import { type Link, lookupRoute } from '../routing/index.ts';
import {
  isPendingKey,
  presharedKeysDiffer,
  printKey,
  printPresharedKey,
  sameKey,
  type WireGuardPeer,
} from '../wireguard/index.ts';
import { SOURCE_PORT } from './flow-packet.ts';
import {
  type BridgeCrossed,
  isOverlay,
  type Network,
  neighboursAt,
  openAt,
  plugKey,
  type SimulatedHost,
  type TunnelPlug,
} from './network.ts';
import { noticeOf } from './notice.ts';
import { type Packet, PROTOCOLS, printPacket } from './packet.ts';
import { type End, end, type Origin, type Recorder } from './trace.ts';
import { neighbourKey, wiredTo } from './wiring.ts';

export type Crossing =
  /** `hardware`: of the link it left by, where both are on one network; `internet`: that lies in between. */
  | {
      readonly kind: 'arrives';
      readonly at: TunnelPlug;
      readonly packet: Packet;
      readonly hardware?: string;
      readonly internet?: true;
      /** The bridges of other hosts in between. */
      readonly bridges?: readonly BridgeCrossed[];
    }
  /** Back where the flow came from. */
  | { readonly kind: 'returns'; readonly packet: Packet }
  | End;

export interface Leaving {
  readonly from: TunnelPlug;
  readonly nexthop: Address;
  readonly packet: Packet;
}

/** Where a packet comes to that leaves a host. `origin` is who asked: packets for that address by that link have come home. */
export function cross(
  network: Network,
  { from, nexthop, packet }: Leaving,
  origin: Origin,
  record: Recorder,
): Crossing {
  const host = network.hosts.get(from.host);
  const link = host?.links.get(from.link);
  if (host === undefined || link === undefined || !link.up)
    return end('dropped', `${from.host} has no link ${from.link} that is up`, { kind: 'linkDown', ...from });
  if (isOverlay(link)) {
    if (isHome(origin, from, packet)) return { kind: 'returns', packet };
    if (link.kind === 'wireguard') return crossWireGuard(network, host, from.link, packet, record);
    return link.kind === 'vxlan'
      ? (wrapsItself(host, link, packet) ?? crossVxlan(network, host, from.link, nexthop, packet))
      : crossOuter(network, host, link, packet);
  }
  const wired = wiredTo(network, from, nexthop);
  if (wired !== undefined && !isHome(origin, from, packet)) {
    if ('kind' in wired) return wired;
    const there = network.hosts.get(wired.host);
    const isKnown = network.wires.neighbours.has(neighbourKey(from, nexthop));
    const unheard = there === undefined || isKnown ? undefined : discover(host, from.link, there, wired.link, nexthop);
    if (unheard !== undefined) return unheard;
    return {
      ...{ kind: 'arrives', at: { host: wired.host, link: wired.link }, packet },
      ...(link.mac !== undefined && { hardware: link.mac }),
      ...(wired.crossed !== undefined && { bridges: wired.crossed }),
    };
  }
  const outside = host.openLinks.has(from.link) ? withOuterSource(host, packet) : packet;
  if (isHome(origin, from, packet)) return { kind: 'returns', packet };
  const [neighbour, other] = neighboursAt(network, from, nexthop);
  if (other !== undefined && neighbour !== undefined) {
    return end(
      'undecided',
      `${printAddress(nexthop)} is at ${neighbour.host} and at ${other.host}: name their networks`,
    );
  }
  if (neighbour !== undefined)
    return { kind: 'arrives', at: neighbour, packet, ...(link.mac !== undefined && { hardware: link.mac }) };
  if (!host.openLinks.has(from.link)) {
    return end(
      'exits',
      `${printPacket(packet)} leaves ${host.name} by ${from.link}; ${printAddress(nexthop)} is no host of ours`,
    );
  }
  const open = openAt(network, packet.destination);
  if (open === undefined)
    return end('exits', `${printPacket(outside)} leaves ${host.name} by ${from.link} for the Internet`);
  return {
    ...{ kind: 'arrives', at: { host: open.host, link: open.link }, internet: true },
    packet: { ...outside, destination: open.inner },
  };
}

const isHome = (origin: Origin, from: TunnelPlug, { destination }: Packet): boolean =>
  origin.kind === 'beyond' &&
  origin.host === from.host &&
  origin.link === from.link &&
  sameAddress(origin.address, destination);

/** The provider's 1:1 NAT on the way out. */
function withOuterSource(host: SimulatedHost, packet: Packet): Packet {
  const open = host.openAddresses.find(({ inner }) => sameAddress(inner, packet.source));
  return open === undefined ? packet : { ...packet, source: open.outer };
}

/** Cryptokey routing both ways: the peer whose allowed IPs hold the destination, and there the source must be among ours. */
function crossWireGuard(
  network: Network,
  host: SimulatedHost,
  link: string,
  packet: Packet,
  record: Recorder,
): Crossing {
  const keys = host.cryptokeys.get(link);
  if (keys === undefined) return end('dropped', `${link} on ${host.name} is a WireGuard link without a key`);
  const found = lookupPrefix(keys.peers, packet.destination);
  if (found === undefined) {
    record(host.name, 'wireguard', () => ({
      detail: 'no peer',
      decidedBy: `${link}: no allowed IPs hold ${printAddress(packet.destination)}`,
    }));
    return end(
      'unreachable',
      `no peer of ${link} on ${host.name} has ${printAddress(packet.destination)} among its allowed IPs`,
      { kind: 'noPeer', host: host.name, link, destination: packet.destination },
    );
  }
  const peer = found.value;
  const far = network.farEnds.get(plugKey({ host: host.name, link }))?.find((plug) => isPeer(network, plug, peer));
  if (far === undefined) {
    const key = isPendingKey(peer.publicKey) ? 'a peer to come' : printKey(peer.publicKey);
    return end('exits', `${printPacket(packet)} leaves ${host.name} by ${link} for ${key}`);
  }
  record(host.name, 'wireguard', () => ({
    detail: `by ${link} to ${far.host}${peer.latestHandshake === undefined ? ' (no handshake was seen: taken to be up)' : ''}`,
    decidedBy: `${link}: peer ${printKey(peer.publicKey)}, allowed IPs ${peer.allowedIps.map(printPrefix).join(', ')}`,
  }));
  const there = network.hosts.get(far.host)?.cryptokeys.get(far.link);
  const believed = there === undefined ? undefined : lookupPrefix(there.peers, packet.source);
  if (believed === undefined || !isOwnKey(host, keys.device.publicKey, believed.value)) {
    return end(
      'dropped',
      `${far.link} on ${far.host} does not take ${printAddress(packet.source)} from ${host.name}: it is not among its allowed IPs`,
      { kind: 'notBelieved', host: far.host, link: far.link, source: packet.source, sender: host.name },
    );
  }
  if (presharedKeysDiffer(peer.presharedKey, believed.value.presharedKey))
    return end(
      'dropped',
      `no handshake succeeds between ${host.name} and ${far.host}: ${printShared(peer)} at ${link}, ${printShared(believed.value)} at ${far.link}`,
      { kind: 'presharedKeysDiffer', host: host.name, link, far: far.host, farLink: far.link },
    );
  return { kind: 'arrives', at: far, packet };
}

const printShared = ({ presharedKey }: WireGuardPeer): string =>
  presharedKey === undefined ? 'no preshared key' : printPresharedKey(presharedKey);

/** A key that is still to be made bears the name of its host. */
function isPeer(network: Network, { host, link }: TunnelPlug, { publicKey }: WireGuardPeer): boolean {
  if (isPendingKey(publicKey)) return publicKey.pendingHost === host;
  const own = network.hosts.get(host)?.cryptokeys.get(link)?.device.publicKey;
  return own !== undefined && sameKey(own, publicKey);
}

function isOwnKey(host: SimulatedHost, own: WireGuardPeer['publicKey'] | undefined, peer: WireGuardPeer): boolean {
  if (isPendingKey(peer.publicKey)) return peer.publicKey.pendingHost === host.name;
  return own !== undefined && sameKey(own, peer.publicKey);
}

/** A wire with two ends: whatever is put into it comes out, if the ends mean each other. */
function crossOuter(network: Network, host: SimulatedHost, link: Link, packet: Packet): Crossing {
  const far = network.farEnds.get(plugKey({ host: host.name, link: link.name }))?.[0];
  if (far === undefined)
    return end('exits', `${printPacket(packet)} leaves ${host.name} by ${link.name}; the other end is not known`);
  const there = network.hosts.get(far.host)?.links.get(far.link);
  if (there === undefined || there.kind !== link.kind || !there.up)
    return end('dropped', `${far.host} has no ${link.kind} link ${far.link} that is up`);
  if (link.kind === 'ipip' && packet.destination.family === 6)
    return end('unreachable', `${link.name} on ${host.name} carries IPv4 alone`);
  return { kind: 'arrives', at: far, packet };
}

/** VXLAN asks the routes with the packet's own mark; a way by the link itself it drops (drivers/net/vxlan/vxlan_core.c). */
function wrapsItself({ name, routes }: SimulatedHost, { name: link, vxlan }: Link, packet: Packet): End | undefined {
  if (vxlan?.remote === undefined || vxlan.local === undefined) return undefined;
  const { remote: destination, local: source, port: destinationPort } = vxlan;
  const transport = { protocol: PROTOCOLS.udp, sourcePort: SOURCE_PORT, destinationPort };
  const way = lookupRoute(routes, { destination, source, mark: packet.mark, transport });
  if (way.kind !== 'route' || !(way.choices ?? [way]).every((each) => each.link === link)) return undefined;
  const mark = `0x${packet.mark.toString(16)}`;
  return end('dropped', `${name} sends what ${link} wraps into ${link} again: mark ${mark} stays on the packet around`);
}

/** One network of two: the next hop must be the other's address. */
function crossVxlan(network: Network, host: SimulatedHost, link: string, nexthop: Address, packet: Packet): Crossing {
  const own = host.links.get(link)?.vxlan;
  const far = network.farEnds.get(plugKey({ host: host.name, link }))?.[0];
  if (far === undefined)
    return end('exits', `${printPacket(packet)} leaves ${host.name} by ${link}; the other end is not known`);
  const there = network.hosts.get(far.host);
  const other = there?.links.get(far.link)?.vxlan;
  if (own?.vni !== other?.vni || own?.port !== other?.port || other === undefined) {
    return end(
      'dropped',
      `${link} on ${host.name} and ${far.link} on ${far.host} differ in network identifier or port`,
    );
  }
  const isThere = there?.state.addresses.some(
    ({ link: on, address }) => on === far.link && sameAddress(address.address, nexthop),
  );
  if (isThere !== true || there === undefined)
    return end(
      'unreachable',
      `nobody on ${link} answers for ${printAddress(nexthop)}`,
      undefined,
      noticeOf('hostUnreachable', nexthop.family),
    );
  const isKnown = network.wires.neighbours.has(neighbourKey({ host: host.name, link }, nexthop));
  const unheard = isKnown ? undefined : discover(host, link, there, far.link, nexthop);
  return unheard ?? { kind: 'arrives', at: far, packet };
}

const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;

/** IPv6 asks for the neighbour by packets that the rules of both ends see (RFC 4861), and that conntrack does not. ARP they do not see. */
function discover(
  host: SimulatedHost,
  link: string,
  there: SimulatedHost,
  farLink: string,
  nexthop: Address,
): End | undefined {
  if (nexthop.family === 4) return undefined;
  const own = host.state.addresses.find((each) => each.link === link && each.address.address.family === 6)?.address
    .address;
  if (own === undefined) return undefined;
  const ask = { iif: farLink, source: own, destination: nexthop, icmpType: NEIGHBOUR_SOLICITATION };
  const answer = { iif: link, source: nexthop, destination: own, icmpType: NEIGHBOUR_ADVERTISEMENT };
  return letsIn(there, ask) ?? letsIn(host, answer);
}

type Message = Pick<PacketContext, 'source' | 'destination' | 'icmpType' | 'iif'>;

function letsIn(host: SimulatedHost, message: Message): End | undefined {
  const packet: PacketContext = {
    ...message,
    ...{ family: 6, protocol: 58, mark: 0, untracked: true },
    addressType: (address, link) => (host.isLocal(address, link) ? 'local' : 'unicast'),
  };
  for (const hook of ['prerouting', 'input'] as const) {
    const { verdict, decidedBy } = evaluate(host.ruleset, { hook, type: 'filter' }, packet);
    const by = decidedBy === undefined ? '' : printReference(decidedBy);
    const what = `neighbour discovery on ${message.iif} of ${host.name}: ${by}`;
    const asPacket = {
      ...{ source: message.source, destination: message.destination },
      ...{ protocol: 58, sourcePort: 0, destinationPort: 0, mark: 0 },
    };
    if (verdict === 'undecided') return end('undecided', what);
    if (verdict !== 'accept') {
      return end(
        'unreachable',
        what,
        decidedBy && { kind: 'rule', host: host.name, at: decidedBy, packet: asPacket, answer: false },
        noticeOf('hostUnreachable', 6),
      );
    }
  }
  return undefined;
}
