import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { availableParallelism, constants } from 'node:os';
import type { Readable } from 'node:stream';

export interface ProcessOptions {
  readonly stdin?: string;
  /** See Command. */
  readonly after?: Promise<unknown> | undefined;
  readonly timeoutMs: number;
  /** Beside ours. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Whose turn it waits for; with the other commands on this machine unless given. */
  readonly turns?: Turns | undefined;
  /** Where its work is done elsewhere: what ends that for good, by what it wrote so far to stderr. */
  readonly killThere?: (stderr: Buffer) => readonly string[] | undefined;
  /** Ends the process group by this argument vector, as well as by a signal of our own: what sudo started is not ours to signal. */
  readonly killWith?: (signal: 'TERM' | 'KILL', group: number) => readonly string[];
  readonly signal?: AbortSignal | undefined;
}

export interface ProcessOutput {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Exit status; 128 + signal where a signal ended it. */
  readonly status: number;
}

/** A process that could not be started (`missing`: no such program), or was killed because of its time or its output. */
export class ProcessError extends Error {
  readonly missing: boolean;
  constructor(what: string, missing: boolean, options?: ErrorOptions) {
    super(what, options);
    this.name = 'ProcessError';
    this.missing = missing;
  }
}

/** Standard output and standard error together, in bytes: a ruleset of a million elements stays below it. */
const OUTPUT_LIMIT = 256 * 1024 * 1024;

/** Between asking a process group to end, when our scripts take their temporary files away, and ending it. */
const GRACE_MS = 1_000;
/** The same where the asking itself goes a long way. */
const GRACE_THERE_MS = 5_000;

/** Where Debian and its relatives keep system programs; an ordinary user's PATH has no sbin. What the caller's PATH adds comes after. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The environment of a command on another machine. */
export const systemEnvironment = (): Readonly<Record<'PATH' | 'LC_ALL', string>> => ({
  PATH: SYSTEM_FOLDERS.join(':'),
  LC_ALL: 'C',
});

