/** What one set of resources asks of one host. The shares of all sets on a host together make its HostState. */
import type { Address, Endpoint, Family, InterfaceAddress, PortRange, Prefix, Transport } from '../net/index.ts';
import type { Outer, OuterKind, Vxlan } from '../routing/index.ts';
import type { PendingKey, PresharedKey, PublicKey } from '../wireguard/index.ts';

export interface HostShare {
  readonly tunnels: readonly TunnelShare[];
  readonly forwards: readonly ForwardShare[];
  readonly accepts: readonly AcceptShare[];
  /** Most connections that the host's kernel tracks; absent: as it is. */
  readonly conntrackMax?: number;
}

/** One end of a tunnel, on the host that has it. */
export interface TunnelShare {
  readonly name: string;
  readonly type: 'WireGuard' | 'VXLAN' | 'IPIP' | 'GRE' | 'Direct';
  /** `sp-wg51820`, `sp-NAME`; for Direct the existing interface. */
  readonly link: string;
  /** What we put on the link; none for Direct. */
  readonly addresses: readonly InterfaceAddress[];
  /** Bytes. */
  readonly mtu: number;
  readonly listenPort?: number;
  /** WireGuard: the families in which the far end dials this one; absent where it cannot. */
  readonly dialled?: readonly Family[];
  readonly vxlan?: Vxlan;
  /** IPIP and GRE: the kernel's kind of link, and the two ends of its packets. */
  readonly kind?: OuterKind;
  readonly outer?: Outer;
  /** Its packets go by another tunnel of this host: that one's link, and the addresses at its far end that they come from. */
  readonly carrier?: { readonly link: string; readonly from: readonly Address[] };
  readonly peer: TunnelPeer;
  /** A second link, while the tunnel's keys are exchanged. */
  readonly second?: SecondLink;
  /** What lies behind the peer and is routed into the tunnel: the aims of forwards. */
  readonly routes: readonly Prefix[];
  /** Families in which connections come in by this tunnel and must return by it. */
  readonly returns: readonly Family[];
}

/** A link beside a tunnel's own, with other keys: it brings what the tunnel may bring, and may be sent by in its place. */
export interface SecondLink {
  readonly link: string;
  readonly listenPort?: number;
  /** The peer as this link knows it; all else of it is the tunnel's. */
  readonly peer: Pick<TunnelPeer, 'publicKey' | 'presharedKey' | 'endpoint' | 'keepaliveSeconds'>;
  /** What goes into the tunnel goes by this link; else by the tunnel's own. */
  readonly carries: boolean;
}

export interface TunnelPeer {
  readonly host: string;
  readonly publicKey?: PublicKey | PendingKey;
  /** Absent: none. */
  readonly presharedKey?: PresharedKey;
  readonly endpoint?: Endpoint;
  readonly keepaliveSeconds?: number;
  /** WireGuard's cryptokey routing: what this peer may send, and what is sent to it. */
  readonly allowedIps: readonly Prefix[];
  /** The peer's own addresses in the tunnel: its end of each family. */
  readonly addresses: readonly Address[];
  /**
   * Public addresses of the peer's host. A node is answered by the tunnel what it asks them by its own line: those that last. An edge is asked
   * from them. Absent: none.
   */
  readonly publicAddresses?: readonly Address[];
  /** Direct: the hardware address behind them, where it is known. */
  readonly mac?: string;
}

/** A public port and where it goes, on an edge. */
export interface ForwardShare {
  /** The PortForward's name. */
  readonly name: string;
  /** The public address as it stands on the edge, or the interface whose present (dynamic) addresses count. */
  readonly match: { readonly address: Address } | { readonly interface: string; readonly family: Family };
  readonly protocol: Transport;
  readonly ports: PortRange;
  readonly to: Address;
  readonly targetPorts: PortRange;
  /** Our DNAT hides the client behind the edge's own address on the way out. */
  readonly masquerade: boolean;
  /** The link by which the target is reached, where it is known: our tunnel's, or an existing one. */
  readonly link?: string;
  /** The public interface the forward listens behind, where it is known: forwarding is switched on there. */
  readonly publicLinks: readonly string[];
  /** Absent: everybody may come in, as much as they like. */
  readonly policy?: ForwardPolicy;
  /** policy Balance: all of its targets in this family, `to` being the first of them. Absent: `to` alone. */
  readonly balance?: readonly ForwardTarget[];
  /**
   * Targets that were found not to answer and are left out for that, by their names: policy Failover those before the one it leads to. Absent:
   * none. It is kept for who does not ask them: what was moved stands until somebody does.
   */
  readonly silent?: readonly string[];
  /** TCP connections do not finish on the old target when the forward moves. Absent: they do. */
  readonly drain?: false;
  /** Only what comes in by a public link is translated. Absent: what asks from inside is too. */
  readonly hairpin?: false;
  /** Its connections stay out of the kernel's fast path. Absent: they may take it. */
  readonly fastPath?: false;
  /** The host keeps no connection of it: packets are rewritten one by one. */
  readonly stateless?: true;
}

/** One of several places that a forward leads to; ports are the forward's. */
export interface ForwardTarget {
  /** What it is called, the same on every edge: `node`, `node/10.42.0.10`, `192.168.1.240`. */
  readonly id: string;
  readonly to: Address;
  readonly masquerade: boolean;
  readonly link?: string;
  /** From 1. */
  readonly weight: number;
}

/** Everywhere a forward leads. */
export const targetsOf = ({
  balance,
  name,
  to,
  masquerade,
  link,
}: Omit<ForwardShare, 'match'>): readonly ForwardTarget[] =>
  balance ?? [{ id: name, to, masquerade, weight: 1, ...(link !== undefined && { link }) }];

/** Who may open connections, and how many. */
export interface ForwardPolicy {
  /** Absent: everybody. A family without an entry: nobody of it. */
  readonly allow?: readonly Prefix[];
  /** Per client: an IPv4 address, a /64 of IPv6. */
  readonly newConnectionsPerSecond?: number;
  /** At a time, per client. */
  readonly connections?: number;
}

/** What a tunnel may bring to this host: everything else from it is dropped. */
export interface AcceptShare {
  /** The PortForward's name. */
  readonly name: string;
  /** The tunnel's name. */
  readonly tunnel: string;
  readonly protocol: Transport;
  readonly address: Address;
  readonly ports: PortRange;
  /** Aimed at the tunnel address, and moved to this address of the host after everybody else's DNAT. */
  readonly moveTo?: Address;
  /** The target lies behind this host, by this link, and sees this host as its client. */
  readonly masquerade: boolean;
  /** The link towards a target behind this host; forwarding is switched on there. */
  readonly behind?: string;
}
