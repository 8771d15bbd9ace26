import { expect, test } from 'vitest';
import { checkScenario } from './check.ts';
import { drawFrom } from './draw.ts';

const SCENARIOS = 8;
const FLOWS = 40;

test('the kernel does with every packet of drawn networks what the model says', async () => {
  let checks = 0;
  for (let seed = 1; seed <= SCENARIOS; seed++) {
    const result = await checkScenario(drawFrom(seed, FLOWS));
    expect(result.difference, `seed ${seed}`).toBeUndefined();
    checks += result.checks;
  }
  expect(checks).toBeGreaterThan(250);
});
