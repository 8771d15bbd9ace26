/** What apply, destroy and tunnel rotate share: ask, carry out with progress, ask again, say what was done. */
import {
  type AimFor,
  type CarryOutOptions,
  type Command,
  carryOut,
  type ManagedHost,
  needsWork,
  type Progress,
  type SetPlan,
  settlePending,
  type Witness,
} from '../apply/index.ts';
import { CommandFailure, UsageError } from './exit.ts';
import type { Interrupt } from './interrupt.ts';
import type { Output } from './output.ts';
import { ask, confirm, someoneIsThere } from './terminal.ts';
import { aroundHosts } from './witnesses.ts';

export interface CarryFlags {
  readonly yes?: boolean;
  readonly file: readonly string[];
  /** Milliseconds. */
  readonly confirmTimeout?: number;
}

export interface Carried {
  readonly managed: readonly ManagedHost[];
  readonly plan: SetPlan;
  readonly aimFor: AimFor;
  readonly command: Command;
  /** Of the promises that stand and are to stand on. */
  readonly promises?: readonly Witness[];
  /** Beside what the plan itself says is to stand. */
  readonly check?: () => Promise<string | undefined>;
  readonly afterStage?: CarryOutOptions['afterStage'];
}

/** Refuses to go on where --yes was not said and there is nobody to ask: before any host is looked at. */
export function requireConsent(command: string, { yes, file }: CarryFlags): void {
  if (yes === true || (someoneIsThere() && !file.includes('-'))) return;
  throw new UsageError(`nobody can be asked here (stdin is no terminal): add --yes to ${command} without a question`);
}

/** Before the hosts are looked at: takes back what somebody left there who never came to its end. */
export const settle = (
  output: Output,
  managed: readonly ManagedHost[],
  { signal }: Interrupt,
  command: Carried['command'],
): Promise<void> =>
  settlePending(managed, { command, signal, onProgress: (progress) => output.progress(printProgress(progress)) });

/** Carries the plan out and gives the plan that was; undefined when the user said no. Nothing is asked where there is nothing to do. */
export async function carry(
  output: Output,
  flags: CarryFlags,
  interrupt: Interrupt,
  what: Carried,
): Promise<SetPlan | undefined> {
  const { managed, plan, aimFor, command, check, afterStage, promises = [] } = what;
  const around = aroundHosts(managed, plan);
  const idle = !plan.hosts.some(needsWork);
  if (idle && command !== 'destroy') return plan;
  const asks = flags.yes !== true && !idle;
  const question =
    command === 'destroy' ? 'Take this back?' : command === 'rotate' ? 'Exchange these keys?' : 'Carry this out?';
  if (asks && !(await confirm(question, interrupt.signal))) {
    if (interrupt.signal.aborted) throw new CommandFailure('stopped; nothing was changed');
    output.say('Nothing was changed.');
    return undefined;
  }
  return await carryOut(managed, plan, {
    command,
    aimFor,
    signal: interrupt.signal,
    // New keys are in no plan that was shown.
    agreed: asks && command !== 'rotate',
    witnesses: (when) => [...around(when), ...promises],
    onProgress: (progress) => output.progress(printProgress(progress)),
    windowMs: (flags.confirmTimeout ?? 30_000) + (asks ? KEY_MS : 0),
    ...(check && { check }),
    ...(afterStage && { afterStage }),
    ...(asks &&
      command !== 'destroy' && { confirm: () => keepOrUndo(flags.confirmTimeout ?? 30_000, interrupt.signal) }),
  });
}

/** From the key that is pressed in the last moment to the host that hears of it. */
const KEY_MS = 1_000;

/** As `netplan try`: whoever locked himself out cannot press Enter. */
async function keepOrUndo(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const question = `\nThe checks passed. Press Enter within ${timeoutMs / 1000} s to keep the change; else it is undone. `;
  return (await ask(question, { signal, timeoutMs })) !== undefined;
}

function printProgress(progress: Progress): string {
  switch (progress.kind) {
    case 'keys':
      return `${progress.host}: making WireGuard keys`;
    case 'arming':
      return `${progress.host}: arming: it will take the change back unless that is confirmed`;
    case 'confirming':
      return `${progress.host}: confirming`;
    case 'settling':
      return `${progress.host}: taking back what was never confirmed: ${progress.title}`;
    case 'checking':
      return `${progress.host}: checking`;
    case 'undoing':
      return `${progress.host}: undoing`;
    case 'forgetting':
      return `${progress.host}: removing the state folder`;
    case 'step':
      return `${progress.host}: ${progress.step}`;
  }
}
