/** BLAKE2s with a key (RFC 7693), which node:crypto has not: WireGuard signs its messages with it. */

const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19] as const;
const BLOCK = 64;

/** RFC 7693, 2.7: which words of the message are mixed in, a round a line. */
const SIGMA: readonly (readonly number[])[] = [
  '0123456789abcdef',
  'ea489fd61c02b753',
  'b8c052fdae367194',
  '7931dcbe265a40f8',
  '905724afe1bc683d',
  '2c6a0b834d75fe19',
  'c51fed4a0763928b',
  'db7ec13950f4862a',
  '6fe9b308c2d714a5',
  'a2847615fb9e3cd0',
].map((round) => [...round].map((digit) => Number.parseInt(digit, 16)));

/** RFC 7693, 3.1: the columns of the state, then its diagonals. */
const MIXES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

/** Keyed BLAKE2s of the message: a key of up to 32 bytes, `length` bytes of output, up to 32. */
export function blake2sMac(key: Uint8Array, message: Uint8Array, length: number): Uint8Array {
  const state = Uint32Array.from(IV);
  state[0] = word(state, 0) ^ 0x01010000 ^ (key.length << 8) ^ length;
  const padded = new Uint8Array(BLOCK * Math.max(1, 1 + Math.ceil(message.length / BLOCK)));
  padded.set(key);
  padded.set(message, BLOCK);
  const bytes = BLOCK + message.length;
  for (let at = 0; at < padded.length; at += BLOCK)
    compress(state, padded.subarray(at, at + BLOCK), Math.min(at + BLOCK, bytes), at + BLOCK >= padded.length);
  const view = new DataView(new ArrayBuffer(32));
  for (const [index, value] of state.entries()) view.setUint32(4 * index, value, true);
  return new Uint8Array(view.buffer).slice(0, length);
}

/** RFC 7693, 3.2. */
function compress(state: Uint32Array, block: Uint8Array, count: number, isLast: boolean): void {
  const view = new DataView(block.buffer, block.byteOffset, BLOCK);
  const message = Array.from({ length: 16 }, (_, index) => view.getUint32(4 * index, true));
  const v = Uint32Array.from([...state, ...IV]);
  v[12] = word(v, 12) ^ count;
  if (isLast) v[14] = ~word(v, 14);
  for (const round of SIGMA)
    for (const [index, [a, b, c, d]] of MIXES.entries()) {
      v[a] = word(v, a) + word(v, b) + (message[round[2 * index] ?? 0] ?? 0);
      v[d] = rotate(word(v, d) ^ word(v, a), 16);
      v[c] = word(v, c) + word(v, d);
      v[b] = rotate(word(v, b) ^ word(v, c), 12);
      v[a] = word(v, a) + word(v, b) + (message[round[2 * index + 1] ?? 0] ?? 0);
      v[d] = rotate(word(v, d) ^ word(v, a), 8);
      v[c] = word(v, c) + word(v, d);
      v[b] = rotate(word(v, b) ^ word(v, c), 7);
    }
  for (const index of state.keys()) state[index] = word(state, index) ^ word(v, index) ^ word(v, index + 8);
}

const word = (words: Uint32Array, index: number): number => words[index] ?? 0;
const rotate = (value: number, by: number): number => ((value >>> by) | (value << (32 - by))) >>> 0;
