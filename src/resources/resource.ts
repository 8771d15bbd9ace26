import type { Address, Endpoint, Family, InterfaceAddress, PortRange, Prefix, Transport } from '../net/index.ts';
import type { Position } from './problem.ts';

/** What every resource carries beside its spec. */
export interface Resource {
  readonly name: string;
  /** Where the resource's name stands. */
  readonly at: Position;
  /** Where a field stands, by its path as in a Problem (`spec.ports[0].port`); the nearest parent where it is left out. */
  readonly positionOf: (path: string) => Position;
}

/** A machine that Sallyport may program, or must know of. Defaults are filled in. */
export interface HostResource extends Resource {
  readonly kind: 'Host';
  readonly driver: 'linux' | 'routeros' | 'igd' | 'pcp';
  readonly access: Access;
  readonly foreignFirewall: 'Accommodate' | 'Refuse';
  /** What was declared; empty where all is observed. */
  readonly interfaces: readonly DeclaredInterface[];
  /** At most one per family; replaces the choice of design.md, "Main address". */
  readonly mainAddresses: readonly Address[];
  readonly forwarding: Forwarding;
  readonly conntrack: { readonly max?: number };
  /** Forwards leave it out where they have another target that answers. */
  readonly drain: boolean;
}

/** How a host is reached. File paths are as written: relative to the document's folder (`at.file`). */
export type Access =
  | { readonly kind: 'local'; readonly become?: 'sudo' }
  | {
      readonly kind: 'ssh';
      readonly address: string;
      readonly port: number;
      readonly user?: string;
      readonly identityFile?: string;
      readonly hostKey?: string;
      readonly become?: 'sudo';
    }
  | { readonly kind: 'netns'; readonly name: string }
  | { readonly kind: 'http'; readonly url: string; readonly user?: string; readonly passwordFile?: string }
  | {
      readonly kind: 'agent';
      readonly address: string;
      readonly port: number;
      readonly user: string;
      readonly identityFile: string;
      readonly hostKey?: string;
    };

/** A link of the host as the user declares it; what is left out is observed. */
export interface DeclaredInterface {
  /** By name, or by the hardware address where names change. */
  readonly match: { readonly name: string } | { readonly mac: string };
  readonly zone?: 'public' | 'private';
  /** Tells networks apart that use the same prefix. */
  readonly network?: string;
  /** Left out: observed. Empty: none. */
  readonly addresses?: readonly InterfaceAddress[];
  /** The provider's 1:1 NAT: `inner` is on the interface, `outer` is what the Internet sees. */
  readonly outside: readonly OutsideAddress[];
}

export interface OutsideAddress {
  readonly inner: Address;
  readonly outer: Address;
}

/** The numbers that Sallyport may use on the host; chosen from what is free where left out. */
export interface Forwarding {
  readonly tables?: NumberRange;
  readonly priorities?: NumberRange;
  /** The bits of packet and connection marks that are ours, and the first value used inside them. */
  readonly mark?: { readonly value: number; readonly mask: number };
}

/** From `first` to `last`, both included. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** A layer-3 path between two hosts. */
export interface TunnelResource extends Resource {
  readonly kind: 'Tunnel';
  readonly type: TunnelType;
  /** In bytes, of the inner packet. */
  readonly mtu?: number;
  readonly vni?: number;
  readonly presharedKeys: boolean;
  readonly ends: readonly [TunnelEnd, TunnelEnd];
  /** What its addresses carry: each family stands at both ends. */
  readonly families: readonly Family[];
}

export type TunnelType = 'WireGuard' | 'IPIP' | 'GRE' | 'VXLAN' | 'Direct';

export interface TunnelEnd {
  readonly host: string;
  /** Inside the tunnel; for Direct the host's own, /32 or /128 where no length was written. */
  readonly addresses: readonly InterfaceAddress[];
  /** Where the other end finds this one. VXLAN: always an address. */
  readonly endpoint?: Endpoint;
  /** UDP. The endpoint's port unless named; VXLAN: 4789 unless named. Left out: the host chooses one. */
  readonly listenPort?: number;
}

/** Public ports and where they lead. */
export interface PortForwardResource extends Resource {
  readonly kind: 'PortForward';
  readonly atHosts: readonly string[];
  /** The inner or the outside ones. Left out: all public addresses of the hosts, in `families`. */
  readonly atAddresses?: readonly Address[];
  readonly ports: readonly PortMapping[];
  readonly to: readonly Target[];
  /** What it forwards: the families of `atAddresses`, else those that some target can carry. */
  readonly families: readonly Family[];
  readonly policy: 'Failover' | 'Balance';
  readonly clientAddress: 'Preserve' | 'Masquerade';
  readonly tracking: 'Stateful' | 'Stateless';
  readonly hairpin: boolean;
  readonly allow: readonly Prefix[];
  readonly limits?: { readonly newConnectionsPerSecond?: number; readonly connections?: number };
  readonly health?: HealthCheck;
  readonly drain: boolean;
  readonly fastPath: 'Auto' | 'Off';
  readonly allowAccessPort: boolean;
}

/** How a target is probed. */
export interface HealthCheck {
  /** A connection is opened there; with `path`, it is asked for that by HTTP. */
  readonly port: number;
  readonly path?: string;
  readonly intervalMs: number;
  readonly failures: number;
}

/** `ports` and `targetPorts` have the same length; the n-th of the one leads to the n-th of the other. */
export interface PortMapping {
  readonly protocol: Transport;
  readonly ports: PortRange;
  readonly targetPorts: PortRange;
}

export type Target =
  | {
      readonly kind: 'host';
      readonly host: string;
      /** The tunnel to take, by the host that the forward is at. */
      readonly via: ReadonlyMap<string, string>;
      /** What lies behind the host: a pod or a VIP. Left out: the host's main address. */
      readonly address?: Address;
      readonly weight: number;
      readonly drain: boolean;
    }
  /** Reached by the routes of the host that the forward is at. */
  | { readonly kind: 'address'; readonly address: Address; readonly weight: number; readonly drain: boolean };

/** Who leaves by which path. Known to who judges what stands; nobody carries it out yet. */
export interface EgressRouteResource extends Resource {
  readonly kind: 'EgressRoute';
  readonly atHosts: readonly string[];
  /** Absent: chosen by labels or a pool, which no document tells. */
  readonly from?: readonly Prefix[];
  readonly via: { readonly kind: 'tunnel' | 'interface'; readonly name: string };
  /** Destinations that keep the ordinary path. */
  readonly except: readonly Prefix[];
  readonly whenDown: 'Block' | 'Direct';
}

/** All documents of one apply, checked against each other; every reference holds. */
export interface ResourceSet {
  readonly hosts: ReadonlyMap<string, HostResource>;
  readonly tunnels: ReadonlyMap<string, TunnelResource>;
  readonly forwards: ReadonlyMap<string, PortForwardResource>;
  /** Absent: none. */
  readonly egress?: ReadonlyMap<string, EgressRouteResource>;
}
