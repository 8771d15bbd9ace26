import { prepare } from '../../apply/index.ts';
import { INIT_SCRIPTS, type OtherInit, renderState } from '../../host/index.ts';
import { aimOfSet } from '../aims.ts';
import { CommandFailure, DONE, InputProblems, UsageError } from '../exit.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Output } from '../output.ts';
import { declaredSurvey, surveyHosts } from '../survey.ts';

export interface RenderFlags {
  readonly file: readonly string[];
  readonly set: string;
  readonly host: string;
  readonly offline?: boolean;
  readonly boot?: OtherInit;
}

/** Prints what the host is to become as nft, ip, wg and sysctl text; `-o json`: `{host, text}`. */
export async function render(output: Output, flags: RenderFlags): Promise<number> {
  const set = await loadSet(flags.file);
  if (!set.hosts.has(flags.host)) {
    throw new UsageError(`no Host "${flags.host}" in the documents: there are ${[...set.hosts.keys()].join(', ')}`);
  }
  if (flags.boot !== undefined) {
    const text = INIT_SCRIPTS[flags.boot];
    await output.result({ host: flags.host, text }, () => text);
    return DONE;
  }
  using interrupt = listenForInterrupt(false);
  const survey = flags.offline === true ? declaredSurvey(set) : await surveyHosts(set, interrupt.signal, output);
  const [missing] = survey.unreachable;
  if (missing !== undefined) throw new CommandFailure(`${missing.join(': ')} (--offline renders from declared facts)`);
  const plan = prepare(survey.facts, aimOfSet(set, flags.set), 'add');
  if (plan.problems.length > 0) throw new InputProblems(plan.problems);
  const found = plan.hosts.find(({ host }) => host === flags.host);
  const text = found === undefined ? '' : renderState(found.aim.state);
  await output.result({ host: flags.host, text }, () => text);
  return DONE;
}
