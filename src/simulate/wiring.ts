/** How hosts are wired where their links say so: by veth peer, through bridges, else by a neighbour's hardware address. */
import { type Address, printAddress, sameAddress } from '../net/index.ts';
import { type LinkAddress, lookupRoute } from '../routing/index.ts';
import { cablingOf, type FramedHost, flood, STACKED } from './flood.ts';
import {
  type Network,
  neighboursAt,
  plugKey,
  type Segment,
  type SegmentPlug,
  type SimulatedHost,
  type TunnelPlug,
  type Wires,
} from './network.ts';
import { noticeOf } from './notice.ts';
import { forwarding, proxiesArp, proxiesNeighbours } from './setting.ts';
import { type End, end } from './trace.ts';

/** What of a host tells how it is wired. */
export interface WiredHost extends FramedHost {
  /** Its neighbour table. */
  readonly neighbours: readonly { readonly link: string; readonly address: Address; readonly mac: string }[];
}

/** Follows each link of each host to where it ends. */
export function wireHosts(hosts: readonly WiredHost[]): Wires {
  const cabling = cablingOf(hosts);
  const segments = new Map<string, Segment>();
  for (const host of hosts)
    for (const link of host.links) {
      if (link.kind !== 'veth' && link.kind !== 'bridge' && !STACKED.has(link.kind)) continue;
      const from = { host: host.name, link: link.name };
      const segment = flood(cabling, from);
      if (segment.plugs.length > 0 || segment.whole) segments.set(plugKey(from), segment);
    }
  const byMac = new Map<string, (TunnelPlug & { readonly vlan?: number })[]>();
  for (const { name, links } of hosts)
    for (const { name: link, mac, master, vlan } of links) {
      if (mac === undefined || master !== undefined) continue;
      byMac.set(mac, [...(byMac.get(mac) ?? []), { host: name, link, ...(vlan && { vlan: vlan.id }) }]);
    }
  const neighbours = new Map<string, readonly TunnelPlug[]>();
  for (const host of hosts)
    for (const { link, address, mac } of host.neighbours) {
      const vlan = host.links.find(({ name }) => name === link)?.vlan?.id;
      // A VLAN has the hardware address of the device it stands on.
      const there = (byMac.get(mac) ?? []).filter((each) => each.host !== host.name && each.vlan === vlan);
      if (there.length > 0)
        neighbours.set(
          neighbourKey({ host: host.name, link }, address),
          there.map((each) => ({ host: each.host, link: each.link })),
        );
    }
  return { segments, neighbours };
}

/** How `Wires` names a neighbour. */
export const neighbourKey = (from: TunnelPlug, address: Address): string => `${plugKey(from)} ${printAddress(address)}`;

/**
 * Where a packet for a next hop comes to by a wire or a known hardware address; ended where nobody there bears the address. Undefined
 * where the wires do not tell.
 */
export function wiredTo(network: Network, from: TunnelPlug, nexthop: Address): SegmentPlug | End | undefined {
  const segment = network.wires.segments.get(plugKey(from));
  const bearers = (segment?.plugs ?? []).filter(({ host, link }) =>
    network.hosts.get(host)?.state.addresses.some((each) => each.link === link && bears(each, nexthop)),
  );
  const answering: SegmentPlug[] = [...bearers];
  for (const plug of segment?.plugs ?? []) {
    const answers = answersFor(network.hosts.get(plug.host), plug.link, nexthop);
    if (typeof answers !== 'boolean') return answers;
    if (answers && !bearers.includes(plug)) answering.push(plug);
  }
  const byMac = network.wires.neighbours.get(neighbourKey(from, nexthop)) ?? [];
  // Of several that answer the kernel keeps one.
  const kept = answering.filter((plug) => byMac.some((each) => plugKey(each) === plugKey(plug)));
  const found = kept.length > 0 ? kept : answering;
  const known = found.length > 0 ? found : byMac.length > 0 ? byMac : byPrefix(network, from, nexthop);
  const [one, other] = known;
  if (one !== undefined && other !== undefined) {
    const what = `${printAddress(nexthop)} is at ${one.link} of ${one.host} and at ${other.link} of ${other.host}`;
    return end('undecided', what);
  }
  if (one !== undefined || segment?.whole !== true) return one;
  const there = segment.plugs.map(({ host, link }) => `${link} of ${host}`).join(', ');
  return end(
    'unreachable',
    `nobody answers for ${printAddress(nexthop)} on ${from.link} of ${from.host}: at its other end is ${there === '' ? 'nothing' : there}`,
    { kind: 'nobodyThere', host: from.host, link: from.link, address: nexthop },
    noticeOf('hostUnreachable', nexthop.family),
  );
}

/**
 * Whether a host answers in another's place: to ARP where it is told to and would forward by another link (arp_process, arp_fwd_proxy);
 * to neighbour discovery for single addresses, which nobody looked up.
 */
function answersFor(host: SimulatedHost | undefined, link: string, address: Address): boolean | End {
  if (host === undefined) return false;
  if (address.family === 6)
    return proxiesNeighbours(host, link)
      ? end('undecided', `whether ${host.name} answers for ${printAddress(address)} on ${link}: its proxy_ndp is on`)
      : false;
  if (!proxiesArp(host, link) || forwarding(host, 4, link).on !== true) return false;
  const way = lookupRoute(host.routes, { destination: address, iif: link });
  if (way.kind === 'undecided')
    return end('undecided', `whether ${host.name} answers for ${printAddress(address)}: ${way.why}`);
  return way.kind === 'route' && way.link !== link;
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
