/** Results to stdout, words to stderr. A reader that went away (`| head`) never stops a command half-way. */
import type { Problem } from '../resources/index.ts';

export type Format = 'text' | 'json' | 'yaml';

/** stdout and stderr as commands use them. */
export interface Output {
  readonly format: Format;
  /** Colours in results; false for `--no-color`, NO_COLOR (no-color.org) and where stdout is no terminal. */
  readonly color: boolean;
  /** Writes text to stdout as it is. */
  write(text: string): Promise<void>;
  /** Writes a value to stdout in the asked format: `text` prints it for people. */
  result(value: unknown, text: () => string): Promise<void>;
  /** A line for people, on stderr. */
  say(line: string): void;
  /** What is being done just now: one line on a terminal's stderr, rewritten by the next; nothing elsewhere. */
  progress(what: string): void;
  /** Whether whoever read stdout is gone. */
  readonly closed: () => boolean;
}

let readerGone = false;
let writeFailed: Error | undefined;
let progressShown = false;

/** Listens once for errors of stdout and stderr: a closed pipe is no error, a full disk behind a redirection is. */
export function guardStreams(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    readerGone = true;
    if (error.code !== 'EPIPE') writeFailed = error;
  });
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') writeFailed = error;
  });
}

/** The error of a write to stdout that was not merely its reader going away. */
export const outputFailure = (): Error | undefined => writeFailed;

/** Makes the Output for a command's flags. */
export function openOutput(format: Format, color: boolean): Output {
  const clear = (): void => {
    if (progressShown) process.stderr.write('\r\x1b[K');
    progressShown = false;
  };
  const write = (text: string): Promise<void> =>
    new Promise((resolve) => {
      clear();
      if (readerGone || text === '') resolve();
      else process.stdout.write(text, () => resolve());
    });
  return {
    format,
    color: color && format === 'text',
    write,
    async result(value, text) {
      if (format === 'text') return await write(text());
      if (format === 'json') return await write(`${JSON.stringify(value, undefined, 2)}\n`);
      const { stringify } = await import('yaml');
      await write(stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }));
    },
    say(line) {
      clear();
      process.stderr.write(`${line}\n`);
    },
    progress(what) {
      if (process.stderr.isTTY !== true) return;
      // Cut to the terminal's width: a line that wraps could not be taken away again.
      const shown = what.slice(0, Math.max(1, (process.stderr.columns ?? 80) - 1));
      process.stderr.write(`\r\x1b[K${shown}`);
      progressShown = true;
    },
    closed: () => readerGone,
  };
}

/** Problems where they belong: with `-o json|yaml` as the result on stdout, else as lines on stderr. */
export async function reportProblems(output: Output, problems: readonly Problem[]): Promise<void> {
  if (output.format !== 'text') return await output.result(problemsAsJson(problems), () => '');
  const { printProblems } = await import('./problems-text.ts');
  for (const line of printProblems(problems)) output.say(line);
}

/** The shape of problems in `-o json`. */
const problemsAsJson = (problems: readonly Problem[]): { readonly problems: readonly ProblemJson[] } => ({
  problems: problems.map(({ code, at, path, what, meant }) => ({
    code,
    ...at,
    path,
    what,
    ...(meant !== undefined && { meant }),
  })),
});

interface ProblemJson {
  readonly code: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly what: string;
  readonly meant?: string;
}
