/** The kernel's route lookup as a function: rules by priority, the longest prefix, the least metric, the source address. */
import {
  type Address,
  addressScope,
  containsAddress,
  type Family,
  type Prefix,
  parsePrefix,
  printAddress,
  sameAddress,
} from '../net/index.ts';
import { printRoute, printRule } from './print.ts';
import { type RouteIndex, routesTo } from './route-index.ts';
import { selectSource } from './source.ts';
import { LOCAL_TABLE, leadsNowhere, MAIN_TABLE, type Nexthop, type Route, type RoutingRule } from './state.ts';

export interface Flow {
  readonly destination: Address;
  /** Absent: a local socket that has not chosen one. */
  readonly source?: Address;
  /** The packet's mark; 0 unless given. */
  readonly mark?: number;
  /** The link it came in by. Absent: made on this host. */
  readonly iif?: string;
  /** The link a local socket is bound to. Counts only without `iif`. */
  readonly oif?: string;
  /** What rules with `ipproto`, `sport` and `dport` ask for. Absent: not known. */
  readonly transport?: Transport;
  /** Whose socket sends it, for rules with `uidrange`. Absent: not known. What comes in by a link is root's (ip_route_input_slow). */
  readonly uid?: number;
}

export interface Transport {
  /** 6 TCP, 17 UDP. */
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export type RouteResult =
  | {
      readonly kind: 'route';
      readonly rule: RoutingRule;
      readonly route: Route;
      readonly link: string;
      /** Absent: the destination is a neighbour on the link. */
      readonly gateway?: Address;
      /** The flow's own, else the one the kernel chooses; absent where it has none or its choice is not known. */
      readonly source?: Address;
      /** All usable next hops of a multipath route, of which a hash chooses one; `link` and `gateway` are the first's. */
      readonly choices?: readonly Nexthop[];
    }
  /** To this host itself. */
  | { readonly kind: 'local'; readonly rule: RoutingRule; readonly route: Route; readonly source?: Address }
  /** Refused: by a route of that type, by a rule (then no route), or unreachable because nothing matched (then neither). */
  | { readonly kind: 'unreachable' | 'blackhole' | 'prohibit'; readonly rule?: RoutingRule; readonly route?: Route }
  | { readonly kind: 'undecided'; readonly why: string };

type Undecided = Extract<RouteResult, { readonly kind: 'undecided' }>;

/**
 * Where the kernel sends a packet: the answer of `ip route get`. Whether it may come in at all is checkReversePath's to say, and
 * whether it is forwarded the sysctl's. An IPv4 socket that connects asks twice, the second time with the source of the first
 * answer (ip_route_connect); an IPv6 one only where the first found nothing (ip6_dst_lookup_tail).
 */
export function lookupRoute(index: RouteIndex, flow: Flow): RouteResult {
  const { destination } = flow;
  const scope = addressScope(destination);
  if (scope === 'multicast' || scope === 'broadcast') return undecided(`${printAddress(destination)} is ${scope}`);
  const result = walkRules(index, flow);
  const refused = result.kind === 'unreachable' || result.kind === 'blackhole' || result.kind === 'prohibit';
  if (refused && destination.family === 4 && flow.iif === undefined && flow.oif !== undefined) {
    // ip_route_output_key_hash_rcu: "Apparently, routing tables are wrong. Assume, that the destination is on link."
    return undecided(`no route by ${flow.oif}, to which the socket is bound: the kernel looks for a neighbour there`);
  }
  return result;
}

function walkRules(index: RouteIndex, flow: Flow): RouteResult {
  const rules = index.rules[flow.destination.family];
  for (let at = 0; at < rules.length; at++) {
    const rule = rules[at];
    if (rule === undefined) break;
    const matches = ruleMatches(index, rule, flow);
    if (matches === 'unknown') return undecided(`rule not modelled: ${printRule(rule)}`);
    if (!matches) continue;
    const { action } = rule;
    switch (action.kind) {
      case 'nop':
        continue;
      case 'goto': {
        // Without its target the rule does nothing. A jump is only ever forward (fib_nl_newrule).
        const target = rules.findIndex(({ priority }) => priority === action.priority);
        if (target > at) at = target - 1;
        continue;
      }
      case 'unreachable':
      case 'blackhole':
      case 'prohibit':
        return { kind: action.kind, rule };
      case 'opaque':
        return undecided(`rule not modelled: ${printRule(rule)}`);
      case 'lookup': {
        const result = lookupTable(index, rule, action.table, flow);
        if (result === undefined) continue;
        if (isSuppressed(result, action.suppressPrefixLength)) continue;
        if (result.kind !== 'undecided' && rule.opaque?.suppress_ifgroup !== undefined) {
          return undecided(`rule not modelled: ${printRule(rule)}`);
        }
        return result;
      }
    }
  }
  return { kind: 'unreachable' };
}

const undecided = (why: string): Undecided => ({ kind: 'undecided', why });

/** suppress_prefixlength takes back what was found, not what was refused (fib_rules_lookup). */
const isSuppressed = (result: RouteResult, length: number | undefined): boolean =>
  length !== undefined &&
  (result.kind === 'route' || result.kind === 'local') &&
  result.route.destination.length <= length;

/** Change nothing of whether a rule matches: realms mark for `tc`, suppress_ifgroup comes after the lookup. */
const NO_SELECTORS = new Set(['flow_from', 'flow_to', 'suppress_ifgroup']);

function ruleMatches(index: RouteIndex, rule: RoutingRule, flow: Flow): boolean | 'unknown' {
  const selected = selectorsMatch(index, rule, flow);
  if (!selected || rule.opaque === undefined) return selected !== (rule.not === true);
  const matches = opaqueMatches(index, rule.opaque, flow);
  return matches === 'unknown' ? matches : matches !== (rule.not === true);
}

const PORTS = ['sport', 'dport'] as const;
const TRANSPORT = new Set(['ipproto', ...PORTS.flatMap((name) => [name, `${name}_start`, `${name}_end`])]);

/**
 * Whether protocol and ports of what came in are known to the rules: only once one asks for them that is not for packets made here
 * (fib_rule_requires_fldissect). Without that none has them, on its way back neither (__fib_validate_source).
 */
export const dissects = ({ rules }: RouteIndex, family: Family): boolean =>
  rules[family].some(({ iif, opaque = {} }) => iif !== 'lo' && Object.keys(opaque).some((name) => TRANSPORT.has(name)));

/** The rest of fib_rule_match; whatever else a rule may select by is not modelled. */
function opaqueMatches(index: RouteIndex, opaque: Readonly<Record<string, unknown>>, flow: Flow): boolean | 'unknown' {
  const asked = Object.keys(opaque).filter((name) => !NO_SELECTORS.has(name));
  const parts = [
    ...(asked.some((name) => TRANSPORT.has(name)) ? [transportMatches(opaque, flow.transport)] : []),
    ...(asked.some((name) => UID.has(name)) ? [uidMatches(opaque, flow)] : []),
    ...(asked.includes('tun_id') ? [mayBearTunnelKey(index, flow) ? ('unknown' as const) : false] : []),
    ...(asked.some((name) => name !== 'tun_id' && !TRANSPORT.has(name) && !UID.has(name))
      ? (['unknown'] as const)
      : []),
  ];
  return parts.includes(false) ? false : parts.includes('unknown') ? 'unknown' : true;
}

const UID = new Set(['uid_start', 'uid_end']);

function uidMatches(
  { uid_start: start, uid_end: end }: Readonly<Record<string, unknown>>,
  flow: Flow,
): boolean | 'unknown' {
  const uid = flow.uid ?? (flow.iif === undefined ? undefined : 0);
  if (uid === undefined || typeof start !== 'number' || typeof end !== 'number') return 'unknown';
  return uid >= start && uid <= end;
}

/** Only what came by a link that keeps its tunnel's key beside the packet (`external`), which these kinds may. */
const mayBearTunnelKey = ({ links }: RouteIndex, { iif }: Flow): boolean =>
  iif !== undefined && /vxlan|geneve|gre|erspan|ip6?tnl|ipip|sit|xfrm|bareudp/.test(links.get(iif)?.kind ?? 'vxlan');

/** fib_rule_match's ip_proto and fib_rule_port_inrange. */
function transportMatches(
  opaque: Readonly<Record<string, unknown>>,
  transport: Transport | undefined,
): boolean | 'unknown' {
  if (transport === undefined) return 'unknown';
  if (opaque.ipproto !== undefined) {
    const number = protocolNumber(opaque.ipproto);
    if (number === undefined) return 'unknown';
    if (number !== transport.protocol) return false;
  }
  for (const name of PORTS) {
    const [first, last] = [opaque[`${name}_start`] ?? opaque[name], opaque[`${name}_end`] ?? opaque[name]];
    if (first === undefined) continue;
    if (typeof first !== 'number' || typeof last !== 'number') return 'unknown';
    const port = name === 'sport' ? transport.sourcePort : transport.destinationPort;
    if (port < first || port > last) return false;
  }
  return true;
}

/** What the rules of that family that ask for ports say to these: flows with one answer meet the same of them. */
export function portRuleAnswers({ rules }: RouteIndex, family: 4 | 6, transport: Transport): string {
  let answers = '';
  for (const { opaque } of rules[family])
    if (opaque !== undefined && Object.keys(opaque).some((name) => /^[sd]port/.test(name)))
      answers += `${transportMatches(opaque, transport)},`;
  return answers;
}

const PROTOCOL_NUMBERS: ReadonlyMap<string, number> = new Map([
  ...([
    ['tcp', 6],
    ['udp', 17],
    ['icmp', 1],
    ['ipv6-icmp', 58],
  ] as const),
]);

/** `udp`, or `ipproto-17` where names are not asked for (inet_proto_n2a). */
function protocolNumber(name: unknown): number | undefined {
  const known = typeof name === 'string' ? PROTOCOL_NUMBERS.get(name) : undefined;
  if (known !== undefined) return known;
  const number = typeof name === 'string' ? /^ipproto-(\d+)$/.exec(name)?.[1] : undefined;
  return number === undefined ? undefined : Number(number);
}

/** fib_rule_match and fib4/fib6_rule_match. A rule that names a link which does not exist matches nothing. */
function selectorsMatch(index: RouteIndex, rule: RoutingRule, flow: Flow): boolean {
  const { iif, oif, mark, from, to } = rule;
  // To the kernel a packet made here comes in by lo.
  if (iif !== undefined && !(iif === (flow.iif ?? 'lo') && index.links.has(iif))) return false;
  if (oif !== undefined && !(flow.iif === undefined && oif === flow.oif && index.links.has(oif))) return false;
  if (mark !== undefined && ((mark.value ^ (flow.mark ?? 0)) & mark.mask) !== 0) return false;
  if (to !== undefined && !containsAddress(to, flow.destination)) return false;
  if (from !== undefined && !fromMatches(from, flow.source)) return false;
  // The rule of all VRFs: only for what comes or goes by one.
  return !isL3mdev(rule) || isInVrf(index, flow.iif ?? flow.oif);
}

/** No source yet is 0.0.0.0 to IPv4; to IPv6 it matches no prefix but ::/0. */
const fromMatches = (from: Prefix, source: Address | undefined): boolean => {
  if (from.length === 0) return true;
  if (source !== undefined) return containsAddress(from, source);
  return from.address.family === 4 && containsAddress(from, { family: 4, value: 0n });
};

const isL3mdev = ({ action }: RoutingRule): boolean =>
  action.kind === 'opaque' && typeof action.json === 'object' && action.json !== null && 'l3mdev' in action.json;

function isInVrf(index: RouteIndex, name: string | undefined): boolean {
  const link = index.links.get(name ?? '');
  return link?.kind === 'vrf' || (link?.master !== undefined && index.links.get(link.master)?.kind === 'vrf');
}

/** What one table says; undefined where it has no route, and the next rule is asked. */
function lookupTable(index: RouteIndex, rule: RoutingRule, table: number, flow: Flow): RouteResult | undefined {
  if (mayBeOneTable(index, rule, flow))
    return undecided('whether local and main are one table: no rule was ever added');
  for (const routes of routesTo(index, table, flow.destination)) {
    const found = flow.destination.family === 4 ? choose4(index, routes, flow) : choose6(index, routes, flow);
    if (found === undefined) continue;
    if ('kind' in found) return found;
    if (found.route.type === 'throw') return undefined;
    return resultOf(index, rule, found.route, found.nexthops, flow);
  }
  return undefined;
}

/**
 * While nobody has added an IPv4 rule, local and main are one trie and the longest prefix of both wins (fib_trie.c, fib_trie_unmerge);
 * after it local comes first for ever. The rules alone cannot tell, so a longer prefix in main is undecided.
 */
function mayBeOneTable(index: RouteIndex, rule: RoutingRule, { destination }: Flow): boolean {
  const rules = index.rules[4];
  if (destination.family !== 4 || rule !== rules[0] || rules.some(({ protocol }) => protocol !== 2)) return false;
  const [local, main] = [LOCAL_TABLE, MAIN_TABLE].map((table) => routesTo(index, table, destination)[0]?.[0]);
  return local !== undefined && main !== undefined && main.destination.length > local.destination.length;
}

interface Found {
  readonly route: Route;
  readonly nexthops: readonly Nexthop[];
}

/** fib_table_lookup for the routes of one prefix: the first with a usable next hop, where a bound socket wants its link. */
function choose4(index: RouteIndex, routes: readonly Route[], flow: Flow): Found | Undecided | undefined {
  const bound = flow.iif === undefined ? flow.oif : undefined;
  for (const [at, route] of routes.entries()) {
    const relevant = isRelevant(route, flow);
    if (relevant === 'unknown') return undecided(`route not modelled: ${printRoute(route)}`);
    if (!relevant) continue;
    if (leadsNowhere(route.type)) return { route, nexthops: [] };
    const nexthops = usable(index, route).filter(({ link }) => bound === undefined || link === bound);
    if (nexthops.length === 0) continue;
    // Of default routes by gateways with one metric the kernel takes one whose gateway answers ARP (fib_select_default).
    const rival = routes[at + 1];
    if (route.destination.length === 0 && rival !== undefined && rival.metric === route.metric && bound === undefined) {
      return undecided(`two routes alike: ${printRoute(route)} and ${printRoute(rival)}`);
    }
    return { route, nexthops: bound === undefined ? nexthops : nexthops.slice(0, 1) };
  }
  return undefined;
}

/** find_rr_leaf for the routes of one prefix: the least metric with a usable route, there the best score. */
function choose6(index: RouteIndex, routes: readonly Route[], flow: Flow): Found | Undecided | undefined {
  const link = flow.iif ?? flow.oif;
  // Strict: a link-local destination or ::1 (rt6_need_strict), or a bound socket without a source (ip6_route_output_flags). Else the link
  // is preferred only.
  const strict =
    addressScope(flow.destination) === 'linkLocal' ||
    flow.destination.value === 1n ||
    (flow.iif === undefined && flow.oif !== undefined && flow.source === undefined);
  const candidates: (Found & { readonly score: number })[] = [];
  for (const route of routes) {
    if (candidates[0] !== undefined && candidates[0].route.metric !== route.metric) break;
    const relevant = isRelevant(route, flow);
    if (relevant === 'unknown') return undecided(`route not modelled: ${printRoute(route)}`);
    if (!relevant) continue;
    const all = leadsNowhere(route.type) ? [{ link: 'lo' }] : usable(index, route);
    const byLink = all.filter((nexthop) => link === undefined || nexthop.link === link);
    const nexthops = strict ? byLink : all;
    if (nexthops.length > 0)
      candidates.push({ route, nexthops, score: (byLink.length > 0 ? 2 : 0) + preference(route) });
  }
  const [best, rival] = candidates.toSorted((left, right) => right.score - left.score);
  // Whether a gateway is known to be dead weighs more than the score (rt6_check_neigh), and only the kernel knows it.
  if (best !== undefined && rival !== undefined && [...best.nexthops, ...rival.nexthops].some((one) => one.gateway)) {
    return undecided(`two routes alike: ${printRoute(best.route)} and ${printRoute(rival.route)}`);
  }
  return best;
}

/** RFC 4191's router preference, as rt6_score_route weighs it. */
const preference = ({ opaque }: Route): number => (opaque?.pref === 'high' ? 12 : opaque?.pref === 'low' ? 4 : 8);

/** Do not decide where a packet goes: a next hop object is printed expanded too, metrics are for the transport. */
const NO_MATTER = new Set(['nhid', 'metrics', 'scope', 'pref', 'flow', 'realm']);

/** Whether the route counts for the flow. `from` (IPv6 subtrees) is compared; type of service and whatever else is unknown. */
function isRelevant({ opaque }: Route, { source }: Flow): boolean | 'unknown' {
  if (opaque === undefined) return true;
  const from = typeof opaque.from === 'string' ? parsePrefix(opaque.from) : undefined;
  if (from !== undefined && source !== undefined && !containsAddress(from, source)) return false;
  return Object.keys(opaque).every((name) => NO_MATTER.has(name)) ? true : 'unknown';
}

/** The next hops whose link is there and up. The host's own addresses are its own on a link that is down, too. */
const usable = (index: RouteIndex, route: Route): readonly Nexthop[] =>
  (route.nexthops ?? [route]).filter(({ link: name }) => {
    const link = index.links.get(name ?? '');
    return link !== undefined && (link.up || route.type === 'local');
  });

/** The same by whichever next hop; undefined where it depends on which the hash chooses. */
function sourceOf(
  index: RouteIndex,
  route: Route,
  nexthops: readonly Nexthop[],
  destination: Address,
): Address | undefined {
  const [source, ...others] = nexthops.map((nexthop) => selectSource(index, route, nexthop, destination));
  return source !== undefined && others.every((other) => other !== undefined && sameAddress(other, source))
    ? source
    : undefined;
}

function resultOf(
  index: RouteIndex,
  rule: RoutingRule,
  route: Route,
  nexthops: readonly Nexthop[],
  flow: Flow,
): RouteResult {
  const { type } = route;
  if (type === 'unreachable' || type === 'blackhole' || type === 'prohibit') return { kind: type, rule, route };
  const [nexthop] = nexthops;
  if (type === 'broadcast' || type === 'multicast') return undecided(`${type}: ${printRoute(route)}`);
  const chosen = flow.source ?? sourceOf(index, route, nexthops, flow.destination);
  const source = chosen === undefined ? {} : { source: chosen };
  if (type === 'local' || type === 'anycast') return { kind: 'local', rule, route, ...source };
  if (nexthop?.link === undefined) return undecided(`no link: ${printRoute(route)}`);
  return {
    ...{ kind: 'route', rule, route, link: nexthop.link },
    ...(nexthop.gateway !== undefined && { gateway: nexthop.gateway }),
    ...source,
    ...(nexthops.length > 1 && { choices: nexthops }),
  };
}
