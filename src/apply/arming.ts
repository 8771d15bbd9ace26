/**
 * Arms hosts for a change, and ends that: confirmed, or taken back. An armed host needs nothing of us to undo: the way back lies there as a
 * script, and somebody there runs it when we have not been heard of for the length of the window.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PendingChange } from '../host/index.ts';
import { type OwnConnection, script, type Transport } from '../transport/index.ts';
import { ARM, BEAT, CONFIRM, IS_PENDING, PENDING, SETTLE, TAKE_BACK, undoText } from './arming-scripts.ts';
import type { Undo } from './driver.ts';
import { LockHeld, lockHost, printUs } from './lock.ts';
import { type ManagedHost, reasonOf } from './observe.ts';
import { type Before, type HostPlan, stagesOf, stoodEmpty } from './prepare.ts';
import type { Progress } from './progress.ts';

/** A host that takes a change back unless it is confirmed. */
export interface Armed {
  readonly managed: ManagedHost;
  readonly folder: string;
  readonly token: string;
  readonly windowMs: number;
  /** Of each stage of the change, how many steps come before it. */
  readonly before: readonly number[];
}

export interface ArmOptions {
  readonly command: string;
  /** That the host has with the change. */
  readonly generation: number;
  readonly windowMs: number;
  readonly signal: AbortSignal;
}

/** Where a pending change of ours lies. */
const pendingFolder = (stateFolder: string): string => `${stateFolder}/pending`;

/** What a host that cannot be asked is given beyond its window, until it is believed to be gone. */
const GRACE_MS = 5_000;
/** One question to a host of which it is not known whether it answers. */
const ASK_MS = 5_000;
const TOO_LATE = 47;

/** Arms one host for its plan. Throws where it cannot be, and nothing is left there then. */
export async function armHost(
  managed: ManagedHost,
  plan: Before & Pick<HostPlan, 'changes' | 'stages'>,
  { command, generation, windowMs, signal }: ArmOptions,
): Promise<Armed> {
  const { transport, driver, name } = managed;
  const folder = pendingFolder(await transport.stateFolder(signal));
  const token = randomUUID();
  const undos: Undo[] = [];
  for (const changes of stagesOf(plan)) undos.push(await driver.undo(changes, plan.facts, signal));
  const { undo, before } = joined(undos);
  const hasOwnMounts = transport.namespace !== undefined;
  const text = undoText({ folder, token, windowMs, undo, wipes: stoodEmpty(plan), hasOwnMounts });
  const argv = script(ARM, folder, String(windowMs), token, printUs(command), String(generation), ...undo.files);
  // Not cut short: what it began would stay.
  const { status, stderr } = await transport.run({ argv, stdin: text });
  if (status === 46)
    throw new Error(`${name}: ${printPending(readPending(stderr))}; it is confirmed or undone within its time`);
  if (status !== 0)
    throw new Error(`${name}: it cannot be armed: ${stderr.trim().replaceAll('\n', '; ') || `status ${status}`}`);
  return { managed, folder, token, windowMs, before };
}

/** The way back from several stages, the last one first. */
function joined(undos: readonly Undo[]): { readonly undo: Undo; readonly before: readonly number[] } {
  let count = 0;
  const stages = undos.map((undo) => {
    const before = count;
    count += undo.count;
    return { before, steps: undo.steps.map(({ step, commands }) => ({ step: before + step, commands })) };
  });
  const files = [...new Set(undos.flatMap((undo) => undo.files))];
  const steps = stages.toReversed().flatMap((stage) => stage.steps);
  return { undo: { steps, files, count }, before: stages.map(({ before }) => before) };
}

