/** Hosts made ready for many packets, and how they are wired (design.md, "How hosts are wired"). */
import type { HostState } from '../host/index.ts';
import {
  type Address,
  buildPrefixTable,
  containsAddress,
  type Family,
  networkOf,
  type PrefixTable,
} from '../net/index.ts';
import { type ConntrackEntry, type PreparedRuleset, prepareRuleset } from '../nftables/index.ts';
import { indexRoutes, isOuterKind, type Link, type LinkAddress, type RouteIndex } from '../routing/index.ts';
import type { WireGuardDevice, WireGuardPeer } from '../wireguard/index.ts';
import { indexEntries, type Standing } from './standing.ts';
import { asksConntrack } from './tracking.ts';

/** An address of a public interface: on the link, and as the Internet sees it (the provider's 1:1 NAT). */
export interface OpenAddress {
  readonly link: string;
  readonly inner: Address;
  readonly outer: Address;
}

export interface HostInput {
  readonly name: string;
  readonly state: HostState;
  /** Links that bear one are on the Internet, all others on private networks. */
  readonly openAddresses: readonly OpenAddress[];
  /** Who waits there for packets; absent where nobody looked, and somebody is assumed. */
  readonly sockets?: readonly Socket[];
  /** The connections it tracks; absent where nobody looked, and none are assumed. */
  readonly entries?: readonly ConntrackEntry[];
  /** Why nobody could look at it: what comes there is undecided. */
  readonly unseen?: string;
}

/** A socket that takes TCP connections or any datagrams. */
export interface Socket {
  readonly protocol: 'tcp' | 'udp';
  /** Absent: any of its families. */
  readonly address?: Address;
  readonly families: readonly Family[];
  readonly port: number;
  /** It takes what comes by this link alone (SO_BINDTODEVICE); what the host sends to itself comes by `lo`. */
  readonly link?: string;
  /** It may stand for any address (IP_TRANSPARENT); absent where that is not known. */
  readonly transparent?: boolean;
}

export interface TunnelInput {
  readonly name: string;
  readonly ends: readonly [TunnelPlug, TunnelPlug];
}

export interface TunnelPlug {
  readonly host: string;
  readonly link: string;
}

export interface SimulatedHost extends HostInput {
  readonly ruleset: PreparedRuleset;
  readonly routes: RouteIndex;
  readonly links: ReadonlyMap<string, Link>;
  readonly openLinks: ReadonlySet<string>;
  /** WireGuard's cryptokey routing, by link. */
  readonly cryptokeys: ReadonlyMap<string, Cryptokeys>;
  readonly standing?: Standing;
  /** Translation runs for a family as soon as one nat chain of any hook is there, even an empty one. */
  readonly translates: Readonly<Record<Family, boolean>>;
  /** Conntrack looks at a family once a rule needs it (nf_ct_netns_get): without one nothing is tracked, and nat chains do not run. */
  readonly tracks: Readonly<Record<Family, boolean>>;
  /** Whether an address is the host's own, or that of one of its links. */
  readonly isLocal: (address: Address, link?: string) => boolean;
}

export interface Cryptokeys {
  readonly device: WireGuardDevice;
  readonly peers: PrefixTable<WireGuardPeer>;
}

export interface Network {
  readonly hosts: ReadonlyMap<string, SimulatedHost>;
  /** By `HOST LINK`: the far ends of the tunnels on that link. */
  readonly farEnds: ReadonlyMap<string, readonly TunnelPlug[]>;
  /** How their links are wired, as far as they say. */
  readonly wires: Wires;
}

/** A bridge that a frame crosses, from port to port, on its way to another host. */
export interface BridgeCrossed {
  readonly host: string;
  readonly bridge: string;
  readonly from: string;
  readonly to: string;
}

export interface SegmentPlug extends TunnelPlug {
  /** In order. Absent: none. */
  readonly crossed?: readonly BridgeCrossed[];
}

/** Where a frame comes to; `whole`: there is nothing else. */
export interface Segment {
  readonly plugs: readonly SegmentPlug[];
  readonly whole: boolean;
}

/** What lies at the other end of links (wireHosts). */
export interface Wires {
  /** By `HOST LINK`: the links of hosts that a packet put in there comes out of. */
  readonly segments: ReadonlyMap<string, Segment>;
  /** By `HOST LINK ADDRESS`: whose hardware address stands for a neighbour. */
  readonly neighbours: ReadonlyMap<string, readonly TunnelPlug[]>;
  /** Nobody looked: hosts are wired by their zones and prefixes alone. */
  readonly unknown?: true;
}

const UNKNOWN_WIRES: Wires = { segments: new Map(), neighbours: new Map(), unknown: true };

