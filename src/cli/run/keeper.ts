/** The loop: looks at each host at its own pace, and puts back what is not as it should be. */
import {
  type AimFor,
  carryOut,
  type HostPlan,
  LockHeld,
  type ManagedHost,
  type Notice,
  type Progress,
  prepare,
  reasonOf,
  type SetPlan,
  settlePending,
} from '../../apply/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { backoff, type Look, lookWithin, repairDelay, restAfter } from '../../keep/index.ts';
import { describeChange, type HostChange } from '../../plan/index.ts';
import type { Transport } from '../../transport/index.ts';
import type { Log } from './log.ts';
import { createWake, pause, type Wake } from './wake.ts';
import { type AimedPart, aimNow, groupsOf, sameFacts } from './wanted.ts';
import { watchHost } from './watch.ts';

/** What is known of a host, and how it fares. Times are of performance.now(). */
export interface KeptHost {
  readonly name: string;
  readonly reachable: boolean;
  /** What was seen last, however long ago. */
  readonly facts?: HostFacts;
  /** When it was last seen to be as it should be. */
  readonly goodAt?: number;
  /** The longest time between two looks at it as things are, in milliseconds. */
  readonly lookWithinMs: number;
  /** So many times it was looked at, put right, and not put right. */
  readonly looks: number;
  readonly repairs: number;
  readonly failures: number;
}

export interface KeeperOptions {
  /** Milliseconds between two looks at a host where nothing happens and nothing is heard. */
  readonly everyMs: number;
  readonly log: Log;
  /** Aborted: nothing more is begun. */
  readonly signal: AbortSignal;
  /** Called after each look that saw something new. */
  readonly onSeen: () => void;
  /** Called after all hosts were planned. */
  readonly onPlanned: () => void;
}

export interface Keeper {
  /** From now on these hosts are kept, and no others. */
  keep(hosts: readonly ManagedHost[]): void;
  /** From now on they are to become this; those that are in no part, what their records say. */
  aim(parts: readonly AimedPart[]): void;
  /** Other targets of forwards at the host take traffic: planned at once, without a look, and at no pace but their own. */
  moved(host: string): void;
  hosts(): readonly KeptHost[];
  transportOf(host: string): Transport | undefined;
  /** When all that is under way has ended; after an abort. */
  ended(): Promise<void>;
}

type Kept = { -readonly [Field in keyof KeptHost]: KeptHost[Field] } & {
  readonly managed: ManagedHost;
  readonly wake: Wake;
  readonly stop: AbortController;
  /** It is being changed, or was and has not been looked at since: what is known of it is not what stands. */
  isBusy: boolean;
  isChanged: boolean;
  /** What is to be done there is no repair: its forwards lead elsewhere. */
  isMoved: boolean;
  /** Nobody's change is pending there that nobody is at work on. */
  isSettled: boolean;
  /** Ends the rest between two looks. */
  readonly hurry: Wake;
  /** Looks in a row without an answer. */
  silent: number;
  /** When repairs were made; and how many in a row failed, and when the next may begin. */
  readonly made: number[];
  failed: number;
  notBefore: number;
  /** What was last said of it. */
  said?: string;
  /** It is listened to, and who was heard to change its ruleset since it was last good. */
  listens: boolean;
  /** Something was heard of it that no look has seen. */
  isUnseen: boolean;
  changedBy?: string;
};

/** More than that many looks are not made in a minute: each is followed by a tenth of a second of rest. */
const MOST_LOOKS = 600;

/** A host that is not heard by then is looked at all the same, in milliseconds. */
const LISTENS_WITHIN_MS = 1_000;

