import { test } from 'vitest';
import { checkRounds } from './rounds.ts';

// Two files, so that they run side by side.
test('the kernel does with 5,000 flows of drawn networks what the model says, seeds from 10001', () =>
  checkRounds(10_001, 5_000));
