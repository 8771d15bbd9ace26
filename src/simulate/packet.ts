/** Packets as they move through the network of hosts. */
import { type Address, type Family, printAddress } from '../net/index.ts';
import type { Tuple } from '../nftables/index.ts';

/** IANA's numbers. */
export const PROTOCOLS = { tcp: 6, udp: 17, ipip: 4, sit: 41, gre: 47 } as const;

const nameOf = (protocol: number): string =>
  Object.entries(PROTOCOLS).find(([, number]) => number === protocol)?.[0] ?? String(protocol);

export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  /** 6 TCP, 17 UDP. */
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** TCP: syn 2, ack 16. */
  readonly tcpFlags?: number;
  /** Of a SYN: the largest segment its sender takes, in bytes. */
  readonly maxseg?: number;
  readonly mark: number;
}

/** What an IP and a TCP header take of a packet, in bytes: 20 or 40, and 20 (RFC 791, 8200, 9293). */
export const SEGMENT_HEADERS: Readonly<Record<Family, number>> = { 4: 40, 6: 60 };

export const familyOf = ({ destination }: Packet): Family => destination.family;

export const tupleOf = ({ source, destination, protocol, sourcePort, destinationPort }: Packet): Tuple => ({
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

const printEnd = (address: Address, port: number): string =>
  address.family === 6 ? `[${printAddress(address)}]:${port}` : `${printAddress(address)}:${port}`;

/** `192.0.2.7:40000 → 198.51.100.10:80/tcp`. */
export const printPacket = ({ source, destination, protocol, sourcePort, destinationPort }: Tuple): string =>
  `${printEnd(source, sourcePort)} → ${printEnd(destination, destinationPort)}/${nameOf(protocol)}`;
