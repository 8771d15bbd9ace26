import { prepare, type SetPlan } from '../../apply/index.ts';
import { adopting, withoutAdopting } from '../adopting.ts';
import { requireNobodyLeft } from '../aims.ts';
import { aimByTargets } from '../ask-targets.ts';
import { findDrift } from '../drift/report.ts';
import { DONE, FAILED, InputProblems, PENDING } from '../exit.ts';
import { reportFailure } from '../failure.ts';
import { aboutHosts, manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Output } from '../output.ts';
import { reportPlan } from '../plan-report.ts';
import { printPlan } from '../plan-text.ts';
import { lookForUsers, type ProofFlags, provePlan, requirePromises } from '../proof.ts';
import { declaredSurvey, notUsable, surveyManaged } from '../survey.ts';

export interface PlanFlags extends ProofFlags {
  readonly file: readonly string[];
  readonly set: string;
  readonly offline?: boolean;
  readonly detailedExitcode?: boolean;
  readonly adopt?: boolean;
  readonly full?: boolean;
  readonly forget?: readonly string[];
}

/** Shows what apply would change. With --detailed-exitcode every error is 1, as Terraform has it. */
export async function plan(output: Output, flags: PlanFlags): Promise<number> {
  if (flags.detailedExitcode !== true) return (await show(output, flags)).status;
  try {
    const { status, pending } = await show(output, flags);
    return status === DONE && pending ? PENDING : status;
  } catch (error) {
    await reportFailure(output, error);
    return FAILED;
  }
}

const NOTHING_PLANNED: SetPlan = { problems: [], hosts: [] };

async function show(output: Output, flags: PlanFlags): Promise<{ readonly status: number; readonly pending: boolean }> {
  const set = await loadSet(flags.file);
  using interrupt = listenForInterrupt(false);
  const managed = flags.offline === true ? [] : manageAll(set);
  const [survey, seen] = await Promise.all([
    flags.offline === true ? declaredSurvey(set) : surveyManaged(set, managed, interrupt.signal, output),
    lookForUsers(managed, interrupt.signal),
  ]);
  requireNobodyLeft(set, flags.set, survey.facts, flags.forget ?? []);
  // What a host is to become depends on its peers and its own record: with one of them unknown, a plan would be a guess.
  const whole = notUsable(survey).length === 0;
  const asked = whole ? await aimByTargets(set, flags.set, survey, interrupt.signal) : undefined;
  const wanted = asked && (flags.adopt === true ? adopting(set, survey.facts, asked, seen) : withoutAdopting(asked));
  const planned = wanted === undefined ? NOTHING_PLANNED : prepare(survey.facts, () => wanted.aim, 'add');
  if (planned.problems.length > 0) throw new InputProblems(planned.problems);
  const adoption = wanted?.adoption;
  const how = { traces: output.format !== 'text', seen, adoption };
  const promises = wanted === undefined ? [] : provePlan(set, wanted.compiled, survey.facts, how);
  const touched = managed.filter(({ name }) =>
    planned.hosts.some(({ host, facts, changes }) => host === name && facts.record !== undefined && changes.length > 0),
  );
  const drift = await findDrift(touched, survey.facts, interrupt.signal);
  const report = reportPlan(set.hosts.keys(), planned, survey.unreachable, promises, { drift, adoption });
  await output.result(report, () =>
    printPlan(report, {
      color: output.color,
      full: flags.full === true,
      about: aboutHosts(set, planned),
      unreachable: survey.unreachable,
      planned: whole,
    }),
  );
  const problems = notUsable(survey);
  for (const line of problems) output.say(line);
  for (const line of requirePromises(promises, flags)) output.say(line);
  return {
    status: problems.length === 0 ? DONE : FAILED,
    pending: report.hosts.some(({ changes }) => changes.length > 0),
  };
}
