import { expect, test } from 'vitest';
import { reapplyUnderTraffic } from './testdata/reapply.ts';

test('established connections survive every re-apply, and new ones meanwhile are all answered', async () => {
  const flows = 50;
  const seen = await reapplyUnderTraffic({ flows, times: 20, byCommandEvery: 10 });
  expect(seen.flows).toMatchObject({ open: flows, lost: 0, errors: {} });
  expect(seen.flows.echoes).toBeGreaterThan(flows);
  expect(seen.connections).toMatchObject({ failed: 0, errors: {} });
  expect(seen.connections.succeeded).toBeGreaterThan(0);
});
