/** PreUp and its like: run by a shell where the user allows it, named where not. */
import type { Transport } from '../../transport/index.ts';
import type { Hook, QuickFile } from '../../wireguard/index.ts';
import { CommandFailure } from '../exit.ts';

/** What a user's own script may take, in milliseconds. */
const PATIENCE_MS = 60_000;

/** Runs the lines of that time in their order, `%i` the link, as wg-quick does. Throws a CommandFailure where one fails. */
export async function runHooks(
  { interface: { hooks } }: QuickFile,
  at: Hook,
  link: string,
  transport: Transport,
  signal?: AbortSignal,
): Promise<void> {
  for (const { command, line } of hooks.filter((each) => each.at === at)) {
    const argv = ['sh', '-c', command.replaceAll('%i', link)];
    const { status, stderr } = await transport.run({ argv, timeoutMs: PATIENCE_MS }, signal);
    if (status !== 0)
      throw new CommandFailure(`${at} of line ${line} ended with ${status}: ${stderr.trim() || command}`);
  }
}

/** What is left out without --allow-hooks, a sentence each. */
export const leftOut = ({ interface: { hooks } }: QuickFile): readonly string[] =>
  hooks.map(
    ({ at, line, command }) =>
      `line ${line}: ${at} is not run without --allow-hooks: ${command}${/MASQUERADE|masquerade/.test(command) ? ' (--masquerade does what such lines are for)' : ''}`,
  );
