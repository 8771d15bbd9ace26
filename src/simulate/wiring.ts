/** How hosts are wired where their links say so: by veth peer, through bridges, else by a neighbour's hardware address. */
import { type Address, printAddress, sameAddress } from '../net/index.ts';
import type { Link, LinkAddress } from '../routing/index.ts';
import { type Network, neighboursAt, plugKey, type TunnelPlug, type Wires } from './network.ts';
import { type End, end } from './trace.ts';

/** What of a host tells how it is wired. */
export interface WiredHost {
  readonly name: string;
  readonly links: readonly Link[];
  /** The name of its network namespace. */
  readonly namespace?: string;
  /** Names of other namespaces by the number that this one gives them (`ip netns list-id`). */
  readonly namespaces: ReadonlyMap<number, string>;
  /** Its neighbour table. */
  readonly neighbours: readonly { readonly link: string; readonly address: Address; readonly mac: string }[];
}

/** Follows each link of each host to where it ends. */
export function wireHosts(hosts: readonly WiredHost[]): Wires {
  const peers = vethPeers(hosts);
  const segments = new Map<string, { readonly plugs: readonly TunnelPlug[]; readonly whole: boolean }>();
  for (const host of hosts)
    for (const link of host.links) {
      if (link.kind !== 'veth' && link.kind !== 'bridge') continue;
      const from = { host: host.name, link: link.name };
      const segment = flood(hosts, peers, from);
      if (segment.plugs.length > 0) segments.set(plugKey(from), segment);
    }
  const byMac = new Map<string, TunnelPlug[]>();
  for (const { name, links } of hosts)
    for (const { name: link, mac, master } of links) {
      if (mac === undefined || master !== undefined) continue;
      byMac.set(mac, [...(byMac.get(mac) ?? []), { host: name, link }]);
    }
  const neighbours = new Map<string, readonly TunnelPlug[]>();
  for (const host of hosts)
    for (const { link, address, mac } of host.neighbours) {
      const there = (byMac.get(mac) ?? []).filter(({ host: name }) => name !== host.name);
      if (there.length > 0) neighbours.set(neighbourKey({ host: host.name, link }, address), there);
    }
  return { segments, neighbours };
}

/** How `Wires` names a neighbour. */
export const neighbourKey = (from: TunnelPlug, address: Address): string => `${plugKey(from)} ${printAddress(address)}`;

/**
 * The other end of each veth, by `HOST LINK`. A veth knows its peer's index and which namespace that counts in; the namespace's name
 * decides, from either end. Without a name the indexes must fit from both ends, and one link alone.
 */
function vethPeers(hosts: readonly WiredHost[]): ReadonlyMap<string, TunnelPlug> {
  const all = hosts.flatMap((host) =>
    host.links.filter(({ kind }) => kind === 'veth').map((link) => ({ host, link, namedPeer: peerName(host, link) })),
  );
  const found = new Map<string, TunnelPlug>();
  for (const one of all) {
    const fitting = all.filter(
      (other) =>
        other !== one &&
        one.link.peerIndex === other.link.index &&
        other.link.peerIndex === one.link.index &&
        one.link.index !== undefined &&
        (one.host === other.host) === (one.link.peerNamespace === undefined) &&
        (one.namedPeer === undefined || one.namedPeer === other.host.namespace) &&
        (other.namedPeer === undefined || other.namedPeer === one.host.namespace),
    );
    const named = fitting.filter((other) => one.namedPeer !== undefined || other.namedPeer !== undefined);
    const [peer, rival] = named.length > 0 ? named : fitting;
    if (peer === undefined || rival !== undefined) continue;
    found.set(plugKey({ host: one.host.name, link: one.link.name }), { host: peer.host.name, link: peer.link.name });
  }
  return found;
}

const peerName = ({ namespaces }: WiredHost, { peerNamespace }: Link): string | undefined =>
  peerNamespace === undefined ? undefined : namespaces.get(peerNamespace);

/** Everywhere a frame comes to that leaves by a link, across the bridges of hosts. */
function flood(
  hosts: readonly WiredHost[],
  peers: ReadonlyMap<string, TunnelPlug>,
  from: TunnelPlug,
): { readonly plugs: readonly TunnelPlug[]; readonly whole: boolean } {
  const linksOf = (name: string): readonly Link[] => hosts.find((host) => host.name === name)?.links ?? [];
  const plugs: TunnelPlug[] = [];
  const seen = new Set<string>();
  let whole = true;
  /** Out by a port or an end of the host's own. */
  const out = (plug: TunnelPlug): void => {
    if (seen.has(plugKey(plug))) return;
    seen.add(plugKey(plug));
    const link = linksOf(plug.host).find(({ name }) => name === plug.link);
    if (link?.kind === 'bridge') {
      for (const port of linksOf(plug.host)) if (port.master === plug.link) out({ host: plug.host, link: port.name });
      return;
    }
    const peer = peers.get(plugKey(plug));
    if (peer === undefined) whole = false;
    else into(peer);
  };
  /** In by the far end of a wire. */
  const into = (plug: TunnelPlug): void => {
    if (seen.has(plugKey(plug))) return;
    seen.add(plugKey(plug));
    const links = linksOf(plug.host);
    const master = links.find(({ name }) => name === plug.link)?.master;
    if (master === undefined) {
      plugs.push(plug);
      return;
    }
    const bridge: TunnelPlug = { host: plug.host, link: master };
    if (plugKey(bridge) !== plugKey(from)) plugs.push(bridge);
    out(bridge);
  };
  out(from);
  return { plugs, whole };
}

/**
 * Where a packet for a next hop comes to by a wire or a known hardware address; ended where nobody there bears the address. Undefined
 * where the wires do not tell.
 */
export function wiredTo(network: Network, from: TunnelPlug, nexthop: Address): TunnelPlug | End | undefined {
  const segment = network.wires.segments.get(plugKey(from));
  const bearers = (segment?.plugs ?? []).filter(({ host, link }) =>
    network.hosts.get(host)?.state.addresses.some((each) => each.link === link && bears(each, nexthop)),
  );
  const byMac = network.wires.neighbours.get(neighbourKey(from, nexthop)) ?? [];
  const known = bearers.length > 0 ? bearers : byMac.length > 0 ? byMac : byPrefix(network, from, nexthop);
  const [one, other] = known;
  if (one !== undefined && other !== undefined) {
    const what = `${printAddress(nexthop)} is at ${one.link} of ${one.host} and at ${other.link} of ${other.host}`;
    return end('undecided', what);
  }
  if (one !== undefined || segment?.whole !== true) return one;
  const there = segment.plugs.map(({ host, link }) => `${link} of ${host}`).join(', ');
  return end(
    'unreachable',
    `nobody answers for ${printAddress(nexthop)} on ${from.link} of ${from.host}: at its other end is ${there}`,
    { kind: 'nobodyThere', host: from.host, link: from.link, address: nexthop },
  );
}

/** Those with a prefix in common that may be at the other end: not wired whole to elsewhere. */
function byPrefix(network: Network, from: TunnelPlug, nexthop: Address): readonly TunnelPlug[] {
  const { segments, unknown } = network.wires;
  if (unknown === true || segments.get(plugKey(from))?.whole === true) return [];
  return neighboursAt(network, from, nexthop, 'any').filter((plug) => {
    const segment = segments.get(plugKey(plug));
    return segment?.whole !== true || segment.plugs.some((each) => plugKey(each) === plugKey(from));
  });
}

const bears = ({ address, tentative }: LinkAddress, wanted: Address): boolean =>
  sameAddress(address.address, wanted) && tentative !== true;
