import { followProcess } from './follow.ts';
import { guardedArguments, NOT_ARMED, TOO_LATE } from './guard.ts';
import { ProcessError, type ProcessOptions, type ProcessOutput, runProcess } from './process.ts';
import { missingProgram } from './programs.ts';
import { CHANGE_FILE, READ_FILE, SEVERAL, script, WITH_WHOLE_STDIN, WRITE_FILE } from './scripts.ts';
import { spliceOf } from './splice.ts';
import { type Command, type Output, type Transport, TransportError, type WriteOptions } from './transport.ts';

/** How a place is reached where commands run on this very machine. */
export interface Reach {
  /** The whole argument vector for `argv` there. Throws a TransportError where the place is not there. */
  enter(argv: readonly string[], signal: AbortSignal | undefined): Promise<readonly string[]>;
  /** Says of a failed command whether getting there is what failed, and how. */
  explain(output: Output, signal: AbortSignal | undefined): Promise<string | undefined>;
  readonly killWith?: ProcessOptions['killWith'];
  /** Where its work is done elsewhere, it needs no processor here, and has turns of its own. */
  readonly turns?: ProcessOptions['turns'];
  /** What also ends it there. */
  readonly killThere?: ProcessOptions['killThere'];
  /** Takes the command's own output out of what came back, or says why there is none. */
  readonly read?: (output: ProcessOutput) => ProcessOutput | string;
  /** The same for the lines of a command that goes on: which of them are the command's. */
  readonly lines?: () => (line: string) => boolean;
  readonly environment?: ProcessOptions['environment'];
  /** Up to so many bytes stdin comes whole or not at all. Absent: what one write puts into a pipe. */
  readonly oneWrite?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** Up to here one write puts the whole of stdin into the pipe, and the reader sees all or nothing; bytes. */
const ONE_WRITE = 16 * 1024;

/** A Transport without its stateFolder; a file may come with a note that must stand before it. */
export interface CommandTransport extends Omit<Transport, 'stateFolder'> {
  /** `note`: a file and the one line that it is to have before. */
  writeFile(
    path: string,
    content: string,
    mode: number,
    options?: WriteOptions & { readonly note?: readonly [path: string, line: string] },
  ): Promise<void>;
}

/** Runs its commands by `reach`. */
export function commandTransport(host: string, reach: Reach): CommandTransport {
  const start = async (
    command: Command,
    signal: AbortSignal | undefined,
    named = shown(command.argv),
  ): Promise<ProcessOutput> => {
    const { argv, stdin = '' } = command;
    const length = Buffer.byteLength(stdin);
    const guarded = command.guard === undefined ? argv : guardedArguments(command.guard, argv);
    const whole =
      length > (reach.oneWrite ?? ONE_WRITE) ? script(WITH_WHOLE_STDIN, String(length), ...guarded) : guarded;
    const entered = await reach.enter(whole, signal);
    try {
      const output = await runProcess(entered, {
        stdin,
        after: command.after,
        timeoutMs: command.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        environment: reach.environment,
        ...(reach.killWith && { killWith: reach.killWith }),
        turns: reach.turns,
        ...(reach.killThere && { killThere: reach.killThere }),
        signal,
      });
      const read = reach.read?.(output) ?? output;
      if (typeof read === 'string') throw new TransportError(host, argv, read);
      return read;
    } catch (error) {
      if (!(error instanceof ProcessError)) throw error;
      const [program = ''] = entered;
      const what = error.missing ? missingProgram(program) : `${named}: ${error.message}`;
      throw new TransportError(host, argv, what, { cause: error });
    }
  };

  const run = async (command: Command, signal?: AbortSignal): Promise<Output> => {
    const { stdout, stderr, status } = await start(command, signal);
    const output = { stdout: stdout.toString('utf8'), stderr: stderr.toString('utf8'), status };
    if (status === 0) return output;
    if (command.guard !== undefined && status === NOT_ARMED) throw new TransportError(host, command.argv, TOO_LATE);
    const unreached = await reach.explain(output, signal);
    if (unreached !== undefined) throw new TransportError(host, command.argv, unreached);
    if (isMissing(output)) throw new TransportError(host, command.argv, missingProgram(command.argv[0] ?? ''));
    return output;
  };

  /** A script of ours whose failure is the transport's. */
  const must = async ({ argv, ...more }: Command, what: string, signal: AbortSignal | undefined): Promise<Output> => {
    const output = await run({ argv, ...more }, signal);
    if (output.status !== 0) throw new TransportError(host, argv, `${what}: ${said(output)}`);
    return output;
  };

  return {
    host,
    run,
    async follow(argv, onLine, signal) {
      const entered = await reach.enter(argv, signal);
      const isOwn = reach.lines?.() ?? (() => true);
      const heard = (line: string): void => {
        if (isOwn(line)) onLine(line);
      };
      try {
        const ended = await followProcess(entered, { onLine: heard, signal, environment: reach.environment });
        const output = { stdout: Buffer.alloc(0), stderr: Buffer.from(ended.stderr), status: ended.status };
        const read = reach.read?.(output) ?? output;
        if (typeof read === 'string') throw new TransportError(host, argv, read);
        const said = { stdout: '', stderr: read.stderr.toString('utf8'), status: read.status };
        const unreached = said.status === 0 ? undefined : await reach.explain(said, signal);
        if (unreached !== undefined) throw new TransportError(host, argv, unreached);
        return { status: said.status, stderr: said.stderr };
      } catch (error) {
        if (!(error instanceof ProcessError)) throw error;
        const what = error.missing ? missingProgram(entered[0] ?? '') : `${shown(argv)}: ${error.message}`;
        throw new TransportError(host, argv, what, { cause: error });
      }
    },
    async runAll(commands, signal) {
      const outputs = new Map<Command, Output>();
      const silent = commands.filter(({ stdin }) => stdin === undefined);
      const spoken = commands.filter(({ stdin }) => stdin !== undefined);
      await Promise.all([
        ...spoken.map(async (command) => outputs.set(command, await run(command, signal))),
        (async () => {
          if (silent.length === 0) return;
          const timeoutMs = Math.max(...silent.map((command) => command.timeoutMs ?? DEFAULT_TIMEOUT_MS));
          const words = silent.flatMap(({ argv }) => [String(argv.length), ...argv]);
          const argv = script(SEVERAL, String(silent.length), ...words);
          const more = silent.length === 1 ? '' : ` and ${silent.length - 1} more`;
          const all = await start({ argv, timeoutMs }, signal, shown(silent[0]?.argv ?? []) + more);
          const failed = { stdout: '', stderr: all.stderr.toString('utf8'), status: all.status };
          if (all.status !== 0) {
            const first = silent[0]?.argv ?? [];
            throw new TransportError(host, first, (await reach.explain(failed, signal)) ?? said(failed));
          }
          for (const [index, output] of takeApart(all.stdout, silent.length).entries()) {
            const command = silent[index];
            if (command !== undefined) outputs.set(command, output);
          }
        })(),
      ]);
      return commands.map((command) => {
        const output = outputs.get(command);
        if (output === undefined) throw new TransportError(host, command.argv, 'no output came back');
        return output;
      });
    },
    async readFile(path, signal) {
      const output = await run({ argv: script(READ_FILE, path) }, signal);
      if (output.status === 44) return undefined;
      if (output.status !== 0) throw new TransportError(host, ['cat', path], `${path} cannot be read: ${said(output)}`);
      return output.stdout;
    },
    async writeFile(path, content, mode, { standing, signal, guard, note = [] } = {}) {
      const guarding = guard && { guard };
      const octal = mode.toString(8);
      const splice = standing === undefined ? undefined : spliceOf(standing, content);
      if (splice !== undefined) {
        const { head, tail, sum, middle } = splice;
        const argv = script(CHANGE_FILE, path, octal, String(head), String(tail), sum, ...note);
        const output = await run({ argv, stdin: middle, ...guarding }, signal);
        if (output.status === 0) return;
        if (output.status !== 45) throw new TransportError(host, argv, `${path} cannot be written: ${said(output)}`);
      }
      const args = [path, octal, String(Buffer.byteLength(content)), ...note];
      const writing = { argv: script(WRITE_FILE, ...args), stdin: content, ...guarding };
      await must(writing, `${path} cannot be written`, signal);
    },
    async removeFile(path, signal) {
      await must({ argv: ['rm', '-f', '--', path] }, `${path} cannot be removed`, signal);
    },
  };
}

/** The outputs that SEVERAL wrote one after the other. */
function takeApart(all: Buffer, count: number): readonly Output[] {
  const afterStatuses = all.indexOf('\n');
  const afterSizes = all.indexOf('\n', afterStatuses + 1);
  const statuses = numbers(all.toString('latin1', 0, afterStatuses));
  const sizes = numbers(all.toString('latin1', afterStatuses + 1, afterSizes));
  let at = afterSizes + 1;
  const next = (size = 0): string => {
    at += size;
    return all.toString('utf8', at - size, at);
  };
  return Array.from({ length: count }, (_, index) => ({
    stdout: next(sizes[2 * index]),
    stderr: next(sizes[2 * index + 1]),
    status: statuses[index] ?? 125,
  }));
}

const numbers = (line: string): readonly number[] => line.trim().split(' ').map(Number);

const said = ({ stderr, status }: Output): string => stderr.trim() || `status ${status}`;

/** Status 127 of a shell, env or nsenter that found no program; the last two name it in quotes of their own. */
const isMissing = ({ status, stderr }: Output): boolean => status === 127 && /not found|No such file/.test(stderr);

/** Enough of a command to know it by: of a script of ours its arguments, not its text. */
function shown(argv: readonly string[]): string {
  const text = argv.map((word) => (word.includes('\n') ? '…' : word)).join(' ');
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
