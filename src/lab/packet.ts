import { SocketAddress } from 'node:net';

/** One captured packet, as far as the lab reads it. */
export interface Packet {
  /** Seconds since 1970. */
  readonly time: number;
  /** What the network header carries; `other` is ARP and what else is no IP. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmp6' | 'ip' | 'other';
  readonly source: string;
  readonly destination: string;
  /** 0 where the protocol has none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Of the whole packet without the link's header, in bytes. */
  readonly length: number;
  /** What follows the transport header; of other protocols, what follows the network header. */
  readonly payload: Buffer;
}

/** Link types (pcap's LINKTYPE registry) that tcpdump writes for a veth, and for a tun such as wireguard-go's. */
const ethernet = 1;
const rawIp = 101;

/** Reads a pcap file of microseconds in this machine's byte order, as tcpdump writes it; a cut last packet is left out. */
export function readPcap(bytes: Buffer): readonly Packet[] {
  if (bytes.length < 24) return [];
  if (bytes.readUInt32LE(0) !== 0xa1b2c3d4) throw new Error('not a pcap file of this byte order');
  const linkType = bytes.readUInt32LE(20);
  if (linkType !== ethernet && linkType !== rawIp)
    throw new Error(`the capture has link type ${linkType}, which is not read`);
  const packets: Packet[] = [];
  for (let at = 24; at + 16 <= bytes.length; ) {
    const time = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) / 1e6;
    const captured = bytes.readUInt32LE(at + 8);
    const frame = bytes.subarray(at + 16, at + 16 + captured);
    if (frame.length < captured) break;
    packets.push(linkType === rawIp ? readIp(time, frame) : readEthernet(time, frame));
    at += 16 + captured;
  }
  return packets;
}

function readEthernet(time: number, frame: Buffer): Packet {
  const type = frame.length < 14 ? 0 : frame.readUInt16BE(12);
  const isIp = type === 0x0800 || type === 0x86dd;
  return isIp ? readIp(time, frame.subarray(14)) : other(time, frame.subarray(14));
}

const other = (time: number, payload: Buffer): Packet => ({
  time,
  protocol: 'other',
  source: '',
  destination: '',
  sourcePort: 0,
  destinationPort: 0,
  length: payload.length,
  payload,
});

function readIp(time: number, packet: Buffer): Packet {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4 && packet.length >= 20) {
    const header = ((packet[0] ?? 0) & 0x0f) * 4;
    const whole = packet.subarray(0, packet.readUInt16BE(2) || packet.length); // shorter frames are padded
    const isLaterFragment = (packet.readUInt16BE(6) & 0x1fff) !== 0;
    const number = isLaterFragment ? 255 : (packet[9] ?? 255);
    return readTransport(
      time,
      number,
      printIPv4(packet, 12),
      printIPv4(packet, 16),
      whole.length,
      whole.subarray(header),
    );
  }
  if (version === 6 && packet.length >= 40) {
    const whole = packet.subarray(0, 40 + packet.readUInt16BE(4));
    return readTransport(
      time,
      packet[6] ?? 255,
      printIPv6(packet, 8),
      printIPv6(packet, 24),
      whole.length,
      whole.subarray(40),
    );
  }
  return other(time, packet);
}

/** `number` as IANA's protocol numbers have it; IPv6 extension headers are not walked. */
function readTransport(
  time: number,
  number: number,
  source: string,
  destination: string,
  length: number,
  body: Buffer,
): Packet {
  const base = { time, source, destination, length };
  if (number === 6 && body.length >= 20) {
    const payload = body.subarray(((body[12] ?? 0) >> 4) * 4);
    return {
      ...base,
      protocol: 'tcp',
      sourcePort: body.readUInt16BE(0),
      destinationPort: body.readUInt16BE(2),
      payload,
    };
  }
  if (number === 17 && body.length >= 8) {
    const payload = body.subarray(8);
    return {
      ...base,
      protocol: 'udp',
      sourcePort: body.readUInt16BE(0),
      destinationPort: body.readUInt16BE(2),
      payload,
    };
  }
  const protocol = number === 1 ? 'icmp' : number === 58 ? 'icmp6' : 'ip';
  return { ...base, protocol, sourcePort: 0, destinationPort: 0, payload: body };
}

const printIPv4 = (bytes: Buffer, at: number): string => [...bytes.subarray(at, at + 4)].join('.');

function printIPv6(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

/** One line: `udp 198.51.100.10:51820 > 192.0.2.130:40000 176 bytes`. */
export function printPacket(packet: Packet): string {
  const end = (address: string, port: number): string => {
    if (port === 0) return address;
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  };
  const { protocol, source, sourcePort, destination, destinationPort, length } = packet;
  return `${protocol} ${end(source, sourcePort)} > ${end(destination, destinationPort)} ${length} bytes`;
}
