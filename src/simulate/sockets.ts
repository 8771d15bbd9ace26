/** Whether somebody waits on a host for a packet that was delivered there. */
import { sameAddress } from '../net/index.ts';
import type { SimulatedHost, Socket } from './network.ts';
import { familyOf, isIcmp, type Packet, PROTOCOLS, printDestination } from './packet.ts';
import { ignoresEchoes } from './setting.ts';
import { type End, end, type Recorder } from './trace.ts';

/** Tells who takes a request, and ends it where nobody does: TCP answers with a reset, UDP with ICMP port unreachable. */
export function hear(host: SimulatedHost, packet: Packet, record: Recorder): End | undefined {
  if (isIcmp(packet)) {
    const setting = ignoresEchoes(host, familyOf(packet));
    record(host.name, 'delivered', () => ({
      detail: setting.on === true ? 'the host answers no echo' : 'to the host itself, which answers the echo',
      ...(setting.on === true && { decidedBy: setting.text }),
    }));
    return setting.on === true
      ? end('dropped', `${host.name} answers no echo: ${setting.text}`, {
          kind: 'noEcho',
          host: host.name,
          family: familyOf(packet),
        })
      : undefined;
  }
  const protocol = packet.protocol === PROTOCOLS.tcp ? 'tcp' : packet.protocol === PROTOCOLS.udp ? 'udp' : undefined;
  if (host.sockets === undefined || protocol === undefined) {
    record(host.name, 'delivered', () => ({
      detail: 'to a socket of the host (assumed: nobody looked at its sockets)',
    }));
    return undefined;
  }
  const found = host.sockets.find((socket) => takes(socket, packet, protocol));
  if (found !== undefined) {
    record(host.name, 'delivered', () => ({ detail: `to the socket at ${printDestination(packet)}` }));
    return undefined;
  }
  const how = protocol === 'tcp' ? 'a reset' : 'ICMP port unreachable';
  record(host.name, 'delivered', () => ({ detail: `nobody listens there: ${how} goes back` }));
  return end('rejected', `connection refused: nobody listens on ${host.name} at ${printDestination(packet)}`, {
    kind: 'nobodyListens',
    host: host.name,
    packet,
  });
}

const takes = (socket: Socket, packet: Packet, protocol: 'tcp' | 'udp'): boolean =>
  socket.protocol === protocol &&
  socket.port === packet.destinationPort &&
  socket.families.includes(familyOf(packet)) &&
  (socket.address === undefined || sameAddress(socket.address, packet.destination));
