/** The clock of the machine is set while a change is pending: only in the VM, for a namespace has no clock of its own. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { patient } from '../lab/index.ts';
import { type FarEdge, startFarEdge } from './testdata/far-edge.ts';

/** The VM is slow: a window of two seconds is over before its first step. */
const windowMs = patient(2_000);
const DAY_SECONDS = 86_400;

let far: FarEdge | undefined;
beforeAll(async () => {
  if (process.env.LAB_LANE === 'vm') far = await startFarEdge();
});
afterAll(async () => far?.[Symbol.asyncDispose]());

for (const [where, seconds] of [
  ['ahead', DAY_SECONDS],
  ['back', -DAY_SECONDS],
] as const)
  test(`a day ${where}, and apply is killed: the edge is as it was within the window and two seconds`, {
    tags: ['vm-only'],
  }, async () => {
    if (far === undefined) return expect.fail('this is not the VM');
    const { dump, run, now, untilNotPending } = far;
    const before = await dump('edge');
    const set = (by: number): string => now('edge', ['date', '-s', `@${Math.round(Date.now() / 1_000) + by}`]);
    let isSet = false;
    const { said } = await run({ command: 'apply', file: await far.documents(1), windowMs }, ({ progress, worker }) => {
      if (isSet || progress.kind !== 'step') return undefined; // all are armed
      set(seconds);
      isSet = true;
      worker.kill('SIGKILL');
      return undefined;
    });
    try {
      expect([said, isSet]).toEqual([undefined, true]);
      for (const host of ['edge', 'node'] as const) await untilNotPending(host, 2_000 + 2_000);
      await expect.poll(() => dump('edge'), { timeout: 60_000 }).toBe(before);
    } finally {
      set(-seconds);
    }
  });
