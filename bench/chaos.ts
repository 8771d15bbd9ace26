/**
 * `make chaos`: drawn changes over ssh that go wrong, and whether each host went back in time or stands complete, and what apply said is so;
 * status 1 where not. Arguments: `--seed` of the first, `--cases`, `--lanes` side by side; `--steps`: not drawn, but at every step.
 */
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { everyStep } from '../src/cli/testdata/chaos.ts';
import { drawCases, printChaos, runChaos } from '../src/cli/testdata/chaos-run.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    cases: { type: 'string', default: '1000' },
    lanes: { type: 'string', default: '2' },
    steps: { type: 'boolean', default: false },
  },
});
const [from, count] = [Number(values.seed), Number(values.cases)];
const cases = values.steps ? new Map(everyStep().entries()) : drawCases(from, count);
const what = values.steps ? `every step, ${cases.size} cases` : `seeds ${from} to ${from + count - 1}`;
process.stderr.write(`chaos: ${what}\n`);
const report = await runChaos({
  ...{ cases, lanes: Number(values.lanes) },
  onCase(name, text) {
    process.stderr.write(`${name}: ${text}\n`);
  },
});
process.stdout.write(`Linux ${release()}, ${what}\n\n${printChaos(report)}`);
if (report.failures.length > 0) process.exitCode = 1;
