/** What the kernel adds by itself to links, addresses and rules that are made. */
import type { HostState } from '../host/index.ts';
import { type Family, hostPrefix, networkOf, type Prefix, parseInterfaceAddress, samePrefix } from '../net/index.ts';
import {
  type Link,
  type LinkAddress,
  LOCAL_TABLE,
  MAIN_TABLE,
  type Route,
  type RoutingRule,
} from '../routing/index.ts';

/** rtnetlink(7), RTPROT_KERNEL. */
const KERNEL = 2;
/** rt_tables: `default`. */
const DEFAULT_TABLE = 253;

/**
 * Adds the local and connected routes of the addresses on the links that `isMade` names: those that do not stand yet. On other links an
 * address may be without a connected route on purpose (`noprefixroute`), but not for long without its local one: observed in between,
 * an IPv6 address stands a moment before it (addrconf.c adds it from a work queue).
 */
export function withKernelRoutes(state: HostState, isMade: (link: string) => boolean): HostState {
  const isUp = new Map(state.links.map(({ name, up }) => [name, up]));
  const made = state.addresses.flatMap((each) => {
    if (isMade(each.link)) return routesOf(each);
    return isUp.get(each.link) === true ? routesOf(each).slice(0, 1) : [];
  });
  const missing = made.filter((route) => !state.routes.some((other) => isSame(route, other)));
  return missing.length === 0 ? state : { ...state, routes: [...state.routes, ...missing] };
}

/** The local route first, then the connected one. */
function routesOf({ link, address, scope }: LinkAddress): readonly Route[] {
  const { family } = address.address;
  const local: Route = {
    ...{ table: LOCAL_TABLE, destination: hostPrefix(address.address), type: 'local', link, metric: 0 },
    protocol: KERNEL,
    ...(family === 4 && { source: address.address }),
  };
  const network = networkOf(address);
  if (samePrefix(network, local.destination) || scope === 'host') return [local];
  const connected: Route = {
    ...{ table: MAIN_TABLE, destination: network, type: 'unicast', link, metric: family === 4 ? 0 : 256 },
    protocol: KERNEL,
    ...(family === 4 && { source: address.address }),
  };
  return [local, connected];
}

const isSame = (left: Route, right: Route): boolean =>
  left.table === right.table &&
  left.link === right.link &&
  left.type === right.type &&
  samePrefix(left.destination, right.destination);

const LOOPBACK: Link = { name: 'lo', kind: 'loopback', mtu: 65_536, up: true };

const rule = (family: Family, priority: number, table: number): RoutingRule => ({
  ...{ family, priority, protocol: KERNEL },
  action: { kind: 'lookup', table },
});

/** The rules of a network namespace that nobody has touched. */
const RULES: readonly RoutingRule[] = [
  rule(4, 0, LOCAL_TABLE),
  rule(4, 32_766, MAIN_TABLE),
  rule(4, 32_767, DEFAULT_TABLE),
  rule(6, 0, LOCAL_TABLE),
  rule(6, 32_766, MAIN_TABLE),
];

const loopbackAddress = (text: string): readonly LinkAddress[] => {
  const address = parseInterfaceAddress(text);
  return address === undefined ? [] : [{ link: 'lo', address, scope: 'host' }];
};

const loopbackNetwork: Prefix | undefined = parseInterfaceAddress('127.0.0.0/8');

/** Makes a state of which only links, addresses and some routes were declared as complete as one that was observed. */
export function withKernelDefaults(state: HostState): HostState {
  const hasLoopback = state.links.some(({ name }) => name === 'lo');
  const loopback: Route[] =
    loopbackNetwork === undefined
      ? []
      : [{ table: LOCAL_TABLE, destination: loopbackNetwork, type: 'local', link: 'lo', metric: 0, protocol: KERNEL }];
  const complete: HostState = {
    ...state,
    links: hasLoopback ? state.links : [LOOPBACK, ...state.links],
    addresses: hasLoopback
      ? state.addresses
      : [...loopbackAddress('127.0.0.1/8'), ...loopbackAddress('::1/128'), ...state.addresses],
    routes: hasLoopback ? state.routes : [...loopback, ...state.routes],
    rules: [...RULES, ...state.rules],
  };
  return withKernelRoutes(complete, () => true);
}
