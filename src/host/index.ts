export type { AcceptPlace, AcceptTraffic, ForeignAccept, WrittenTraffic } from './accept.ts';
export { ACCEPT_TAG, acceptRule, iptablesRule, placeKey, printAccept, printPlace, trafficKey } from './accept.ts';
export { FIREWALLD_FILES, FORGET_FIREWALLD, firewalldWish, readFirewalld } from './accept-firewalld.ts';
export type { OwnersFiles } from './accept-owners.ts';
export { dormantUfw, firewalldAccept, NO_OWNERS_FILES, tagOwned } from './accept-owners.ts';
export { placeIn, readAccepts, withAccepts, withoutAccepts } from './accept-tables.ts';
export type { UfwRule } from './accept-ufw.ts';
export { readUfwRules, UFW_FILES, ufwWords } from './accept-ufw.ts';
export type { Change } from './change.ts';
export { undo } from './change.ts';
export { decodeRecord, encodeRecord, nextGeneration } from './codec.ts';
export type { Daemon, OtherInit } from './daemon-files.ts';
export { DAEMON_FILES, DAEMON_FOLDERS, daemonOf, FILE_MARK, INIT_SCRIPTS, isOwnFile } from './daemon-files.ts';
export type { HostFacts, NamesOnHost, PendingChange, WireGuardSupport } from './facts.ts';
export type { HandedOver, HandMade, HandMadeRule } from './hand-made.ts';
export { besideHandMade, handMadeKey, linesOfChain, standingOf, withoutHandMade } from './hand-made.ts';
export type { HostChange, HostObject, RulePlace, TrackedConnection } from './object.ts';
export { add, remove } from './object.ts';
export { isOwnLink, isOwnTable, ownState } from './own.ts';
export type { HostNumbers, HostRecord } from './record.ts';
export { RECORD_FORMAT } from './record.ts';
export { renderState } from './render.ts';
export type {
  AcceptShare,
  ForwardPolicy,
  ForwardShare,
  ForwardTarget,
  HostShare,
  SecondLink,
  TunnelPeer,
  TunnelShare,
} from './share.ts';
export { targetsOf } from './share.ts';
export type { HostState } from './state.ts';
export { EMPTY_STATE } from './state.ts';
export { takeOver } from './take-over.ts';
export { inOwnNetwork, undoScript } from './undo-script.ts';
