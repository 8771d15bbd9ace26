/** What `ip` is told: argument vectors without the leading `ip`, for one command or as lines of a batch (batch.ts). */
import {
  type Family,
  type Prefix,
  printAddress,
  printInterfaceAddress,
  printPrefix,
  sameAddress,
} from '../net/index.ts';
import {
  isOuterKind,
  type Link,
  type LinkAddress,
  type Nexthop,
  type Outer,
  type OuterKind,
  type Route,
  type RoutingRule,
  type RuleAction,
  type Vxlan,
} from './state.ts';

/**
 * Makes a link of kind `wireguard` (the kernel's), `vxlan` or one of OUTER_KINDS, with its MTU, up if the link is. An alias is set by changeLinkArguments.
 * Throws a TypeError for another kind: it is only observed.
 */
export function addLinkArguments(link: Link): readonly string[] {
  return [
    'link',
    'add',
    'name',
    link.name,
    'mtu',
    String(link.mtu),
    ...(link.up ? ['up'] : []),
    'type',
    ...kindWords(link),
  ];
}

function kindWords(link: Link): readonly string[] {
  if (link.kind === 'wireguard') return ['wireguard'];
  if (link.kind === 'vxlan' && link.vxlan !== undefined) return ['vxlan', ...vxlanWords(link.vxlan)];
  if (isOuterKind(link.kind) && link.outer !== undefined) return [link.kind, ...outerWords(link.kind, link.outer)];
  throw new TypeError(`${link.name}: a link of kind ${link.kind} is only observed, it cannot be made`);
}

/** `nolearning`: a tunnel has one other end, and what a stranger sends from elsewhere must not move a MAC address there. */
const vxlanWords = ({ vni, local, remote, port }: Vxlan): readonly string[] => [
  ...['id', String(vni)],
  ...(local === undefined ? [] : ['local', printAddress(local)]),
  ...(remote === undefined ? [] : ['remote', printAddress(remote)]),
  ...['dstport', String(port), 'nolearning'],
];

/** Hops as for a packet of the host's own, whatever the inner one has left; IPv6 without the option that costs 8 bytes (RFC 2473, 4.1.1). */
const outerWords = (kind: OuterKind, { local, remote }: Outer): readonly string[] => [
  ...(kind === 'sit' || kind === 'ip6tnl' ? ['mode', 'any'] : []),
  ...['local', printAddress(local), 'remote', printAddress(remote)],
  ...(local.family === 4 ? ['ttl', '64'] : ['hoplimit', '64', 'encaplimit', 'none']),
];

const sameOuter = (left: Outer | undefined, right: Outer | undefined): boolean =>
  left === right ||
  (left !== undefined &&
    right !== undefined &&
    sameAddress(left.local, right.local) &&
    sameAddress(left.remote, right.remote));

export const removeLinkArguments = (link: Link): readonly string[] => ['link', 'delete', 'dev', link.name];

/** Changes MTU, up or down, and alias in place. Throws a TypeError where more than that differs. */
export function changeLinkArguments(before: Link, after: Link): readonly string[] {
  const isSame =
    before.kind === after.kind && sameVxlan(before.vxlan, after.vxlan) && sameOuter(before.outer, after.outer);
  if (before.name !== after.name || !isSame) {
    throw new TypeError(`${before.name}: only MTU, alias, up and down of a link can change in place`);
  }
  return [
    ...['link', 'set', 'dev', after.name],
    ...(before.mtu === after.mtu ? [] : ['mtu', String(after.mtu)]),
    ...((before.alias ?? '') === (after.alias ?? '') ? [] : ['alias', after.alias ?? '']),
    ...(before.up === after.up ? [] : [after.up ? 'up' : 'down']),
  ];
}

const sameVxlan = (left: Vxlan | undefined, right: Vxlan | undefined): boolean =>
  left === right ||
  (left !== undefined && right !== undefined && vxlanWords(left).join(' ') === vxlanWords(right).join(' '));

/** Without duplicate address detection: a tunnel has nobody who could answer, and the address would be unusable for a second. */
export const addAddressArguments = (address: LinkAddress): readonly string[] => [
  ...['address', 'add', ...addressWords(address)],
  ...(address.address.address.family === 6 ? ['nodad'] : []),
];

export const removeAddressArguments = (address: LinkAddress): readonly string[] => [
  ...['address', 'delete', ...addressWords(address)],
];

/** With a peer the length belongs to the peer's address. IPv6 scopes are the kernel's to choose. */
function addressWords({ link, address, peer, scope }: LinkAddress): readonly string[] {
  const own = printInterfaceAddress(address);
  return [
    ...(peer === undefined || sameAddress(peer, address.address)
      ? [own]
      : [printAddress(address.address), 'peer', printInterfaceAddress({ address: peer, length: address.length })]),
    ...['dev', link],
    ...(address.address.family === 4 && scope !== 'global' ? ['scope', scope] : []),
  ];
}