/** Makes the network of these hosts. Each state is complete: what the kernel adds by itself is in it (kernelMade). */
export function buildNetwork(
  hosts: readonly HostInput[],
  tunnels: readonly TunnelInput[],
  wires: Wires = UNKNOWN_WIRES,
): Network {
  const farEnds = new Map<string, TunnelPlug[]>();
  for (const { ends } of tunnels)
    for (const [index, end] of ends.entries()) {
      const key = plugKey(end);
      const far = ends[1 - index];
      if (far !== undefined) farEnds.set(key, [...(farEnds.get(key) ?? []), far]);
    }
  return { hosts: new Map(hosts.map((host) => [host.name, prepareHost(host)])), farEnds, wires };
}

/** The network with connections that hosts track, in place of those it had. */
export const withEntries = (network: Network, entries: ReadonlyMap<string, readonly ConntrackEntry[]>): Network => ({
  ...network,
  hosts: new Map(
    [...network.hosts].map(([name, host]) => {
      const own = entries.get(name);
      return [name, own === undefined ? host : { ...host, entries: own, standing: indexEntries(own) }];
    }),
  ),
});

export const plugKey = ({ host, link }: TunnelPlug): string => `${host} ${link}`;

function prepareHost(input: HostInput): SimulatedHost {
  const { state, openAddresses, entries } = input;
  const local = new Set(
    state.addresses.flatMap(({ link, address: { address } }) => [addressKey(address), addressKey(address, link)]),
  );
  return {
    ...input,
    ruleset: prepareRuleset(state.tables),
    routes: indexRoutes(state),
    links: new Map(state.links.map((link) => [link.name, link])),
    openLinks: new Set(openAddresses.map(({ link }) => link)),
    cryptokeys: new Map(state.devices.map((device) => [device.link, { device, peers: cryptokeyTable(device) }])),
    ...(entries !== undefined && { standing: indexEntries(entries) }),
    translates: { 4: hasNatChain(state, 'ip'), 6: hasNatChain(state, 'ip6') },
    tracks: { 4: asksConntrack(state, 'ip'), 6: asksConntrack(state, 'ip6') },
    isLocal: (address, link) =>
      local.has(addressKey(address, link)) || ((link === undefined || link === 'lo') && isLoopback(address)),
  };
}

const addressKey = ({ family, value }: Address, link = ''): string => `${family} ${value} ${link}`;

const isLoopback = ({ family, value }: Address): boolean => (family === 4 ? value >> 24n === 127n : value === 1n);

const cryptokeyTable = ({ peers }: WireGuardDevice): PrefixTable<WireGuardPeer> =>
  buildPrefixTable(peers.flatMap((peer) => peer.allowedIps.map((prefix) => ({ prefix, value: peer }))));

const hasNatChain = ({ tables }: HostState, family: 'ip' | 'ip6'): boolean =>
  tables.some(
    (table) =>
      (table.family === family || table.family === 'inet') &&
      table.chains.some((chain) => chain.kind === 'base' && chain.type === 'nat'),
  );

/** Links whose other end is found by the tunnel, never by a prefix. */
export const isOverlay = (link: Link | undefined): boolean =>
  link !== undefined && (link.kind === 'wireguard' || link.kind === 'vxlan' || isOuterKind(link.kind));

/** The links on the same network as `plug` that bear `address`: with a prefix in common, and of the same zone unless `any` will do. */
export function neighboursAt(
  network: Network,
  plug: TunnelPlug,
  address: Address,
  zones: 'same' | 'any' = 'same',
): readonly TunnelPlug[] {
  const found: TunnelPlug[] = [];
  const isOpen = network.hosts.get(plug.host)?.openLinks.has(plug.link) === true;
  for (const host of network.hosts.values())
    for (const each of host.state.addresses) {
      const isHere = host.name === plug.host && each.link === plug.link;
      if (isHere || !bears(each, address)) continue;
      if (zones === 'same' && host.openLinks.has(each.link) !== isOpen) continue;
      if (isOverlay(host.links.get(each.link))) continue;
      if (sharesPrefix(network, plug, each)) found.push({ host: host.name, link: each.link });
    }
  return found;
}

const bears = ({ address }: LinkAddress, wanted: Address): boolean =>
  address.address.family === wanted.family && address.address.value === wanted.value;

/** Whether a link has an address in the same prefix as that one. */
const sharesPrefix = (network: Network, plug: TunnelPlug, other: LinkAddress): boolean =>
  network.hosts
    .get(plug.host)
    ?.state.addresses.some(
      ({ link, address }) =>
        link === plug.link &&
        address.address.family === other.address.address.family &&
        containsAddress(networkOf(address), other.address.address) &&
        containsAddress(networkOf(other.address), address.address),
    ) === true;

/** The host that the Internet finds at an address. */
export function openAt(network: Network, outer: Address): (TunnelPlug & { readonly inner: Address }) | undefined {
  for (const host of network.hosts.values())
    for (const open of host.openAddresses)
      if (open.outer.family === outer.family && open.outer.value === outer.value)
        return { host: host.name, link: open.link, inner: open.inner };
  return undefined;
}
