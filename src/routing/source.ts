/** Which of its own addresses the kernel gives a packet that has none yet. */
import { type Address, addressScope, containsAddress, networkOf, parsePrefix, sameAddress } from '../net/index.ts';
import type { RouteIndex } from './route-index.ts';
import type { LinkAddress, Nexthop, Route } from './state.ts';

/** The source of a packet by this route and next hop; undefined where there is none, or where a sysctl not known decides. */
export function selectSource(
  index: RouteIndex,
  route: Route,
  nexthop: Nexthop,
  destination: Address,
): Address | undefined {
  if (route.source !== undefined) return route.source;
  if (destination.family === 6) return selectSource6(index, nexthop.link, destination);
  return route.type === 'local' ? destination : selectSource4(index, route, nexthop);
}

/**
 * The source with which an IPv6 socket asks once more that was refused at first (ip6_dst_lookup_tail): chosen as for no route, whatever
 * refused. Undefined for IPv4, which does not ask again.
 */
export const sourceOfRefused = (index: RouteIndex, destination: Address): Address | undefined =>
  destination.family === 4 ? undefined : selectSource6(index, undefined, destination);

/** The address with which a host speaks for one of its links: IPv6's best there for that destination, IPv4's first (icmp6_send, inet_select_addr). */
export const sourceOfLink = (index: RouteIndex, link: string, destination: Address): Address | undefined =>
  destination.family === 6
    ? selectSource6(index, link, destination)
    : primaries(index, link).find((own) => scopeOf(own) <= LINK_SCOPE)?.address.address;

/** rtnetlink.h, RT_SCOPE_*; larger is nearer. `ip` prints one without a name as its number. */
const SCOPES: Readonly<Record<string, number>> = { global: 0, site: 200, link: 253, host: 254 };
const LINK_SCOPE = 253;

const scopeOf = ({ scope }: LinkAddress): number => SCOPES[scope] ?? Number(scope);

/** inet_select_addr (net/ipv4/devinet.c): on the link the primary address whose network holds the gateway, else its first, else another link's. */
function selectSource4(index: RouteIndex, route: Route, { link, gateway }: Nexthop): Address | undefined {
  const routeScope = scopeOfRoute(route, gateway);
  const wide = primaries(index, link).filter((own) => scopeOf(own) <= routeScope);
  const near = gateway === undefined ? undefined : wide.find((own) => holds(own, gateway));
  const chosen = near ?? wide[0] ?? elsewhere(index, routeScope);
  return chosen?.address.address;
}

/** A route by a gateway is of global scope, one by a link alone of link scope, unless it was made with another. */
function scopeOfRoute({ opaque }: Route, gateway: Address | undefined): number {
  const named = opaque?.scope;
  return typeof named === 'number' ? named : gateway === undefined ? LINK_SCOPE : 0;
}

/** The first of any link, lo being the first of them; never one of link scope (in_dev_select_addr). */
function elsewhere(index: RouteIndex, routeScope: number): LinkAddress | undefined {
  for (const link of index.links.keys()) {
    const found = primaries(index, link).find((own) => scopeOf(own) !== LINK_SCOPE && scopeOf(own) <= routeScope);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The IPv4 addresses of a link without the secondary ones: those after another of the same network (__inet_insert_ifa). */
function primaries(index: RouteIndex, link: string | undefined): readonly LinkAddress[] {
  const all = (index.addresses.get(link ?? '') ?? []).filter(({ address }) => address.address.family === 4);
  return all.filter(
    (own, at) =>
      !all.slice(0, at).some((other) => other.address.length === own.address.length && holds(other, far(own))),
  );
}

/** The address that names the network: the peer's where there is one (IFA_ADDRESS). */
const far = ({ peer, address }: LinkAddress): Address => peer ?? address.address;

const holds = (own: LinkAddress, address: Address): boolean =>
  containsAddress(networkOf({ address: far(own), length: own.address.length }), address);

/** ipv6_dev_get_saddr (net/ipv6/addrconf.c), which follows RFC 6724, 5. */
function selectSource6(index: RouteIndex, link: string | undefined, destination: Address): Address | undefined {
  const linkOnly = scope6(destination) <= LINK_LOCAL || addressScope(destination) === 'multicast';
  const links = linkOnly && link !== undefined ? [link] : [...index.links.keys()];
  const candidates = links
    .flatMap((name) => index.addresses.get(name) ?? [])
    .filter(({ address, tentative }) => address.address.family === 6 && tentative !== true);
  const [best, other] = [true, false].map((preferTemporary) => {
    const scores = candidates.map((own) => score6(index, own, link, destination, preferTemporary));
    return candidates.reduce<number | undefined>((leader, _, at) => {
      if (leader === undefined) return at;
      return isHigher(scores[at] ?? [], scores[leader] ?? []) ? at : leader;
    }, undefined);
  });
  // Where use_tempaddr is known both are scored by it, and are equal.
  return best === undefined || best !== other ? undefined : candidates[best]?.address.address;
}

/** One number a rule, the first that differs decides, the higher wins. */
function score6(
  index: RouteIndex,
  own: LinkAddress,
  link: string | undefined,
  destination: Address,
  preferTemporary: boolean,
): readonly number[] {
  const { address, length } = own.address;
  const scope = scope6(address);
  const known = index.sysctls.get(`net/ipv6/conf/${own.link}/use_tempaddr`);
  const wantsTemporary = known === undefined ? preferTemporary : Number(known) >= 2;
  return [
    sameAddress(address, destination) ? 1 : 0,
    // The smallest scope that is enough, else the largest.
    scope >= scope6(destination) ? -scope : scope - 128,
    own.deprecated === true && addressScope(address) !== 'loopback' ? 0 : 1,
    link === undefined || own.link === link ? 1 : 0,
    labelOf(address) === labelOf(destination) ? 1 : 0,
    (own.temporary === true) === wantsTemporary ? 1 : 0,
    Math.min(commonBits(address, destination), length),
  ];
}

function isHigher(left: readonly number[], right: readonly number[]): boolean {
  const at = left.findIndex((score, rule) => score !== right[rule]);
  return at !== -1 && (left[at] ?? 0) > (right[at] ?? 0);
}

const LINK_LOCAL = 2;

/** __ipv6_addr_type: unique local addresses are of global scope, the loopback address is link-local; a multicast one carries its scope. */
function scope6(address: Address): number {
  const scope = addressScope(address);
  if (scope === 'loopback' || scope === 'linkLocal') return LINK_LOCAL;
  if (scope === 'siteLocal') return 5;
  return scope === 'multicast' ? Number((address.value >> 112n) & 0xfn) : 14;
}

/** The kernel's default policy table (net/ipv6/addrlabel.c), the longest first; `ip addrlabel` may change it. */
const LABELS = ['::1/128', '::ffff:0:0/96', '::/96', '2001::/32', '2001:10::/28', '2002::/16', 'fc00::/7'].flatMap(
  (text) => parsePrefix(text) ?? [],
);

const labels = new WeakMap<Address, number>();

/** Asked for the same few addresses again and again. */
function labelOf(address: Address): number {
  const known = labels.get(address);
  if (known !== undefined) return known;
  const label = LABELS.findIndex((prefix) => containsAddress(prefix, address));
  labels.set(address, label);
  return label;
}

const commonBits = (left: Address, right: Address): number => {
  const difference = left.value ^ right.value;
  return difference === 0n ? 128 : 128 - difference.toString(2).length;
};
