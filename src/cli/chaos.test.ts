/** Twenty of the thousand changes of `make chaos` that go wrong, each with a window of two seconds. CHAOS_SEED draws others. */
import { expect, test } from 'vitest';
import { drawCases, printChaos, runChaos } from './testdata/chaos-run.ts';

const from = Number(process.env.CHAOS_SEED ?? 20_261_127);

test(`twenty drawn changes over ssh, from seed ${from}: each host goes back or stands complete, somebody who comes is let in, and what is said is so`, async () => {
  const report = await runChaos({ cases: drawCases(from, 20), lanes: 3 });
  expect(report.failures, printChaos(report)).toEqual([]);
  expect(report.tried).toHaveLength(20);
}, 600_000);
