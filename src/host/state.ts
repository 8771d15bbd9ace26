/** One host's network state: what stands there, or what should. */
import type { Table } from '../nftables/index.ts';
import type { Link, LinkAddress, Route, RoutingRule, Sysctls } from '../routing/index.ts';
import type { WireGuardDevice } from '../wireguard/index.ts';
import type { ForeignAccept } from './accept.ts';

export interface HostState {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  readonly rules: readonly RoutingRule[];
  readonly sysctls: Sysctls;
  readonly devices: readonly WireGuardDevice[];
  readonly tables: readonly Table[];
  /** What stands of ours in the firewalls of others; where those are tables, it is a part of `tables` too. */
  readonly accepts: readonly ForeignAccept[];
  /** Files that tell network daemons to leave ours alone, by path: the text of those that stand, whoever wrote them. */
  readonly files: ReadonlyMap<string, string>;
}

export const EMPTY_STATE: HostState = {
  links: [],
  addresses: [],
  routes: [],
  rules: [],
  sysctls: new Map(),
  devices: [],
  tables: [],
  accepts: [],
  files: new Map(),
};
