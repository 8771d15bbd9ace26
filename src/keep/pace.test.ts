import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoff, type Look, lookWithin, repairDelay, restAfter } from './index.ts';

test('a host that fails is asked less and less often, and at least every half minute', () => {
  expect([0, 1, 2, 3, 4, 7, 8, 1_000].map((failures) => backoff(failures, 1))).toEqual([
    0, 500, 1_000, 2_000, 4_000, 30_000, 30_000, 30_000,
  ]);
  fc.assert(
    fc.property(fc.nat(100), fc.double({ min: 0, max: 1, noNaN: true }), (failures, chance) => {
      const wait = backoff(failures + 1, chance);
      expect(wait).toBeGreaterThanOrEqual(375);
      expect(wait).toBeLessThanOrEqual(30_000);
    }),
  );
});

test('looks take a sixth of each minute, the first of them at once', () => {
  const looks: Look[] = [];
  const rests: number[] = [];
  let now = 0;
  for (let look = 0; look < 100; look++) {
    now += 400;
    looks.push({ endedAt: now, tookMs: 400 });
    const rest = restAfter(looks, now);
    rests.push(rest);
    now += rest;
  }
  expect(rests.slice(0, 25)).toEqual(Array(25).fill(100));
  expect(new Set(rests.slice(25))).toContain(2_000);
  const busiest = looks.map(({ endedAt }) =>
    looks
      .filter((each) => each.endedAt >= endedAt && each.endedAt < endedAt + 60_000)
      .reduce((sum, { tookMs }) => sum + tookMs, 0),
  );
  expect(Math.max(...busiest)).toBeLessThanOrEqual(20_000);
  expect(restAfter(looks, now + 60_000)).toBe(100);
});

test('a host that tells of itself is looked at ten times more seldom', () => {
  expect([lookWithin(60_000, false), lookWithin(60_000, true)]).toEqual([60_000, 600_000]);
});

test('a few repairs are made at once, then each waits twice as long as the one before', () => {
  const made: number[] = [];
  const waits: number[] = [];
  for (let now = 0; waits.length < 12; now += 10) {
    const wait = repairDelay(made, now);
    waits.push(wait);
    now += wait;
    made.push(now);
  }
  expect(waits.slice(0, 5)).toEqual([0, 0, 0, 0, 0]);
  expect(waits.slice(5, 9)).toEqual([990, 1_990, 3_990, 7_990]);
  expect(Math.max(...waits)).toBeLessThanOrEqual(30_000);
  expect(repairDelay([0, 1, 2, 3, 4, 5], 60_006)).toBe(0);
});
