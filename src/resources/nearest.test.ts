import fc from 'fast-check';
import { expect, test } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

for (const [word, candidates, wanted] of [
  ['Failovr', ['Failover', 'Balance'], 'Failover'],
  ['wireguard', ['WireGuard', 'GRE'], 'WireGuard'],
  ['adress', ['address', 'addresses'], 'address'],
  ['hsot', ['port', 'host'], 'host'],
  ['tcp', ['UDP', 'TCP'], 'TCP'],
  ['xyz', ['host', 'via'], undefined],
  ['', ['a'], 'a'],
] as const) {
  test(`nearest to "${word}" of ${candidates.join(', ')}: ${wanted}`, () =>
    expect(nearest(word, candidates)).toBe(wanted));
}

test('a distance is symmetric, zero only for equal words, and right below its bound', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 });
  fc.assert(
    fc.property(word, word, fc.nat(8), (left, right, bound) => {
      const distance = editDistance(left, right, 99);
      expect(editDistance(right, left, 99)).toBe(distance);
      expect(distance === 0).toBe(left === right);
      const bounded = editDistance(left, right, bound);
      expect(distance <= bound ? bounded === distance : bounded > bound).toBe(true);
    }),
  );
});
