import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  containsPrefix,
  containsValue,
  differenceOf,
  type Interval,
  type IntervalSet,
  intersectionOf,
  intervals,
  isEmpty,
  parseAddress,
  parsePrefix,
  portInterval,
  prefixesOf,
  prefixInterval,
  printPrefix,
  unionOf,
} from './index.ts';

const HIGHEST = 31;
const anyIntervals: fc.Arbitrary<readonly Interval[]> = fc.array(
  fc.tuple(fc.nat(HIGHEST), fc.nat(6)).map(([first, more]) => ({
    first: BigInt(first),
    last: BigInt(Math.min(first + more, HIGHEST)),
  })),
  { maxLength: 8 },
);
const anySet = anyIntervals.map(intervals);

const numbers = Array.from({ length: HIGHEST + 1 }, (_, value) => BigInt(value));
const members = (listed: readonly Interval[]): Set<bigint> =>
  new Set(numbers.filter((value) => listed.some(({ first, last }) => first <= value && value <= last)));

/** The set holds exactly these numbers, and in normal form. */
function expectMembers(set: IntervalSet, expected: Set<bigint>): void {
  expect(members(set.intervals)).toEqual(expected);
  set.intervals.forEach(({ first, last }, index) => {
    expect(first <= last).toBe(true);
    const next = set.intervals[index + 1];
    if (next !== undefined) expect(next.first > last + 1n).toBe(true);
  });
  expect(isEmpty(set)).toBe(expected.size === 0);
  for (const value of numbers) expect(containsValue(set, value)).toBe(expected.has(value));
}

test('a set holds what its intervals hold, sorted, apart and merged', () => {
  fc.assert(
    fc.property(anyIntervals, (listed) => {
      expectMembers(intervals(listed), members(listed));
    }),
  );
});

test('union, intersection and difference are those of sets of numbers', () => {
  fc.assert(
    fc.property(anySet, anySet, (left, right) => {
      const [ours, theirs] = [members(left.intervals), members(right.intervals)];
      expectMembers(unionOf(left, right), new Set(numbers.filter((value) => ours.has(value) || theirs.has(value))));
      expectMembers(
        intersectionOf(left, right),
        new Set(numbers.filter((value) => ours.has(value) && theirs.has(value))),
      );
      expectMembers(
        differenceOf(left, right),
        new Set(numbers.filter((value) => ours.has(value) && !theirs.has(value))),
      );
    }),
    { numRuns: 1_000 },
  );
});

test('an interval that ends before it begins is a fault of the caller', () =>
  expect(() => intervals([{ first: 2n, last: 1n }])).toThrow(RangeError));

test('port ranges that touch are one interval', () =>
  expect(
    intervals(
      [
        { first: 81, last: 90 },
        { first: 80, last: 80 },
      ].map(portInterval),
    ),
  ).toEqual({
    intervals: [{ first: 80n, last: 90n }],
  }));

describe('prefixes that cover exactly', () => {
  for (const [from, to, expected] of [
    ['10.0.0.0', '10.255.255.255', ['10.0.0.0/8']],
    ['0.0.0.0', '255.255.255.255', ['0.0.0.0/0']],
    ['192.0.2.7', '192.0.2.7', ['192.0.2.7/32']],
    ['192.0.2.1', '192.0.2.8', ['192.0.2.1/32', '192.0.2.2/31', '192.0.2.4/30', '192.0.2.8/32']],
    ['255.255.255.254', '255.255.255.255', ['255.255.255.254/31']],
    ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', ['::/0']],
    ['2001:db8::ffff', '2001:db8::1:0', ['2001:db8::ffff/128', '2001:db8::1:0/128']],
  ] as const) {
    test(`${from} to ${to}`, () => {
      const [first, last] = [parseAddress(from), parseAddress(to)];
      const covered = first && last && prefixesOf({ first: first.value, last: last.value }, first.family);
      expect(covered?.map(printPrefix)).toEqual(expected);
    });
  }
});

test('the prefixes of an interval hold it exactly, and no two could be one', () => {
  const ends = fc
    .tuple(fc.nat(300), fc.nat(300))
    .map(([first, more]) => ({ first: BigInt(first), last: BigInt(first + more) }));
  fc.assert(
    fc.property(ends, fc.constantFrom<4 | 6>(4, 6), (interval, family) => {
      const covered = prefixesOf(interval, family);
      expect(intervals(covered.map(prefixInterval))).toEqual({ intervals: [interval] });
      covered.forEach((prefix, index) => {
        const next = covered[index + 1];
        if (next === undefined || prefix.length === 0) return;
        // Two halves of one prefix would stand beside each other, the first one aligned.
        const parent = parsePrefix(printPrefix({ address: prefix.address, length: prefix.length - 1 }));
        expect(parent !== undefined && next.length === prefix.length && containsPrefix(parent, next)).toBe(false);
      });
    }),
  );
});

test('what is no address of the family has no prefixes', () => {
  expect(() => prefixesOf({ first: 0n, last: 2n ** 32n }, 4)).toThrow('0 to 4294967296 are not IPv4 addresses');
  expect(() => prefixesOf({ first: -1n, last: 0n }, 6)).toThrow(RangeError);
});
