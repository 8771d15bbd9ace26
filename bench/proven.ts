/**
 * The second part of `make soak`: what is proven of drawn sets of resources, held against real packets (src/cli/proven.test.ts, with seeds of its own);
 * status 1 where the kernel did otherwise. Arguments: `--seed` of the first, `--sets`.
 */
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { addConfirmed, type Confirmed, confirmSets, NOTHING } from '../src/cli/testdata/proven.ts';

const { values } = parseArgs({
  // Those of the first part are not its own.
  strict: false,
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    sets: { type: 'string', default: '1000' },
  },
});
const [from, count] = [Number(values.seed), Number(values.sets)];
let all: Confirmed = NOTHING;
let told = performance.now();
await confirmSets({
  from,
  count,
  onSet(_, confirmed) {
    all = addConfirmed(all, confirmed);
    for (const difference of confirmed.differences) process.stderr.write(`${difference}\n`);
    if (performance.now() - told < 10_000) return;
    told = performance.now();
    process.stderr.write(
      `proven: ${all.sets} of ${count} sets, ${all.packets} packets, ${all.differences.length} differences\n`,
    );
  },
});
const { sets, refused, holding, broken, brokenSeen, undecided, packets, answered, differences } = all;
process.stdout.write(`Linux ${release()}, seeds ${from} to ${from + count - 1}

| sets | do not compile | promises that hold | do not | of those seen | undecided | packets | answered | differences |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| ${[sets, refused, holding, broken, brokenSeen, undecided, packets, answered, differences.length].join(' | ')} |
`);
if (differences.length > 0) process.exitCode = 1;
