import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildScript } from './build.ts';
import { killIfAlive } from './command.ts';
import { entryOf, isRoot, startHolder } from './holder.ts';
import { openLab } from './lab.ts';
import { storyOf } from './stories.ts';
import { needTools, searchPath } from './tools.ts';
import type { Topology } from './topology.ts';

interface LabRecord {
  readonly story: string;
  readonly pid: number;
  /** In clock ticks since boot (proc(5), field 22 of stat): another process that later got the number has another. */
  readonly started: string;
}

/** Starts the lab of a story, which then runs until labDown. An error if it runs already. */
export async function labUp(story: string): Promise<{ readonly pid: number; readonly topology: Topology }> {
  const { topology: make, prepare } = storyOf(story);
  const topology = make();
  needTools(['nft']);
  const running = await readRecord(story);
  if (running !== undefined) throw new Error(`the lab ${story} is up already (process ${running.pid})`);
  const holder = await startHolder('detached');
  try {
    const lab = openLab(holder.pid, topology, async () => holder[Symbol.asyncDispose]());
    await lab.run(['sh', '-s'], { stdin: buildScript(topology) });
    await prepare?.(lab);
    const record: LabRecord = { story, pid: holder.pid, started: await startTime(holder.pid) };
    await mkdir(recordFolder(), { recursive: true, mode: 0o700 });
    await writeFile(recordPath(story), `${JSON.stringify(record)}\n`, { mode: 0o600 });
  } catch (error) {
    await holder[Symbol.asyncDispose]();
    throw error;
  }
  return { pid: holder.pid, topology };
}

/**
 * Runs a command in a running lab, outside its hosts (`ip netns exec edge …` enters one), with this process's own
 * input, output and folder. Gives its exit status.
 */
export async function labExec(story: string, argv: readonly string[]): Promise<number> {
  storyOf(story);
  const record = await readRecord(story);
  if (record === undefined) throw new Error(`the lab ${story} is not up: sallyport lab up ${story}`);
  const [program = '', ...rest] = [...entryOf(record.pid), 'env', '-C', process.cwd(), ...argv];
  const child = spawn(program, rest, { stdio: 'inherit', env: { ...process.env, PATH: searchPath() } });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status) => resolve(status ?? 130));
  });
}

/** Ends a running lab with all its processes; false when there was none. */
export async function labDown(story: string): Promise<boolean> {
  storyOf(story);
  const record = await readRecord(story);
  if (record === undefined) return false;
  killIfAlive(record.pid, 'SIGKILL');
  while (await isRunning(record)) await sleep(5);
  await rm(recordPath(story), { force: true });
  return true;
}

const recordPath = (story: string): string => join(recordFolder(), `${story}.json`);

function recordFolder(): string {
  const named = process.env.SALLYPORT_LAB_RECORDS; // tests keep theirs apart from the user's
  if (named !== undefined && named !== '') return named;
  if (isRoot()) return '/run/sallyport/lab';
  const runtime = process.env.XDG_RUNTIME_DIR;
  if (runtime !== undefined && runtime !== '') return join(runtime, 'sallyport', 'lab');
  return join(tmpdir(), `sallyport-${process.getuid?.() ?? ''}`, 'lab');
}

/** The record of a lab that runs; a stale one, left by a reboot or a kill, is removed. */
async function readRecord(story: string): Promise<LabRecord | undefined> {
  const text = await readIfThere(recordPath(story));
  if (text === undefined) return undefined;
  const record: unknown = JSON.parse(text);
  if (isRecord(record) && (await isRunning(record))) return record;
  await rm(recordPath(story), { force: true });
  return undefined;
}

const isRecord = (value: unknown): value is LabRecord =>
  typeof value === 'object' &&
  value !== null &&
  'pid' in value &&
  typeof value.pid === 'number' &&
  'started' in value &&
  typeof value.started === 'string';

async function isRunning(record: LabRecord): Promise<boolean> {
  const text = await readIfThere(`/proc/${record.pid}/stat`);
  return text !== undefined && fieldsOf(text)[19] === record.started;
}

async function startTime(pid: number): Promise<string> {
  const started = fieldsOf(await readFile(`/proc/${pid}/stat`, 'utf8'))[19];
  if (started === undefined) throw new Error(`/proc/${pid}/stat has no start time`);
  return started;
}

/** From the third field of stat on: the second, a name in brackets, may hold anything. */
const fieldsOf = (stat: string): readonly string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ');

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined;
    throw error;
  }
}
