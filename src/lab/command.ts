import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { installHint, searchPath } from './tools.ts';

/** A limit for what must end, longer on a machine that is known to be slow (LAB_PATIENCE times): an emulated one. */
export const patient = (timeoutMs: number): number => timeoutMs * Number(process.env.LAB_PATIENCE ?? 1);

export interface RunOptions {
  readonly stdin?: string;
  /** Killed after this long, `patient`; 30 s unless given. */
  readonly timeoutMs?: number;
  /** A status other than 0 is then a result, not an error. */
  readonly allowFailure?: boolean;
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The folder the command starts in; `/` unless given. */
  readonly cwd?: string;
  /** An abort kills the command. */
  readonly signal?: AbortSignal;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** A program that runs on. Disposing of it kills it. */
export interface RunningCommand extends AsyncDisposable {
  /** Its process id as this process sees it. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Its exit status (128 + signal if killed), once all its output has been read by whoever listens. */
  readonly exited: Promise<number>;
  kill(signal?: NodeJS.Signals): void;
}

/** Runs commands somewhere: in a namespace, a lab or one of its hosts. */
export interface Runner {
  /** Runs `argv` to its end; throws a CommandError if it fails, unless `allowFailure`. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts `argv` and returns once it has been started. */
  spawn(argv: readonly string[], options?: SpawnOptions): Promise<RunningCommand>;
}

/** A command that ended with a status other than 0, or did not end in time. */
export class CommandError extends Error {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  constructor(place: string, argv: readonly string[], result: RunResult, note = '') {
    const ending = note === '' ? `status ${result.status}` : note;
    const hint = result.status === 127 ? installHint(argv[0] ?? '') : '';
    super(`${place}: ${argv.join(' ')}: ${ending}: ${[hint, result.stderr.trim()].filter(Boolean).join('; ')}`);
    this.name = 'CommandError';
    this.status = result.status;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
    Object.defineProperty(this, 'stdout', { enumerable: false }); // pages of it would bury the message
    Object.defineProperty(this, 'stderr', { enumerable: false });
  }
}

/** A Runner whose commands start with `entry`, an argument vector such as `nsenter …`; `place` begins its errors. */
export function createRunner(place: string, entry: readonly string[]): Runner {
  return {
    run: (argv, options) => runCommand(place, entry, argv, options),
    spawn: (argv, options) => spawnCommand(place, entry, argv, options),
  };
}

async function runCommand(
  place: string,
  entry: readonly string[],
  argv: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = start(place, entry, argv, options);
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  let note = '';
  const timeoutMs = patient(options.timeoutMs ?? 30_000);
  const stop = (why: string): void => {
    note = why;
    killGroup(child);
  };
  const timer = setTimeout(() => stop(`not done after ${timeoutMs} ms`), timeoutMs);
  const abort = (): void => stop('aborted');
  options.signal?.addEventListener('abort', abort, { once: true });
  if (options.signal?.aborted === true) abort();
  child.stdin?.on('error', () => {}); // a command that ends without reading all: its status tells
  child.stdin?.end(options.stdin ?? '');
  try {
    const status = await closed(child);
    const result = { stdout: stdout(), stderr: stderr(), status };
    if (note !== '' || (status !== 0 && options.allowFailure !== true)) {
      throw new CommandError(place, argv, result, note);
    }
    return result;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

async function spawnCommand(
  place: string,
  entry: readonly string[],
  argv: readonly string[],
  options: SpawnOptions = {},
): Promise<RunningCommand> {
  // The shell tells on fd 3 that it stands inside; from then on the child of nsenter is the command itself.
  const announce = ['sh', '-c', 'echo started >&3; exec 3>&-; exec "$@"', 'sh', ...argv];
  const child = start(place, entry, announce, options, true);
  const { stdin, stdout, stderr, pid: outer } = child;
  const ready = child.stdio[3];
  if (!stdin || !stdout || !stderr || !ready || outer === undefined) throw new Error(`${place}: no pipes`);
  stdin.on('error', () => {});
  const exited = closed(child);
  const started = await Promise.race([
    new Promise<true>((resolve) => ready.once('data', () => resolve(true))),
    exited.then((status) => status),
  ]);
  if (started !== true) {
    const said: unknown = stderr.read();
    throw new CommandError(place, argv, { stdout: '', stderr: String(said ?? ''), status: started });
  }
  const pid = childOf(outer) ?? outer;
  const kill = (signal: NodeJS.Signals = 'SIGTERM'): void => {
    if (child.exitCode === null && child.signalCode === null) killIfAlive(pid, signal);
  };
  return {
    pid,
    stdin,
    stdout,
    stderr,
    exited,
    kill,
    async [Symbol.asyncDispose]() {
      kill('SIGKILL');
      stdout.resume();
      stderr.resume();
      await exited;
    },
  };
}

function start(
  place: string,
  entry: readonly string[],
  argv: readonly string[],
  options: SpawnOptions,
  announces = false,
): ChildProcess {
  const moved = options.cwd === undefined ? argv : ['env', '-C', options.cwd, ...argv];
  const [program, ...rest] = [...entry, ...moved];
  if (program === undefined || argv.length === 0) throw new Error(`${place}: an empty command`);
  return spawn(program, rest, {
    stdio: announces ? ['pipe', 'pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: searchPath(), ...options.env },
    detached: true, // a group of its own: nsenter and what it started are killed as one
  });
}

/** The only child of process `pid`, from /proc; undefined once there is none. */
export function childOf(pid: number): number | undefined {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? undefined : Number(text.split(' ')[0]);
}

/** Sends `signal` to a process or, with a negative number, to a group; false when it is gone. */
export function killIfAlive(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid !== undefined) killIfAlive(-child.pid, 'SIGKILL');
}

function collect(stream: Readable | null): () => string {
  const chunks: Buffer[] = [];
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

/** How long the output of a command that has ended may still come: a daemon it left behind may hold the pipe for ever. */
const lingerMs = 200;

function closed(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => {
      const timer = setTimeout(() => {
        for (const pipe of child.stdio) pipe?.destroy();
      }, lingerMs);
      child.once('close', () => clearTimeout(timer));
    });
    child.once('close', (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
