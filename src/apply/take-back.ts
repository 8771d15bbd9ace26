/** Undoes what an apply did, on every host it touched, and says of each whether it is as it was. */
import { describeChange, type HostChange, planHost, undo } from '../plan/index.ts';
import { type ManagedHost, reasonOf } from './observe.ts';
import type { HostPlan, SetPlan } from './prepare.ts';
import type { Progress } from './progress.ts';

/** What stands on a host in the course of an apply. */
export interface Touched {
  readonly managed: ManagedHost;
  readonly plan: HostPlan;
  /** Carried out so far, in order. */
  readonly done: readonly HostChange[];
}

/** Takes everything back, the last host first, and gives half a sentence: `edge and node are as they were`. Never throws. */
export async function takeBack(
  touched: readonly Touched[],
  onProgress?: (progress: Progress) => void,
): Promise<string> {
  const good: string[] = [];
  const bad: string[] = [];
  for (const each of [...touched].reverse()) {
    const { name } = each.managed;
    onProgress?.({ kind: 'undoing', host: name });
    const reason = await takeBackOne(each);
    if (reason === undefined) good.unshift(name);
    else bad.push(`${name} is not as it was: ${reason}`);
  }
  const well = good.length === 0 ? [] : [`${listed(good)} ${good.length === 1 ? 'is as it was' : 'are as they were'}`];
  const hint = bad.length === 0 ? [] : ['the next apply or destroy sorts that out'];
  return [...well, ...bad, ...hint].join('; ');
}

/** Undoes one host and looks whether the same work would be planned again; gives the reason where it failed. */
async function takeBackOne({ managed, plan, done }: Touched): Promise<string | undefined> {
  const { driver, name } = managed;
  const signal = new AbortController().signal; // a way back is never cut short
  try {
    if (done.length > 0) await driver.apply(undo(done), { signal });
    const facts = await driver.observe(signal);
    const fresh = plan.facts.record === undefined;
    const again = planHost(facts, plan.aim);
    if (workOf(again).join('\n') !== workOf(plan.changes).join('\n'))
      return 'something else differs now than before the change';
    if (fresh) await driver.forget(signal);
    return undefined;
  } catch (error) {
    return reasonOf(name, error);
  }
}

/** Whether both plans do the same to the same things; keys that became known in between make no difference. */
export function sameWork(left: SetPlan, right: SetPlan): boolean {
  const lines = ({ hosts }: SetPlan): string =>
    hosts.flatMap(({ host, changes }) => workOf(changes).map((line) => `${host} ${line}`)).join('\n');
  return lines(left) === lines(right);
}

/** The changes by what they do and to what, sorted; peers by their link alone, for a peer's name is its key. */
function workOf(changes: readonly HostChange[]): readonly string[] {
  return changes
    .map((change) => {
      const { action, object, name, before, after } = describeChange(change);
      if (object === 'peer') return `${action} peer`;
      return object === 'nft' ? `${action} ${name} ${before} ${after}` : `${action} ${object} ${name}`;
    })
    .sort();
}

function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
