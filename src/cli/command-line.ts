/** One command line, whichever commands its file has. */
import { Command, CommanderError } from 'commander';
import { wantsColor } from './color.ts';
import type { DrawingFormat } from './drawing/index.ts';
import { DONE, FAILED, REFUSED } from './exit.ts';
import { reportFailure } from './failure.ts';
import { guardStreams, openOutput, outputFailure } from './output.ts';
import type { Action, CommonFlags, Running } from './program-words.ts';
import { sallyportVersion } from './version.ts';

/** Runs it (without node and the script) by the commands that are added, and gives its exit status. Never throws. */
export async function runProgram(
  argv: readonly string[],
  addCommands: (program: Command, running: Running) => void,
): Promise<number> {
  guardStreams();
  let status = DONE;
  /** Wraps a command's body: opens its output, and turns whatever it throws into words and a status. */
  const running =
    <Flags>(action: Action<Flags>) =>
    async (flags: Flags & CommonFlags): Promise<void> => {
      const color = flags.color !== false && wantsColor(process.env, process.stdout.isTTY === true);
      const output = openOutput(isDrawing(flags.output) ? 'text' : (flags.output ?? 'text'), color);
      try {
        status = await action(output, flags);
      } catch (error) {
        status = await reportFailure(output, error);
      }
      const unwritten = outputFailure();
      if (unwritten === undefined) return;
      output.say(`sallyport: the result could not be written: ${unwritten.message}`);
      status = FAILED;
    };
  const program = new Command('sallyport')
    .description('The path between the Internet and a self-hosted cluster: declared, proven, kernel-fast.')
    .version(sallyportVersion(), '-V, --version')
    .showHelpAfterError('(see sallyport --help)')
    .exitOverride();
  addCommands(program, running);
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? DONE : REFUSED;
  }
  return status;
}

/** Those a command makes itself; what else it has to say is text. */
const isDrawing = (format: CommonFlags['output']): format is DrawingFormat => format === 'svg' || format === 'html';
