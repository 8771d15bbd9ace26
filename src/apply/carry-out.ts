/** Carries a plan out over all its hosts: locked, in order, checked afterwards, and undone everywhere if anything fails. */
import { isDeepStrictEqual } from 'node:util';
import type { HostFacts } from '../host/index.ts';
import { describeChange, type HostChange, planHost, undo } from '../plan/index.ts';
import { sameKey } from '../wireguard/index.ts';
import { ApplyError } from './driver.ts';
import { lockAll } from './lock.ts';
import { type ManagedHost, observeAll, reasonOf } from './observe.ts';
import { type AimFor, type HostPlan, prepare, type SetPlan } from './prepare.ts';
import type { Progress } from './progress.ts';
import { sameWork, type Touched, takeBack } from './take-back.ts';

export interface CarryOutOptions {
  readonly command: 'apply' | 'destroy';
  readonly aimFor: AimFor;
  /** Aborted: no further step begins, and what stands is said. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Asked after the checks; false takes everything back. Left out: the checks alone confirm. */
  readonly confirm?: () => Promise<boolean>;
  /** What the user agreed to is what is done: a plan that has become another one is refused. */
  readonly agreed: boolean;
}

/** Something failed. The message says what, and of every host touched whether it is as it was. */
class ApplyFailure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApplyFailure';
  }
}

/** Ctrl-C: nothing is taken back, the message says what stands. */
class Interrupted extends Error {}

/** For what must not be cut short: checks and ways back. */
const UNINTERRUPTED = new AbortController().signal;

/** Whether anything is to be written on the host. */
export const needsWork = ({ changes, aim, facts }: HostPlan): boolean =>
  changes.length > 0 || aim.keyLinks.some((link) => !facts.keys.has(link)) || leavesRest({ aim, facts });

/** Nothing of ours is to stay, and a state folder with keys is still there: a half-done apply or destroy left it. */
const leavesRest = ({ aim, facts }: Pick<HostPlan, 'aim' | 'facts'>): boolean =>
  aim.record === undefined && (facts.record !== undefined || facts.keys.size > 0);

/**
 * Makes the keys that are missing, plans again under the locks, carries out, checks, confirms. Gives the plan that was carried out.
 * Throws ApplyFailure, LockHeld or TransportError.
 */
export async function carryOut(
  hosts: readonly ManagedHost[],
  shown: SetPlan,
  options: CarryOutOptions,
): Promise<SetPlan> {
  const working = new Set(shown.hosts.filter(needsWork).map(({ host }) => host));
  // A destroy goes to every host: what a killed one left in a state folder (a lock) is not in the facts.
  const concerned = options.command === 'destroy' ? hosts : hosts.filter(({ name }) => working.has(name));
  if (concerned.length === 0) return shown;
  options.signal.throwIfAborted();
  for (const { name, readOnly } of concerned)
    if (readOnly !== undefined) throw new ApplyFailure(`${name}: ${readOnly}; nothing was changed`);
  const lock = await lockAll(
    concerned.map(({ transport }) => transport),
    options.command,
  );
  try {
    return await underLock(hosts, concerned, shown, options);
  } finally {
    await lock.release();
  }
}

async function underLock(
  hosts: readonly ManagedHost[],
  concerned: readonly ManagedHost[],
  shown: SetPlan,
  options: CarryOutOptions,
): Promise<SetPlan> {
  const plan = await planWithKeys(hosts, concerned, shown, options);
  const touched: Touched[] = [];
  try {
    for (const each of plan.hosts) {
      const managed = concerned.find(({ name }) => name === each.host);
      if (managed !== undefined) await changeHost(managed, each, touched, plan, options);
    }
    await dialAgain(touched, await check(touched, options));
    if (options.confirm !== undefined && !(await options.confirm())) throw new Error('not confirmed');
  } catch (error) {
    if (error instanceof Interrupted) throw new ApplyFailure(error.message);
    const what = error instanceof Error ? error.message : String(error);
    throw new ApplyFailure(`${what}; ${await takeBack(touched, options.onProgress)}`, { cause: error });
  }
  await forgetEmpty(touched, options);
  return plan;
}

