/** Undoes what an apply did, on every host it touched, and says of each whether it is as it was. */
import { compileRemoval } from '../compile/index.ts';
import { describeChange, type HostChange, planHost, undo, unmade } from '../plan/index.ts';
import { TransportError } from '../transport/index.ts';
import { type Armed, forgetPending, takeBackThere } from './arming.ts';
import { ApplyError } from './driver.ts';
import { type ManagedHost, reasonOf } from './observe.ts';
import { changesFor, type HostPlan, type SetPlan, stoodEmpty } from './prepare.ts';
import type { Progress } from './progress.ts';

/** A way back is never cut short. */
const UNINTERRUPTED = new AbortController().signal;

/** A host in the course of an apply. */
export interface Touched {
  readonly managed: ManagedHost;
  readonly plan: HostPlan;
  /** Armed for the plan; absent where nothing was to change there. */
  readonly armed?: Armed;
}

/** Takes everything back, the last host first, and gives half a sentence: `edge and node are as they were`. Never throws. */
export async function takeBack(
  touched: readonly Touched[],
  confirmed: ReadonlySet<Armed>,
  onProgress?: (progress: Progress) => void,
): Promise<string> {
  const good: string[] = [];
  const bad: string[] = [];
  const silent: string[] = [];
  for (const each of [...touched].reverse()) {
    const { name } = each.managed;
    onProgress?.({ kind: 'undoing', host: name });
    const reason = await takeBackOne(each, confirmed);
    if (reason === undefined) good.unshift(name);
    else if (typeof reason === 'string') bad.push(`${name} is not as it was: ${reason}`);
    else silent.push(`whether ${name} is as it was is not known: ${reason.silent}`);
  }
  const well = good.length === 0 ? [] : [`${listed(good)} ${good.length === 1 ? 'is as it was' : 'are as they were'}`];
  const hint = bad.length === 0 ? [] : ['the next apply or destroy sorts that out'];
  return [...well, ...silent, ...bad, ...hint].join('; ');
}

/** Undoes one host; what stands there then decides whether that was enough. Gives the reason where it was not, or why nobody could look. */
async function takeBackOne(
  touched: Touched,
  confirmed: ReadonlySet<Armed>,
): Promise<string | { readonly silent: string } | undefined> {
  const { managed, plan, armed } = touched;
  try {
    const refused =
      armed === undefined || confirmed.has(armed)
        ? await refusalOf(async () => {
            if (armed !== undefined) await managed.driver.apply(undoAsListed(plan.changes), { signal: UNINTERRUPTED });
          })
        : await takeBackThere(armed);
    if (!(await isAsItWas(touched))) {
      await returnTo(touched);
      if (!(await isAsItWas(touched))) return refused ?? 'something else differs now than before the change';
    }
    if (armed !== undefined && refused !== undefined) await forgetPending(armed);
    if (stoodEmpty(plan)) await managed.driver.forget(UNINTERRUPTED);
    return undefined;
  } catch (error) {
    const reason = reasonOf(managed.name, error);
    if (!(error instanceof TransportError)) return reason;
    const goesBack = armed !== undefined && !confirmed.has(armed);
    return { silent: goesBack ? `${reason}; it takes the change back by itself` : reason };
  }
}

/** Why a host refused the exact way back: it was not as we thought. */
async function refusalOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (!(error instanceof ApplyError)) throw error;
    return error.message;
  }
}

/**
 * What takes all back, last first; but of nft what stands together keeps its order: in a transaction it does not matter, and nft lists what it
 * made in the order it came, as it was listed before.
 */
export function undoAsListed(changes: readonly HostChange[]): readonly HostChange[] {
  const back: HostChange[] = [];
  let together: HostChange[] = [];
  for (const change of undo(changes)) {
    if ((change.action === 'remove' ? change.before : change.after).kind === 'nft') together.unshift(change);
    else {
      back.push(...together, change);
      together = [];
    }
  }
  return [...back, ...together];
}

/** Looks at the host, and makes of it what its record said before. */
async function returnTo({ managed: { driver, name }, plan }: Touched): Promise<void> {
  const facts = await driver.observe(UNINTERRUPTED);
  if (plan.aim.mend !== undefined) {
    await driver.apply(unmade(facts, undo(plan.changes)), { signal: UNINTERRUPTED });
    return;
  }
  // No set is named so (set names are not empty): taking it away leaves what the record says.
  const before = compileRemoval(name, plan.facts, '', plan.facts.record?.version ?? '');
  const changes = planHost(facts, before);
  if (changes.length > 0) await driver.apply(changes, { signal: UNINTERRUPTED });
}

/** Whether the plan would be made again. */
async function isAsItWas({ managed, plan }: Touched): Promise<boolean> {
  const again = changesFor(await managed.driver.observe(UNINTERRUPTED), plan.aim);
  return workOf(again).join('\n') === workOf(plan.changes).join('\n');
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
