import { type Address, addressBits, compareAddresses, type Family, parseAddress, printAddress } from './address.ts';
import { parseDecimal } from './decimal.ts';

/** A block of addresses that share their first `length` bits. The bits of `address` after those are zero. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

/** An address as an interface carries it, with the length of its network: 198.51.100.10/24. */
export interface InterfaceAddress {
  readonly address: Address;
  readonly length: number;
}

/**
 * Reads `ADDRESS/LENGTH`, or gives undefined. A bare address is refused (use hostPrefix), and so is one with host bits set:
 * 10.0.0.1/24 means one thing to `ip route` (an error) and another to `iptables -s` (10.0.0.0/24).
 */
export function parsePrefix(text: string): Prefix | undefined {
  const read = parseInterfaceAddress(text);
  return read === undefined || (read.address.value & hostMask(read)) !== 0n ? undefined : read;
}

/** Reads `ADDRESS/LENGTH` where host bits may be set, or gives undefined. A bare address is refused. */
export function parseInterfaceAddress(text: string): InterfaceAddress | undefined {
  const slash = text.indexOf('/');
  if (slash === -1) return undefined;
  const address = parseAddress(text.slice(0, slash));
  if (address === undefined) return undefined;
  const length = parseDecimal(text.slice(slash + 1), addressBits(address.family));
  return length === undefined ? undefined : { address, length };
}

/** `192.0.2.0/24`, always with its length. */
export const printPrefix = ({ address, length }: Prefix): string => `${printAddress(address)}/${length}`;

/** `192.0.2.10/24`, always with its length. */
export const printInterfaceAddress = ({ address, length }: InterfaceAddress): string =>
  `${printAddress(address)}/${length}`;

/** The bits of an address that tell hosts of the prefix apart. */
const hostMask = ({ address, length }: InterfaceAddress): bigint =>
  (1n << BigInt(addressBits(address.family) - length)) - 1n;

/** The network that an interface address stands in: 198.51.100.10/24 gives 198.51.100.0/24. */
export function networkOf(on: InterfaceAddress): Prefix {
  const { family, value } = on.address;
  return { address: { family, value: value & ~hostMask(on) }, length: on.length };
}

/** The prefix that holds this address alone: /32 or /128. */
export const hostPrefix = (address: Address): Prefix => ({ address, length: addressBits(address.family) });

/** 0.0.0.0/0 or ::/0. */
export const wholeFamily = (family: Family): Prefix => ({ address: { family, value: 0n }, length: 0 });

/** The lowest address of the prefix, its network address. */
export const firstAddress = (prefix: Prefix): Address => prefix.address;

/** The highest address of the prefix; for IPv4 networks up to /30 that is the broadcast address. */
export const lastAddress = (prefix: Prefix): Address => ({
  family: prefix.address.family,
  value: prefix.address.value | hostMask(prefix),
});

/** Whether the address lies in the prefix. Never across families. */
export function containsAddress({ address: network, length }: Prefix, address: Address): boolean {
  const hostBits = BigInt(addressBits(network.family) - length);
  return network.family === address.family && network.value >> hostBits === address.value >> hostBits;
}

/** Whether every address of `inner` lies in `outer`; a prefix contains itself. */
export const containsPrefix = (outer: Prefix, inner: Prefix): boolean =>
  outer.length <= inner.length && containsAddress(outer, inner.address);

/** Whether some address lies in both. Of two prefixes that overlap one contains the other. */
export const prefixesOverlap = (left: Prefix, right: Prefix): boolean =>
  containsPrefix(left, right) || containsPrefix(right, left);

/** Whether both are the same prefix. */
export const samePrefix = (left: Prefix, right: Prefix): boolean => comparePrefixes(left, right) === 0;

/** Order for sorting: by address as compareAddresses, then the shorter, which contains the longer, first. */
export const comparePrefixes = (left: Prefix, right: Prefix): number =>
  compareAddresses(left.address, right.address) || left.length - right.length;
