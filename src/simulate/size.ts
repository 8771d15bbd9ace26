/** Whether a packet fits the link it is to leave by, and what becomes of one that does not. */
import { printNotice, tooBig } from './notice.ts';
import { familyOf, PROTOCOLS, printPacket } from './packet.ts';
import type { Passage } from './passage.ts';
import { type End, end } from './trace.ts';

/**
 * `mtu` is the route's, else that of the link. A router looks before its forward chains (ip_forward, ip6_forward) and tells the sender
 * what fits; the sender itself looks before it makes the packet. Who may fragment cuts it after all chains (ip_finish_output).
 */
export function fitsOut(passage: Passage, mtu: number | undefined, isRouter: boolean): End | undefined {
  const { host, packet, oif = 'no link', record } = passage;
  const { size } = packet;
  if (size === undefined || mtu === undefined || size <= mtu) return undefined;
  const family = familyOf(packet);
  const by = `link ${oif} mtu ${mtu}`;
  if (packet.df !== true && !(family === 6 && isRouter)) {
    record(host.name, 'mtu', () => ({ detail: `fragmented: ${size} bytes do not fit`, decidedBy: by }));
    passage.packet = { ...packet, size: mtu };
    return undefined;
  }
  const notice = tooBig(family, mtu);
  const error = printNotice(notice, family);
  const { mtu: _, ...noMtu } = notice;
  record(host.name, 'mtu', () => ({
    detail: isRouter
      ? `dropped: ${size} bytes do not fit; ${error} goes to the sender`
      : `not sent: ${size} bytes do not fit`,
    decidedBy: by,
  }));
  return end(
    'dropped',
    `${printPacket(packet)} of ${size} bytes is larger than the MTU ${mtu} of ${oif} on ${host.name}${isRouter ? `, which tells its sender (${printNotice(noMtu, family)})` : ''}`,
    {
      ...{ kind: 'tooBig', host: host.name, link: oif, mtu, family, isTcp: packet.protocol === PROTOCOLS.tcp },
    },
    isRouter ? notice : undefined,
  );
}

/** A veth drops without a word what is larger than its own MTU and a VLAN tag (is_skb_forwardable). */
export function fitsInto({ host, packet }: Passage, iif: string): End | undefined {
  const link = host.links.get(iif);
  if (packet.size === undefined || link?.kind !== 'veth' || packet.size <= link.mtu + 4) return undefined;
  return end('dropped', `${iif} on ${host.name} drops what is larger than its MTU ${link.mtu}, and tells nobody`, {
    ...{ kind: 'tooBig', host: host.name, link: iif, mtu: link.mtu, family: familyOf(packet) },
    isTcp: packet.protocol === PROTOCOLS.tcp,
  });
}
