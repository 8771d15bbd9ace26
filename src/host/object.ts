/** The things on a host that a plan adds, changes or removes. */
import type { Address, Endpoint, Family, Transport } from '../net/index.ts';
import type { Rule, RulesetObject } from '../nftables/index.ts';
import type { Link, LinkAddress, Route, RoutingRule } from '../routing/index.ts';
import type { WireGuardDevice, WireGuardPeer } from '../wireguard/index.ts';
import type { AcceptPlace, ForeignAccept } from './accept.ts';
import type { Change } from './change.ts';
import type { HandedOver, HandMadeRule } from './hand-made.ts';
import type { ForwardShare } from './share.ts';
import type { HostState } from './state.ts';

export type HostObject =
  /** A link of ours, without addresses; a WireGuard link's keys and peers are objects of their own. `change` is in place: MTU, up. */
  | { readonly kind: 'link'; readonly link: Link }
  /** Private key (by the key file of the link's name), listen port and mark of a WireGuard link. `remove` does nothing: the link goes next. */
  | { readonly kind: 'device'; readonly device: Omit<WireGuardDevice, 'peers'> }
  /** `meaning`: where the name of its endpoint leads now; `wg` is told that. */
  | { readonly kind: 'peer'; readonly link: string; readonly peer: WireGuardPeer; readonly meaning?: Endpoint }
  | { readonly kind: 'address'; readonly address: LinkAddress }
  | { readonly kind: 'route'; readonly route: Route }
  /** `handMade`: somebody else's, which is taken over. */
  | { readonly kind: 'rule'; readonly rule: RoutingRule; readonly handMade?: true }
  /** A rule that somebody made by hand and the documents stand for: only ever removed. */
  | { readonly kind: 'iptables'; readonly rule: HandMadeRule }
  /**
   * Connections that such rules made, which bear no mark of ours: `add` gives them that of the forward or the tunnel that stands for the
   * rules now, so that they go on as they went. `remove` does nothing: nobody reads those marks then.
   */
  | ({ readonly kind: 'connections' } & HandedOver)
  /** Path below /proc/sys, and its value. `add`: of a link that is not there yet. `remove` does nothing: the link goes next. */
  | { readonly kind: 'sysctl'; readonly path: string; readonly value: string }
  | { readonly kind: 'nft'; readonly object: RulesetObject }
  /** Ours in another's firewall: outside of any transaction of ours. `change`: what is let through there, or where in the chain. */
  | { readonly kind: 'accept'; readonly accept: ForeignAccept }
  /**
   * Connections that bear our marks and went where the forwards before led. `remove` ends those that now lead elsewhere; `add` does
   * nothing: the next packet makes one anew. `places` is what goes, for people.
   */
  | {
      readonly kind: 'flows';
      readonly mask: number;
      readonly forwarded: number;
      readonly masqueraded: number;
      readonly places: readonly string[];
      readonly before: readonly ForwardShare[];
      readonly after: readonly ForwardShare[];
      /** Some of them may be in a flowtable. */
      readonly fastPath?: true;
    }
  /** A file of ours in the host's state folder or elsewhere; `content` is text. A key file's content is never here. */
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly content: string }
  /** The script that brings `state` back after a boot. */
  | { readonly kind: 'restore'; readonly path: string; readonly state: HostState }
  /** A rule in a chain of another's, as it is written there (`text` of iptables), behind so many rules of the chain. */
  | { readonly kind: 'foreignRule'; readonly place: RulePlace; readonly rule: Rule }
  /** All that iptables' older kind has in one of its tables, as iptables-save prints it. `change` alone. */
  | { readonly kind: 'iptablesTable'; readonly family: Family; readonly table: string; readonly content: string }
  /** One that is tracked, by what was asked. `remove` ends it: its next packet makes one anew. `add` does nothing. */
  | { readonly kind: 'connection'; readonly connection: TrackedConnection }
  /** A unit of systemd. `add` restarts it, `remove` does nothing. */
  | { readonly kind: 'unit'; readonly name: string };

/** Where in another's firewall a rule stands. */
export type RulePlace = Extract<AcceptPlace, { readonly kind: 'nft' | 'iptables' }>;

export interface TrackedConnection {
  readonly protocol: Transport;
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export type HostChange = Change<HostObject>;

export const add = (after: HostObject): HostChange => ({ action: 'add', after });
export const remove = (before: HostObject): HostChange => ({ action: 'remove', before });
