/** One host's network state: what stands there, or what should. */
import type { Table } from '../nftables/index.ts';
import type { Link, LinkAddress, Route, RoutingRule, Sysctls } from '../routing/index.ts';
import type { WireGuardDevice } from '../wireguard/index.ts';

export interface HostState {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  readonly rules: readonly RoutingRule[];
  readonly sysctls: Sysctls;
  readonly devices: readonly WireGuardDevice[];
  readonly tables: readonly Table[];
}

export const EMPTY_STATE: HostState = {
  links: [],
  addresses: [],
  routes: [],
  rules: [],
  sysctls: new Map(),
  devices: [],
  tables: [],
};
