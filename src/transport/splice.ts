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
  const [from, to] = [Buffer.from(before), Buffer.from(after)];
  const most = Math.min(from.length, to.length);
  const head = longest(most, (length) => from.compare(to, 0, length, 0, length) === 0);
  const tail = longest(
    most - head,
    (length) => from.compare(to, to.length - length, to.length, from.length - length, from.length) === 0,
  );
  // No half of a character may be sent.
  const [start, end] = [wholeBefore(to, head), wholeAfter(to, to.length - tail)];
  if (end - start > to.length / 2) return undefined;
  return {
    head: start,
    tail: to.length - end,
    middle: to.toString('utf8', start, end),
    sum: createHash('blake2b512').update(to).digest('hex'),
  };
}

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

/** UTF-8: bytes from 0x80 to 0xbf go on with a character. */
const isInside = (bytes: Buffer, at: number): boolean => ((bytes[at] ?? 0) & 0xc0) === 0x80;

function wholeBefore(bytes: Buffer, at: number): number {
  let start = at;
  while (isInside(bytes, start)) start -= 1;
  return start;
}

function wholeAfter(bytes: Buffer, at: number): number {
  let end = at;
  while (isInside(bytes, end)) end += 1;
  return end;
}
