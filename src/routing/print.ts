/** Display text for people, in `ip`'s own words. Commands are made by arguments.ts; nothing reads these texts again. */
import { type Family, type Prefix, printAddress, printInterfaceAddress, printPrefix } from '../net/index.ts';
import { printMark } from './arguments.ts';
import { protocolName, tableName } from './numbers.ts';
import type { Link, LinkAddress, Nexthop, Route, RoutingRule, RuleAction } from './state.ts';

/** `default via 10.0.0.254 dev eth0 table 5001 proto 83 src 10.0.0.1 metric 50`; the table is left out where it is main. */
export function printRoute(route: Route): string {
  const { type, table, protocol, metric, source, mtu, nexthops, opaque } = route;
  const { family } = route.destination.address;
  const usualMetric = family === 4 ? 0 : 1024;
  return words(
    type !== 'unicast' && type,
    printDestination(route.destination),
    nexthops === undefined && printNexthop(route, family),
    tableName(table) !== 'main' && `table ${tableName(table)}`,
    `proto ${protocolName(protocol)}`,
    source && `src ${printAddress(source)}`,
    metric !== usualMetric && `metric ${metric}`,
    nexthops === undefined && route.onlink === true && 'onlink',
    mtu !== undefined && `mtu ${mtu}`,
    nexthops?.map((nexthop) => printPath(nexthop, family)).join(' '),
    opaque && printOpaque(opaque),
  );
}

const printDestination = (destination: Prefix): string =>
  destination.length === 0 ? 'default' : printPrefix(destination);

const printNexthop = ({ gateway, link }: Nexthop, family: Family): string =>
  words(
    gateway && (gateway.family === family ? 'via' : 'via inet6'),
    gateway && printAddress(gateway),
    link && `dev ${link}`,
  );

const printPath = (nexthop: Nexthop, family: Family): string =>
  words('nexthop', printNexthop(nexthop, family), `weight ${nexthop.weight ?? 1}`, nexthop.onlink === true && 'onlink');

/** `5001: from all fwmark 0x10000/0xff0000 lookup 5001 proto 83`. */
export function printRule(rule: RoutingRule): string {
  const { priority, not, from, to, mark, iif, oif, action, protocol, opaque } = rule;
  return words(
    `${priority}:`,
    not === true && 'not',
    `from ${from === undefined ? 'all' : printPrefix(from)}`,
    to && `to ${printPrefix(to)}`,
    mark && `fwmark ${printMark(mark)}`,
    iif && `iif ${iif}`,
    oif && `oif ${oif}`,
    opaque && printOpaque(opaque),
    printAction(action),
    protocol !== 0 && `proto ${protocolName(protocol)}`,
  );
}

function printAction(action: RuleAction): string {
  switch (action.kind) {
    case 'lookup': {
      const { table, suppressPrefixLength: length } = action;
      return words(`lookup ${tableName(table)}`, length !== undefined && `suppress_prefixlength ${length}`);
    }
    case 'goto':
      return `goto ${action.priority}`;
    case 'nop':
    case 'blackhole':
    case 'unreachable':
    case 'prohibit':
      return action.kind;
    case 'opaque':
      return JSON.stringify(action.json);
  }
}

/** `sp-edge vxlan id 42 local 10.0.0.1 remote 10.0.0.2 dstport 4789 mtu 1450 up`. */
export function printLink({ name, kind, vxlan, outer, mtu, up, master, alias }: Link): string {
  return words(
    name,
    kind,
    vxlan && `id ${vxlan.vni}`,
    vxlan?.local && `local ${printAddress(vxlan.local)}`,
    vxlan?.remote && `remote ${printAddress(vxlan.remote)}`,
    vxlan && `dstport ${vxlan.port}`,
    outer && `local ${printAddress(outer.local)}`,
    outer && `remote ${printAddress(outer.remote)}`,
    `mtu ${mtu}`,
    master && `master ${master}`,
    alias && `alias ${alias}`,
    up ? 'up' : 'down',
  );
}

/** `10.90.0.1/30 dev sp-edge`. */
export function printLinkAddress(address: LinkAddress): string {
  const { link, peer, scope, dynamic, temporary, deprecated, tentative } = address;
  const { address: own, length } = address.address;
  return words(
    peer === undefined
      ? printInterfaceAddress(address.address)
      : `${printAddress(own)} peer ${printInterfaceAddress({ address: peer, length })}`,
    `dev ${link}`,
    scope !== 'global' && `scope ${scope}`,
    dynamic && 'dynamic',
    temporary && 'temporary',
    deprecated && 'deprecated',
    tentative && 'tentative',
  );
}

/** What is not modelled, as `ip -j` names it: `tos 0x10`. */
const printOpaque = (opaque: Readonly<Record<string, unknown>>): string =>
  Object.entries(opaque)
    .map(([name, value]) => words(name, value !== null && (typeof value === 'string' ? value : JSON.stringify(value))))
    .join(' ');

const words = (...parts: readonly (string | false | undefined)[]): string =>
  parts.filter((part) => part !== false && part !== undefined && part !== '').join(' ');
