/** Carries a plan out over all its hosts: locked, in order, checked afterwards, and undone everywhere if anything fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { HostFacts } from '../host/index.ts';
import { describeChange, type HostChange, undo } from '../plan/index.ts';
import { TransportError } from '../transport/index.ts';
import { sameKey } from '../wireguard/index.ts';
import { type Armed, armHost, beginAgain, confirmAll, keepAlive, takeBackThere } from './arming.ts';
import { changeAll } from './change.ts';
import { type Hearing, hear, hearAgain, lostBetween, type Witness } from './check-held.ts';
import { leavesKeys, makeKeys, makesPreshared } from './keys.ts';
import { lockAll } from './lock.ts';
import { type ManagedHost, observeAll, reasonOf } from './observe.ts';
import { type AimFor, directionOf, endsEmpty, type HostPlan, leftOf, prepare, type SetPlan } from './prepare.ts';
import type { Progress } from './progress.ts';
import { observeUnknown, type Standing } from './standing.ts';
import { sameWork, type Touched, takeBack } from './take-back.ts';

/** What changes hosts, as whoever finds it at work is told. */
export type Command = 'apply' | 'destroy' | 'rotate' | `doctor --fix ${string}`;

export interface CarryOutOptions {
  readonly command: Command;
  readonly aimFor: AimFor;
  /** Aborted: no further step begins, and all is taken back. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Asked once all hosts are what they were to become: what is wrong all the same; undefined where nothing is. */
  readonly check?: () => Promise<string | undefined>;
  /** Asked after the checks; false takes everything back. Left out: the checks alone confirm. */
  readonly confirm?: () => Promise<boolean>;
  /** What answered them before the change must answer again after it. Left out: nobody is asked. */
  readonly witnesses?: (when: 'before' | 'after') => readonly Witness[];
  /** What the user agreed to is what is done: a plan that has become another one is refused. */
  readonly agreed: boolean;
  /** Waited for after each stage of the change, the last one too, and before the checks. Throws where the change must not stand. */
  readonly afterStage?: (stage: number, plan: SetPlan, signal: AbortSignal) => Promise<void>;
  /** Of these what stands is known: they are not looked at again before they are changed. Left out: each is. */
  readonly standing?: Standing;
  /** After so many milliseconds without a word of us, each host takes the change back by itself. 30,000 unless given. */
  readonly windowMs?: number;
}

const WINDOW_MS = 30_000;

/** What worked is given so long to be heard of again, and half the window at most: a tunnel of ours may have to call once more. */
const HEARD_AGAIN_MS = 10_000;

/** Something failed. The message says what, and of every host touched whether it is as it was. */
class ApplyFailure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApplyFailure';
  }
}

/** For what must not be cut short: checks and ways back. */
const UNINTERRUPTED = new AbortController().signal;

/** Whether anything is to be written on the host. */
export const needsWork = ({ changes, aim, facts }: HostPlan): boolean =>
  changes.length > 0 ||
  aim.keyLinks.some((link) => !facts.keys.has(link)) ||
  aim.presharedFor !== undefined ||
  leavesRest({ aim, facts }) ||
  leavesKeys(facts);

/** Nothing of ours is to stay, and a state folder with keys is still there: a half-done apply or destroy left it. */
const leavesRest = ({ aim, facts }: Pick<HostPlan, 'aim' | 'facts'>): boolean =>
  endsEmpty({ aim, facts }) && (facts.record !== undefined || facts.keys.size > 0);

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
  // They are asked while the host is armed, and cost no time of their own; where nothing is to change, nobody is.
  const hearing = hear(working.size === 0 ? [] : (options.witnesses?.('before') ?? []));
  const lock = await lockAll(
    concerned.map(({ transport }) => transport),
    options.command,
  ).catch((error: unknown) => {
    hearing.end();
    if (!(error instanceof TransportError)) throw error;
    throw new ApplyFailure(`${error.message}; nothing was changed`, { cause: error });
  });
  try {
    return await underLock({ hosts, concerned, hearing }, shown, options);
  } finally {
    hearing.end();
    await forgetKeysOf(concerned, shown, options);
    await lock.release();
  }
}

/** Keys that were made for an exchange, or that it put out of use. Where a host cannot be told now, the next apply does it. */
async function forgetKeysOf(
  concerned: readonly ManagedHost[],
  shown: SetPlan,
  { command }: CarryOutOptions,
): Promise<void> {
  const left = concerned.filter(({ name }) => {
    const facts = shown.hosts.find(({ host }) => host === name)?.facts;
    if (facts?.record === undefined) return false;
    return command === 'rotate' || makesPreshared(shown) || facts.presharedKeys !== undefined || leavesKeys(facts);
  });
  await Promise.allSettled(left.map(({ driver }) => driver.forgetKeys(UNINTERRUPTED)));
}