/** Throws a TypeError for a route with fields that are not modelled: it is only observed. */
export const addRouteArguments = (route: Route): readonly string[] => ['route', 'add', ...routeWords(route)];

/** Names everything, so that no other route is meant. Throws as addRouteArguments. */
export const removeRouteArguments = (route: Route): readonly string[] => ['route', 'delete', ...routeWords(route)];

function routeWords(route: Route): readonly string[] {
  refuseOpaque(`route ${printPrefix(route.destination)}`, route.opaque);
  const { family } = route.destination.address;
  return [
    ...(route.type === 'unicast' ? [] : [route.type]),
    printPrefix(route.destination),
    ...(route.nexthops === undefined ? nexthopWords(route, family) : []),
    ...['table', String(route.table), 'protocol', String(route.protocol)],
    // No metric is 0 to IPv4 and 1024 to IPv6 (state.ts).
    ...(family === 4 && route.metric === 0 ? [] : ['metric', String(route.metric)]),
    ...(route.source === undefined ? [] : ['src', printAddress(route.source)]),
    ...(route.mtu === undefined ? [] : ['mtu', String(route.mtu)]),
    ...(route.nexthops ?? []).flatMap((nexthop) => ['nexthop', ...nexthopWords(nexthop, family)]),
  ];
}

const nexthopWords = ({ gateway, link, weight, onlink }: Nexthop, family: Family): readonly string[] => [
  ...(gateway === undefined ? [] : ['via', ...(gateway.family === family ? [] : ['inet6']), printAddress(gateway)]),
  ...(link === undefined ? [] : ['dev', link]),
  ...(weight === undefined ? [] : ['weight', String(weight)]),
  ...(onlink === true ? ['onlink'] : []),
];

/** Throws a TypeError for a rule with parts that are not modelled: it is only observed. */
export const addRuleArguments = (rule: RoutingRule): readonly string[] => ruleArguments('add', rule);

/** Names every selector, so that no other rule is meant. Throws as addRuleArguments. */
export const removeRuleArguments = (rule: RoutingRule): readonly string[] => ruleArguments('delete', rule);

/** Begins with the family where it is 6: unlike routes, `ip rule` takes IPv4 where an IPv6 prefix stands, and says nothing (iproute2 6.1). */
function ruleArguments(verb: 'add' | 'delete', rule: RoutingRule): readonly string[] {
  refuseOpaque(`rule ${rule.priority}`, rule.opaque);
  const { family, priority, not, from, to, mark, iif, oif, action, protocol } = rule;
  return [
    ...(family === 6 ? ['-6'] : []),
    ...['rule', verb, 'priority', String(priority)],
    ...(not === true ? ['not'] : []),
    ...selectorWords('from', from),
    ...selectorWords('to', to),
    ...(mark === undefined ? [] : ['fwmark', printMark(mark)]),
    ...(iif === undefined ? [] : ['iif', iif]),
    ...(oif === undefined ? [] : ['oif', oif]),
    ...actionWords(priority, action),
    ...['protocol', String(protocol)],
  ];
}

const selectorWords = (name: string, prefix: Prefix | undefined): readonly string[] =>
  prefix === undefined ? [] : [name, printPrefix(prefix)];

/** `0x10000/0xff0000`; without the mask where it is all bits, as `ip` prints it. */
export const printMark = ({ value, mask }: { readonly value: number; readonly mask: number }): string =>
  mask === 0xffff_ffff ? `0x${value.toString(16)}` : `0x${value.toString(16)}/0x${mask.toString(16)}`;

function actionWords(priority: number, action: RuleAction): readonly string[] {
  switch (action.kind) {
    case 'lookup':
      return [
        ...['lookup', String(action.table)],
        ...(action.suppressPrefixLength === undefined
          ? []
          : ['suppress_prefixlength', String(action.suppressPrefixLength)]),
      ];
    case 'goto':
      return ['goto', String(action.priority)];
    case 'nop':
    case 'blackhole':
    case 'unreachable':
    case 'prohibit':
      return [action.kind];
    case 'opaque':
      throw new TypeError(`rule ${priority}: only observed, cannot be written: ${JSON.stringify(action.json)}`);
  }
}

function refuseOpaque(what: string, opaque: Readonly<Record<string, unknown>> | undefined): void {
  if (opaque !== undefined) throw new TypeError(`${what}: only observed, cannot be written: ${JSON.stringify(opaque)}`);
}
