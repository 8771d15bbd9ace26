/** Links, addresses, routes, rules and sysctls of one network namespace, as plain data in the kernel's own words. */
import type { Address, Family, InterfaceAddress, Prefix } from '../net/index.ts';

export interface Link {
  readonly name: string;
  /** The kernel's driver kind (`veth`, `wireguard`, `vxlan`, `tun`, `bridge`), `loopback`, or `ether` for a device without one. */
  readonly kind: string;
  readonly mtu: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Carrier present (IFF_LOWER_UP); unknown where nobody looked. */
  readonly carrier?: boolean;
  readonly index?: number;
  readonly mac?: string;
  readonly alias?: string;
  readonly master?: string;
  /** Index of the other end of a veth, or of the lower device of a VLAN or macvlan; it may be in another namespace. */
  readonly peerIndex?: number;
  /** Network namespace id (`link_netnsid`) in which `peerIndex` counts; absent means this one. */
  readonly peerNamespace?: number;
  readonly vxlan?: Vxlan;
  readonly vlan?: Vlan;
  /** Of a macvlan: `bridge`, `private`, `vepa`, `passthru`, `source`. */
  readonly macvlanMode?: string;
  /** A bridge that keeps VLANs apart by tables of its own, which nobody reads. */
  readonly vlanFiltering?: true;
  /** A bridge that has what crosses it filtered as IP, by a setting of its own (`nf_call_iptables`, `nf_call_ip6tables`). */
  readonly filtersCrossing?: readonly Family[];
  /** Of a link that wraps packets for one other address: the kinds of OUTER_KINDS. Absent where it takes any (`tunl0`). */
  readonly outer?: Outer;
}

/** The tag of a VLAN's frames. */
export interface Vlan {
  readonly id: number;
  /** `802.1Q` or `802.1ad`. */
  readonly protocol: string;
}

/** Where the outer packets of a link go, and from where. */
export interface Outer {
  readonly local: Address;
  readonly remote: Address;
}

/** Kinds of links that put one IP packet into another (ip-link(8)). */
export const OUTER_KINDS = ['ipip', 'sit', 'ip6tnl', 'gre', 'ip6gre'] as const;
export type OuterKind = (typeof OUTER_KINDS)[number];
export const isOuterKind = (kind: string): kind is OuterKind => OUTER_KINDS.some((each) => each === kind);

export interface Vxlan {
  readonly vni: number;
  readonly local?: Address;
  readonly remote?: Address;
  readonly port: number;
}

export interface LinkAddress {
  readonly link: string;
  readonly address: InterfaceAddress;
  /** Scope as `ip addr` names it: `global`, `site`, `link`, `host`. */
  readonly scope: string;
  /** Has a lifetime: DHCP, SLAAC. PPP links are dynamic too, though the kernel does not say so. */
  readonly dynamic?: boolean;
  /** IPv6 privacy address (RFC 8981). */
  readonly temporary?: boolean;
  readonly deprecated?: boolean;
  /** IPv6 duplicate detection has not passed (yet, or it failed): not a source, and not delivered to. */
  readonly tentative?: boolean;
  readonly peer?: Address;
}

export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'anycast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw';

/** Types that give an error or another table instead of a way. */
export const leadsNowhere = (type: RouteType): boolean =>
  type === 'blackhole' || type === 'unreachable' || type === 'prohibit' || type === 'throw';

export interface Nexthop {
  readonly gateway?: Address;
  readonly link?: string;
  /** Absent: 1. */
  readonly weight?: number;
  readonly onlink?: boolean;
}

export interface Route {
  /** Table number: 254 main, 255 local, 253 default (rt_tables). */
  readonly table: number;
  readonly destination: Prefix;
  readonly type: RouteType;
  readonly gateway?: Address;
  readonly link?: string;
  readonly onlink?: boolean;
  /** More than one next hop (multipath); then `gateway` and `link` are absent. */
  readonly nexthops?: readonly Nexthop[];
  /** `metric` of `ip route`; 0 where IPv4 shows none, 1024 where IPv6 shows none. */
  readonly metric: number;
  /** Preferred source (`src`). */
  readonly source?: Address;
  /** Who made it, rtnetlink(7): 2 kernel, 3 boot, 4 static, 9 ra, 16 dhcp. Sallyport's is `SALLYPORT_PROTOCOL`. */
  readonly protocol: number;
  readonly mtu?: number;
  /** Fields of `ip -j route` that are not modelled and would change what the route does. */
  readonly opaque?: Readonly<Record<string, unknown>>;
}

export type RuleAction =
  | { readonly kind: 'lookup'; readonly table: number; readonly suppressPrefixLength?: number }
  | { readonly kind: 'goto'; readonly priority: number }
  | { readonly kind: 'nop' | 'blackhole' | 'unreachable' | 'prohibit' }
  | { readonly kind: 'opaque'; readonly json: unknown };

export interface RoutingRule {
  readonly family: Family;
  readonly priority: number;
  readonly action: RuleAction;
  readonly not?: boolean;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly iif?: string;
  readonly oif?: string;
  readonly mark?: { readonly value: number; readonly mask: number };
  readonly protocol: number;
  /** Selectors that are not modelled (uidrange, ipproto, ports, tun_id, tos), by `ip -j rule`'s names. */
  readonly opaque?: Readonly<Record<string, unknown>>;
}

/** Path below /proc/sys, with slashes (an interface name may hold a dot), to its value as read: `net/ipv4/conf/eth0/forwarding` → `1`. */
export type Sysctls = ReadonlyMap<string, string>;

export const MAIN_TABLE = 254;
export const LOCAL_TABLE = 255;

/** Marks routes and rules as ours (`proto 83`). rtnetlink.h leaves numbers above 4 (RTPROT_STATIC) that no daemon there took; 83 is free in iproute2's rt_protos. */
export const SALLYPORT_PROTOCOL = 83;

/** An unreachably large metric: what has it is used only when nothing else is there (fib is u32). */
export const WORST_METRIC = 4294967295;
