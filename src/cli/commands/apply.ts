import { prepare, type SetPlan } from '../../apply/index.ts';
import type { ResourceSet } from '../../resources/index.ts';
import type { Seen } from '../../verify/index.ts';
import { adopting, type Wanted, withoutAdopting } from '../adopting.ts';
import { requireNobodyLeft } from '../aims.ts';
import { aimByTargets } from '../ask-targets.ts';
import { type CarryFlags, carry, requireConsent, settle } from '../carry.ts';
import { DONE, FAILED, InputProblems } from '../exit.ts';
import { aboutHosts, manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Output } from '../output.ts';
import { type PromiseReport, reportPlan } from '../plan-report.ts';
import { printPlan, printSummary } from '../plan-text.ts';
import { lookForUsers, type ProofFlags, provePlan, requirePromises } from '../proof.ts';
import { tellSilence } from '../silent-tunnels.ts';
import { requireWritable, type Survey, surveyManaged } from '../survey.ts';
import { ofPromises } from '../witnesses.ts';

export interface ApplyFlags extends CarryFlags, ProofFlags {
  readonly set: string;
  readonly full?: boolean;
  readonly forget?: readonly string[];
  readonly adopt?: boolean;
}

/** Plans, asks, carries out. The result of `-o json` is the plan that was carried out. */
export async function apply(output: Output, flags: ApplyFlags): Promise<number> {
  requireConsent('apply', flags);
  const set = await loadSet(flags.file);
  using interrupt = listenForInterrupt(true);
  const managed = manageAll(set);
  await settle(output, managed, interrupt, 'apply');
  const [survey, seen] = await Promise.all([
    surveyManaged(set, managed, interrupt.signal, output),
    lookForUsers(managed, interrupt.signal),
  ]);
  requireWritable(survey);
  requireNobodyLeft(set, flags.set, survey.facts, flags.forget ?? []);
  const asked = await aimByTargets(set, flags.set, survey, interrupt.signal);
  const wanted = flags.adopt === true ? adopting(set, survey.facts, asked, seen) : withoutAdopting(asked);
  const { aimFor, adoption } = wanted;
  const plan = prepare(survey.facts, () => wanted.aim, 'add');
  if (plan.problems.length > 0) throw new InputProblems(plan.problems);
  const promises = await show(output, flags, { set, survey, seen, wanted, plan });
  const witnesses = ofPromises(wanted.compiled, survey.facts, survey.managed);
  const carried = { managed: survey.managed, plan, aimFor, command: 'apply', promises: witnesses } as const;
  const done = await carry(output, flags, interrupt, carried);
  if (done === undefined) return FAILED;
  const report = reportPlan(set.hosts.keys(), done, survey.unreachable, promises, { adoption });
  if (output.format !== 'text' || report.hosts.some(({ changes }) => changes.length > 0)) {
    await output.result(report, () => `${printSummary(report, 'Applied')}\n`);
  }
  await tellSilence(output, { set, setName: flags.set, managed: survey.managed, plan: done }, interrupt.signal);
  return DONE;
}

interface Shown {
  readonly set: ResourceSet;
  readonly survey: Survey;
  readonly seen: Seen;
  readonly wanted: Wanted;
  readonly plan: SetPlan;
}

/**
 * Proves the plan and shows it to people; throws where a promise does not hold. Gives the promises that the result is to tell: a text
 * has told them here, and ten thousand forwards have fifty thousand, which need not be kept.
 */
async function show(
  output: Output,
  flags: ApplyFlags,
  { set, survey, seen, wanted, plan }: Shown,
): Promise<readonly PromiseReport[]> {
  const { facts, unreachable } = survey;
  const isText = output.format === 'text';
  const { compiled, adoption } = wanted;
  const promises = provePlan(set, compiled, facts, { traces: !isText, seen, adoption });
  if (isText) {
    const report = reportPlan(set.hosts.keys(), plan, unreachable, promises, { adoption });
    const about = aboutHosts(set, plan);
    await output.write(printPlan(report, { color: output.color, full: flags.full === true, about, unreachable }));
  }
  for (const line of requirePromises(promises, flags)) output.say(line);
  return isText ? [] : promises;
}
