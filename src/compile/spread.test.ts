import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BUCKETS, spread } from './spread.ts';

const anyTargets = fc.uniqueArray(
  fc.record({ id: fc.stringMatching(/^[a-z]{1,8}[0-9]?$/), weight: fc.integer({ min: 1, max: 10 }) }),
  { minLength: 2, maxLength: 8, selector: ({ id }) => id },
);

test('when a target leaves, its buckets alone find another, and they spread over all that stay', () => {
  fc.assert(
    fc.property(anyTargets, fc.nat(), (targets, pick) => {
      const leaves = pick % targets.length;
      const stay = targets.filter((_, index) => index !== leaves);
      const before = spread(targets).map((index) => targets[index]);
      const after = spread(stay).map((index) => stay[index]);
      for (const [bucket, target] of before.entries())
        if (target !== targets[leaves]) expect(after[bucket]).toBe(target);
    }),
  );
});

test('the order in which targets are written makes no difference', () => {
  fc.assert(
    fc.property(anyTargets, (targets) => {
      const turned = [...targets].reverse();
      expect(spread(turned).map((index) => turned[index])).toEqual(spread(targets).map((index) => targets[index]));
    }),
  );
});

test('each target has its weight of the buckets', () => {
  fc.assert(
    fc.property(anyTargets, (targets) => {
      const all = targets.reduce((sum, { weight }) => sum + weight, 0);
      const places = spread(targets);
      for (const [index, { weight }] of targets.entries()) {
        const share = weight / all;
        const buckets = places.filter((place) => place === index).length;
        // Six standard deviations of as many throws.
        const room = 6 * Math.sqrt(BUCKETS * share * (1 - share));
        expect(Math.abs(buckets - BUCKETS * share)).toBeLessThan(room);
      }
    }),
  );
});
