/** The words of options as values: numbers, ports, addresses, masks. */
import {
  type Address,
  addressBits,
  type Family,
  networkOf,
  parseAddress,
  parseInterfaceAddress,
} from '../net/index.ts';
import type { Expression, Value } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';

/** A whole number from 0 to `most`, decimal or 0x hexadecimal (xtables_strtoui without octal, which iptables-save never writes). */
export function readNumber(text: string | undefined, most = 0xffffffff): number | undefined {
  if (text === undefined || !/^(?:[0-9]{1,10}|0x[0-9a-f]{1,8})$/i.test(text)) return undefined;
  const value = Number(text);
  return value <= most ? value : undefined;
}

/** `5`, `5:9`, `:9`, `5:`, or with another character between. */
export function readRange(text: string | undefined, most: number, between = ':'): Value | undefined {
  if (text === undefined) return undefined;
  const at = text.indexOf(between);
  if (at === -1) {
    const only = readNumber(text, most);
    return only === undefined ? undefined : nft.number(only);
  }
  const [from, to] = [text.slice(0, at), text.slice(at + between.length)];
  const first = from === '' ? 0 : readNumber(from, most);
  const last = to === '' ? most : readNumber(to, most);
  if (first === undefined || last === undefined || first > last) return undefined;
  return first === last ? nft.number(first) : nft.range(first, last);
}

/** `0x4000/0x4000` or `0x4000`, whose mask is all bits. */
export function readMasked(text: string | undefined): { readonly value: number; readonly mask: number } | undefined {
  const [value, mask, ...others] = (text ?? '').split('/');
  const numbers = { value: readNumber(value), mask: mask === undefined ? 0xffffffff : readNumber(mask) };
  if (numbers.value === undefined || numbers.mask === undefined || others.length > 0) return undefined;
  return { value: numbers.value, mask: numbers.mask };
}

const isMask = (mask: Address, length: number): boolean => {
  const bits = addressBits(mask.family);
  const ones = (1n << BigInt(bits)) - 1n;
  return mask.value === (ones ^ ((1n << BigInt(bits - length)) - 1n));
};

/** An address of the family, with what of it is compared: `10.0.0.0/8`, `10.0.0.1`, `10.0.0.0/255.0.255.0`. */
export interface MaskedAddress {
  readonly address: Address;
  readonly mask: Address;
  /** Where the mask is one of leading ones. */
  readonly length?: number;
}

/** Host bits are taken off, as iptables does. */
export function readMaskedAddress(text: string, family: Family): MaskedAddress | undefined {
  const bits = addressBits(family);
  const slash = text.indexOf('/');
  const bare = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (bare?.family !== family) return undefined;
  const given = slash === -1 ? undefined : parseAddress(text.slice(slash + 1));
  if (given !== undefined) {
    if (given.family !== family) return undefined;
    const length = Array.from({ length: bits + 1 }, (_, index) => index).find((each) => isMask(given, each));
    const address = { family, value: bare.value & given.value };
    return { address, mask: given, ...(length !== undefined && { length }) };
  }
  const network = parseInterfaceAddress(slash === -1 ? `${text}/${bits}` : text);
  if (network === undefined) return undefined;
  const host = (1n << BigInt(bits - network.length)) - 1n;
  const mask = { family, value: ((1n << BigInt(bits)) - 1n) ^ host };
  return { address: networkOf(network).address, mask, length: network.length };
}

/** The header field of addresses in a family's packets. */
export const addressField = (family: Family, field: 'saddr' | 'daddr'): Expression =>
  nft.payload(family === 4 ? 'ip' : 'ip6', field);

/** `10.0.0.1-10.0.0.9`, or one address. */
export function readAddressRange(text: string | undefined, family: Family): Value | undefined {
  const [from, to, ...others] = (text ?? '').split('-');
  const first = parseAddress(from ?? '');
  const last = to === undefined ? first : parseAddress(to);
  if (first?.family !== family || last?.family !== family || others.length > 0 || first.value > last.value) {
    return undefined;
  }
  return first.value === last.value ? nft.address(first) : nft.range(nft.address(first), nft.address(last));
}
