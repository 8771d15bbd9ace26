/** Whether somebody waits on a host for a packet that was delivered there. */
import { type Address, containsAddress, sameAddress } from '../net/index.ts';
import type { SocketPlace, SocketSight } from '../nftables/index.ts';
import { LOCAL_TABLE } from '../routing/index.ts';
import type { SimulatedHost, Socket } from './network.ts';
import { type Notice, noticeOf, printNotice } from './notice.ts';
import { familyOf, isIcmp, type Packet, PROTOCOLS, printDestination } from './packet.ts';
import { ignoresEchoes } from './setting.ts';
import { type End, end, type Recorder } from './trace.ts';

/** Tells who takes a request, and ends it where nobody does: TCP answers with a reset, UDP with ICMP port unreachable. */
export function hear(
  host: SimulatedHost,
  packet: Packet,
  record: Recorder,
  { link, proxy }: { readonly link?: string | undefined; readonly proxy?: SocketPlace | undefined } = {},
): End | undefined {
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
  if (proxy !== undefined) {
    record(host.name, 'delivered', () => ({ detail: `to the transparent proxy at port ${proxy.port}` }));
    return undefined;
  }
  const found = host.sockets.find((socket) => takes(socket, packet, packet.destination, packet.destinationPort, link));
  if (found !== undefined) {
    record(host.name, 'delivered', () => ({ detail: `to the socket at ${printDestination(packet)}` }));
    const isOwn = protocol === 'udp' || found.transparent !== false || mayAnswerFrom(host, packet.destination);
    return isOwn
      ? undefined
      : end(
          'dropped',
          `the socket at ${printDestination(packet)} on ${host.name} may not answer from there: the address is not the host's, nor the socket transparent`,
          { kind: 'notTransparent', host: host.name, address: packet.destination },
        );
  }
  const family = familyOf(packet);
  const notice: Notice = protocol === 'tcp' ? { kind: 'reset' } : noticeOf('portUnreachable', family);
  record(host.name, 'delivered', () => ({ detail: `nobody listens there: ${printNotice(notice, family)} goes back` }));
  const what = `connection refused: nobody listens on ${host.name} at ${printDestination(packet)}`;
  return end('rejected', what, { kind: 'nobodyListens', host: host.name, packet }, notice);
}

/** An address of the host, or one that its local table takes for such (__ip_dev_find). */
const mayAnswerFrom = ({ isLocal, state: { routes } }: SimulatedHost, address: Address): boolean =>
  isLocal(address) ||
  routes.some(
    ({ table, type, destination }) =>
      table === LOCAL_TABLE && type === 'local' && containsAddress(destination, address),
  );

/** Without a link the packet was not seen to come by one, and any will do. */
const takes = (socket: Socket, packet: Packet, address: Address, port: number, link: string | undefined): boolean =>
  PROTOCOLS[socket.protocol] === packet.protocol &&
  socket.port === port &&
  socket.families.includes(familyOf(packet)) &&
  (socket.address === undefined || sameAddress(socket.address, address)) &&
  (socket.link === undefined || link === undefined || socket.link === link);

/**
 * The socket that waits at an address and port for this packet, as TPROXY and `socket` look it up; without an address: at one of the
 * link's own. Undefined where nobody looked at the sockets, or where that is not told apart.
 */
export function socketAt(
  { sockets }: SimulatedHost,
  packet: Packet,
  link: string | undefined,
  address: Address | undefined,
  port: number,
): SocketSight | undefined {
  if (sockets === undefined) return undefined;
  const found = sockets.filter((socket) =>
    takes(socket, packet, address ?? socket.address ?? packet.destination, port, link),
  );
  // The one of that very address before the one of all (compute_score).
  const own = found.find((socket) => socket.address !== undefined);
  if (address === undefined && own !== undefined) return undefined;
  const first = own ?? found[0];
  if (first === undefined) return 'none';
  return {
    wildcard: first.address === undefined,
    ...(first.transparent !== undefined && { transparent: first.transparent }),
  };
}
