/** A network as plain data: hosts and switches, joined by cables. Each host and switch becomes a network namespace. */
export interface Topology {
  readonly name: string;
  readonly hosts: readonly HostSpec[];
  /** Bridges, each in a namespace of its own; their interfaces have no addresses. */
  readonly switches: readonly SwitchSpec[];
  readonly cables: readonly Cable[];
}

export interface HostSpec {
  readonly name: string;
  /** What the drawing says of it, a few words. */
  readonly title?: string;
  readonly routes?: readonly RouteSpec[];
  /** Written after all links are up, in this order: `{ 'net.ipv4.ip_forward': '1' }`. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** Loaded by `nft -f -` after all links are up. */
  readonly nft?: string;
  /** false: `disable_ipv6` before the first link; an IPv4-only machine. */
  readonly ipv6?: boolean;
}

export interface SwitchSpec {
  readonly name: string;
  readonly title?: string;
}

export interface RouteSpec {
  /** A prefix, or `default` (its family is that of `via`). */
  readonly to: string;
  readonly via: string;
}

/** A veth pair. */
export interface Cable {
  readonly ends: readonly [Plug, Plug];
  readonly mtu?: number;
}

export interface Plug {
  /** The host or switch it stands in. */
  readonly at: string;
  readonly interface: string;
  /** Chosen from the names unless given, the same each time. */
  readonly mac?: string;
  readonly addresses?: readonly (string | LeasedAddress)[];
}

/** An address as DHCP or SLAAC gives it: `ip -j addr` calls it dynamic. */
export interface LeasedAddress {
  readonly address: string;
  readonly validSeconds: number;
}

/** An address with its prefix length, leased or not. */
export const addressText = (address: string | LeasedAddress): string =>
  typeof address === 'string' ? address : address.address;

/** The plugs of a host or switch, in the order of the cables. */
export function plugsOf(topology: Topology, name: string): readonly Plug[] {
  return topology.cables.flatMap((cable) => cable.ends.filter((plug) => plug.at === name));
}