/** Starts with no host. */
export function startKeeper(options: KeeperOptions): Keeper {
  const { everyMs, log, signal, onSeen, onPlanned } = options;
  const kept = new Map<string, Kept>();
  const running = new Set<Promise<void>>();
  let parts: readonly AimedPart[] = [];

  const start = (work: Promise<void>): void => {
    const tracked = work.finally(() => running.delete(tracked));
    running.add(tracked);
  };

  const factsNow = (): ReadonlyMap<string, HostFacts> =>
    new Map([...kept.values()].flatMap(({ name, facts }) => (facts === undefined ? [] : [[name, facts] as const])));

  /** Plans the hosts that answer, all or those that something at `about` may decide on, and begins what is to be done. */
  const replan = (about?: string): void => {
    if (signal.aborted) return;
    const all = factsNow();
    const near = parts.find(({ hosts }) => about !== undefined && hosts.has(about))?.hosts;
    const isMeant = (name: string): boolean => about === undefined || name === about || near?.has(name) === true;
    const free = new Map([...all].filter(([name]) => isMeant(name) && kept.get(name)?.reachable === true));
    const { hosts: plans } = prepare(free, aimNow(parts, all), 'add');
    const groups = groupsOf(plans);
    const working = new Set(groups.flat().map(({ host }) => host));
    for (const name of free.keys()) {
      const host = kept.get(name);
      if (host === undefined || working.has(name) || host.isBusy) continue;
      host.goodAt = performance.now();
      delete host.changedBy;
    }
    for (const group of groups) begin(group);
    onPlanned();
  };

  /** Begins to put a group of hosts right, unless one of them is being changed, or is to wait. */
  const begin = (group: readonly HostPlan[]): void => {
    const hosts = group.flatMap(({ host }) => kept.get(host) ?? []);
    if (hosts.some(({ isBusy }) => isBusy)) return; // looked at again when that is done
    const unwritable = hosts.filter(({ managed, facts }) => (managed.readOnly ?? facts?.recordProblem) !== undefined);
    for (const host of unwritable)
      sayOnce(host, `not put right: ${host.managed.readOnly ?? host.facts?.recordProblem}`);
    if (unwritable.length > 0) return;
    const now = performance.now();
    const wait = Math.max(
      ...hosts.map(({ made, notBefore, isMoved }) => Math.max(isMoved ? 0 : repairDelay(made, now), notBefore - now)),
    );
    if (wait > 0) {
      start(pause(wait, signal).then(() => replanLater(hosts)));
      return;
    }
    for (const host of hosts) host.isBusy = true;
    start(repair(group, hosts));
  };

  const due = new Set<string>();
  const replanLater = (hosts: readonly Kept[]): void => {
    if (due.size === 0)
      queueMicrotask(() => {
        const names = [...due];
        due.clear();
        for (const name of names) replan(name);
      });
    for (const { name } of hosts) due.add(name);
  };

  const sayOnce = (host: Kept, what: string): void => {
    if (host.said !== what) log('error', 'failed', what, { host: host.name });
    host.said = what;
  };

  const repair = async (group: readonly HostPlan[], hosts: readonly Kept[]): Promise<void> => {
    const names = hosts.map(({ name }) => name);
    const aimFor: AimFor = (fresh) => aimNow(parts, factsNow())(fresh);
    const plan: SetPlan = { problems: [], hosts: group };
    const all = hosts.map(({ managed }) => managed);
    try {
      await settleFirst(hosts);
      const done = await carryOut(all, plan, { command: 'apply', aimFor, signal, agreed: false, standing });
      for (const { host, changes } of done.hosts) tellRepair(kept.get(host), changes);
    } catch (error) {
      for (const host of hosts) {
        host.failures += 1;
        host.isSettled = false;
        host.failed += 1;
        host.notBefore = performance.now() + backoff(host.failed, Math.random());
      }
      if (signal.aborted) return;
      const what = error instanceof Error ? error.message : String(error);
      if (error instanceof LockHeld) log('info', 'busy', what);
      else for (const host of hosts) sayOnce(host, `${names.join(', ')} not put right: ${what}`);
    } finally {
      for (const host of hosts) lookAgain(host);
    }
  };

  /** What a host was when it was last looked at, where nothing was heard of it since and nothing went wrong. */
  const standing = (name: string): HostFacts | undefined => {
    const host = kept.get(name);
    return host?.listens === true && host.reachable && !host.isUnseen && host.failed === 0 ? host.facts : undefined;
  };

  /** A change that somebody left half done, ourselves in an earlier life perhaps, would refuse ours: it is taken back once, and after a failure. */
  const settleFirst = async (hosts: readonly Kept[]): Promise<void> => {
    const unsettled = hosts.filter(({ isSettled }) => !isSettled);
    const onProgress = (progress: Progress): void => {
      if (progress.kind === 'settling')
        log('info', 'busy', `taking back what was left half done: ${progress.title}`, { host: progress.host });
    };
    await settlePending(
      unsettled.map(({ managed }) => managed),
      { command: 'apply', signal, onProgress },
    );
    for (const host of unsettled) host.isSettled = true;
  };

  /** After it was changed, or may have been. It stays busy until then, and the next look frees it. */
  const lookAgain = (host: Kept): void => {
    host.isChanged = true;
    host.wake.wake();
    host.hurry.wake();
  };

  const tellRepair = (host: Kept | undefined, changes: readonly HostChange[]): void => {
    if (host === undefined) return;
    host.failed = 0;
    delete host.said;
    if (changes.length === 0) return;
    host.repairs += 1;
    if (!host.isMoved) host.made.push(performance.now());
    host.isMoved = false;
    host.made.splice(0, host.made.length - 20);
    const after = host.changedBy === undefined ? '' : ` after the ruleset was changed by ${host.changedBy}`;
    delete host.changedBy;
    log('info', 'repaired', `put right${after}`, { host: host.name, changes: changes.map(printChange) });
  };

  /** One look. True where something is to be thought over. */
  const look = async (host: Kept): Promise<boolean> => {
    const frees = host.isChanged;
    host.isUnseen = false;
    try {
      const facts = await host.managed.driver.observe(host.stop.signal);
      const isNew = !host.reachable || host.facts === undefined || !sameFacts(host.facts, facts);
      if (!host.reachable) log('info', 'seen', host.silent > 0 ? 'answers again' : 'seen', { host: host.name });
      Object.assign(host, { facts, reachable: true, silent: 0, looks: host.looks + 1 });
      return isNew || frees;
    } catch (error) {
      if (host.stop.signal.aborted) return false;
      const reason = reasonOf(host.name, error);
      if (host.silent === 0) log('warn', 'unreachable', `does not answer: ${reason}`, { host: host.name });
      Object.assign(host, { reachable: false, silent: host.silent + 1, looks: host.looks + 1 });
      return host.silent === 1;
    } finally {
      if (frees) Object.assign(host, { isBusy: false, isChanged: false });
    }
  };

  const keepOne = async (host: Kept): Promise<void> => {
    const { signal: stopped } = host.stop;
    let isGood = false;
    const looks: Look[] = [];
    // What was heard before a look is seen by it: one look is enough where it is soon listened to.
    await host.wake.next(LISTENS_WITHIN_MS, stopped);
    while (!stopped.aborted) {
      const began = performance.now();
      const isNew = await look(host);
      if (stopped.aborted) return;
      const endedAt = performance.now();
      looks.push({ endedAt, tookMs: endedAt - began });
      looks.splice(0, looks.length - MOST_LOOKS);
      if (isNew) onSeen();
      if (isNew || !isGood) replan(host.name);
      else if (host.reachable) host.goodAt = performance.now();
      isGood = host.goodAt !== undefined && host.goodAt >= began;
      await host.hurry.next(Math.max(restAfter(looks, endedAt), backoff(host.silent, Math.random())), stopped);
      host.lookWithinMs = lookWithin(everyMs, isGood && host.listens && host.facts?.names === undefined);
      // Many that are asked as often are not asked at once.
      await host.wake.next(host.reachable ? host.lookWithinMs * (0.75 + 0.25 * Math.random()) : 0, stopped);
    }
  };

  const add = (managed: ManagedHost): void => {
    const host: Kept = {
      ...{
        name: managed.name,
        managed,
        wake: createWake(),
        hurry: createWake(),
        stop: new AbortController(),
        isBusy: false,
        isChanged: false,
        isMoved: false,
        isSettled: false,
        listens: false,
        isUnseen: true,
        lookWithinMs: everyMs,
      },
      ...{ reachable: false, looks: 0, repairs: 0, failures: 0, silent: 0, made: [], failed: 0, notBefore: 0 },
    };
    kept.set(host.name, host);
    start(keepOne(host));
    const onNotice = (notice: Notice): void => {
      Object.assign(host, { listens: true, isUnseen: true });
      if (notice.kind === 'ruleset' && notice.by !== undefined && !host.isBusy)
        host.changedBy = `${notice.by.name} (pid ${notice.by.pid})`;
      host.wake.wake();
    };
    const onSilence = (): void => {
      if (host.listens) host.wake.wake();
      host.listens = false;
    };
    start(watchHost(managed.driver, onNotice, onSilence, host.stop.signal));
  };

  signal.addEventListener('abort', () => {
    for (const { stop } of kept.values()) stop.abort(signal.reason);
  });

  return {
    keep(hosts) {
      for (const host of kept.values()) {
        if (hosts.includes(host.managed)) continue;
        host.stop.abort(new Error(`${host.name} is no longer kept`));
        kept.delete(host.name);
      }
      for (const managed of hosts) if (kept.get(managed.name)?.managed !== managed) add(managed);
    },
    aim(wanted) {
      parts = wanted;
      replan();
    },
    moved(name) {
      const host = kept.get(name);
      if (host !== undefined) host.isMoved = true;
      replan(name);
    },
    hosts: () => [...kept.values()],
    transportOf: (host) => kept.get(host)?.managed.transport,
    async ended() {
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}

function printChange(change: HostChange): string {
  const { action, object, name } = describeChange(change);
  return `${action} ${object} ${name}`;
}
