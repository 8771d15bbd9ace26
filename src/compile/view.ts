/** What the facts of a host say, in the terms of design.md: its public addresses, its main addresses, its ways. */
import { type HostFacts, isOwnLink } from '../host/index.ts';
import {
  type Address,
  containsAddress,
  type Family,
  isPublicAddress,
  networkOf,
  printAddress,
  sameAddress,
} from '../net/index.ts';
import type { DeclaredInterface, HostResource } from '../resources/index.ts';
import {
  indexRoutes,
  type Link,
  type LinkAddress,
  lookupRoute,
  MAIN_TABLE,
  OUTER_KINDS,
  type Route,
  type RouteIndex,
  type RouteResult,
  SALLYPORT_PROTOCOL,
} from '../routing/index.ts';

export interface HostView {
  readonly name: string;
  readonly resource: HostResource;
  readonly facts: HostFacts;
  readonly publicAddresses: readonly PublicAddress[];
  /** The host's own ways, without what we added. */
  readonly ways: RouteIndex;
}

export interface PublicAddress {
  readonly link: string;
  /** As it stands on the link. */
  readonly inner: Address;
  /** As the Internet sees it: the provider's 1:1 NAT, else the same. */
  readonly outer: Address;
  /** Has a lifetime: a new lease may bring another. */
  readonly dynamic: boolean;
}

/** Reads the facts of one host under what its resource declares. */
export function viewHost(resource: HostResource, facts: HostFacts): HostView {
  const { links, addresses, routes, rules } = facts.state;
  const ways = indexRoutes({
    links,
    addresses,
    routes: routes.filter(({ protocol }) => protocol !== SALLYPORT_PROTOCOL),
    rules: rules.filter(({ protocol }) => protocol !== SALLYPORT_PROTOCOL),
  });
  return { name: resource.name, resource, facts, publicAddresses: publicAddresses(resource, facts), ways };
}

/** The declared interface that speaks of a link, by name or by hardware address. */
const declarationOf = (resource: HostResource, link: Link): DeclaredInterface | undefined =>
  resource.interfaces.find(({ match }) => ('name' in match ? match.name === link.name : match.mac === link.mac));

function publicAddresses(resource: HostResource, facts: HostFacts): readonly PublicAddress[] {
  const ways = new Set([4, 6].map((family) => defaultRoute(facts, family === 4 ? 4 : 6)?.link));
  return facts.state.links.flatMap((link) => {
    if (isOwnLink(link.name) || link.kind === 'loopback') return [];
    const declared = declarationOf(resource, link);
    return facts.state.addresses
      .filter((each) => each.link === link.name && isLasting(each))
      .flatMap((each) => {
        const inner = each.address.address;
        const outer = declared?.outside.find((pair) => sameAddress(pair.inner, inner))?.outer;
        const open =
          declared?.zone ??
          (ways.has(link.name) && (outer !== undefined || isPublicAddress(inner)) ? 'public' : 'private');
        if (open === 'private') return [];
        return [
          { link: link.name, inner, outer: outer ?? inner, dynamic: each.dynamic === true || link.kind === 'ppp' },
        ];
      });
  });
}

const isLasting = (each: LinkAddress): boolean =>
  each.scope === 'global' && each.temporary !== true && each.deprecated !== true;

/** The default route that the host itself has (none of ours) in table main: the one of lowest metric. */
export function defaultRoute(facts: HostFacts, family: Family): Route | undefined {
  const candidates = facts.state.routes.filter(
    ({ table, destination, type, protocol }) =>
      table === MAIN_TABLE &&
      type === 'unicast' &&
      destination.length === 0 &&
      destination.address.family === family &&
      protocol !== SALLYPORT_PROTOCOL,
  );
  return candidates.sort((a, b) => a.metric - b.metric)[0];
}

/** The way a packet of the host itself takes to `destination`, without what we added. */
export const wayTo = (view: HostView, destination: Address): RouteResult => lookupRoute(view.ways, { destination });

/** The link by which the host reaches `destination`, if that is none of ours. */
export function linkTowards(view: HostView, destination: Address): string | undefined {
  const way = wayTo(view, destination);
  return way.kind === 'route' && !isOwnLink(way.link) ? way.link : undefined;
}

/**
 * The host's main address of a family: what was declared; else what the kernel answers strangers with, the source of its default route;
 * else the source of its way to the tunnel peer's endpoint; else the first global address on a link that is no tunnel.
 * The default route comes before the endpoint's: a UDP server on the wildcard address answers by it (dataplane.md, section 5).
 */
export function mainAddress(view: HostView, family: Family, endpoint: Address | undefined): Address | undefined {
  const declared = view.resource.mainAddresses.find((each) => each.family === family);
  if (declared !== undefined) return declared;
  const { facts } = view;
  const lasting = facts.state.addresses.filter(
    (each) => each.address.address.family === family && isLasting(each) && !isOwnLink(each.link),
  );
  const way = defaultRoute(facts, family);
  if (way !== undefined) {
    const there = lasting.filter(({ link }) => link === way.link);
    // fib_frontend.c, inet_select_addr: the address in the gateway's network comes first.
    const near = there.find(
      ({ address }) => way.gateway !== undefined && containsAddress(networkOf(address), way.gateway),
    );
    const source = way.source ?? (near ?? there[0])?.address.address;
    if (source !== undefined) return source;
  }
  if (endpoint?.family === family) {
    const towards = wayTo(view, endpoint);
    if (towards.kind === 'route' && !isOwnLink(towards.link) && towards.source !== undefined) return towards.source;
  }
  return lasting.find(({ link }) => !isVirtual(facts, link))?.address.address;
}

const VIRTUAL = new Set<string>(['loopback', 'bridge', 'wireguard', 'tun', 'vxlan', 'dummy', ...OUTER_KINDS]);

const isVirtual = (facts: HostFacts, link: string): boolean =>
  VIRTUAL.has(facts.state.links.find(({ name }) => name === link)?.kind ?? '');

/** The link that carries an address of the host. */
export const linkOf = (facts: HostFacts, address: Address): Link | undefined => {
  const on = facts.state.addresses.find((each) => sameAddress(each.address.address, address));
  return facts.state.links.find(({ name }) => name === on?.link);
};

/** `198.51.100.10 on eth0 (203.0.113.9 outside)` for messages. */
export const printPublic = ({ inner, outer, link }: PublicAddress): string =>
  `${printAddress(inner)} on ${link}${sameAddress(inner, outer) ? '' : ` (${printAddress(outer)} outside)`}`;