/** Makes the keys, looks again and plans again. Where that fails, hosts that had nothing of ours have nothing of ours again. */
async function planWithKeys(
  hosts: readonly ManagedHost[],
  concerned: readonly ManagedHost[],
  shown: SetPlan,
  options: CarryOutOptions,
): Promise<SetPlan> {
  try {
    await makeKeys(concerned, shown, options);
    const facts = await factsOf(hosts, options.signal);
    const direction = options.command === 'apply' ? 'add' : 'remove';
    const plan = madeOf(shown, facts) ? shown : prepare(facts, options.aimFor, direction);
    const unlocked = plan.hosts.find((each) => needsWork(each) && concerned.every(({ name }) => name !== each.host));
    if (
      plan.problems.length > 0 ||
      unlocked !== undefined ||
      (options.agreed && plan !== shown && !sameWork(shown, plan))
    ) {
      throw new ApplyFailure('the hosts changed since the plan was made; nothing was changed: plan again');
    }
    return plan;
  } catch (error) {
    for (const { host, facts } of shown.hosts) {
      const driver = concerned.find(({ name }) => name === host)?.driver;
      if (driver === undefined || facts.record !== undefined || facts.keys.size > 0) continue;
      // Another's apply may have come between the plan and the lock: what stands now counts, not what was seen.
      if ((await driver.observe(UNINTERRUPTED)).record === undefined) await driver.forget(UNINTERRUPTED);
    }
    throw options.signal.aborted ? new ApplyFailure('stopped; nothing was changed', { cause: error }) : error;
  }
}

/** Whether these very facts are what the plan was made of: planning is pure, so it would come out the same. */
const madeOf = ({ hosts }: SetPlan, facts: ReadonlyMap<string, HostFacts>): boolean =>
  hosts.length === facts.size &&
  hosts.every(({ host, facts: known }) => {
    const now = facts.get(host);
    return now !== undefined && isDeepStrictEqual(withoutCounters(known), withoutCounters(now));
  });

/** Bytes that went through a tunnel since the last look, free memory and the time say nothing of what is to be done. */
const withoutCounters = ({ state, memoryAvailableBytes: _, names, ...facts }: HostFacts): HostFacts => ({
  ...facts,
  ...(names !== undefined && { names: { ...names, seconds: 0 } }),
  state: {
    ...state,
    devices: state.devices.map((device) => ({
      ...device,
      peers: device.peers.map(({ receivedBytes: __, sentBytes: ___, ...peer }) => peer),
    })),
  },
});

/** The facts of all hosts, looked at anew. Throws if one does not answer. */
async function factsOf(hosts: readonly ManagedHost[], signal: AbortSignal): Promise<ReadonlyMap<string, HostFacts>> {
  const facts = new Map<string, HostFacts>();
  for (const [name, seen] of await observeAll(hosts, signal)) {
    if (seen.kind === 'unreachable') throw new ApplyFailure(`${name}: ${seen.reason}; nothing was changed`);
    facts.set(name, seen.facts);
  }
  return facts;
}

async function makeKeys(concerned: readonly ManagedHost[], shown: SetPlan, options: CarryOutOptions): Promise<void> {
  for (const { host, aim, facts } of shown.hosts) {
    const managed = concerned.find(({ name }) => name === host);
    if (managed === undefined || aim.keyLinks.every((link) => facts.keys.has(link))) continue;
    options.onProgress?.({ kind: 'keys', host });
    await managed.driver.makeKeys(aim.keyLinks, options.signal);
  }
}

/** Changes one host. What stands is in `touched` whatever happens. */
async function changeHost(
  managed: ManagedHost,
  plan: HostPlan,
  touched: Touched[],
  whole: SetPlan,
  { signal, onProgress, command }: CarryOutOptions,
): Promise<void> {
  const host = managed.name;
  if (signal.aborted) throw new Interrupted(printStands(touched, whole, command));
  if (plan.changes.length === 0) {
    touched.push({ managed, plan, done: [] });
    return;
  }
  try {
    await managed.driver.apply(plan.changes, { signal, onStep: (step) => onProgress?.({ kind: 'step', host, step }) });
    touched.push({ managed, plan, done: plan.changes });
  } catch (error) {
    // Any other error comes before the first step.
    touched.push({ managed, plan, done: error instanceof ApplyError ? error.done : [] });
    if (signal.aborted) throw new Interrupted(printStands(touched, whole, command));
    throw new Error(`${host}: ${reasonOf(host, error)}`, { cause: error });
  }
}

