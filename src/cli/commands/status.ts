import { setTimeout as sleep } from 'node:timers/promises';
import { DONE, FAILED } from '../exit.ts';
import { manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import { lookAt } from '../look.ts';
import type { Output } from '../output.ts';
import { allWell } from '../status-report.ts';
import { printStatus } from '../status-text.ts';
import { surveyManaged } from '../survey.ts';

export interface StatusFlags {
  readonly file: readonly string[];
  readonly set: string;
  readonly watch?: boolean;
  /** Milliseconds. */
  readonly wait: number;
}

/** Between two looks, in milliseconds. */
const WATCH_EVERY = 2_000;
const WAIT_EVERY = 200;

/** Tells whether hosts are in sync and resources ready; --watch does so until Ctrl-C or until stdout is closed. */
export async function status(output: Output, flags: StatusFlags): Promise<number> {
  const set = await loadSet(flags.file);
  using interrupt = listenForInterrupt(false);
  const managed = manageAll(set);
  const look = async () => {
    const survey = await surveyManaged(set, managed, interrupt.signal, output);
    return await lookAt(set, flags.set, survey, interrupt.signal);
  };
  const deadline = Date.now() + flags.wait;
  let report = await look();
  while (!allWell(report) && Date.now() < deadline) {
    output.progress(`waiting: ${report.resources.find(({ ready }) => !ready)?.reason ?? ''}`);
    await sleep(WAIT_EVERY, undefined, { signal: interrupt.signal });
    report = await look();
  }
  await output.result(report, () => printStatus(report, output.color));
  while (flags.watch === true && !output.closed()) {
    await sleep(WATCH_EVERY, undefined, { signal: interrupt.signal });
    report = await look();
    await output.result(report, () => `\n${new Date().toISOString()}\n${printStatus(report, output.color)}`);
  }
  return allWell(report) ? DONE : FAILED;
}
