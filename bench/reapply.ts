/** What becomes of connections while their edge and node are re-applied: src/cli/reapply.test.ts, larger. */
import { randomFrom } from '../src/cli/testdata/random.ts';
import { reapplyUnderTraffic } from '../src/cli/testdata/reapply.ts';
import { type Goal, type Line, median, type Part } from './measure.ts';

export interface ReapplySize {
  readonly flows: number;
  readonly times: number;
  readonly connections: number;
  readonly seed: number;
}

export async function measureReapply({ seed, ...size }: ReapplySize): Promise<Part> {
  let told = 0;
  const seen = await reapplyUnderTraffic({
    ...{ ...size, intervalMs: Math.max(250, size.flows * 2), byCommandEvery: 20, random: randomFrom(seed) },
    onRound(round, opened) {
      if (performance.now() - told < 10_000) return;
      told = performance.now();
      process.stderr.write(`reapply: ${round} of ${size.times} re-applies, ${opened} connections opened\n`);
    },
  });
  const { flows, connections, milliseconds, byCommand } = seen;
  const opened = connections.succeeded + connections.failed;
  const none = (value: number): Goal => ({ text: 'none', met: value === 0 });
  const times = byCommand + milliseconds.length;
  const errors = [flows.errors, connections.errors].flatMap((each) => Object.entries(each));
  const lines: readonly Line[] = [
    {
      what: `connections lost, of ${size.flows} held over ${times} re-applies (${flows.echoes} echoes)`,
      value: flows.lost,
      unit: '',
      goal: none(flows.lost + size.flows - flows.open),
    },
    {
      what: `connections failed, of ${opened} opened meanwhile`,
      value: connections.failed,
      unit: '',
      goal: none(connections.failed),
    },
    { what: 'TCP segments the client sent again meanwhile', value: seen.sentAgain, unit: '' },
    { what: 'one re-apply of edge and node, in one process', value: median(milliseconds), unit: 'ms' },
  ];
  return {
    lines,
    grids: [],
    notes: [
      `re-applies: seed ${seed}; ${byCommand} by bin/sallyport, ${milliseconds.length} by the same functions in one process`,
      ...errors.map(([code, count]) => `${code}: ${count} times`),
    ],
  };
}
