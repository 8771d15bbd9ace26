/** Where a frame comes to that leaves by a link: over veth pairs, through bridges, VLANs and macvlans, from host to host. */
import type { Link } from '../routing/index.ts';
import { type BridgeCrossed, plugKey, type Segment, type SegmentPlug, type TunnelPlug } from './network.ts';

/** What of a host tells how it is wired. */
export interface FramedHost {
  readonly name: string;
  readonly links: readonly Link[];
  /** The name of its network namespace. */
  readonly namespace?: string;
  /** Which run of which kernel, where that is known: numbers of links and names of namespaces count among hosts of one. */
  readonly kernel?: string;
  /** Names of other namespaces by the number that this one gives them (`ip netns list-id`). */
  readonly namespaces: ReadonlyMap<number, string>;
}

/** All links of all hosts, and who is whose peer or lower device. */
export interface Cabling {
  /** By `HOST LINK`. */
  readonly links: ReadonlyMap<string, Link>;
  /** The other end of a veth. */
  readonly peers: ReadonlyMap<string, TunnelPlug>;
  /** The device that a VLAN or macvlan stands on. */
  readonly lower: ReadonlyMap<string, TunnelPlug>;
  /** The VLANs and macvlans on a device. */
  readonly upper: ReadonlyMap<string, readonly TunnelPlug[]>;
  /** The ports of a bridge. */
  readonly ports: ReadonlyMap<string, readonly TunnelPlug[]>;
}

export const STACKED: ReadonlySet<string> = new Set(['vlan', 'macvlan']);

/** Puts together what the links of all hosts say of each other. */
export function cablingOf(hosts: readonly FramedHost[]): Cabling {
  const links = new Map<string, Link>();
  const lower = new Map<string, TunnelPlug>();
  const upper = new Map<string, TunnelPlug[]>();
  const ports = new Map<string, TunnelPlug[]>();
  const add = (to: Map<string, TunnelPlug[]>, key: string, plug: TunnelPlug): void => {
    to.set(key, [...(to.get(key) ?? []), plug]);
  };
  for (const host of hosts)
    for (const link of host.links) {
      const plug = { host: host.name, link: link.name };
      links.set(plugKey(plug), link);
      if (link.master !== undefined) add(ports, plugKey({ host: host.name, link: link.master }), plug);
      const below = STACKED.has(link.kind) ? lowerOf(hosts, host, link) : undefined;
      if (below === undefined) continue;
      lower.set(plugKey(plug), below);
      add(upper, plugKey(below), plug);
    }
  return { links, peers: vethPeers(hosts), lower, upper, ports };
}

/** By its index in the namespace that the link names, or in the link's own. */
function lowerOf(
  hosts: readonly FramedHost[],
  host: FramedHost,
  { peerIndex, peerNamespace }: Link,
): TunnelPlug | undefined {
  if (peerIndex === undefined) return undefined;
  const namespace = peerNamespace === undefined ? undefined : host.namespaces.get(peerNamespace);
  const there =
    peerNamespace === undefined
      ? host
      : namespace === undefined
        ? undefined
        : hosts.find((each) => each.namespace === namespace && each.kernel === host.kernel);
  const link = there?.links.find(({ index }) => index === peerIndex);
  return there === undefined || link === undefined ? undefined : { host: there.name, link: link.name };
}

/**
 * The other end of each veth, by `HOST LINK`. A veth knows its peer's index and which namespace that counts in; the namespace's name
 * decides, from either end. Without a name the indexes must fit from both ends, and one link alone.
 */
