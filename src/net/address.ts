import { parseDecimal } from './decimal.ts';

/** The version of the Internet Protocol. */
export type Family = 4 | 6;

/** An IPv4 or IPv6 address as a number, the first byte on the wire the most significant. It carries no zone. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** How many bits an address of the family has: 32 or 128. */
export const addressBits = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** The highest address value of the family: all bits one. */
export const highestValue = (family: Family): bigint => (family === 4 ? 0xffff_ffffn : (1n << 128n) - 1n);

/**
 * Reads one address, or gives undefined. IPv4 is four plain decimal octets; IPv6 is RFC 4291, 2.2, embedded IPv4 included.
 * Refused: leading zeros in octets, hexadecimal and short IPv4 (inet_aton reads them, inet_pton does not), zone ids, any space.
 */
export function parseAddress(text: string): Address | undefined {
  if (text.includes(':')) {
    const value = parseIpv6(text);
    return value === undefined ? undefined : { family: 6, value };
  }
  const value = parseIpv4(text);
  return value === undefined ? undefined : { family: 4, value: BigInt(value) };
}

/** Four octets as one number; three dots exactly. */
function parseIpv4(text: string): number | undefined {
  if (text.length < 7 || text.length > 15) return undefined;
  let value = 0;
  let start = 0;
  for (let octets = 1; octets <= 4; octets++) {
    const end = octets === 4 ? text.length : text.indexOf('.', start);
    if (end === -1) return undefined;
    const octet = parseDecimal(text.slice(start, end), 255);
    if (octet === undefined) return undefined;
    value = value * 256 + octet;
    start = end + 1;
  }
  return value;
}

const COLON = 0x3a;
const DOT = 0x2e;

/** One pass over the text: groups are collected, the place of `::` is kept and filled at the end. */
function parseIpv6(text: string): bigint | undefined {
  const groups: number[] = [];
  let gap: number | undefined;
  let at = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return undefined;
    gap = 0;
    at = 2;
  }
  while (at < text.length) {
    const start = at;
    let group = 0;
    for (; at < start + 4; at++) {
      const digit = hexDigit(text.charCodeAt(at));
      if (digit === undefined) break;
      group = group * 16 + digit;
    }
    if (at === start || groups.length === 8) return undefined;
    if (text.charCodeAt(at) === DOT) {
      const embedded = parseIpv4(text.slice(start));
      if (embedded === undefined || groups.length > 6) return undefined;
      groups.push(Math.floor(embedded / 0x1_0000), embedded % 0x1_0000);
      break;
    }
    groups.push(group);
    if (at === text.length) break;
    if (text.charCodeAt(at) !== COLON) return undefined;
    at++;
    if (at === text.length) return undefined;
    if (text.charCodeAt(at) === COLON) {
      if (gap !== undefined) return undefined;
      gap = groups.length;
      at++;
    }
  }
  // "::" stands for one group or more (RFC 4291, 2.2), so eight written groups leave no place for it.
  if ((gap === undefined) !== (groups.length === 8)) return undefined;
  return joinGroups(groups, gap ?? 8);
}

/** NaN, which charCodeAt gives past the end, is no digit. */
function hexDigit(code: number): number | undefined {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined;
}

/** 16-bit groups as one value, zeros put in at `gap` until they are eight. Three or two fit a number: less bigint work. */
function joinGroups(groups: readonly number[], gap: number): bigint {
  const missing = 8 - groups.length;
  const join = (from: number, to: number): bigint => {
    let part = 0;
    for (let index = from; index < to; index++) {
      const inGap = index >= gap && index < gap + missing;
      part = part * 0x1_0000 + (inGap ? 0 : (groups[index < gap ? index : index - missing] ?? 0));
    }
    return BigInt(part);
  };
  return (join(0, 3) << 80n) | (join(3, 6) << 32n) | join(6, 8);
}

/** The one text of an address: dotted quad, or RFC 5952; IPv4-mapped as `::ffff:192.0.2.1` (RFC 5952, 5). */
export function printAddress(address: Address): string {
  if (address.family === 4) return printIpv4(Number(address.value));
  // Of the prefixes with an embedded IPv4 only this one is told by its bits alone; glibc also prints ::1.2.3.4, long deprecated.
  if (address.value >> 32n === 0xffffn) return `::ffff:${printIpv4(Number(address.value & 0xffff_ffffn))}`;
  return printIpv6(address.value);
}

const printIpv4 = (value: number): string =>
  `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;

function printIpv6(value: bigint): string {
  const digits = value.toString(16).padStart(32, '0');
  const groups: string[] = [];
  // The longest run of zero groups, the first of equals, and never a single one (RFC 5952, 4.2).
  let best = { start: 0, length: 1 };
  let run = 0;
  for (let index = 0; index < 8; index++) {
    const group = Number.parseInt(digits.slice(index * 4, index * 4 + 4), 16);
    groups.push(group.toString(16));
    run = group === 0 ? run + 1 : 0;
    if (run > best.length) best = { start: index - run + 1, length: run };
  }
  if (best.length === 1) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}

/** Order for sorting: IPv4 before IPv6, then by value. Negative, zero or positive. */
export function compareAddresses(left: Address, right: Address): number {
  if (left.family !== right.family) return left.family - right.family;
  return left.value < right.value ? -1 : left.value > right.value ? 1 : 0;
}

/** Whether both are the same address. 192.0.2.1 and ::ffff:192.0.2.1 are two. */
export const sameAddress = (left: Address, right: Address): boolean =>
  left.family === right.family && left.value === right.value;

/** The address `offset` further on, or back if negative. Throws RangeError beyond the ends of the family. */
export function addAddress(address: Address, offset: bigint): Address {
  const value = address.value + offset;
  if (value < 0n || value > highestValue(address.family)) {
    throw new RangeError(`${printAddress(address)} + ${offset} is not an IPv${address.family} address`);
  }
  return { family: address.family, value };
}

/** Whether any value is an Address: tells the two kinds of Endpoint host apart, and guards data from outside. */
export function isAddress(candidate: unknown): candidate is Address {
  if (typeof candidate !== 'object' || candidate === null || !('family' in candidate) || !('value' in candidate)) {
    return false;
  }
  const { family, value } = candidate;
  return (family === 4 || family === 6) && typeof value === 'bigint' && value >= 0n && value <= highestValue(family);
}
