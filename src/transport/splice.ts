import { createHash } from 'node:crypto';

/** What makes one text of another: bytes that stay at its head and its tail, and what comes between them. */
export interface Splice {
  readonly head: number;
  readonly tail: number;
  readonly middle: string;
  /** BLAKE2b of the whole, in hexadecimal, as b2sum prints it. */
  readonly sum: string;
}

/** Shorter texts are sent whole as fast; bytes. */
const WORTH_IT = 64 * 1024;

/** Undefined where it is no shorter way. */
export function spliceOf(before: string, after: string): Splice | undefined {
  if (after.length < WORTH_IT || before.length < WORTH_IT) return undefined;
  const most = Math.min(before.length, after.length);
  const head = longest(most, (length) => before.slice(0, length) === after.slice(0, length));
  const tail = longest(most - head, (length) => endOf(before, length) === endOf(after, length));
  // No half of a character may be sent.
  const start = head - (isInside(after, head) ? 1 : 0);
  const end = after.length - tail + (isInside(after, after.length - tail) ? 1 : 0);
  if (end - start > after.length / 2) return undefined;
  return {
    head: Buffer.byteLength(after.slice(0, start)),
    tail: Buffer.byteLength(after.slice(end)),
    middle: after.slice(start, end),
    sum: createHash('blake2b512').update(after).digest('hex'),
  };
}

const endOf = (text: string, length: number): string => text.slice(text.length - length);

/** The greatest length up to `most` at which `isAlike`, which is so for all that are shorter. */
function longest(most: number, isAlike: (length: number) => boolean): number {
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (isAlike(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** UTF-16: from 0xdc00 to 0xdfff is the second half of a character. */
const isInside = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00;