function vethPeers(hosts: readonly FramedHost[]): ReadonlyMap<string, TunnelPlug> {
  const all = hosts.flatMap((host) =>
    host.links.filter(({ kind }) => kind === 'veth').map((link) => ({ host, link, namedPeer: peerName(host, link) })),
  );
  const found = new Map<string, TunnelPlug>();
  for (const one of all) {
    const fitting = all.filter(
      (other) =>
        other !== one &&
        one.host.kernel === other.host.kernel &&
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

const peerName = ({ namespaces }: FramedHost, { peerNamespace }: Link): string | undefined =>
  peerNamespace === undefined ? undefined : namespaces.get(peerNamespace);

/** A frame on its way. */
interface Frame {
  /** VLANs, the outermost first: `802.1Q 5`. */
  readonly tags: readonly string[];
  readonly crossed: readonly BridgeCrossed[];
}

/** Everywhere a frame may come to that leaves by a link. */
export function flood(cabling: Cabling, start: TunnelPlug): Segment {
  const plugs: SegmentPlug[] = [];
  const seen = new Set<string>();
  let whole = true;
  const isNew = (way: string, plug: TunnelPlug, { tags }: Frame): boolean => {
    const key = `${way} ${plugKey(plug)} ${tags.join(',')}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  const linkOf = (plug: TunnelPlug): Link | undefined => cabling.links.get(plugKey(plug));

  /** Out by a device of the host. */
  const out = (plug: TunnelPlug, frame: Frame): void => {
    if (!isNew('out', plug, frame)) return;
    const link = linkOf(plug);
    if (link?.kind === 'bridge') {
      // Which VLANs its ports carry is not known.
      if (link.vlanFiltering === true) whole = false;
      for (const port of cabling.ports.get(plugKey(plug)) ?? []) out(port, frame);
      return;
    }
    const below = cabling.lower.get(plugKey(plug));
    if (link !== undefined && STACKED.has(link.kind)) {
      if (below === undefined) whole = false;
      else if (link.vlan !== undefined)
        out(below, { ...frame, tags: [`${link.vlan.protocol} ${link.vlan.id}`, ...frame.tags] });
      else {
        for (const sibling of siblings(cabling, plug, below)) into(sibling, frame);
        out(below, frame);
      }
      return;
    }
    const peer = cabling.peers.get(plugKey(plug));
    if (peer === undefined) whole = false;
    else into(peer, frame);
  };

  /** In by a device: to the VLAN of its tag, else up to whatever took the device, else to the host (__netif_receive_skb_core). */
  const into = (plug: TunnelPlug, frame: Frame): void => {
    if (!isNew('into', plug, frame)) return;
    const [tag, ...tags] = frame.tags;
    const upper = cabling.upper.get(plugKey(plug)) ?? [];
    const vlan = upper.find((each) => {
      const own = linkOf(each)?.vlan;
      return own !== undefined && `${own.protocol} ${own.id}` === tag;
    });
    if (vlan !== undefined) {
      into(vlan, { ...frame, tags });
      return;
    }
    for (const each of upper) if (linkOf(each)?.kind === 'macvlan') into(each, frame);
    const link = linkOf(plug);
    const master = link?.master;
    if (master === undefined || linkOf({ host: plug.host, link: master })?.kind !== 'bridge') {
      // A frame of a VLAN that is none of the host's ends here.
      if (tag === undefined) plugs.push({ ...plug, ...(frame.crossed.length > 0 && { crossed: frame.crossed }) });
      return;
    }
    const bridge: TunnelPlug = { host: plug.host, link: master };
    if (plugKey(bridge) !== plugKey(start)) into(bridge, frame);
    if (linkOf(bridge)?.vlanFiltering === true) whole = false;
    for (const port of cabling.ports.get(plugKey(bridge)) ?? []) {
      if (port.link === plug.link) continue;
      out(port, {
        tags: frame.tags,
        crossed: [...frame.crossed, { ...{ host: plug.host, bridge: master }, ...{ from: plug.link, to: port.link } }],
      });
    }
  };

  out(start, { tags: [], crossed: [] });
  return { plugs, whole };
}

/** Macvlans of one device that reach each other past it: only in mode bridge (macvlan_queue_xmit). */
const siblings = ({ links, upper }: Cabling, plug: TunnelPlug, below: TunnelPlug): readonly TunnelPlug[] => {
  const isBridging = (each: TunnelPlug): boolean => links.get(plugKey(each))?.macvlanMode === 'bridge';
  if (!isBridging(plug)) return [];
  return (upper.get(plugKey(below)) ?? []).filter((each) => plugKey(each) !== plugKey(plug) && isBridging(each));
};
