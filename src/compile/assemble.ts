/** The shares of all sets on a host, and its numbers, as one HostState: everything of ours that should stand there. */
import {
  type ForwardShare,
  type HostFacts,
  type HostRecord,
  type HostShare,
  type HostState,
  isOwnLink,
  type TunnelShare,
} from '../host/index.ts';
import {
  type Address,
  type Family,
  hostPrefix,
  type Prefix,
  printInterfaceAddress,
  sameAddress,
  wholeFamily,
} from '../net/index.ts';
import {
  type Link,
  type LinkAddress,
  MAIN_TABLE,
  type Route,
  type RoutingRule,
  SALLYPORT_PROTOCOL,
  WORST_METRIC,
} from '../routing/index.ts';
import type { WireGuardDevice, WireGuardPeer } from '../wireguard/index.ts';
import { asksBack } from './asked-back.ts';
import { daemonFiles } from './daemon-files.ts';
import { fastDevices } from './fast-path.ts';
import { desiredSysctls, guardedLinks } from './sysctl.ts';
import { sallyportTable } from './table.ts';
import type { TunnelInTable } from './table-words.ts';
import { defaultRoute } from './view.ts';

/** What should stand on the host under these shares; its name is for keys not made yet. `record` gives the numbers and how sysctls were before us. */
export function assemble(host: string, record: HostRecord, facts: HostFacts): Omit<HostState, 'accepts'> {
  const tunnels = tunnelsOf(record.sets);
  const forwards = [...record.sets.values()].flatMap((share) => share.forwards);
  const links = linksOf(tunnels, facts);
  const fastPath = fastDevices(forwards, tunnels, facts);
  const table = sallyportTable({
    ...(fastPath !== undefined && { fastPath }),
    tunnels,
    forwards,
    lasting: lastingAddresses(tunnels, forwards, facts),
    numbers: record.numbers,
    askedBack: asksBack(facts),
    guarded: guardedLinks(forwards, facts, record.sysctlsBefore),
  });
  return {
    links,
    addresses: addressesOf(tunnels),
    routes: routesOf(tunnels, record, facts),
    rules: rulesOf(tunnels, record),
    sysctls: desiredSysctls(tunnels, forwards, facts, record.sysctlsBefore, mostConnections(record.sets)),
    devices: devicesOf(host, tunnels, facts),
    tables: table === undefined ? [] : [table],
    files: daemonFiles(facts, tunnels.length > 0),
  };
}

/** The host's addresses that stay, but for those of links with a lease; of tunnels as they will be. */
function lastingAddresses(
  tunnels: readonly TunnelInTable[],
  forwards: readonly ForwardShare[],
  facts: HostFacts,
): readonly Address[] {
  const leased = new Set(forwards.flatMap(({ match: at }) => ('interface' in at ? [at.interface] : [])));
  const found = facts.state.addresses.filter(
    ({ link, scope, dynamic }) => !leased.has(link) && !isOwnLink(link) && scope === 'global' && dynamic !== true,
  );
  return [...tunnels.flatMap(({ addresses }) => addresses), ...found.map(({ address }) => address)].map(
    ({ address }) => address,
  );
}

/** Of several sets that name one, the highest. */
export function mostConnections(sets: ReadonlyMap<string, HostShare>): number | undefined {
  const named = [...sets.values()].flatMap(({ conntrackMax }) => conntrackMax ?? []);
  return named.length === 0 ? undefined : Math.max(...named);
}

/** All tunnels of all sets in a fixed order, each with what it may bring; one with a second link stands here for each of both. */
export function tunnelsOf(sets: ReadonlyMap<string, HostShare>): readonly TunnelInTable[] {
  return [...sets]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([set, share]) =>
      share.tunnels.flatMap((tunnel) =>
        byLink(tunnel, {
          key: `${set}/${tunnel.name}`,
          accepts: share.accepts.filter((accept) => accept.tunnel === tunnel.name),
        }),
      ),
    );
}

function byLink(
  { second, ...tunnel }: TunnelShare,
  brings: Pick<TunnelInTable, 'key' | 'accepts'>,
): readonly TunnelInTable[] {
  if (second === undefined) return [{ ...tunnel, ...brings }];
  const { listenPort: _, peer, ...rest } = tunnel;
  const { publicKey: __, presharedKey: ___, endpoint: ____, keepaliveSeconds: _____, ...known } = peer;
  const beside: TunnelInTable = {
    ...rest,
    ...brings,
    link: second.link,
    ...(second.listenPort !== undefined && { listenPort: second.listenPort }),
    peer: { ...known, ...second.peer },
    beside: tunnel.link,
  };
  return second.carries
    ? [{ ...tunnel, ...brings, idle: true }, beside]
    : [
        { ...tunnel, ...brings },
        { ...beside, idle: true },
      ];
}

