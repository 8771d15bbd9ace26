import { expect } from 'vitest';
import { checkScenario } from './check.ts';
import { drawFrom } from './draw.ts';

/** For each network: it takes as long to build as those take to send. */
const FLOWS = 250;

/** Draws from `seed` on until `wanted` flows were compared; of those that the model does not decide there may be one in twenty. */
export async function checkRounds(seed: number, wanted: number): Promise<void> {
  let checks = 0;
  let undecided = 0;
  const endings = new Set<string>();
  for (let at = seed; checks < wanted; at++) {
    const result = await checkScenario(drawFrom(at, FLOWS));
    expect(result.difference, `make fuzz ARGS='--from ${at} --flows ${FLOWS}' shrinks it`).toBeUndefined();
    checks += result.checks;
    undecided += result.undecided.length;
    for (const ending of result.endings.keys()) endings.add(ending);
  }
  expect(undecided).toBeLessThan(wanted / 20);
  for (const protocol of ['udp', 'tcp', 'icmp'])
    for (const ending of ['delivered', 'dropped', 'rejected', 'unreachable', 'exits'])
      expect(endings, 'what is drawn reaches it').toContain(`${protocol} ${ending}`);
}
