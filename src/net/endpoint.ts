import { type Address, isAddress, parseAddress, printAddress } from './address.ts';
import { parsePort } from './port.ts';

/** Where a peer is reached: an address, or a host name still to be resolved, and a port. */
export interface Endpoint {
  readonly host: Address | string;
  readonly port: number;
}

/**
 * Reads `198.51.100.10:51820`, `[2001:db8::1]:51820` or `name.example:51820`, or gives undefined.
 * Names come back in lower case, so that equal endpoints are equal text.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  const colon = text.lastIndexOf(':');
  if (colon === -1) return undefined;
  const port = parsePort(text.slice(colon + 1));
  const host = parseHost(text.slice(0, colon));
  return port === undefined || host === undefined ? undefined : { host, port };
}

/** The text that parseEndpoint reads, and `wg set ... endpoint` too: IPv6 in brackets. */
export function printEndpoint({ host, port }: Endpoint): string {
  if (!isAddress(host)) return `${host}:${port}`;
  return host.family === 6 ? `[${printAddress(host)}]:${port}` : `${printAddress(host)}:${port}`;
}

function parseHost(text: string): Address | string | undefined {
  if (text.startsWith('[')) {
    const address = text.endsWith(']') ? parseAddress(text.slice(1, -1)) : undefined;
    return address?.family === 6 ? address : undefined;
  }
  // Without brackets the last group of an IPv6 address and a port look alike.
  if (text.includes(':')) return undefined;
  return parseAddress(text) ?? parseHostName(text);
}

/** One label: letters, digits and inner hyphens, 1 to 63 (RFC 1123, 2.1). */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Reads a host name (RFC 1123, 2.1) into lower case, or gives undefined. A closing dot, the root, is dropped. */
export function parseHostName(text: string): string | undefined {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  // 255 bytes on the wire (RFC 1035, 2.3.4) are 253 characters in text.
  if (name.length > 253) return undefined;
  const labels = name.split('.');
  // A last label that is a number makes getaddrinfo read 1.2.3 or 0x7f.1 as an IPv4 address; no top-level domain is one.
  const looksLikeIpv4 = /^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '');
  return !looksLikeIpv4 && labels.every((label) => LABEL.test(label)) ? name : undefined;
}
