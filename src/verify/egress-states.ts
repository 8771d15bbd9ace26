/** The hosts of an EgressRoute as they stand, and as they are when its path is down: what the kernel takes with a link. */
import type { HostState } from '../host/index.ts';
import { sameAddress } from '../net/index.ts';
import type { Route } from '../routing/index.ts';
import { buildNetwork, type Connections, endMasqueraded, type Network, type TunnelPlug } from '../simulate/index.ts';

/** What may have become of the path. */
export interface PathState {
  /** `while wg0 is down`. */
  readonly when: string;
  readonly network: Network;
  /** What becomes of connections that were opened before. */
  readonly befalls: (connections: Connections) => void;
}

const nothing = (): void => {};

/** As it stands, with its far end silent, its link down, and its link gone; `isUp`: what stands is the path in use. */
export function pathStates(network: Network, plugs: readonly TunnelPlug[]): readonly PathState[] {
  const [link = ''] = plugs.map((plug) => plug.link);
  const lose = (connections: Connections): void => {
    for (const plug of plugs) {
      const table = connections.get(plug.host);
      if (table !== undefined) endMasqueraded(table, plug.link);
    }
  };
  const become = (change: (state: HostState, link: string) => HostState): Network => changed(network, plugs, change);
  const isThere = plugs.every((plug) => network.hosts.get(plug.host)?.links.has(plug.link));
  const isUp = plugs.every((plug) => network.hosts.get(plug.host)?.links.get(plug.link)?.up);
  const isWireGuard = plugs.every((plug) => network.hosts.get(plug.host)?.cryptokeys.has(plug.link));
  const now = become((state) => state);
  return [
    ...(isUp ? [{ when: `while ${link} is up`, network: now, befalls: nothing }] : []),
    ...(isUp && isWireGuard
      ? [{ when: `while the far end of ${link} is silent`, network: become(silent), befalls: nothing }]
      : []),
    ...(isThere ? [{ when: `while ${link} is down`, network: become(down), befalls: lose }] : []),
    { when: `once ${link} is gone`, network: become(gone), befalls: lose },
  ];
}

function changed(
  network: Network,
  plugs: readonly TunnelPlug[],
  change: (state: HostState, link: string) => HostState,
): Network {
  const hosts = [...network.hosts.values()].map((host) => {
    const links = plugs.flatMap((plug) => (plug.host === host.name ? [plug.link] : []));
    // What it tracks is told by what is traced, and by nothing else.
    return { ...host, state: links.reduce(change, host.state), entries: [] };
  });
  return { ...buildNetwork(hosts, [], network.wires), farEnds: network.farEnds };
}

/** Nothing of it changes what the kernel decides: what goes into the link is kept there, and lost. */
const silent = (state: HostState, link: string): HostState => ({
  ...state,
  devices: state.devices.map((device) =>
    device.link === link ? { ...device, peers: device.peers.map(({ latestHandshake: _, ...peer }) => peer) } : device,
  ),
});

/** All routes of the link go, local ones too; addresses of IPv6 go, those of IPv4 stay (fib_disable_ip, addrconf_ifdown). */
const down = (state: HostState, link: string): HostState => ({
  ...state,
  links: state.links.map((each) => (each.name === link ? { ...each, up: false } : each)),
  addresses: state.addresses.filter((each) => each.link !== link || each.address.address.family === 4),
  routes: state.routes.flatMap((route) => withoutLink(route, link)),
});

/** All that is on the link goes, and routes of IPv4 that name an address of it as their source (fib_sync_down_addr). */
function gone(state: HostState, link: string): HostState {
  const own = state.addresses.flatMap((each) => (each.link === link ? [each.address.address] : []));
  const kept = down(state, link);
  return {
    ...kept,
    links: kept.links.filter(({ name }) => name !== link),
    addresses: kept.addresses.filter((each) => each.link !== link),
    devices: kept.devices.filter((device) => device.link !== link),
    routes: kept.routes.filter(
      ({ source, destination }) =>
        source === undefined || destination.address.family === 6 || !own.some((each) => sameAddress(each, source)),
    ),
  };
}

function withoutLink(route: Route, link: string): readonly Route[] {
  const { nexthops, ...rest } = route;
  if (nexthops === undefined) return route.link === link ? [] : [route];
  const left = nexthops.filter((each) => each.link !== link);
  const [only] = left;
  if (only === undefined) return [];
  if (left.length > 1) return [{ ...rest, nexthops: left }];
  const { gateway, link: by } = only;
  return [{ ...rest, ...(gateway && { gateway }), ...(by !== undefined && { link: by }) }];
}
