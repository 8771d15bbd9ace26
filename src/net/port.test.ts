import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  comparePortRanges,
  containsPort,
  type PortRange,
  parsePortRange,
  portCount,
  portRangesOverlap,
  printPortRange,
  samePortRange,
} from './index.ts';

const anyPort = fc.integer({ min: 1, max: 65_535 });
const anyRange: fc.Arbitrary<PortRange> = fc
  .tuple(anyPort, fc.oneof(anyPort, fc.nat(8)))
  .map(([first, more]) => ({ first, last: Math.min(first + more, 65_535) }));

describe('read', () => {
  for (const [input, first, last, count] of [
    ['80', 80, 80, 1],
    [80, 80, 80, 1],
    ['30000-30100', 30_000, 30_100, 101],
    ['1-65535', 1, 65_535, 65_535],
    ['443-443', 443, 443, 1],
  ] as const) {
    test(JSON.stringify(input), () => {
      expect(parsePortRange(input)).toEqual({ first, last });
      expect(portCount({ first, last })).toBe(count);
    });
  }
});

describe('refused', () => {
  for (const input of [0, -1, 65_536, 80.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    test(`${input}`, () => expect(parsePortRange(input)).toBeUndefined());
  }
  const texts = [
    '',
    '0',
    '65536',
    '080',
    '0x50',
    '8e1',
    '80 ',
    '80-',
    '-80',
    '80-79',
    '0-10',
    '1-65536',
    '1-2-3',
    '80:90',
    '80,90',
    'http',
  ];
  for (const text of texts) test(JSON.stringify(text), () => expect(parsePortRange(text)).toBeUndefined());
});

test('printed and read again, a range is itself', () => {
  fc.assert(
    fc.property(anyRange, (range) => {
      expect(parsePortRange(printPortRange(range))).toEqual(range);
    }),
  );
});

test('ranges overlap where a port lies in both', () => {
  fc.assert(
    fc.property(anyRange, anyRange, anyPort, (left, right, port) => {
      const later = Math.max(left.first, right.first);
      expect(portRangesOverlap(left, right)).toBe(containsPort(left, later) && containsPort(right, later));
      if (containsPort(left, port) && containsPort(right, port)) expect(portRangesOverlap(left, right)).toBe(true);
      expect(samePortRange(left, right)).toBe(comparePortRanges(left, right) === 0);
    }),
  );
  expect(portRangesOverlap({ first: 1, last: 9 }, { first: 9, last: 12 })).toBe(true);
  expect(portRangesOverlap({ first: 9, last: 12 }, { first: 1, last: 9 })).toBe(true);
  expect(portRangesOverlap({ first: 1, last: 9 }, { first: 10, last: 12 })).toBe(false);
});