/** Looks again: every host must be what it was to become. Gives what was seen. */
async function check(
  touched: readonly Touched[],
  { onProgress }: CarryOutOptions,
): Promise<ReadonlyMap<string, HostFacts>> {
  const facts = new Map<string, HostFacts>();
  for (const { managed } of touched) onProgress?.({ kind: 'checking', host: managed.name });
  const seen = await observeAll(
    touched.map(({ managed }) => managed),
    UNINTERRUPTED,
  );
  const failed: string[] = [];
  for (const { managed, plan } of touched) {
    const answer = seen.get(managed.name);
    if (answer === undefined) continue;
    if (answer.kind === 'unreachable') {
      failed.push(`${managed.name}: after the change it can no longer be reached: ${answer.reason}`);
      continue;
    }
    facts.set(managed.name, answer.facts);
    // A name may mean something else at each look: what was set by it stands.
    const { names: _, ...standing } = answer.facts;
    const rest = planHost(standing, plan.aim);
    if (rest.length > 0)
      failed.push(`${managed.name}: after the change there is still to do: ${printDifferences(rest)}`);
  }
  if (failed.length > 0) throw new Error(failed.join('\n'));
  return facts;
}

/**
 * A new WireGuard peer with a keepalive is called at once, maybe before its own host was changed, and then only every 5 s (REKEY_TIMEOUT,
 * WireGuard paper, 6.1): those of this apply without a handshake are taken away and added again, which calls anew. Without a
 * keepalive nobody calls, and who was called has a session before it says so: it counts a handshake from the first data.
 */
async function dialAgain(touched: readonly Touched[], seen: ReadonlyMap<string, HostFacts>): Promise<void> {
  for (const { managed, done } of touched) {
    const devices = seen.get(managed.name)?.state.devices ?? [];
    const calls = done.filter((change) => {
      if (change.action !== 'add' || change.after.kind !== 'peer') return false;
      const { link, peer } = change.after;
      if (peer.endpoint === undefined || peer.keepaliveSeconds === undefined) return false;
      const peers = devices.find((device) => device.link === link)?.peers ?? [];
      return peers.some((each) => sameKey(each.publicKey, peer.publicKey) && each.latestHandshake === undefined);
    });
    if (calls.length === 0) continue;
    await managed.driver.apply([...undo(calls), ...calls], { signal: UNINTERRUPTED });
  }
}

/** The first differences by name; the rest is only counted. */
function printDifferences(changes: readonly HostChange[]): string {
  const named = changes.slice(0, 3).map((change) => {
    const { action, object, name } = describeChange(change);
    return `${action} ${object} ${name}`;
  });
  return changes.length <= 3 ? named.join(', ') : `${named.join(', ')} and ${changes.length - 3} more`;
}

/** Where no set is left, keys and record go too. */
async function forgetEmpty(touched: readonly Touched[], { onProgress }: CarryOutOptions): Promise<void> {
  for (const { managed, plan } of touched) {
    if (plan.aim.record !== undefined) continue;
    onProgress?.({ kind: 'forgetting', host: managed.name });
    await managed.driver.forget(UNINTERRUPTED);
  }
}

/** What stands on each host, and how to go on. */
function printStands(touched: readonly Touched[], whole: SetPlan, command: 'apply' | 'destroy'): string {
  const stands = whole.hosts.filter(needsWork).map(({ host, changes }) => {
    const done = touched.find(({ managed }) => managed.name === host)?.done.length ?? 0;
    return `  ${host}: ${done === 0 ? 'as it was' : `${done} of ${changes.length} changes stand`}`;
  });
  const back =
    command === 'apply' ? '"sallyport destroy" takes back what stands' : '"sallyport apply" puts everything back';
  return `stopped.\n${stands.join('\n')}\nThe same ${command} goes on from here; ${back}.`;
}
