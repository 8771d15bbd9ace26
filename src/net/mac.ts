const OCTETS_BY_COLON = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;
const OCTETS_BY_HYPHEN = /^[0-9a-f]{2}(?:-[0-9a-f]{2}){5}$/i;

/** Reads a 48-bit MAC address written with colons or hyphens (IEEE 802) into lower case with colons, or gives undefined. */
export function parseMac(text: string): string | undefined {
  if (OCTETS_BY_COLON.test(text)) return text.toLowerCase();
  if (OCTETS_BY_HYPHEN.test(text)) return text.replaceAll('-', ':').toLowerCase();
  return undefined;
}
