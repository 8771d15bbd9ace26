/** Packets as they move through the network of hosts. */
import { type Address, type Family, printAddress } from '../net/index.ts';
import type { Tuple } from '../nftables/index.ts';

/** IANA's numbers. */
export const PROTOCOLS = { tcp: 6, udp: 17, ipip: 4, sit: 41, gre: 47, icmp: 1, icmpv6: 58 } as const;

/** Of an echo: the request's type and the reply's (RFC 792, RFC 4443). */
export const ECHO: Readonly<Record<Family, { readonly request: number; readonly reply: number }>> = {
  4: { request: 8, reply: 0 },
  6: { request: 128, reply: 129 },
};

export const isIcmp = ({ protocol }: Pick<Packet, 'protocol'>): boolean =>
  protocol === PROTOCOLS.icmp || protocol === PROTOCOLS.icmpv6;

const nameOf = (protocol: number): string =>
  Object.entries(PROTOCOLS).find(([, number]) => number === protocol)?.[0] ?? String(protocol);

export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  /** 6 TCP, 17 UDP, 1 and 58 ICMP. */
  readonly protocol: number;
  /** Of an echo: its id, by which conntrack tells echoes apart; it stands for both ports. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** TCP: syn 2, ack 16. */
  readonly tcpFlags?: number;
  /** Of a SYN: the largest segment its sender takes, in bytes. */
  readonly maxseg?: number;
  readonly icmpType?: number;
  /** 0 unless given. */
  readonly icmpCode?: number;
  /** Of an ICMP error: the ends of the packet that it tells of, as they stand in it. */
  readonly inner?: Tuple;
  /** The whole IP packet, in bytes; absent: small enough for every link. */
  readonly size?: number;
  /** It travels in parts, of which the largest has this many bytes. */
  readonly fragment?: number;
  /** Routers may not fragment it: IPv4's DF. Those of IPv6 never do. */
  readonly df?: true;
  readonly mark: number;
}

/** What an IP and a TCP header take of a packet, in bytes: 20 or 40, and 20 (RFC 791, 8200, 9293). */
export const SEGMENT_HEADERS: Readonly<Record<Family, number>> = { 4: 40, 6: 60 };

export const familyOf = ({ destination }: Packet): Family => destination.family;

export const tupleOf = ({ source, destination, protocol, sourcePort, destinationPort }: Tuple): Tuple => ({
  source,
  destination,
  protocol,
  sourcePort,
  destinationPort,
});

/** The tuple of the answers to it. */
export const inverseOf = ({ source, destination, protocol, sourcePort, destinationPort }: Tuple): Tuple => ({
  source: destination,
  destination: source,
  protocol,
  sourcePort: destinationPort,
  destinationPort: sourcePort,
});

/** `198.51.100.10:80/tcp`: where it goes. */
export const printDestination = ({ destination, protocol, destinationPort }: Tuple): string =>
  isIcmp({ protocol })
    ? `${printAddress(destination)}/icmp`
    : `${printEnd(destination, destinationPort)}/${nameOf(protocol)}`;

/** `192.0.2.7:80`; without a port the address alone. */
export const printEnd = (address: Address, port: number | undefined): string =>
  port === undefined
    ? printAddress(address)
    : address.family === 6
      ? `[${printAddress(address)}]:${port}`
      : `${printAddress(address)}:${port}`;

/** `192.0.2.7:40000 → 198.51.100.10:80/tcp`, `192.0.2.7 → 198.51.100.10/icmp`. */
export const printPacket = (tuple: Tuple): string =>
  `${isIcmp(tuple) ? printAddress(tuple.source) : printEnd(tuple.source, tuple.sourcePort)} → ${printDestination(tuple)}`;

/** What routing rules may ask of it; echoes have no ports (fib4_rules_early_flow_dissect), of what else has none that is not known. */
export const transportOf = (
  packet: Tuple,
): { readonly transport?: Pick<Tuple, 'protocol' | 'sourcePort' | 'destinationPort'> } =>
  packet.protocol === PROTOCOLS.tcp || packet.protocol === PROTOCOLS.udp
    ? { transport: packet }
    : isIcmp(packet)
      ? { transport: { protocol: packet.protocol, sourcePort: 0, destinationPort: 0 } }
      : {};
