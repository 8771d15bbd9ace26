/**
 * `make mutate`: breaks what is rendered for the hosts of some sets, one small thing at a time, and asks `verify`. A mutant counts where it
 * changes the fate of a packet that a promise speaks of; found is one of which a promise no longer holds. Status 1 where fewer than 95 % are
 * found. `--list` tells those that are not.
 */
import { parseArgs } from 'node:util';
import type { HostState } from '../../src/host/index.ts';
import type { Planned } from '../../src/verify/index.ts';
import { futureNetwork, verifyPlan } from '../../src/verify/index.ts';
import { fatesOf, flowsOf, printFlowOf } from './fates.ts';
import { mutantsOf } from './mutants.ts';
import { SCENES } from './scenes.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    list: { type: 'boolean', default: false },
    scene: { type: 'string' },
  },
});

interface Count {
  made: number;
  /** No packet that was tried fares otherwise. */
  harmless: number;
  found: number;
  /** A promise is undecided. */
  doubted: number;
  missed: number;
}

const ZERO: Count = { made: 0, harmless: 0, found: 0, doubted: 0, missed: 0 };
const counts = new Map<string, Count>();
const missed: string[] = [];

const withState = ({ set, compiled, facts }: Planned, host: string, state: HostState): Planned => {
  const own = compiled.hosts.get(host);
  if (own === undefined) throw new Error(`no host ${host}`);
  return { set, facts, compiled: { ...compiled, hosts: new Map(compiled.hosts).set(host, { ...own, state }) } };
};

const networkOf = ({ set, compiled, facts }: Planned) => futureNetwork(set, compiled, facts);

/** As if it stood already: what works now is to work on. */
function applied(scene: Planned): Planned {
  const { hosts } = networkOf(scene);
  const facts = new Map(
    [...scene.facts].map(([name, each]) => [name, { ...each, state: hosts.get(name)?.state ?? each.state }] as const),
  );
  return { ...scene, facts };
}

for (const [name, make] of Object.entries(SCENES)) {
  if (values.scene !== undefined && values.scene !== name) continue;
  const scene = applied(make());
  const flows = flowsOf(scene, Number(values.seed));
  const before = fatesOf(networkOf(scene), flows);
  const promised = verifyPlan({ ...scene, traces: false });
  const broken = promised.find(({ holds }) => holds === false);
  if (broken !== undefined) throw new Error(`${name}: ${broken.promise}: ${broken.reason}`);
  const held = promised.filter(({ holds }) => holds === true).map(({ resource, promise }) => `${resource}: ${promise}`);
  for (const { name: host, state } of scene.compiled.hosts.values())
    for (const { kind, at, state: mutated } of mutantsOf(state)) {
      const mutant = withState(scene, host, mutated);
      const after = fatesOf(networkOf(mutant), flows);
      const changed = after.findIndex((fate, index) => fate !== before[index]);
      const now = new Map(
        verifyPlan({ ...mutant, traces: false }).map(({ resource, promise, holds }) => [
          `${resource}: ${promise}`,
          holds,
        ]),
      );
      const verdicts = held.map((each) => now.get(each) ?? false);
      const count = counts.get(kind) ?? { ...ZERO };
      counts.set(kind, count);
      count.made += 1;
      if (verdicts.includes(false)) count.found += 1;
      else if (changed === -1) count.harmless += 1;
      else if (verdicts.includes('undecided')) count.doubted += 1;
      else {
        count.missed += 1;
        const flow = flows[changed];
        missed.push(
          `${name}, ${host}, ${kind}, ${at}: ${flow === undefined ? '' : printFlowOf(flow)}:\n    ${before[changed]}\n    ${after[changed]}`,
        );
      }
    }
}

const total = [...counts.values()].reduce<Count>(
  (sum, each) => ({
    made: sum.made + each.made,
    harmless: sum.harmless + each.harmless,
    found: sum.found + each.found,
    doubted: sum.doubted + each.doubted,
    missed: sum.missed + each.missed,
  }),
  ZERO,
);
const line = (name: string, { made, harmless, found, doubted, missed: not }: Count): string =>
  `| ${name} | ${made} | ${found} | ${doubted} | ${not} | ${harmless} |\n`;
process.stdout.write('| mutant | made | found | undecided | missed | harmless |\n|---|--:|--:|--:|--:|--:|\n');
for (const [kind, count] of counts) process.stdout.write(line(kind, count));
process.stdout.write(line('all', total));
if (values.list) for (const each of missed) process.stdout.write(`missed: ${each}\n`);
const rate = total.found / (total.found + total.doubted + total.missed);
process.stdout.write(`${(rate * 100).toFixed(1)} % of those that change a fate are found\n`);
process.exitCode = rate >= 0.95 ? 0 : 1;