interface Locked {
  readonly hosts: readonly ManagedHost[];
  readonly concerned: readonly ManagedHost[];
  readonly hearing: Hearing;
}

async function underLock(
  { hosts, concerned, hearing }: Locked,
  shown: SetPlan,
  options: CarryOutOptions,
): Promise<SetPlan> {
  const { plan, touched } = await planAndArm(hosts, concerned, shown, options);
  const held = hearing.end();
  const armed = touched.flatMap((each) => (each.armed === undefined ? [] : [each.armed]));
  let confirmed: ReadonlySet<Armed> = new Set();
  try {
    const alive = keepAlive(armed);
    try {
      await changeAll(touched, plan, options);
    } finally {
      await alive.end();
    }
    await beginAgain(armed);
    await dialAgain(touched, await check(touched, options));
    await requireHeld(held, options);
    const wrong = await options.check?.();
    if (wrong !== undefined) throw new Error(wrong);
    if (options.confirm !== undefined) {
      await beginAgain(armed);
      if (!(await options.confirm())) throw new Error(options.signal.aborted ? 'stopped' : 'not confirmed');
    }
    confirmed = await confirm(armed, touched, options);
  } catch (error) {
    if (error instanceof PartlyConfirmed) confirmed = error.confirmed;
    const what = error instanceof Error ? error.message : String(error);
    throw new ApplyFailure(`${what}; ${await takeBack(touched, confirmed, options.onProgress)}`, { cause: error });
  }
  await forgetEmpty(touched, options);
  return plan;
}

/** Some hosts go on by themselves, and some have gone back. */
class PartlyConfirmed extends Error {
  readonly confirmed: ReadonlySet<Armed>;
  constructor(failures: readonly string[], confirmed: ReadonlySet<Armed>) {
    super(failures.join('\n'));
    this.confirmed = confirmed;
  }
}

async function confirm(
  armed: readonly Armed[],
  touched: readonly Touched[],
  { signal, onProgress }: CarryOutOptions,
): Promise<ReadonlySet<Armed>> {
  if (signal.aborted) throw new Error('stopped');
  for (const { managed } of armed) onProgress?.({ kind: 'confirming', host: managed.name });
  const { confirmed, failures } = await confirmAll(armed, async (each) => {
    const plan = touched.find((one) => one.armed === each)?.plan;
    if (plan === undefined) return false;
    return leftOf(await each.managed.driver.observe(UNINTERRUPTED), plan.aim).length === 0;
  });
  if (failures.length > 0) throw new PartlyConfirmed(failures, confirmed);
  return confirmed;
}

/** All hosts that are to change, armed. Where one cannot be, no other is any more, and keys made for this are gone again. */
async function planAndArm(
  hosts: readonly ManagedHost[],
  concerned: readonly ManagedHost[],
  shown: SetPlan,
  options: CarryOutOptions,
): Promise<{ readonly plan: SetPlan; readonly touched: readonly Touched[] }> {
  const armed: Armed[] = [];
  try {
    const plan = await planWithKeys(hosts, concerned, shown, options);
    const touched = await Promise.allSettled(
      plan.hosts.flatMap((each) => {
        const managed = concerned.find(({ name }) => name === each.host);
        return managed === undefined ? [] : [arm(managed, each, armed, options)];
      }),
    );
    const failed = touched.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    if (failed.length > 0)
      throw new ApplyFailure(`${failed.map(messageOf).join('\n')}; nothing was changed`, { cause: failed[0] });
    options.signal.throwIfAborted();
    return { plan, touched: touched.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])) };
  } catch (error) {
    await Promise.allSettled(armed.map(takeBackThere));
    await forgetKeys(concerned, shown);
    if (options.signal.aborted) throw new ApplyFailure('stopped; nothing was changed', { cause: error });
    if (!(error instanceof TransportError)) throw error;
    throw new ApplyFailure(`${error.message}; nothing was changed`, { cause: error });
  }
}

