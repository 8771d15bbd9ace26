/** Names and numbers that both ends of a tunnel must derive alike, from the tunnel's name alone. */

/** 32-bit FNV-1a (draft-eastlake-fnv): stable, small, and spread well enough for names. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** IFNAMSIZ is 16 with its closing zero (linux/if.h). */
const LINK_NAME_LENGTH = 15;

/** The link of a tunnel that has one of its own: `sp-NAME`, or `sp-`, the name's first four letters and a hash where that is too long. */
export function ownLinkName(tunnel: string): string {
  const name = `sp-${tunnel}`;
  return name.length <= LINK_NAME_LENGTH
    ? name
    : `sp-${tunnel.slice(0, 4)}-${fnv1a(tunnel).toString(36).padStart(7, '0')}`;
}

/** The link that all WireGuard tunnels with one listen port on a host share. */
export const sharedLinkName = (listenPort: number): string => `sp-wg${listenPort}`;

/** The link beside `link` while keys are exchanged. No name of a tunnel ends in an underscore. */
export const secondLinkName = (link: string): string =>
  link.length < LINK_NAME_LENGTH ? `${link}_` : `${link.slice(0, 6)}-${fnv1a(link).toString(36).padStart(7, '0')}_`;

/** A VXLAN network identifier (24 bits, RFC 7348), never 0. */
export const chooseVni = (tunnel: string): number => fnv1a(tunnel) & 0xffffff || 1;
