/** Example packets as chains see them: what comes first of a connection, and its answer. */
import { type Address, sameAddress } from '../net/index.ts';
import type { ConnectionContext, PacketContext, Tuple } from '../nftables/index.ts';

/** IANA's. */
export const PROTOCOLS = { tcp: 6, udp: 17, ipip: 4, ipv6: 41, gre: 47, icmpv6: 58 } as const;
/** IPS_* of nf_conntrack_common.h. */
export const STATUS = { seenReply: 0x02, confirmed: 0x08, destinationNat: 0x20 } as const;
const SYN = 2;
const ACK = 16;
/** In nobody's way. */
export const CLIENT_PORT = 40_000;

/** From a client's port to the one it asks. */
export const tupleOf = (source: Address, destination: Address, protocol: 'tcp' | 'udp', port: number): Tuple => ({
  ...{ source, destination, protocol: PROTOCOLS[protocol] },
  ...{ sourcePort: CLIENT_PORT, destinationPort: port },
});

const inverse = ({ source, destination, protocol, sourcePort, destinationPort }: Tuple): Tuple => ({
  ...{ source: destination, destination: source, protocol },
  ...{ sourcePort: destinationPort, destinationPort: sourcePort },
});

/** Whether an address is one of the host. */
export type IsLocal = (address: Address) => boolean;

const NO_ZONE = { original: 0, reply: 0 };

/** A connection with its first packet. */
export const fresh = (original: Tuple, mark: number, status = 0): ConnectionContext => ({
  ...{ state: 'new', direction: 'original', mark, status, zone: NO_ZONE },
  ...{ original, reply: inverse(original) },
});

/** Which link has an address is not known here. */
export const addressTypeOf =
  (isLocal: IsLocal): PacketContext['addressType'] =>
  (address, link) =>
    link !== undefined ? undefined : isLocal(address) ? 'local' : 'unicast';

/** A packet in the direction of its tuple: of TCP one that opens a connection. */
export function packetOf(isLocal: IsLocal, tuple: Tuple, connection: ConnectionContext): PacketContext {
  return {
    ...tuple,
    ...{ family: tuple.destination.family, mark: 0, connection },
    ...(tuple.protocol === PROTOCOLS.tcp && { tcpFlags: SYN }),
    addressType: addressTypeOf(isLocal),
  };
}

/** The answer to a packet as it was when it came to its target. `asked` is how the connection began on this host. */
export function answerTo(
  isLocal: IsLocal,
  { source, destination, protocol, sourcePort = 0, destinationPort = 0 }: PacketContext,
  asked: Tuple,
  mark: number,
): PacketContext {
  const reply: Tuple = {
    source: destination,
    destination: source,
    protocol,
    sourcePort: destinationPort,
    destinationPort: sourcePort,
  };
  const moved = sameAddress(destination, asked.destination) ? 0 : STATUS.destinationNat;
  return {
    ...packetOf(isLocal, reply, {
      ...{ state: 'established', direction: 'reply', mark, zone: NO_ZONE },
      ...{ status: STATUS.seenReply | STATUS.confirmed | moved, original: asked, reply },
    }),
    ...(protocol === PROTOCOLS.tcp && { tcpFlags: SYN | ACK }),
  };
}
