/** Where a forward aims at a host behind a tunnel: its main address, or its tunnel address where that cannot be. */
import { type HostRecord, isOwnLink } from '../host/index.ts';
import {
  type Address,
  containsAddress,
  type Family,
  hostPrefix,
  isAddress,
  isPublicAddress,
  networkOf,
  printAddress,
  sameAddress,
  samePrefix,
} from '../net/index.ts';
import type { ResourceSet, TunnelResource } from '../resources/index.ts';
import { linkName } from './tunnel.ts';
import { type HostView, mainAddress } from './view.ts';

export interface Aim {
  readonly address: Address;
  /** Set where the aim is the tunnel address though the host has a main one: its end moves packets on to it. */
  readonly moveTo?: Address;
  readonly why?: string;
}

export interface Way {
  readonly edge: HostView;
  readonly node: HostView;
  readonly tunnel: TunnelResource;
}

/** Every (edge, tunnel, node) that some forward takes. */
export function waysOf(set: ResourceSet, views: ReadonlyMap<string, HostView>): readonly Way[] {
  const ways = new Map<string, Way>();
  for (const forward of set.forwards.values())
    for (const target of forward.to) {
      if (target.kind !== 'host') continue;
      for (const [at, via] of target.via) {
        const [edge, node, tunnel] = [views.get(at), views.get(target.host), set.tunnels.get(via)];
        if (edge !== undefined && node !== undefined && tunnel !== undefined)
          ways.set(`${at} ${via} ${target.host}`, { edge, node, tunnel });
      }
    }
  return [...ways.values()];
}

export const endOf = (tunnel: TunnelResource, host: string): TunnelResource['ends'][number] | undefined =>
  tunnel.ends.find((end) => end.host === host);

const otherEnd = (tunnel: TunnelResource, host: string): TunnelResource['ends'][number] | undefined =>
  tunnel.ends.find((end) => end.host !== host);

/** The address at which `host` finds its peer outside the tunnel; Direct: the peer's own address. A name is not known here. */
function peerOutside(tunnel: TunnelResource, host: string, family: Family): Address | undefined {
  const peer = otherEnd(tunnel, host);
  if (tunnel.type === 'Direct') return peer?.addresses.find(({ address }) => address.family === family)?.address;
  return peer?.endpoint !== undefined && isAddress(peer.endpoint.host) ? peer.endpoint.host : undefined;
}

const tunnelAddress = (way: Way, family: Family): Address | undefined =>
  endOf(way.tunnel, way.node.name)?.addresses.find(({ address }) => address.family === family)?.address;

/** The aim of each way and family, found by `aimKey`; a family that the tunnel does not carry has none. */
export function chooseAims(ways: readonly Way[], setName: string): ReadonlyMap<string, Aim> {
  const mains = ways.flatMap((way) =>
    way.tunnel.families.map((family) => ({
      way,
      family,
      main: mainAddress(way.node, family, peerOutside(way.tunnel, way.node.name, family)),
    })),
  );
  const aims = new Map<string, Aim>();
  for (const { way, family, main } of mains) {
    const inTunnel = tunnelAddress(way, family);
    if (main === undefined) {
      if (inTunnel !== undefined)
        aims.set(aimKey(way, family), {
          address: inTunnel,
          why: `${way.node.name} has no IPv${family} address of its own`,
        });
      continue;
    }
    const rival = mains.find(
      (each) =>
        each.family === family &&
        each.way.edge === way.edge &&
        each.way.node !== way.node &&
        each.main?.value === main.value,
    );
    const clash =
      rival !== undefined
        ? `${rival.way.node.name} has the main address ${printAddress(main)} too`
        : (outerClash(way, main, setName) ?? clashOnEdge(way, main, setName));
    const atHome = inTunnel === undefined || sameAddress(inTunnel, main);
    if (clash === undefined || atHome) aims.set(aimKey(way, family), { address: main });
    else aims.set(aimKey(way, family), { address: inTunnel, moveTo: main, why: clash });
  }
  return aims;
}

export const aimKey = ({ edge, node, tunnel }: Way, family: Family): string =>
  `${edge.name} ${tunnel.name} ${node.name} ${family}`;

/**
 * Why `main` cannot be routed into the tunnel: the tunnel's own packets go to it, and would be sent into the tunnel again.
 * A node behind NAT shows another address outside; one with a public address, or in one private network with the edge, shows this one.
 * Whether a private address stands behind NAT is seen when the edge hears the node; until then what was chosen stays.
 */
function outerClash(way: Way, main: Address, setName: string): string | undefined {
  const { edge, node, tunnel } = way;
  if (tunnel.type === 'Direct') return undefined;
  const why = `${printAddress(main)} is where the tunnel's own packets go`;
  const [dialled, dials] = [endOf(tunnel, node.name)?.endpoint?.host, endOf(tunnel, edge.name)?.endpoint?.host];
  if (dialled !== undefined && isAddress(dialled)) return sameAddress(dialled, main) ? why : undefined;
  const heard = heardFrom(way);
  if (heard === undefined ? wasMoved(way, main, setName) : sameAddress(heard, main)) return why;
  if (dials === undefined) return undefined;
  if (!isAddress(dials)) return isPublicAddress(main) ? why : undefined;
  return dials.family === main.family && (isPublicAddress(main) || !isPublicAddress(dials)) ? why : undefined;
}

/** Where the node's packets came from when the edge last heard them. */
function heardFrom({ edge, node, tunnel }: Way): Address | undefined {
  const [own, far] = [endOf(tunnel, edge.name), endOf(tunnel, node.name)];
  const key = far && node.facts.keys.get(linkName(tunnel, far, node.facts) ?? '');
  const device = own && edge.facts.state.devices.find(({ link }) => link === linkName(tunnel, own, edge.facts));
  const host = device?.peers.find(({ publicKey }) => publicKey === key)?.endpoint?.host;
  return host !== undefined && isAddress(host) ? host : undefined;
}

/** Whether an earlier apply aimed at the tunnel address in place of `main`. */
const wasMoved = ({ node, tunnel }: Way, main: Address, setName: string): boolean =>
  node.facts.record?.sets
    .get(setName)
    ?.accepts.some((each) => each.tunnel === tunnel.name && each.moveTo?.value === main.value) === true;

/** Why the edge cannot send `main` into the tunnel: the address, or its network, is at the edge itself, or another set took it. */
function clashOnEdge({ edge, node }: Way, main: Address, setName: string): string | undefined {
  const here = edge.facts.state.addresses.find(
    ({ link, address }) => !isOwnLink(link) && containsAddress(networkOf(address), main),
  );
  if (here !== undefined) return `${printAddress(main)} lies in a network of ${edge.name} itself (${here.link})`;
  const taken = claimedBy(edge.facts.record, main, setName);
  return taken === undefined
    ? undefined
    : `${edge.name} sends ${printAddress(main)} to ${taken} for another set; ${node.name} has the same address`;
}

function claimedBy(record: HostRecord | undefined, main: Address, setName: string): string | undefined {
  for (const [name, share] of record?.sets ?? []) {
    if (name === setName) continue;
    const tunnel = share.tunnels.find(({ routes }) => routes.some((route) => samePrefix(route, hostPrefix(main))));
    if (tunnel !== undefined) return tunnel.peer.host;
  }
  return undefined;
}
