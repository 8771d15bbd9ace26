/**
 * Carries commands out on one host that are not ours to undo by a record: what others own. The host is armed before the first: what takes
 * each of them back lies there, and a process of its own runs it when the time is up, whatever has become of us.
 */
import { randomUUID } from 'node:crypto';
import { script, type Transport } from '../transport/index.ts';
import { armedScript, BEGIN, CONFIRM, RUN, TAKE_BACK } from './armed-scripts.ts';
import { reasonOf } from './observe.ts';

export interface ArmedCommand {
  readonly argv: readonly string[];
  readonly stdin?: string;
}

/** One command, and what takes it back; that may be left to the one before it, or there may be nothing to take back. */
export interface ArmedStep {
  readonly text: string;
  readonly run: ArmedCommand & { readonly undo?: ArmedCommand };
}

export interface ArmedOptions {
  /** For whoever finds it pending: `doctor --fix forwardingOff`. */
  readonly title: string;
  /** From the arming on, in milliseconds. */
  readonly windowMs: number;
  /** Aborted: no further step begins, and all is taken back. */
  readonly signal: AbortSignal;
  readonly onStep?: (text: string) => void;
  /** Says what is wrong after the change; undefined where nothing is. */
  readonly check: () => Promise<string | undefined>;
  /** Asked after the check; false takes everything back. Left out: the check alone confirms. */
  readonly confirm?: (leftMs: number) => Promise<boolean>;
}

/** What was begun was taken back, or the host says why it was not. */
class ArmedFailure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApplyFailure';
  }
}

/** A command of ours: what takes it back needs no more than half a minute. */
const STEP_TIMEOUT_MS = 30_000;

/** Arms, changes, checks, confirms. Throws where anything of that fails, after everything was taken back. */
export async function carryOutArmed(
  transport: Transport,
  steps: readonly ArmedStep[],
  options: ArmedOptions,
): Promise<void> {
  const { signal, windowMs, title } = options;
  signal.throwIfAborted();
  const state = await transport.stateFolder(signal);
  // In memory: with a boot goes what was changed in the kernel, and its way back.
  const folder = state === '/etc/sallyport' ? '/run/sallyport/fix' : `${state}/fix`;
  const ends = performance.now() + windowMs;
  await arm(transport, folder, steps, { title, windowMs });
  try {
    for (const [index, step] of steps.entries()) {
      if (signal.aborted) throw new Error('stopped');
      await run(transport, folder, index + 1, step);
      options.onStep?.(step.text);
    }
    const wrong = await options.check();
    if (wrong !== undefined) throw new Error(wrong);
    if (options.confirm !== undefined && !(await options.confirm(Math.max(0, ends - performance.now()))))
      throw new Error('not confirmed');
    const way = transport.anew?.() ?? { transport, close() {} };
    try {
      await tell(way.transport, script(CONFIRM, folder), 'it was not confirmed in time');
    } finally {
      way.close();
    }
  } catch (error) {
    const back = await takeBack(transport, folder);
    throw new ArmedFailure(`${transport.host}: ${reasonOf(transport.host, error)}; ${back}`, { cause: error });
  }
}

async function arm(
  transport: Transport,
  folder: string,
  steps: readonly ArmedStep[],
  { title, windowMs }: Pick<ArmedOptions, 'title' | 'windowMs'>,
): Promise<void> {
  const text = armedScript(
    folder,
    steps.map(({ run: { undo } }) => undo),
  );
  const argv = script(BEGIN, folder, String(windowMs / 1000), randomUUID(), title, String(Buffer.byteLength(text)));
  const { status, stderr } = await transport.run({ argv, stdin: text });
  if (status === 46)
    throw new ArmedFailure(
      `${transport.host}: a change is pending here: ${stderr.trim()}; it is confirmed or undone within its time, and what lies in ${folder} is gone then`,
    );
  if (status !== 0)
    throw new ArmedFailure(
      `${transport.host}: it cannot be armed, nothing was changed: ${stderr.trim() || `status ${status}`}`,
    );
}

async function run(transport: Transport, folder: string, number: number, step: ArmedStep): Promise<void> {
  const { argv, stdin } = step.run;
  const output = await transport.run({
    argv: script(RUN, folder, String(number), ...argv),
    timeoutMs: STEP_TIMEOUT_MS,
    ...(stdin !== undefined && { stdin }),
  });
  if (output.status === 47) throw new Error('its time is over');
  if (output.status !== 0)
    throw new Error(`${step.text}: ${output.stderr.trim().replaceAll('\n', '; ') || `status ${output.status}`}`);
}

async function tell(transport: Transport, argv: readonly string[], otherwise: string): Promise<void> {
  const { status, stderr } = await transport.run({ argv });
  if (status !== 0) throw new Error(status === 47 ? otherwise : stderr.trim());
}

/** Half a sentence. Never throws: a host that does not answer does it by itself. */
async function takeBack(transport: Transport, folder: string): Promise<string> {
  try {
    const { status, stderr } = await transport.run({ argv: script(TAKE_BACK, folder), timeoutMs: 60_000 });
    if (status === 0) return `${transport.host} is as it was`;
    return `${transport.host} is not as it was: ${stderr.trim().replaceAll('\n', '; ')}; the rest is in ${folder}/undo.sh`;
  } catch (error) {
    return `${transport.host} undoes it by itself when the time is up: ${reasonOf(transport.host, error)}`;
  }
}
