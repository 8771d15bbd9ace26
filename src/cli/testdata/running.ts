/** `sallyport run` in a lab: started, listened to, ended. */
import type { RunningCommand, Runner } from '../../lab/index.ts';
import { patient } from '../../lab/index.ts';
import { SALLYPORT } from './story.ts';

export interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly event: string;
  readonly host?: string;
  readonly resource?: string;
  readonly message: string;
  readonly changes?: readonly string[];
}

export interface Running extends AsyncDisposable {
  readonly lines: LogLine[];
  readonly pid: number;
  /** The first line at or after `from` that is so, once it has come. */
  heard(what: string, isIt: (line: LogLine) => boolean, from?: number): Promise<LogLine>;
  /** SIGTERM; gives its status and how long it took, in milliseconds. */
  stop(): Promise<{ readonly status: number; readonly tookMs: number }>;
}

/** Starts it beside the hosts, or wherever `place` is. */
export async function startRun(place: Runner, args: readonly string[]): Promise<Running> {
  const command = await place.spawn([process.execPath, SALLYPORT, 'run', '--log', 'json', ...args]);
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  let begun = '';
  let said = '';
  command.stdout.resume();
  command.stderr.on('data', (chunk: Buffer) => {
    const parts = (begun + chunk.toString('utf8')).split('\n');
    begun = parts.pop() ?? '';
    for (const line of parts) {
      said += `${line}\n`;
      if (line.startsWith('{')) lines.push(JSON.parse(line));
    }
    for (const each of [...waiting]) each();
  });
  void command.exited.then(() => {
    for (const each of [...waiting]) each();
  });
  return {
    lines,
    pid: command.pid,
    heard: (what, isIt, from = 0) => hear(command, { lines, waiting, said: () => said }, what, isIt, from),
    async stop() {
      const began = performance.now();
      command.kill('SIGTERM');
      const status = await command.exited;
      return { status, tookMs: performance.now() - began };
    },
    [Symbol.asyncDispose]: () => command[Symbol.asyncDispose](),
  };
}

interface Ear {
  readonly lines: readonly LogLine[];
  readonly waiting: Set<() => void>;
  readonly said: () => string;
}

function hear(
  command: RunningCommand,
  { lines, waiting, said }: Ear,
  what: string,
  isIt: (line: LogLine) => boolean,
  from: number,
): Promise<LogLine> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(timer);
      waiting.delete(look);
    };
    const fail = (why: string): void => {
      done();
      reject(new Error(`${why}: ${what}; it said:\n${said()}`));
    };
    const look = (): void => {
      const found = lines.slice(from).find(isIt);
      if (found === undefined) return;
      done();
      resolve(found);
    };
    const timer = setTimeout(() => fail('waited too long for'), patient(30_000));
    waiting.add(look);
    void command.exited.then((status) => {
      look();
      if (waiting.has(look)) fail(`it ended (${status}) before`);
    });
    look();
  });
}
