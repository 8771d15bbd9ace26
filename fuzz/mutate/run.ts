/**
 * `make mutate`: breaks what is rendered for the hosts of some sets, one small thing at a time, and asks `verify`. A mutant counts where it
 * changes the fate of a packet that a promise speaks of; found is one by which a promise is broken that was not. Excused is one of which
 * every packet that fares otherwise is one that a rule of `excuses.ts` speaks of. Status 1 where fewer than 95 % are found. `--list` tells
 * those that are not found, and those excused.
 */
import { parseArgs } from 'node:util';
import type { HostState } from '../../src/host/index.ts';
import type { Planned } from '../../src/verify/index.ts';
import { futureNetwork, verifyPlan } from '../../src/verify/index.ts';
import { excuseOf } from './excuses.ts';
import { fateOf, flowsOf, printFlowOf } from './fates.ts';
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
  /** Those that do are no real ones. */
  excused: number;
  found: number;
  /** A promise is undecided. */
  doubted: number;
  missed: number;
}

const ZERO: Count = { made: 0, harmless: 0, excused: 0, found: 0, doubted: 0, missed: 0 };
const counts = new Map<string, Count>();
const missed: string[] = [];
const excused: string[] = [];

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
  const sound = networkOf(scene);
  const before = flows.map((flow) => fateOf(sound, flow));
  const promised = verifyPlan({ ...scene, traces: false });
  const broken = promised.find(({ holds }) => holds === false);
  if (broken !== undefined) throw new Error(`${name}: ${broken.promise}: ${broken.reason}`);
  const open = new Map(promised.map(({ resource, promise, holds }) => [`${resource}: ${promise}`, holds]));
  for (const { name: host, state } of scene.compiled.hosts.values())
    for (const { kind, at, state: mutated } of mutantsOf(state)) {
      const mutant = withState(scene, host, mutated);
      const now = new Map(
        verifyPlan({ ...mutant, traces: false }).map(({ resource, promise, holds }) => [
          `${resource}: ${promise}`,
          holds,
        ]),
      );
      // A promise that is no longer made was kept by what is gone.
      const isFound =
        [...now.values()].includes(false) || [...open].some(([name, holds]) => holds === true && !now.has(name));
      const isDoubted = [...open].some(([name, holds]) => holds === true && now.get(name) === 'undecided');
      const count = counts.get(kind) ?? { ...ZERO };
      counts.set(kind, count);
      count.made += 1;
      if (isFound) {
        count.found += 1;
        continue;
      }
      const what = `${name}, ${host}, ${kind}, ${at}`;
      const network = networkOf(mutant);
      const changed = flows.flatMap((flow, index) => {
        const fate = fateOf(network, flow);
        return fate === before[index] ? [] : [{ flow, told: `${before[index]}\n    ${fate}` }];
      });
      const [first] = changed;
      const unexcused = changed.find(({ flow }) => excuseOf(flow, sound, network) === undefined);
      if (first === undefined) count.harmless += 1;
      else if (unexcused === undefined) {
        count.excused += 1;
        excused.push(`${what}: ${printFlowOf(first.flow)}: ${excuseOf(first.flow, sound, network)}`);
      } else if (isDoubted) count.doubted += 1;
      else {
        count.missed += 1;
        missed.push(`${what}: ${printFlowOf(unexcused.flow)}:\n    ${unexcused.told}`);
      }
    }
}

const total = [...counts.values()].reduce<Count>(
  (sum, each) => ({
    made: sum.made + each.made,
    harmless: sum.harmless + each.harmless,
    excused: sum.excused + each.excused,
    found: sum.found + each.found,
    doubted: sum.doubted + each.doubted,
    missed: sum.missed + each.missed,
  }),
  ZERO,
);
const line = (name: string, { made, harmless, excused: excuse, found, doubted, missed: not }: Count): string =>
  `| ${name} | ${made} | ${found} | ${doubted} | ${not} | ${excuse} | ${harmless} |\n`;
process.stdout.write(
  '| mutant | made | found | undecided | missed | excused | harmless |\n|---|--:|--:|--:|--:|--:|--:|\n',
);
for (const [kind, count] of counts) process.stdout.write(line(kind, count));
process.stdout.write(line('all', total));
if (values.list) {
  for (const each of missed) process.stdout.write(`missed: ${each}\n`);
  for (const each of excused) process.stdout.write(`excused: ${each}\n`);
}
const rate = total.found / (total.found + total.doubted + total.missed);
process.stdout.write(`${(rate * 100).toFixed(1)} % of those that change a fate are found\n`);
process.exitCode = rate >= 0.95 ? 0 : 1;
