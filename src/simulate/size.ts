/** Whether a packet fits the link it is to leave by, and what becomes of one that does not. */
import { printNotice, tooBig } from './notice.ts';
import { familyOf, type Packet, PROTOCOLS, printPacket } from './packet.ts';
import type { Passage } from './passage.ts';
import { type End, end } from './trace.ts';

/** What has to fit, in bytes. */
const largestOf = ({ size, fragment }: Packet): number | undefined => fragment ?? size;

/**
 * `mtu` is the route's, else that of the link. A router looks before its forward chains (ip_forward, ip6_forward) and tells the sender
 * what fits; the sender itself looks before it makes the packet. Who may fragment cuts it after all chains (ip_finish_output). What was
 * put together from fragments goes in such again, of IPv6 too (ip6_pkt_too_big).
 */
export function fitsOut(passage: Passage, mtu: number | undefined, isRouter: boolean): End | undefined {
  const { host, packet, oif = 'no link', record, joined } = passage;
  const size = largestOf(packet);
  const family = familyOf(packet);
  if (size === undefined || mtu === undefined) return undefined;
  const largest = joined ?? size;
  const mayCut = packet.df !== true && !(family === 6 && isRouter);
  if (largest <= mtu) {
    if (joined !== undefined) passage.cut = joined;
    return undefined;
  }
  const by = `link ${oif} mtu ${mtu}`;
  if (mayCut) {
    record(host.name, 'mtu', () => ({ detail: `fragmented: ${largest} bytes do not fit`, decidedBy: by }));
    passage.cut = mtu;
    return undefined;
  }
  const notice = tooBig(family, mtu);
  const error = printNotice(notice, family);
  const { mtu: _, ...noMtu } = notice;
  record(host.name, 'mtu', () => ({
    detail: isRouter
      ? `dropped: ${largest} bytes do not fit; ${error} goes to the sender`
      : `not sent: ${largest} bytes do not fit`,
    decidedBy: by,
  }));
  return end(
    'dropped',
    `${printPacket(packet)} of ${largest} bytes is larger than the MTU ${mtu} of ${oif} on ${host.name}${isRouter ? `, which tells its sender (${printNotice(noMtu, family)})` : ''}`,
    {
      ...{ kind: 'tooBig', host: host.name, link: oif, mtu, family, isTcp: packet.protocol === PROTOCOLS.tcp },
    },
    isRouter ? notice : undefined,
  );
}

/** A veth drops without a word what is larger than its own MTU and a VLAN tag (is_skb_forwardable). */
export function fitsInto({ host, packet, record }: Passage, iif: string): End | undefined {
  const link = host.links.get(iif);
  const largest = largestOf(packet);
  if (largest === undefined || link?.kind !== 'veth' || largest <= link.mtu + 4) return undefined;
  record(host.name, 'link', () => ({
    detail: 'dropped: larger than its MTU',
    decidedBy: `link ${iif} mtu ${link.mtu}`,
  }));
  return end('dropped', `${iif} on ${host.name} drops what is larger than its MTU ${link.mtu}, and tells nobody`, {
    ...{ kind: 'tooBig', host: host.name, link: iif, mtu: link.mtu, family: familyOf(packet) },
    isTcp: packet.protocol === PROTOCOLS.tcp,
  });
}
