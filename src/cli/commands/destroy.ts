import { prepare } from '../../apply/index.ts';
import type { HostFacts } from '../../host/index.ts';
import type { ResourceSet } from '../../resources/index.ts';
import { aimOfRemoval } from '../aims.ts';
import { type CarryFlags, carry, requireConsent, settle } from '../carry.ts';
import { DONE, FAILED, UsageError } from '../exit.ts';
import { aboutHosts, manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Output } from '../output.ts';
import { reportPlan } from '../plan-report.ts';
import { printPlan, printSummary } from '../plan-text.ts';
import { requireWritable, surveyManaged } from '../survey.ts';

export interface DestroyFlags extends CarryFlags {
  readonly set: string;
  readonly all?: boolean;
  readonly host?: readonly string[];
  readonly full?: boolean;
}

/** Takes back what the set put on the hosts. The result of `-o json` is the plan that was carried out. */
export async function destroy(output: Output, flags: DestroyFlags): Promise<number> {
  requireConsent('destroy', flags);
  const set = onlyHosts(await loadSet(flags.file), flags.host ?? []);
  using interrupt = listenForInterrupt(true);
  const managed = manageAll(set);
  await settle(output, managed, interrupt, 'destroy');
  const survey = await surveyManaged(set, managed, interrupt.signal, output);
  requireWritable(survey, '--host NAME takes back what the hosts that answer hold');
  const names = [...set.hosts.keys()];
  const aimFor = aimOfRemoval(names, flags.set, flags.all === true);
  const plan = prepare(survey.facts, aimFor, 'remove');
  const shown = reportPlan(names, plan, survey.unreachable);
  if (output.format === 'text') {
    const about = aboutHosts(set, plan);
    await output.write(
      printPlan(shown, {
        color: output.color,
        full: flags.full === true,
        about,
        unreachable: survey.unreachable,
        nothing: NOTHING,
      }),
    );
  }
  if (output.format === 'text') for (const line of otherSets(survey.facts, flags)) output.say(line);
  const done = await carry(output, flags, interrupt, { managed: survey.managed, plan, aimFor, command: 'destroy' });
  if (done === undefined) return FAILED;
  const report = reportPlan(names, done, survey.unreachable);
  if (output.format !== 'text' || report.hosts.some(({ changes }) => changes.length > 0)) {
    await output.result(report, () => `${printSummary(report, 'Destroyed')}\n`);
  }
  return DONE;
}

/** Where the set that is named is on none of the hosts, which are: it may have been written wrong. */
function otherSets(facts: ReadonlyMap<string, HostFacts>, { set, all }: DestroyFlags): readonly string[] {
  const held = [...facts].map(([host, { record }]) => ({ host, sets: [...(record?.sets.keys() ?? [])].sort() }));
  if (all === true || held.some(({ sets }) => sets.includes(set))) return [];
  return held.flatMap(({ host, sets }) =>
    sets.length === 0
      ? []
      : [
          `${host} holds nothing of the set "${set}", but of ${sets.map((each) => `"${each}"`).join(', ')}: --set NAME or --all`,
        ],
  );
}

const NOTHING = 'Nothing to take back.';

/** The set with the named hosts alone; all of them where none is named. */
function onlyHosts(set: ResourceSet, names: readonly string[]): ResourceSet {
  for (const name of names) {
    if (!set.hosts.has(name))
      throw new UsageError(`no Host "${name}" in the documents: there are ${[...set.hosts.keys()].join(', ')}`);
  }
  if (names.length === 0) return set;
  return { ...set, hosts: new Map([...set.hosts].filter(([name]) => names.includes(name))) };
}
