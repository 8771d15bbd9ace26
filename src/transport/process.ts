import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';

export interface ProcessOptions {
  readonly stdin?: string;
  readonly timeoutMs: number;
  /** Ends the process group by this argument vector, as well as by a signal of our own: what sudo started is not ours to signal. */
  readonly killWith?: (group: number) => readonly string[];
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

/** Where Debian and its relatives keep system programs; an ordinary user's PATH has no sbin. What the caller's PATH adds comes after. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The environment of every command: messages in English, and nothing of the caller's but the end of its PATH. */
export function commandEnvironment(): Readonly<Record<'PATH' | 'LC_ALL', string>> {
  const given = (process.env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/'));
  return { PATH: [...new Set([...SYSTEM_FOLDERS, ...given])].join(':'), LC_ALL: 'C' };
}

/**
 * Runs `argv` to its end in a process group of its own and gives what it wrote, whatever its status.
 * Throws a ProcessError, or the signal's reason after an abort; the whole group is killed then.
 */
export async function runProcess(argv: readonly string[], options: ProcessOptions): Promise<ProcessOutput> {
  options.signal?.throwIfAborted();
  const [program, ...rest] = argv;
  if (program === undefined) throw new TypeError('an empty command');
  const child = spawn(program, rest, { stdio: 'pipe', env: commandEnvironment(), detached: true, cwd: '/' });
  return new Promise((resolve, reject) => {
    let size = 0;
    let why: unknown;
    const kill = (reason: unknown): void => {
      if (why !== undefined) return;
      why = reason;
      killGroup(child, options);
      // A process that no signal reaches (of another user, or in the kernel) must not hold us: give up its pipes.
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
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
    child.stdin.end(options.stdin ?? '');
  });
}

function collect(stream: Readable, count: (chunk: Buffer) => void): () => Buffer {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    count(chunk);
  });
  return () => Buffer.concat(chunks);
}

function killGroup(child: ChildProcess, options: ProcessOptions): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ESRCH') return; // ended by itself meanwhile
    if (code !== 'EPERM') throw error;
  }
  const [program, ...rest] = options.killWith?.(child.pid) ?? [];
  if (program === undefined) return;
  const killer = spawn(program, rest, { stdio: 'ignore', env: commandEnvironment() });
  killer.once('error', () => {}); // without the killer, the command's own end is what is left to hope for
}