async function arm(
  managed: ManagedHost,
  plan: HostPlan,
  into: Armed[],
  { command, windowMs, signal, onProgress }: CarryOutOptions,
): Promise<Touched> {
  if (plan.changes.length === 0) return { managed, plan };
  onProgress?.({ kind: 'arming', host: managed.name });
  const generation = plan.aim.record?.generation ?? (plan.facts.record?.generation ?? 0) + 1;
  const armed = await armHost(managed, plan, { command, generation, windowMs: windowMs ?? WINDOW_MS, signal });
  into.push(armed);
  return { managed, plan, armed };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Makes the keys, looks again and plans again. */
async function planWithKeys(
  hosts: readonly ManagedHost[],
  concerned: readonly ManagedHost[],
  shown: SetPlan,
  options: CarryOutOptions,
): Promise<SetPlan> {
  await makeKeys(concerned, shown, options);
  const facts = await factsOf(hosts, options);
  const direction = directionOf(options.command);
  const plan = madeOf(shown, facts) ? shown : prepare(facts, options.aimFor, direction);
  const unlocked = plan.hosts.find((each) => needsWork(each) && concerned.every(({ name }) => name !== each.host));
  if (
    plan.problems.length > 0 ||
    unlocked !== undefined ||
    (options.agreed && plan !== shown && !sameWork(shown, plan))
  )
    throw new ApplyFailure('the hosts changed since the plan was made; nothing was changed: plan again');
  return plan;
}

/** Hosts that had nothing of ours have nothing of ours again. */
async function forgetKeys(concerned: readonly ManagedHost[], shown: SetPlan): Promise<void> {
  for (const { host, facts } of shown.hosts) {
    const driver = concerned.find(({ name }) => name === host)?.driver;
    if (driver === undefined || facts.record !== undefined || facts.keys.size > 0) continue;
    // Another's apply may have come between the plan and the lock: what stands now counts, not what was seen.
    await driver.forgetUnrecorded(UNINTERRUPTED);
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

/** The facts of all hosts, looked at anew where need be. Throws if one does not answer. */
async function factsOf(
  hosts: readonly ManagedHost[],
  { signal, standing }: CarryOutOptions,
): Promise<ReadonlyMap<string, HostFacts>> {
  const facts = new Map<string, HostFacts>();
  for (const [name, seen] of await observeUnknown(hosts, standing ?? (() => undefined), signal)) {
    if (seen.kind === 'unreachable') throw new ApplyFailure(`${name}: ${seen.reason}; nothing was changed`);
    facts.set(name, seen.facts);
  }
  return facts;
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
    const rest = leftOf(standing, plan.aim);
    if (rest.length > 0)
      failed.push(`${managed.name}: after the change there is still to do: ${printDifferences(rest)}`);
    for (const lost of lostBetween(plan.facts, answer.facts, plan.changes))
      failed.push(`${managed.name}: after the change ${lost}`);
  }
  if (failed.length > 0) throw new Error(failed.join('\n'));
  return facts;
}

/** Asks again for what answered before. */
async function requireHeld(
  held: ReadonlySet<string>,
  { witnesses, windowMs = WINDOW_MS, signal }: CarryOutOptions,
): Promise<void> {
  const withinMs = Math.min(windowMs / 2, HEARD_AGAIN_MS);
  const lost = await hearAgain(witnesses?.('after') ?? [], held, { withinMs, signal });
  if (signal.aborted) throw new Error('stopped');
  if (lost.length > 0)
    throw new Error(lost.map((what) => `${what} answered before the change, and does not now`).join('\n'));
}

/**
 * A new WireGuard peer with a keepalive is called at once, maybe before its own host was changed, and then only every 5 s (REKEY_TIMEOUT,
 * WireGuard paper, 6.1): those of this apply without a handshake are taken away and added again, which calls anew. Without a
 * keepalive nobody calls, and who was called has a session before it says so: it counts a handshake from the first data.
 */
async function dialAgain(touched: readonly Touched[], seen: ReadonlyMap<string, HostFacts>): Promise<void> {
  for (const { managed, plan, armed } of touched) {
    const devices = seen.get(managed.name)?.state.devices ?? [];
    const calls = plan.changes.filter((change) => {
      if (change.action !== 'add' || change.after.kind !== 'peer') return false;
      const { link, peer } = change.after;
      if (peer.endpoint === undefined || peer.keepaliveSeconds === undefined) return false;
      const peers = devices.find((device) => device.link === link)?.peers ?? [];
      return peers.some((each) => sameKey(each.publicKey, peer.publicKey) && each.latestHandshake === undefined);
    });
    if (calls.length === 0 || armed === undefined) continue;
    await managed.driver.apply([...undo(calls), ...calls], { signal: UNINTERRUPTED, armed });
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

/** How long a host that was confirmed and then falls silent is asked again, ms. */
const FORGET_WITHIN_MS = 10_000;

/**
 * Where no set is left, keys and record go too: when all hosts are confirmed, for one that must go back needs its keys. The change stands by
 * then, whatever comes of this.
 */
async function forgetEmpty(touched: readonly Touched[], { onProgress }: CarryOutOptions): Promise<void> {
  const left = await Promise.all(
    touched.map(async ({ managed, plan }) => {
      if (!endsEmpty(plan)) return [];
      onProgress?.({ kind: 'forgetting', host: managed.name });
      for (const end = performance.now() + FORGET_WITHIN_MS; ; await sleep(200))
        try {
          await managed.driver.forget(UNINTERRUPTED);
          return [];
        } catch (error) {
          if (performance.now() > end) return [`${managed.name}: ${reasonOf(managed.name, error)}`];
        }
    }),
  );
  if (left.flat().length === 0) return;
  throw new ApplyFailure(
    `${left.flat().join('; ')}\nnothing is programmed there any more, and keys of ours are left: the next destroy removes them`,
  );
}