const ownTunnels = (tunnels: readonly TunnelInTable[]): readonly TunnelInTable[] =>
  tunnels.filter(({ link }) => isOwnLink(link));

function linksOf(tunnels: readonly TunnelInTable[], facts: HostFacts): readonly Link[] {
  const links = new Map<string, Link>();
  for (const { link: name, type, mtu, vxlan, kind: outerKind, outer } of ownTunnels(tunnels)) {
    const shared = links.get(name);
    const kind = outerKind ?? (type === 'VXLAN' ? 'vxlan' : 'wireguard');
    links.set(name, {
      name,
      kind,
      mtu: Math.min(mtu, shared?.mtu ?? mtu),
      up: true,
      ...(vxlan !== undefined && { vxlan }),
      ...(outer !== undefined && { outer }),
    });
  }
  // Whatever the kernel is, the link is WireGuard's: the driver knows how this host makes one.
  return [...links.values()]
    .filter(({ kind }) => kind !== 'wireguard' || facts.wireguard !== 'absent')
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * A second link has them too, without their networks: the peer is on the first. The kernel's reverse path check, the loose one too, takes nothing
 * from a link that has no IPv4 address (fib_frontend.c, __fib_validate_source).
 */
function addressesOf(tunnels: readonly TunnelInTable[]): readonly LinkAddress[] {
  const placed = ownTunnels(tunnels).map(({ addresses, beside, ...tunnel }) => ({
    ...tunnel,
    addresses: beside === undefined ? addresses : addresses.map(({ address }) => hostPrefix(address)),
  }));
  const all = placed.flatMap(({ type, link, addresses }): readonly LinkAddress[] => [
    ...addresses.map((address): LinkAddress => ({ link, address, scope: 'global' })),
    ...(type === 'VXLAN' ? addresses.flatMap(({ address }) => linkLocal(link, address)) : []),
  ]);
  return [...new Map(all.map((each) => [`${each.link} ${printInterfaceAddress(each.address)}`, each])).values()];
}

/** fe80::/64 (RFC 4291, 2.5.6) with the tunnel address's own lower half. */
const LINK_LOCAL = 0xfe80n << 112n;

/**
 * Neighbour discovery asks from a link-local address, and the one that the kernel makes is not used for its first second or two
 * (RFC 4862, 5.4): packets into a new tunnel would be lost that long.
 */
const linkLocal = (link: string, { family, value }: Address): readonly LinkAddress[] =>
  family === 4
    ? []
    : [
        {
          link,
          address: { address: { family, value: LINK_LOCAL | (value & 0xffffffffffffffffn) }, length: 64 },
          scope: 'link',
        },
      ];

function devicesOf(host: string, tunnels: readonly TunnelInTable[], facts: HostFacts): readonly WireGuardDevice[] {
  const devices = new Map<
    string,
    { readonly device: Omit<WireGuardDevice, 'peers'>; readonly peers: WireGuardPeer[] }
  >();
  for (const { name, type, link, listenPort, peer } of tunnels) {
    if (type !== 'WireGuard') continue;
    const own = facts.keys.get(link) ?? { pendingHost: host, pendingTunnel: name };
    const device = devices.get(link) ?? {
      device: { link, publicKey: own, ...(listenPort !== undefined && { listenPort }) },
      peers: [],
    };
    devices.set(link, device);
    if (peer.publicKey === undefined) continue;
    device.peers.push({
      publicKey: peer.publicKey,
      allowedIps: peer.allowedIps,
      ...(peer.presharedKey !== undefined && { presharedKey: peer.presharedKey }),
      ...(peer.endpoint !== undefined && { endpoint: peer.endpoint }),
      ...(peer.keepaliveSeconds !== undefined && { keepaliveSeconds: peer.keepaliveSeconds }),
    });
  }
  return [...devices.values()].map(({ device, peers }) => ({ ...device, peers }));
}

// ---- routes and rules

/** `ip route` gives IPv6 routes metric 1024 where none is named, IPv4 ones 0. */
const usualMetric = (family: Family): number => (family === 4 ? 0 : 1024);

/** WireGuard finds the peer by its allowed IPs; every other link needs the neighbour named. */
const through = (
  { type, peer, link }: TunnelInTable,
  family: Family,
): { readonly link: string; readonly gateway?: Address } => {
  const gateway = type === 'WireGuard' ? undefined : peer.addresses.find((each) => each.family === family);
  return { link, ...(gateway !== undefined && { gateway }) };
};

function routesOf(tunnels: readonly TunnelInTable[], record: HostRecord, facts: HostFacts): readonly Route[] {
  const routes: Route[] = [];
  const ours = { type: 'unicast', protocol: SALLYPORT_PROTOCOL } as const;
  const unanswered = new Map<Family, Pick<Route, 'link' | 'source'>>();
  for (const tunnel of tunnels.filter(({ idle }) => idle !== true)) {
    if (tunnel.beside !== undefined) routes.push(...peerRoutes(tunnel));
    for (const destination of tunnel.routes) {
      const family = destination.address.family;
      routes.push({
        ...ours,
        table: MAIN_TABLE,
        destination,
        ...towards(tunnel, destination),
        metric: usualMetric(family),
      });
    }
    const numbers = record.numbers.tunnels.get(tunnel.key);
    if (numbers === undefined) continue;
    for (const family of tunnel.returns) {
      routes.push({
        ...ours,
        table: numbers.table,
        destination: wholeFamily(family),
        ...through(tunnel, family),
        metric: usualMetric(family),
      });
      if (defaultRoute(facts, family) === undefined) unanswered.set(family, lastResort(tunnel, family, facts));
    }
  }
  // A reply is looked up before the mark sends it into the tunnel: without any default route that first look-up fails (dataplane.md, section 5).
  for (const [family, way] of unanswered)
    routes.push({ ...ours, table: MAIN_TABLE, destination: wholeFamily(family), ...way, metric: WORST_METRIC });
  return routes;
}

/** The peer's own addresses are on the tunnel's own link, by its prefix: a longer one goes before it. */
const peerRoutes = ({ peer, routes, addresses, link }: TunnelInTable): readonly Route[] =>
  peer.addresses
    .filter((far) => !routes.some(({ address }) => sameAddress(address, far)))
    .map((far) => {
      const own = addresses.find(({ address: { family } }) => family === far.family)?.address;
      return {
        type: 'unicast',
        protocol: SALLYPORT_PROTOCOL,
        table: MAIN_TABLE,
        destination: hostPrefix(far),
        link,
        metric: usualMetric(far.family),
        ...(own !== undefined && { source: own }),
      };
    });

/** The far end itself is on the link: by a route by way of itself no other could go (fib6_nh_init: EHOSTUNREACH). */
function towards(tunnel: TunnelInTable, { address }: Prefix): Pick<Route, 'link' | 'gateway'> {
  const { gateway, ...way } = through(tunnel, address.family);
  return gateway === undefined || sameAddress(gateway, address) ? way : { ...way, gateway };
}

/** By `lo`, which takes no packet anywhere; where that is down, as in a new namespace, by the tunnel, whose far end drops strangers. */
function lastResort(tunnel: TunnelInTable, family: Family, facts: HostFacts): Pick<Route, 'link' | 'source'> {
  const source = answersFrom(tunnel, family);
  const isDown = facts.state.links.some(({ name, up }) => name === 'lo' && !up);
  return { link: isDown ? tunnel.link : 'lo', ...(source !== undefined && { source }) };
}

/** The host's own address that clients of the tunnel reach: a UDP server on the wildcard address must answer from it. */
function answersFrom({ accepts }: TunnelInTable, family: Family): Address | undefined {
  const local = accepts.find(({ address, behind }) => address.family === family && behind === undefined);
  return local?.moveTo ?? local?.address;
}

function rulesOf(tunnels: readonly TunnelInTable[], { numbers }: HostRecord): readonly RoutingRule[] {
  const families = ([4, 6] as const).filter((family) => tunnels.some(({ returns }) => returns.includes(family)));
  return families.flatMap((family): readonly RoutingRule[] => [
    // The reverse path check of a pod's reply looks up with the mark where src_valid_mark is set, and must find the pod. To the rules that
    // look-up comes in by the tunnel, where the reply goes out (__fib_validate_source), so for what comes in by it alone main is asked first:
    // asked for all, it would answer a client in a network of the node directly. IPv6 has no such check.
    ...(family === 6
      ? []
      : [...new Set(tunnels.filter(({ returns }) => returns.includes(family)).map(({ link }) => link))].map(
          (link): RoutingRule => ({
            family,
            priority: numbers.suppressPriority,
            protocol: SALLYPORT_PROTOCOL,
            iif: link,
            action: { kind: 'lookup', table: MAIN_TABLE, suppressPrefixLength: 0 },
          }),
        )),
    ...tunnels.flatMap(({ key, returns, beside }): readonly RoutingRule[] => {
      const chosen = numbers.tunnels.get(key);
      if (chosen === undefined || beside !== undefined || !returns.includes(family)) return [];
      const step = (numbers.mark.mask & -numbers.mark.mask) >>> 0;
      return [
        {
          family,
          priority: chosen.priority,
          protocol: SALLYPORT_PROTOCOL,
          mark: { value: (chosen.index * step) >>> 0, mask: numbers.mark.mask },
          action: { kind: 'lookup', table: chosen.table },
        },
      ];
    }),
  ]);
}
