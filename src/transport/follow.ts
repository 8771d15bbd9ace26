/** Commands that run on, of which each line is told as it comes: the monitors of a host, and its probes. */
import { spawn } from 'node:child_process';
import { commandEnvironment, ProcessError } from './process.ts';

export interface FollowOptions {
  /** Beside ours. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Called for each line, without its end; of a line that never ends no more than LONGEST_LINE is kept. */
  readonly onLine: (line: string) => void;
  /** Aborted: the command is asked to end, and is not waited for. */
  readonly signal: AbortSignal;
}

/** What a command that ended by itself had to say. */
export interface Followed {
  readonly status: number;
  /** The last of it. */
  readonly stderr: string;
}

const LONGEST_LINE = 4_096;
const LAST_WORDS = 2_000;

/**
 * Runs `argv` until it ends or `signal` is aborted, when this throws its reason. It takes no slot of runProcess: it waits, and hardly
 * works. Its stdin stays open for as long as we listen, and closes however we end: by that it knows.
 */
export async function followProcess(argv: readonly string[], options: FollowOptions): Promise<Followed> {
  const { onLine, signal, environment } = options;
  signal.throwIfAborted();
  const [program = '', ...rest] = argv;
  const env = { ...commandEnvironment(), ...environment };
  const child = spawn(program, rest, { stdio: 'pipe', env, detached: true, cwd: '/' });
  return await new Promise((resolve, reject) => {
    let [begun, complained] = ['', ''];
    const stop = (): void => {
      // What it started ends by its closed stdin; we go on without it, and without what it still says.
      child.stdin.destroy();
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      reject(signal.reason);
    };
    signal.addEventListener('abort', stop, { once: true });
    child.stdin.on('error', () => {}); // it ended: told by `close`
    child.stderr.on('data', (chunk: Buffer) => {
      complained = (complained + chunk.toString('utf8')).slice(-LAST_WORDS);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (begun + chunk.toString('utf8')).split('\n');
      begun = (lines.pop() ?? '').slice(0, LONGEST_LINE);
      for (const line of lines) onLine(line);
    });
    child.once('error', (error) => {
      signal.removeEventListener('abort', stop);
      const missing = 'code' in error && error.code === 'ENOENT';
      reject(new ProcessError(missing ? 'no such program' : error.message, missing, { cause: error }));
    });
    child.once('close', (status) => {
      signal.removeEventListener('abort', stop);
      resolve({ status: status ?? 1, stderr: complained });
    });
  });
}
