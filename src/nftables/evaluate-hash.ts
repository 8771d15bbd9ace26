/** The kernel's `jhash` (include/linux/jhash.h) over bytes as they stand in nftables' registers, on a little-endian machine. */

import type { Scalar } from './evaluate-value.ts';
import type { DataType } from './ruleset.ts';

const GOLDEN = 0xdeadbeef;
const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

/** The hash of `bytes` with the seed `initval`, 32 bits unsigned. */
export function jhash(bytes: Uint8Array, initval: number): number {
  let a = (GOLDEN + bytes.length + initval) | 0;
  let b = a;
  let c = a;
  const word = (at: number): number => {
    const [first = 0, second = 0, third = 0, fourth = 0] = bytes.subarray(at, at + 4);
    return first | (second << 8) | (third << 16) | (fourth << 24);
  };
  let at = 0;
  for (; bytes.length - at > 12; at += 12) {
    a = (a + word(at)) | 0;
    b = (b + word(at + 4)) | 0;
    c = (c + word(at + 8)) | 0;
    a = ((a - c) ^ rotate(c, 4)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 6)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 8)) | 0;
    b = (b + a) | 0;
    a = ((a - c) ^ rotate(c, 16)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 19)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 4)) | 0;
    b = (b + a) | 0;
  }
  if (at === bytes.length) return c >>> 0;
  // What is left, short words filled with zeros, and the last mixing.
  a = (a + word(at)) | 0;
  b = (b + word(at + 4)) | 0;
  c = (c + word(at + 8)) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  return c >>> 0;
}

/** A hash brought into 0 up to before `modulus` (reciprocal_scale, linux/kernel.h). */
export const reciprocalScale = (value: number, modulus: number): number =>
  Number((BigInt(value) * BigInt(modulus)) >> 32n);

/** Bytes of the data types that are hashed in network order, as the packet has them. */
const WIDTHS: Readonly<Record<string, number>> = {
  ipv4_addr: 4,
  ipv6_addr: 16,
  inet_service: 2,
  inet_proto: 1,
};
/** A register of a concatenation begins at each four bytes (NFT_REG32_SIZE). */
const REGISTER_BYTES = 4;

/** The values as they stand in registers one after another; undefined for a type whose layout is not known here. */
export function registerBytes(parts: readonly Scalar[], types: DataType): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const [index, part] of parts.entries()) {
    const width = WIDTHS[types[index] ?? ''];
    if (width === undefined || typeof part === 'string' || parts.length !== types.length) return undefined;
    const value = BigInt(part);
    for (let shift = width - 1; shift >= 0; shift--) bytes.push(Number((value >> BigInt(shift * 8)) & 0xffn));
    while (parts.length > 1 && bytes.length % REGISTER_BYTES !== 0) bytes.push(0);
  }
  return Uint8Array.from(bytes);
}
