/** The change itself, on hosts that are armed for it. */
import type { CarryOutOptions } from './carry-out.ts';
import { reasonOf } from './observe.ts';
import { type SetPlan, stagesOf } from './prepare.ts';
import type { Touched } from './take-back.ts';

/** Stage by stage, each on all hosts before the next. */
export async function changeAll(touched: readonly Touched[], plan: SetPlan, options: CarryOutOptions): Promise<void> {
  const stages = Math.max(0, ...touched.map((each) => stagesOf(each.plan).length));
  for (let stage = 0; stage < stages; stage += 1) {
    for (const each of touched) await changeHost(each, stage, options);
    await options.afterStage?.(stage, plan, options.signal);
  }
}

/** Changes one host that is armed for it. */
async function changeHost(
  { managed, plan, armed }: Touched,
  stage: number,
  { signal, onProgress }: CarryOutOptions,
): Promise<void> {
  const host = managed.name;
  if (signal.aborted) throw new Error('stopped');
  if (armed === undefined) return;
  const onStep = (step: string): void => onProgress?.({ kind: 'step', host, step });
  try {
    await managed.driver.apply(stagesOf(plan)[stage] ?? [], { signal, armed, after: armed.before[stage] ?? 0, onStep });
  } catch (error) {
    throw signal.aborted
      ? new Error('stopped', { cause: error })
      : new Error(`${host}: ${reasonOf(host, error)}`, { cause: error });
  }
}
