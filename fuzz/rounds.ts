import { expect } from 'vitest';
import { checkScenario } from './check.ts';
import { drawFrom } from './draw.ts';

/** Two hundred for each network: it takes as long to build as those take to send. */
const FLOWS = 200;

/** Draws from `seed` on until `wanted` flows were compared; of those that the model does not decide there may be one in twenty. */
export async function checkRounds(seed: number, wanted: number): Promise<void> {
  let checks = 0;
  let undecided = 0;
  for (let at = seed; checks < wanted; at++) {
    const result = await checkScenario(drawFrom(at, FLOWS));
    expect(result.difference, `make fuzz ARGS='--from ${at} --flows ${FLOWS}' shrinks it`).toBeUndefined();
    checks += result.checks;
    undecided += result.undecided.length;
  }
  expect(undecided).toBeLessThan(wanted / 20);
}
