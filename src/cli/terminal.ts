/** Questions to the person at the terminal. Nothing is asked where stdin is none. */
import { createInterface } from 'node:readline';

/** Whether there is somebody to ask: both the question and the answer go over a terminal. */
export const someoneIsThere = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true;

/**
 * Asks on stderr and gives the line typed, without its end; undefined on end of input, on abort, or when `timeoutMs` have gone by.
 */
export function ask(
  question: string,
  options: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<string | undefined> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    const finish = (answer: string | undefined): void => {
      resolve(answer); // first: closing calls this again, with no answer
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
      lines.close();
    };
    const onAbort = (): void => finish(undefined);
    const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => finish(undefined), options.timeoutMs);
    // readline takes Ctrl-C from a terminal in raw mode; the process must see it as everywhere else.
    lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    lines.on('close', () => finish(undefined));
    options.signal.addEventListener('abort', onAbort, { once: true });
    if (options.signal.aborted) return finish(undefined);
    lines.question(question, finish);
  });
}

/** Asks a question that only `y` or `yes` answers with true. */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const answer = await ask(`${question} [y/N] `, { signal });
  return /^y(es)?$/i.test((answer ?? '').trim());
}
