import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { spliceOf } from './splice.ts';

/** Characters of one to four bytes, some of which begin or end alike. */
const little = fc.string({ unit: fc.constantFrom('a', 'ü', 'û', '€', '₭', '😀', '😁', '\n'), maxLength: 6 });
const long = 'a long line of text, ü\n'.repeat(4_000);

test('head, middle and tail are the text', () => {
  fc.assert(
    fc.property(little, little, little, little, fc.nat(long.length), (head, one, other, tail, at) => {
      const [start, end] = [head + long.slice(0, at), long.slice(at) + tail];
      const [before, after] = [start + one + end, start + other + end];
      const splice = spliceOf(before, after) ?? expect.fail('sent whole');
      const [from, to] = [Buffer.from(before), Buffer.from(after)];
      const middle = Buffer.from(splice.middle);
      const kept = from.subarray(from.length - splice.tail);
      expect(Buffer.concat([from.subarray(0, splice.head), middle, kept]).equals(to)).toBe(true);
      expect(middle.length).toBeLessThanOrEqual(Buffer.byteLength(other) + 6);
      expect(splice.sum).toBe(createHash('blake2b512').update(to).digest('hex'));
    }),
    { numRuns: 300 },
  );
});

test('a short text, and one that became another, are sent whole', () => {
  expect(spliceOf('a', 'b')).toBeUndefined();
  expect(spliceOf(long, 'b'.repeat(long.length))).toBeUndefined();
});
