export {
  addAddressArguments,
  addLinkArguments,
  addRouteArguments,
  addRuleArguments,
  changeLinkArguments,
  removeAddressArguments,
  removeLinkArguments,
  removeRouteArguments,
  removeRuleArguments,
} from './arguments.ts';
export type { IpBatch } from './batch.ts';
export { printBatches, printBatchLine } from './batch.ts';
export type { Flow, RouteResult, Transport } from './lookup.ts';
export { dissects, lookupRoute, portRuleAnswers } from './lookup.ts';
export { leastMtu, vxlanMtu } from './mtu.ts';
export { ownRoutes, ownRules } from './own.ts';
export { printLink, printLinkAddress, printRoute, printRule } from './print.ts';
export { learntCommand, readLearnt } from './read-learnt.ts';
export { ADDRESSES_COMMAND, LINKS_COMMAND, readAddresses, readLinks } from './read-links.ts';
export type { Neighbour } from './read-neighbours.ts';
export {
  NAMESPACES_COMMAND,
  NEIGHBOURS_COMMAND,
  readNamespaceNames,
  readNeighbours,
} from './read-neighbours.ts';
export { NEXTHOPS_COMMAND, readNexthops } from './read-nexthops.ts';
export { readRoutes, routesCommand } from './read-routes.ts';
export { readRules, rulesCommand } from './read-rules.ts';
export type { ReversePath } from './reverse-path.ts';
export { checkReversePath, REVERSE_PATH_SYSCTLS } from './reverse-path.ts';
export type { RouteIndex, RoutingTables } from './route-index.ts';
export { indexRoutes } from './route-index.ts';
export { sourceOfLink, sourceOfRefused } from './source.ts';
export type {
  Link,
  LinkAddress,
  Nexthop,
  Outer,
  OuterKind,
  Route,
  RouteType,
  RoutingRule,
  RuleAction,
  Sysctls,
  Vxlan,
} from './state.ts';
export { isOuterKind, LOCAL_TABLE, MAIN_TABLE, OUTER_KINDS, SALLYPORT_PROTOCOL, WORST_METRIC } from './state.ts';
export { isNetworkSysctl, readSysctls, sysctlCommand } from './sysctls.ts';
