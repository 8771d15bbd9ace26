/** IPIP and GRE: which kind of link the kernel has for the families outside and inside, and what it takes of each packet. */
import type { Family } from '../net/index.ts';
import type { OuterKind } from '../routing/index.ts';

/** The types of Tunnel whose outer packet has no port. */
export type PointToPoint = 'IPIP' | 'GRE';

export const isPointToPoint = (type: string): type is PointToPoint => type === 'IPIP' || type === 'GRE';

/**
 * The kernel's link kind. `sit` carries both families over IPv4 by `mode any`, `ip6tnl` over IPv6 (ip-link(8)); `ipip` is the plainer one
 * for IPv4 alone.
 */
export function outerKind(type: PointToPoint, outside: Family, inside: readonly Family[]): OuterKind {
  if (type === 'GRE') return outside === 4 ? 'gre' : 'ip6gre';
  if (outside === 6) return 'ip6tnl';
  return inside.includes(6) ? 'sit' : 'ipip';
}

/**
 * The largest packet such a link carries unfragmented, in bytes, over a path of `pathMtu` bytes. Taken off: outer header 20 (IPv4) or 40
 * (IPv6, without the encapsulation limit of RFC 2473), and for GRE 4 (RFC 2784; no key, no checksum).
 */
export const pointToPointMtu = (type: PointToPoint, pathMtu: number, outside: Family): number =>
  pathMtu - (outside === 4 ? 20 : 40) - (type === 'GRE' ? 4 : 0);
