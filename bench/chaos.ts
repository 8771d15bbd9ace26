/**
 * `make chaos`: drawn changes over ssh that go wrong, and whether each host went back in time or stands complete, and what apply said is so;
 * status 1 where not. Arguments: `--seed` of the first, `--cases`, `--lanes` side by side.
 */
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { printChaos, runChaos } from '../src/cli/testdata/chaos-run.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    cases: { type: 'string', default: '1000' },
    lanes: { type: 'string', default: '2' },
  },
});
const [from, count] = [Number(values.seed), Number(values.cases)];
process.stderr.write(`chaos: seeds ${from} to ${from + count - 1}\n`);
const report = await runChaos({
  ...{ from, count, lanes: Number(values.lanes) },
  onCase(seed, text) {
    process.stderr.write(`${seed}: ${text}\n`);
  },
});
process.stdout.write(`Linux ${release()}, seeds ${from} to ${from + count - 1}\n\n${printChaos(report)}`);
if (report.failures.length > 0) process.exitCode = 1;
