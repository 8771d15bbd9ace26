/** What becomes of connections while their edge and node are re-applied: the large form of src/cli/reapply.test.ts. */
import { reapplyUnderTraffic } from '../src/cli/testdata/reapply.ts';
import { type Goal, type Line, median } from './measure.ts';

export async function measureReapply(flows: number, times: number): Promise<readonly Line[]> {
  const seen = await reapplyUnderTraffic({ flows, times, byCommandEvery: 20 });
  const opened = seen.connections.succeeded + seen.connections.failed;
  const none = (value: number): Goal => ({ text: 'none', met: value === 0 });
  return [
    {
      what: `connections lost, of ${flows} held over ${times} re-applies`,
      value: seen.flows.lost,
      unit: '',
      goal: none(seen.flows.lost + flows - seen.flows.open),
    },
    {
      what: `connections failed, of ${opened} opened meanwhile`,
      value: seen.connections.failed,
      unit: '',
      goal: none(seen.connections.failed),
    },
    { what: 'TCP segments the client sent again meanwhile', value: seen.sentAgain, unit: '' },
    { what: 'one re-apply of edge and node, in one process', value: median(seen.milliseconds), unit: 'ms' },
  ];
}
