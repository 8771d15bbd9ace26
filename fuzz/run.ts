/**
 * `make fuzz`: checks on from where the last run stopped, until `--checks` are done in all; each difference is shrunk and written to
 * fuzz/cases/. Status 1 where there was one. `--from` and `--count` instead: only these seeds, and nothing is remembered.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { checkScenario, type Result } from './check.ts';
import { drawFrom } from './draw.ts';
import { BuildError } from './kernel.ts';
import type { Scenario } from './scenario.ts';
import { shrink } from './shrink.ts';

const { values } = parseArgs({
  options: {
    checks: { type: 'string', default: '1000000' },
    flows: { type: 'string', default: '1000' },
    from: { type: 'string' },
    count: { type: 'string' },
    seconds: { type: 'string', default: '1000000' },
    tries: { type: 'string', default: '150' },
  },
});

/** What is kept between runs. Seeds of `make test` lie below the first. */
interface State {
  readonly seed: number;
  readonly checks: number;
  readonly packets: number;
  readonly undecided: number;
  readonly differences: readonly number[];
}

/** A line on stderr each time so many are done. */
const PROGRESS = 20_000;
const FIRST_SEED = 1_000_000;
const folder = new URL('../node_modules/.cache/fuzz/', import.meta.url);
const stateFile = new URL('state.json', folder);
const isExplicit = values.from !== undefined;

function readState(): State {
  const none: State = { seed: Number(values.from ?? FIRST_SEED), checks: 0, packets: 0, undecided: 0, differences: [] };
  if (isExplicit) return none;
  try {
    return { ...none, ...JSON.parse(readFileSync(stateFile, 'utf8')) };
  } catch {
    return none; // the first run
  }
}

/** Something that cannot be built is no smaller case of anything. */
const failsAs =
  (kind: string) =>
  async (smaller: Scenario): Promise<boolean> => {
    try {
      const { difference } = await checkScenario(smaller);
      return difference !== undefined && kindOf(difference.text) === kind;
    } catch {
      return false;
    }
  };

/** Which of ending, arrivals and marks differ, and how both sides say that it ended: no smaller case may be of something else. */
const kindOf = (text: string): string =>
  text
    .split('\n')
    .flatMap((line, at, lines) => {
      if (!line.endsWith(':')) return [];
      const sides = line.trim() === 'ending:' ? lines.slice(at + 1, at + 3) : [];
      return [line.trim(), ...sides.map((side) => side.trim().split(/\s+/).slice(0, 2).join(' '))];
    })
    .join(' ');

async function keep(scenario: Scenario, { difference }: Result): Promise<void> {
  if (difference === undefined) return;
  const cut = { ...scenario, flows: scenario.flows.slice(0, difference.flow + 1) };
  process.stdout.write(`seed ${scenario.seed}, flow ${difference.flow}, ${difference.packet}:\n  ${difference.text}\n`);
  const smallest = await shrink(cut, failsAs(kindOf(difference.text)), Number(values.tries));
  const file = new URL(`cases/${scenario.seed}.json`, import.meta.url);
  writeFileSync(file, `${JSON.stringify(smallest, null, 1)}\n`);
  process.stdout.write(`  shrunk to ${file.pathname}\n`);
}

/** Seeds whose network the kernel does not take: the drawing is wrong. */
const unbuilt: number[] = [];
const reasons = new Map<string, number>();
let state = readState();
/** The first Ctrl-C ends it after the network in hand, with the totals. */
let isStopped = false;
process.once('SIGINT', () => {
  isStopped = true;
});
const until = Date.now() + Number(values.seconds) * 1000;
const last = isExplicit ? state.seed + Number(values.count ?? 1) : Number.POSITIVE_INFINITY;
while (state.checks < Number(values.checks) && state.seed < last && Date.now() < until && !isStopped) {
  const scenario = drawFrom(state.seed, Number(values.flows));
  const result = await checkScenario(scenario).catch((error: unknown) => {
    if (error instanceof BuildError) return undefined;
    throw error;
  });
  if (result === undefined) {
    unbuilt.push(state.seed);
    state = { ...state, seed: state.seed + 1 };
    continue;
  }
  for (const why of result.undecided) {
    const reason = why.replace(/[0-9a-f.:[\]]*[.:][0-9a-f.:[\]]+|\d+/g, '#').slice(0, 90);
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  state = {
    seed: state.seed + 1,
    checks: state.checks + result.checks,
    packets: state.packets + result.packets,
    undecided: state.undecided + result.undecided.length,
    differences: result.difference === undefined ? state.differences : [...state.differences, state.seed],
  };
  if (!isExplicit) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(stateFile, JSON.stringify(state));
  }
  if (Math.floor(state.checks / PROGRESS) > Math.floor((state.checks - result.checks) / PROGRESS)) {
    const megabytes = Math.round(process.memoryUsage.rss() / 2 ** 20);
    const { checks, seed, differences } = state;
    process.stderr.write(
      `${new Date().toISOString()} ${checks} checks, seed ${seed}, ${differences.length} differences, ${megabytes} MB\n`,
    );
  }
  await keep(scenario, result);
}
const { checks, packets, undecided, differences } = state;
process.stdout.write(
  `${checks} checks, ${packets} packets, to seed ${state.seed - 1}: ${differences.length} differences${differences.length > 0 ? ` (seeds ${differences.join(', ')})` : ''}, ${undecided} undecided\n`,
);
for (const [reason, count] of [...reasons].toSorted(([, left], [, right]) => right - left).slice(0, 15))
  process.stdout.write(`  undecided ${count}: ${reason}\n`);
if (unbuilt.length > 0) process.stdout.write(`  not built: seeds ${unbuilt.join(', ')}\n`);
process.exitCode = differences.length === 0 ? 0 : 1;
