/**
 * `node far-worker.ts JOB`: apply or destroy as the commands do, in a process that can be killed. It tells each step in a line of stdout and
 * goes on when a line comes back: `clock MS` sets its clock so much ahead before.
 */
import { readSync, writeSync } from 'node:fs';
import { carryOut, type Driver, type ManagedHost, type Progress, prepare, settlePending } from '../../apply/index.ts';
import type { HostChange } from '../../plan/index.ts';
import { aimOfRemoval, aimOfSet } from '../aims.ts';
import { manageAll } from '../hosts.ts';
import { loadSet } from '../load.ts';
import { surveyManaged } from '../survey.ts';
import { aroundHosts, ofPromises } from '../witnesses.ts';
import { type Hostile, hostileChanges } from './hostile.ts';

export interface Job {
  readonly command: 'apply' | 'destroy';
  readonly file: string;
  readonly windowMs: number;
  /** What is done to the edge beside the plan; `first`: before all else. */
  readonly hostile?: { readonly what: Hostile; readonly first?: boolean };
}

/** What it tells; `end` is `applied`, or the error. */
export type Told = { readonly progress: Progress } | { readonly end: string };

/** Nothing of ours goes on until then. */
function tell(told: Told): void {
  writeSync(1, `${JSON.stringify(told)}\n`);
  const ahead = /^clock (-?\d+)/.exec(nextLine())?.[1];
  if (ahead === undefined) return;
  const { now } = Date;
  Date.now = () => now() + Number(ahead);
}

function nextLine(): string {
  const buffer = Buffer.alloc(64);
  for (;;) {
    try {
      return buffer.toString('utf8', 0, readSync(0, buffer));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}

/** Its driver does on the edge what is hostile too, together with the plan, and knows its way back. */
function withHostile(managed: ManagedHost, { what, first = false }: NonNullable<Job['hostile']>): ManagedHost {
  const { driver: real } = managed;
  let more: readonly HostChange[] = [];
  const both = (changes: readonly HostChange[]): readonly HostChange[] =>
    first ? [...more, ...changes] : [...changes, ...more];
  const driver: Driver = {
    ...real,
    undo(changes, facts, signal) {
      more = hostileChanges(what, facts);
      return real.undo(both(changes), facts, signal);
    },
    async apply(changes, options) {
      if (options.armed === undefined) return await real.apply(changes, options);
      const all = both(changes);
      more = []; // once
      await real.apply(all, options);
    },
  };
  return { ...managed, driver };
}

async function work({ command, file, windowMs, hostile }: Job): Promise<void> {
  const { signal } = stop;
  const set = await loadSet([file]);
  const managed = manageAll(set).map((host) =>
    hostile === undefined || host.name !== 'edge' ? host : withHostile(host, hostile),
  );
  const onProgress = (progress: Progress): void => tell({ progress });
  await settlePending(managed, { command, signal, onProgress });
  const { facts, unreachable } = await surveyManaged(set, managed, signal, { progress() {} });
  for (const reason of unreachable.values()) throw new Error(`${reason}; nothing was changed`);
  const compiled = aimOfSet(set, 'default')(facts);
  const aimFor =
    command === 'apply' ? aimOfSet(set, 'default') : aimOfRemoval([...set.hosts.keys()], 'default', false);
  const plan = prepare(facts, aimFor, command === 'apply' ? 'add' : 'remove');
  const around = aroundHosts(managed, plan);
  const promises = command === 'apply' ? ofPromises(compiled, facts, managed) : [];
  const witnesses = (when: 'before' | 'after') => [...around(when), ...promises];
  await carryOut(managed, plan, { command, aimFor, signal, agreed: false, windowMs, witnesses, onProgress });
}

const stop = new AbortController();
process.on('SIGINT', () => stop.abort(new Error('interrupted')));
const job: Job = JSON.parse(process.argv[2] ?? '');
tell({ end: await work(job).then(() => 'applied', String) });
process.exit();
