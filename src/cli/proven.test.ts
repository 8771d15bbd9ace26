/** Whatever `verify` proves of a drawn set of resources, real packets confirm; what it says does not hold, too, as far as they were sent. */
import { expect, test } from 'vitest';
import { patient } from '../lab/index.ts';
import { addConfirmed, type Confirmed, confirmSets, NOTHING } from './testdata/proven.ts';

/** The first of `make soak` is another: these are the same each time. */
const FIRST = 1;
const SETS = 100;

// A minute of two processors by itself.
test('a hundred drawn sets of resources do what was proven of them', { timeout: patient(600_000) }, async () => {
  let all: Confirmed = NOTHING;
  await confirmSets({ from: FIRST, count: SETS, onSet: (_, each) => (all = addConfirmed(all, each)) });
  expect(all.differences).toEqual([]);
  expect(all.sets).toBe(SETS);
  // A grammar that draws nothing of use proves nothing.
  expect(all.refused).toBeLessThan(SETS / 20);
  expect(all.holding).toBeGreaterThan(SETS * 15);
  expect(all.undecided).toBeLessThan(all.holding / 20);
  expect(all.answered).toBeGreaterThan(SETS * 20);
  expect(all.packets - all.answered).toBeGreaterThan(SETS * 10);
  expect(all.brokenSeen).toBeGreaterThan(2);
});
