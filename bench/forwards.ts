/** From resources to the kernel: many forwards on an empty host, then one changed forward, beside bare nft with the same rules. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Lab, slimEdge, startLab } from '../src/lab/index.ts';
import { type Folder, makeFolder, manyForwards } from './documents.ts';
import { atMost, type Line, median, readPeak, TELL_PEAK, timed } from './measure.ts';

const STAGES_PROGRAM = fileURLToPath(new URL('./stages.ts', import.meta.url));

/** What was measured, by what it is of: each a list with one number a round. */
type Samples = Map<string, number[]>;

/**
 * Each round is a network of its own with two like hosts: on `edge` Sallyport works, on `node` bare nft loads what Sallyport made.
 * Rounds by stages and rounds by the command line take turns. The first of each is not counted.
 */
export async function measureForwards(sallyport: string, count: number, rounds: number): Promise<readonly Line[]> {
  await using folder = await makeFolder();
  const files = {
    all: await folder.write('all.yaml', manyForwards(count)),
    changed: await folder.write('changed.yaml', manyForwards(count, true)),
  };
  const samples: Samples = new Map();
  for (let round = 0; round <= rounds; round++) {
    const into: Samples = round === 0 ? new Map() : samples;
    await byStages(folder, files, into);
    await byCommand(sallyport, files, into);
  }
  return report(samples, count);
}

interface Files {
  readonly all: string;
  readonly changed: string;
}

const startHosts = (): Promise<Lab> =>
  startLab(slimEdge({ families: 'IPv4', privateLink: true, neighbour: false, home: false }));

const note = (samples: Samples, name: string, value: number): void => {
  samples.set(name, [...(samples.get(name) ?? []), value]);
};

async function byStages(folder: Folder, files: Files, samples: Samples): Promise<void> {
  await using lab = await startHosts();
  for (const which of ['all', 'changed'] as const) {
    const { stdout } = await lab.run([process.execPath, STAGES_PROGRAM, files[which], folder.path], {
      timeoutMs: 120_000,
    });
    const stages: Readonly<Record<string, number>> = JSON.parse(stdout);
    for (const [stage, ms] of Object.entries(stages)) note(samples, `${which} ${stage}`, ms);
    note(samples, `${which} to the kernel`, (stages.plan ?? 0) + (stages.apply ?? 0));
    const text = join(folder.path, which === 'all' ? 'rules.nft' : 'transaction.nft');
    note(samples, `${which} bare`, await timed(() => lab.host('node').run(['nft', '-f', text])));
  }
  note(samples, 'list', await timed(() => lab.host('node').run(['nft', '-j', 'list', 'ruleset'])));
}

async function byCommand(sallyport: string, files: Files, samples: Samples): Promise<void> {
  await using lab = await startHosts();
  for (const which of ['all', 'changed'] as const) {
    const argv = [process.execPath, ...TELL_PEAK, sallyport, 'apply', '--yes', '-f', files[which]];
    const began = performance.now();
    const { stderr } = await lab.run(argv, { timeoutMs: 120_000 });
    note(samples, `${which} command`, performance.now() - began);
    note(samples, `${which} peak`, readPeak(stderr));
  }
}

/** Of "compiled state to kernel", by number of forwards: milliseconds in all, or above bare nft. */
const GOALS: Readonly<Record<string, { readonly atMost: number; readonly aboveBare: boolean }>> = {
  '10000 all': { atMost: 250, aboveBare: true },
  '50000 all': { atMost: 2_000, aboveBare: false },
  '50000 changed': { atMost: 50, aboveBare: true },
};

/** One host's peak of memory: issue 2. It is for ten thousand. */
const PEAK = { of: 10_000, atMost: 200 } as const;

function report(samples: Samples, count: number): readonly Line[] {
  const of = (name: string): number => median(samples.get(name) ?? []);
  return (['all', 'changed'] as const).flatMap((which): readonly Line[] => {
    const what = which === 'all' ? `${count} forwards on an empty host` : `one forward changed on a host with ${count}`;
    const line = (title: string, value: number): Pick<Line, 'what' | 'value' | 'unit'> => ({
      what: `${what}: ${title}`,
      value,
      unit: 'ms',
    });
    const beside = (name: string, value: number): Pick<Line, 'beside'> => ({ beside: { what: name, value } });
    const stages = [...samples.keys()].filter(
      (name) => name.startsWith(`${which} `) && !/bare|command|peak|kernel/.test(name),
    );
    const peak = of(`${which} peak`);
    const bare = beside(
      which === 'all' ? 'nft -f of the same table' : 'nft -f of the same change',
      of(`${which} bare`),
    );
    return [
      ...stages.map((name): Line => {
        const stage = name.slice(which.length + 1);
        const listed = stage === 'observe' && which === 'changed';
        return { ...line(stage, of(name)), ...(listed && beside('nft -j list ruleset', of('list'))) };
      }),
      {
        ...line('plan and apply: compiled state to kernel', of(`${which} to the kernel`)),
        ...bare,
        ...goalOf(`${count} ${which}`, of(`${which} to the kernel`), of(`${which} bare`)),
      },
      {
        ...line(
          'all stages',
          stages.map(of).reduce((sum, ms) => sum + ms, 0),
        ),
        ...bare,
      },
      { ...line('sallyport apply --yes', of(`${which} command`)), ...bare },
      {
        ...{ what: `${what}: sallyport apply --yes, peak memory`, value: peak, unit: 'MiB' },
        ...(count === PEAK.of && { goal: atMost(PEAK.atMost, 'MiB', peak) }),
      },
    ];
  });
}

function goalOf(name: string, ms: number, bare: number): Pick<Line, 'goal'> {
  const goal = GOALS[name];
  if (goal === undefined) return {};
  if (!goal.aboveBare) return { goal: atMost(goal.atMost, 'ms', ms) };
  return { goal: { text: `at most ${goal.atMost} ms above`, met: ms - bare <= goal.atMost } };
}
