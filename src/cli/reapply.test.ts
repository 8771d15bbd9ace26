import { expect, test } from 'vitest';
import { randomFrom } from './testdata/random.ts';
import { reapplyUnderTraffic } from './testdata/reapply.ts';

test('established connections survive every re-apply, and new ones meanwhile are all answered', async () => {
  const flows = 50;
  // The same each time: `make soak` is where chance has its part.
  const seen = await reapplyUnderTraffic({
    ...{ flows, intervalMs: 250, times: 20, connections: 1_000, byCommandEvery: 10 },
    random: randomFrom(1),
  });
  expect(seen.flows).toMatchObject({ open: flows, lost: 0, errors: {} });
  expect(seen.flows.echoes).toBeGreaterThan(flows);
  expect(seen.connections).toMatchObject({ failed: 0, errors: {} });
  expect(seen.connections.succeeded).toBeGreaterThan(0);
});
