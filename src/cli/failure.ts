/** What a command threw, in words for people, and its exit status. */
import { TransportError } from '../transport/index.ts';
import { CommandFailure, FAILED, InputProblems, REFUSED, UsageError } from './exit.ts';
import { type Output, reportProblems } from './output.ts';

/** Says what went wrong (problems on stdout with `-o json`) and gives the exit status. A stack is for bugs, and for SALLYPORT_DEBUG=1. */
export async function reportFailure(output: Output, error: unknown): Promise<number> {
  if (error instanceof InputProblems) {
    await reportProblems(output, error.problems);
    return REFUSED;
  }
  const wantsStack = (process.env.SALLYPORT_DEBUG ?? '') !== '';
  if (error instanceof UsageError) {
    output.say(`sallyport: ${error.message}`);
    if (wantsStack) output.say(stackOf(error));
    return REFUSED;
  }
  if (isExpected(error)) output.say(`sallyport: ${error.message}`);
  else
    output.say(
      `sallyport: a bug, please report it: ${error instanceof Error ? error.message : String(error)} (SALLYPORT_DEBUG=1 shows where)`,
    );
  if (wantsStack) output.say(stackOf(error));
  return FAILED;
}

/** Errors of the world around us, as against bugs of ours: told by their message alone. */
function isExpected(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const named = ['ApplyError', 'ApplyFailure', 'LockHeld', 'CommandError'];
  return (
    error instanceof CommandFailure ||
    error instanceof TransportError ||
    named.includes(error.name) ||
    'syscall' in error
  );
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