/** Tells the hosts again and again that we are there, until it is ended: a change may take longer than the window. */
export function keepAlive(armed: readonly Armed[]): { end(): Promise<void> } {
  const stop = new AbortController();
  const beat = async (each: Armed): Promise<void> => {
    try {
      for (;;) {
        await sleep(each.windowMs / 3, undefined, { signal: stop.signal });
        // Who cannot be told goes back: said where it is next needed.
        await tell(each.managed.transport, BEAT, each).catch(() => {});
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
  };
  const beats = Promise.all(armed.map(beat));
  return {
    async end() {
      stop.abort();
      await beats;
    },
  };
}

/** From now on each host waits a whole window again. Throws where one has gone back already. */
export async function beginAgain(armed: readonly Armed[]): Promise<void> {
  await Promise.all(armed.map((each) => tell(each.managed.transport, BEAT, each)));
}

/** The hosts whose change stands for good, and why the others' does not. */
export interface Confirmation {
  readonly confirmed: ReadonlySet<Armed>;
  readonly failures: readonly string[];
}

/**
 * Confirms all hosts, each over a connection made anew where it has one. First all of them must answer so, and wait: that one is confirmed
 * and another cannot be is what comes only of a connection lost in between.
 */
export async function confirmAll(
  armed: readonly Armed[],
  stands: (armed: Armed) => Promise<boolean>,
): Promise<Confirmation> {
  const ways = armed.map(
    ({ managed: { transport } }): OwnConnection => transport.anew?.() ?? { transport, close() {} },
  );
  const wayOf = (index: number, each: Armed): Transport => ways[index]?.transport ?? each.managed.transport;
  try {
    const isOne = armed.length === 1 && armed[0]?.managed.transport.anew === undefined;
    if (!isOne) await Promise.all(armed.map((each, index) => tell(wayOf(index, each), BEAT, each)));
    const confirmed = new Set<Armed>();
    const failures: string[] = [];
    await Promise.all(
      armed.map(async (each, index) => {
        try {
          await confirmOne(wayOf(index, each), each, stands);
          confirmed.add(each);
        } catch (error) {
          failures.push(`${each.managed.name}: ${reasonOf(each.managed.name, error)}`);
        }
      }),
    );
    return { confirmed, failures };
  } finally {
    for (const way of ways) way.close();
  }
}

async function confirmOne(way: Transport, armed: Armed, stands: (armed: Armed) => Promise<boolean>): Promise<void> {
  try {
    await tell(way, CONFIRM, armed);
  } catch (error) {
    if (error instanceof TooLate) throw error;
    // The answer was lost, or the question: the host knows.
    await untilNotPending(armed, CONFIRM);
    if (!(await stands(armed))) throw error;
  }
}

/** The host has taken the change back, or is about to. */
class TooLate extends Error {}

async function tell(transport: Transport, text: string, { folder, token, windowMs }: Armed): Promise<void> {
  const argv = script(text, folder, token);
  const { status, stderr } = await transport.run({ argv, timeoutMs: Math.max(ASK_MS, windowMs) });
  if (status === TOO_LATE) throw new TooLate('it was not confirmed in time');
  if (status !== 0) throw new Error(stderr.trim() || `status ${status}`);
}

/** Takes the change of one host back now, or waits until it has done so by itself. Gives what could not be taken back. Throws where it does not answer. */
export async function takeBackThere(armed: Armed): Promise<string | undefined> {
  const { managed, folder, token } = armed;
  try {
    const argv = script(TAKE_BACK, folder, token);
    const { status, stderr } = await managed.transport.run({ argv, timeoutMs: 180_000 });
    return status === 0 ? undefined : stderr.trim().replaceAll('\n', '; ');
  } catch {
    await untilNotPending(armed);
    return undefined;
  }
}

/** Asks until the change is pending no more, each time over a connection of its own. Throws the last reason when the host's time is long over. */
async function untilNotPending(armed: Armed, first?: string): Promise<void> {
  const { managed, folder, token, windowMs } = armed;
  for (const end = performance.now() + windowMs + GRACE_MS; ; await sleep(200)) {
    const way = managed.transport.anew?.() ?? { transport: managed.transport, close() {} };
    try {
      if (first !== undefined) await way.transport.run({ argv: script(first, folder, token), timeoutMs: ASK_MS });
      const { status } = await way.transport.run({ argv: script(IS_PENDING, folder, token), timeoutMs: ASK_MS });
      if (status === 44) return;
      if (performance.now() > end) throw new Error('the change is still pending there');
    } catch (error) {
      if (performance.now() > end) throw error;
    } finally {
      way.close();
    }
  }
}

/** Forgets what could not be taken back as it was written, once the host was brought to what it was in another way. */
export async function forgetPending({ managed, folder }: Armed): Promise<void> {
  await managed.transport.run({ argv: ['rm', '-rf', '--', folder] });
}

/**
 * Takes back at once what was left pending by somebody who is no more: who is at work has the lock. Gives whether there was any. Throws
 * LockHeld. A host that does not answer is passed over: whoever looks at it next says so.
 */
export async function settlePending(
  managed: readonly ManagedHost[],
  {
    command,
    signal,
    onProgress,
  }: Pick<ArmOptions, 'command' | 'signal'> & { readonly onProgress: (progress: Progress) => void },
): Promise<void> {
  await Promise.all(
    managed.map(async ({ transport, name }) => {
      const pending = await pendingOn(transport, signal).catch(() => undefined);
      if (pending === undefined) return;
      const lock = await lockHost(transport, command, signal).catch((error: unknown) => {
        throw error instanceof LockHeld
          ? new LockHeld(name, `${reasonOf(name, error)}; ${printPending(pending)}`)
          : error;
      });
      try {
        onProgress({ kind: 'settling', host: name, title: printChange(pending) });
        const folder = pendingFolder(await transport.stateFolder(signal));
        await transport.run({ argv: script(SETTLE, folder), timeoutMs: 180_000 });
      } finally {
        await lock.release();
      }
    }),
  );
}

async function pendingOn(transport: Transport, signal: AbortSignal): Promise<PendingChange | undefined> {
  const argv = pendingCommand(await transport.stateFolder(signal));
  return readPending((await transport.run({ argv }, signal)).stdout);
}

/** Its output is for readPending. */
export const pendingCommand = (stateFolder: string): readonly string[] => script(PENDING, pendingFolder(stateFolder));

/** The change that is pending on a host; undefined where there is none. */
export function readPending(text: string): PendingChange | undefined {
  const [generation = '', by = ''] = text.trim().split('\n');
  return generation === '' ? undefined : { generation: Number(generation) || 0, by: by || 'nobody knows whose' };
}

/** `generation 8, apply by root, process 4711 on mars, since ...`. */
const printChange = ({ generation, by }: PendingChange): string => `generation ${generation}, ${by}`;

/** The same as a sentence, for people. */
export const printPending = (pending: PendingChange | undefined): string =>
  pending === undefined ? 'a change is pending here' : `a change is pending here: ${printChange(pending)}`;
