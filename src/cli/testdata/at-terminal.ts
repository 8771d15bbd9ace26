/** The command line at a terminal of its own, made by script(1). */
import { setTimeout as sleep } from 'node:timers/promises';
import { patient, type Runner, type RunningCommand } from '../../lab/index.ts';
import { sallyportPath } from './cli-lab.ts';

export interface Session {
  readonly terminal: RunningCommand;
  /** Waits until the screen shows `text` and gives all of it so far. */
  until(text: string): Promise<string>;
  type(text: string): void;
}

/** Starts it beside whatever `runner` runs. */
export async function atTerminal(
  runner: Runner,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Session> {
  const line = [process.execPath, sallyportPath, ...argv].map((word) => `'${word}'`).join(' ');
  const terminal = await runner.spawn(['script', '-qefc', line, '/dev/null'], { env: { TERM: 'xterm', ...env } });
  let screen = '';
  terminal.stdout.on('data', (chunk: Buffer) => {
    screen += chunk.toString();
  });
  return {
    terminal,
    async until(text) {
      for (const end = Date.now() + patient(15_000); !screen.includes(text); await sleep(20)) {
        if (Date.now() > end) throw new Error(`"${text}" did not come: ${screen}`);
      }
      return screen;
    },
    type: (text) => void terminal.stdin.write(text),
  };
}
