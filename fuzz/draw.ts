import { drawNetwork } from './network.ts';
import { startRandom } from './random.ts';
import { drawScenario } from './rules.ts';
import type { Scenario } from './scenario.ts';

/** The scenario of a seed, always the same. */
export function drawFrom(seed: number, flows: number): Scenario {
  const random = startRandom(seed);
  return drawScenario(random, drawNetwork(random, seed), flows);
}
