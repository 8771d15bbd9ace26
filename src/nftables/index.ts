export {
  accept,
  address,
  addTo,
  and,
  anonymousMap,
  anonymousSet,
  assign,
  baseChain,
  concat,
  connectionsOver,
  counter,
  ct,
  dnat,
  drop,
  fib,
  flags,
  flowAdd,
  goTo,
  hash,
  join,
  jump,
  lookup,
  mapElement,
  masquerade,
  match,
  meta,
  notrack,
  number,
  or,
  payload,
  prefix,
  range,
  rateOver,
  redirect,
  regularChain,
  reject,
  returnVerdict,
  rt,
  rule,
  setElement,
  setReference,
  snat,
  symbol,
  tcpOption,
  text,
  update,
  updateMap,
  verdictMap,
  wildcard,
  xor,
} from './build.ts';
export type { ConntrackEntry, Expectation } from './conntrack.ts';
export { CONNTRACK_COMMANDS, CONNTRACK_STATUS, readConntrack } from './conntrack.ts';
export { normalProtocol } from './datatype.ts';
export { CHAINS_COMMAND, lackDevices, withDevices } from './devices.ts';
export { diffTable } from './diff.ts';
export { noteElements } from './elements-by-port.ts';
export type { ChainSelection, PreparedRuleset } from './evaluate.ts';
export {
  asksWhoAndWhere,
  evaluate,
  portAnswers,
  prepareRuleset,
  printReference,
  standsAt,
  tellsAnswersApart,
} from './evaluate.ts';
export { SEEN_BEFORE } from './evaluate-affinity.ts';
export { jhash, reciprocalScale } from './evaluate-hash.ts';
export type {
  AddressType,
  ConnectionContext,
  Evaluation,
  PacketChanges,
  PacketContext,
  PortRange,
  RuleReference,
  SocketPlace,
  SocketSight,
  Translation,
  Tuple,
  ZoneSet,
} from './evaluate-packet.ts';
export { addsFlows, fastPathOf, withFlowtables } from './flowtable.ts';
export { normalTable } from './normal.ts';
export { printChainHeader, printElement, printFlowtable, printTable } from './print.ts';
export { printExpression, printValue, printVerdict } from './print-expression.ts';
export { printRule, printStatement } from './print-statement.ts';
export { RulesetReadError, readRuleset } from './read.ts';
export type {
  BaseChain,
  Chain,
  CompareOperator,
  DataType,
  Expression,
  Flowtable,
  Hook,
  MapElement,
  NamedMap,
  NamedSet,
  RegularChain,
  Rule,
  RulesetChange,
  RulesetObject,
  SetElement,
  SetFlag,
  Statement,
  Table,
  TableFamily,
  Value,
  Verdict,
} from './ruleset.ts';
export { printRuleExchange, printTransaction } from './transaction.ts';