/** The environment of every command: messages in English, and nothing of the caller's but the end of its PATH. */
export function commandEnvironment(): Readonly<Record<'PATH' | 'LC_ALL', string>> {
  const given = (process.env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/'));
  return { PATH: [...new Set([...SYSTEM_FOLDERS, ...given])].join(':'), LC_ALL: 'C' };
}

export interface Turns {
  take(): Promise<void>;
  give(): void;
}

/** So many at once, and the others wait for their turn. */
export function takeTurns(slots: number): Turns {
  let taken = 0;
  const waiting: (() => void)[] = [];
  return {
    async take() {
      if (taken < slots) taken += 1;
      else await new Promise<void>((free) => waiting.push(free));
    },
    give() {
      // The next that waits takes it over.
      const next = waiting.shift();
      if (next === undefined) taken -= 1;
      else next();
    },
  };
}

/** More at once than the processors have time for would only make each late: of a hundred namespaces a few are read at a time. */
const here = takeTurns(Math.max(2, availableParallelism()));

/**
 * Runs `argv` to its end, as soon as its turn comes, and gives what it wrote, whatever its status. `timeoutMs` begins then.
 * Throws a ProcessError, or the signal's reason after an abort.
 */
export async function runProcess(argv: readonly string[], options: ProcessOptions): Promise<ProcessOutput> {
  const { take, give } = options.turns ?? here;
  await take();
  try {
    return await runNow(argv, options);
  } finally {
    give();
  }
}

/** In a process group of its own, which is killed whole where its time is over or it is aborted. */
async function runNow(argv: readonly string[], options: ProcessOptions): Promise<ProcessOutput> {
  options.signal?.throwIfAborted();
  const [program, ...rest] = argv;
  if (program === undefined) throw new TypeError('an empty command');
  const child = start(program, rest, options.environment);
  return new Promise((resolve, reject) => {
    let size = 0;
    let why: unknown;
    let last: NodeJS.Timeout | undefined;
    const kill = (reason: unknown): void => {
      if (why !== undefined) return;
      why = reason;
      const there = options.killThere?.(stderr());
      // While it ends elsewhere the way back must stand, or its scripts die of their last word; then the child here ends too.
      if (there === undefined) killGroup(child, options, 'TERM');
      else runKiller(there, options);
      last = setTimeout(
        () => {
          killGroup(child, options, 'KILL');
          // One that no signal reaches (of another user, or stuck in the kernel) must not hold us. Not before: a shell that cannot
          // write of its ended children dies of that, and its temporary files stay.
          for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
          reject(why);
        },
        there === undefined ? GRACE_MS : GRACE_THERE_MS,
      );
    };
    const count = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > OUTPUT_LIMIT) kill(new ProcessError(`gave more than ${OUTPUT_LIMIT >> 20} MiB of output`, false));
    };
    const stdout = collect(child.stdout, count);
    const stderr = collect(child.stderr, count);
    const timer = setTimeout(
      () => kill(new ProcessError(`not done after ${options.timeoutMs / 1000} s`, false)),
      options.timeoutMs,
    );
    const abort = (): void => kill(options.signal?.reason);
    options.signal?.addEventListener('abort', abort, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      // Its leader may end before the rest of the group does.
      if (child.pid === undefined || !isThere(-child.pid)) clearTimeout(last);
      options.signal?.removeEventListener('abort', abort);
    };
    child.once('error', (error) => {
      settle();
      const missing = 'code' in error && error.code === 'ENOENT';
      reject(new ProcessError(missing ? 'no such program' : error.message, missing, { cause: error }));
    });
    child.once('close', (status, signal) => {
      settle();
      if (why !== undefined) reject(why);
      else
        resolve({
          stdout: stdout(),
          stderr: stderr(),
          status: status ?? 128 + (signal ? constants.signals[signal] : 0),
        });
    });
    // EPIPE: a command that ends without reading all of its stdin tells by its status.
    child.stdin.on('error', (error) => {
      if (!('code' in error) || (error.code !== 'EPIPE' && error.code !== 'ECONNRESET')) kill(error);
    });
    const speak = (): unknown => child.stdin.end(options.stdin ?? '');
    if (options.after === undefined) speak();
    else options.after.then(speak, kill);
  });
}

/** Most failures to start are told by an event, some (arguments longer than the kernel takes) are thrown at once. */
function start(
  program: string,
  args: readonly string[],
  environment: ProcessOptions['environment'],
): ChildProcessWithoutNullStreams {
  try {
    const env = { ...commandEnvironment(), ...environment };
    return spawn(program, args, { stdio: 'pipe', env, detached: true, cwd: '/' });
  } catch (error) {
    throw new ProcessError(error instanceof Error ? error.message : String(error), false, { cause: error });
  }
}

function collect(stream: Readable, count: (chunk: Buffer) => void): () => Buffer {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    count(chunk);
  });
  return () => Buffer.concat(chunks);
}

function killGroup(child: ChildProcess, options: ProcessOptions, signal: 'TERM' | 'KILL'): void {
  if (child.pid === undefined || send(-child.pid, `SIG${signal}`) !== 'EPERM') return;
  runKiller(options.killWith?.(signal, child.pid) ?? [], options);
}

function runKiller([program, ...rest]: readonly string[], { environment }: ProcessOptions): void {
  if (program === undefined) return;
  const killer = spawn(program, rest, { stdio: 'ignore', env: { ...commandEnvironment(), ...environment } });
  killer.once('error', () => {}); // without the killer, the command's own end is what is left to hope for
}

const isThere = (group: number): boolean => send(group, 0) !== 'ESRCH';

/** Sends a signal to a process group. `ESRCH`: nobody is in it; `EPERM`: they are not ours. */
function send(group: number, signal: NodeJS.Signals | 0): 'sent' | 'ESRCH' | 'EPERM' {
  try {
    process.kill(group, signal);
    return 'sent';
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ESRCH' || code === 'EPERM') return code;
    throw error;
  }
}
