/** How a command ends. design.md, Commands: these numbers are a contract with scripts. */
import type { Problem } from '../resources/index.ts';

export const DONE = 0;
/** An error, or a promise that does not hold. */
export const FAILED = 1;
/** Bad usage or bad input. */
export const REFUSED = 2;
/** `plan --detailed-exitcode`: changes are pending. */
export const PENDING = 2;
/** A second Ctrl-C: 128 + SIGINT. */
export const INTERRUPTED = 130;

/** The user asked for something that cannot be: one sentence, no stack. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** The world refused: a host gone, a promise broken. One message (it may have several lines), no stack. */
export class CommandFailure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandFailure';
  }
}

/** The documents are wrong; every problem has its place. */
export class InputProblems extends Error {
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(`${problems.length} ${problems.length === 1 ? 'problem' : 'problems'} in the input`);
    this.name = 'InputProblems';
    this.problems = problems;
  }
}
