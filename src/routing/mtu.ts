import type { Family } from '../net/index.ts';

/**
 * The largest packet a VXLAN link carries unfragmented, in bytes, over a path of `pathMtu` bytes. Taken off: outer header
 * 20 (IPv4) or 40 (IPv6), UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348, 5). The kernel sets 1500 - 50 or - 70 where nobody says otherwise.
 */
export const vxlanMtu = (pathMtu: number, family: Family): number => pathMtu - (family === 4 ? 20 : 40) - 8 - 8 - 14;

/**
 * The least MTU of a link that carries the family, in bytes: 1280 for IPv6 (RFC 8200, 5), below which the kernel takes IPv6 off the
 * link and its addresses with it; 68 for IPv4 (RFC 791, 3.2).
 */
export const leastMtu = (family: Family): number => (family === 6 ? 1280 : 68);
