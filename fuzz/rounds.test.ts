import { expect, test } from 'vitest';
import { checkScenario, PART_NAMES } from './check.ts';
import { drawFrom } from './draw.ts';

const SEED = 20_001;
const CHECKS = 10_000;
/** For each network: it takes as long to build as those take to send. */
const FLOWS = 250;

const ENDINGS = ['udp', 'tcp', 'icmp'].flatMap((protocol) =>
  ['delivered', 'dropped', 'rejected', 'unreachable', 'exits', 'looped'].map((ending) => `${protocol} ${ending}`),
);

/** Half a minute of work, which may wait for others. */
const TIMEOUT_MS = 600_000;

// Of those that the model does not decide there may be one in twenty.
test(
  'the kernel does with 10,000 flows of drawn networks what the model says, and they reach all that is drawn',
  async () => {
    let checks = 0;
    let undecided = 0;
    const reached = new Set<string>();
    for (let at = SEED; checks < CHECKS; at++) {
      const result = await checkScenario(drawFrom(at, FLOWS));
      expect(result.difference, `make fuzz ARGS='--from ${at} --flows ${FLOWS}' shrinks it`).toBeUndefined();
      checks += result.checks;
      undecided += result.undecided.length;
      for (const what of result.reached) reached.add(what);
    }
    expect(undecided).toBeLessThan(CHECKS / 20);
    expect([...ENDINGS, ...PART_NAMES].filter((each) => !reached.has(each))).toEqual([]);
  },
  TIMEOUT_MS,
);
