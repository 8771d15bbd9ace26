import type { Family } from '../net/index.ts';

/**
 * The largest packet a WireGuard link carries unfragmented, in bytes, over a path of `pathMtu` bytes.
 * Taken off: outer header 20 (IPv4) or 40 (IPv6), UDP 8, data header 16, tag 16 (WireGuard paper, 5.4.6).
 * wg-quick takes 80 off for both families; we do so only while the family is unknown.
 */
export const wireguardMtu = (pathMtu: number, family: Family): number =>
  pathMtu - (family === 4 ? 20 : 40) - 8 - 16 - 16;
