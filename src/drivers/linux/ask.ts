import { missingProgram, type Output, type Transport, TransportError } from '../../transport/index.ts';

/** The output of each command of one round trip, by its argument vector itself (not by its words). */
export interface Answers {
  (argv: readonly string[]): Output;
  readonly host: string;
}

/** Runs all `argvs` in one round trip. Throws a TransportError where the host does not answer; a failed command is an answer. */
export async function ask(
  transport: Transport,
  argvs: readonly (readonly string[])[],
  signal?: AbortSignal,
): Promise<Answers> {
  const outputs = await transport.runAll(
    argvs.map((argv) => ({ argv })),
    signal,
  );
  const byCommand = new Map(argvs.map((argv, index) => [argv, outputs[index]]));
  const answer = (argv: readonly string[]): Output => {
    const output = byCommand.get(argv);
    if (output === undefined) throw new TypeError(`never asked: ${argv.join(' ')}`);
    return output;
  };
  return Object.assign(answer, { host: transport.host });
}

/** The answer to `argv`, which must have succeeded: else a TransportError with what the command said. */
export function need(answers: Answers, argv: readonly string[]): Output {
  const output = answers(argv);
  if (output.status !== 0) throw failure(answers.host, argv, output);
  return output;
}

/** What to throw of a command that failed. */
export function failure(host: string, argv: readonly string[], { status, stderr }: Output): TransportError {
  const [program = ''] = argv;
  if (status === 127 && program !== 'sh') return new TransportError(host, argv, missingProgram(program));
  return new TransportError(host, argv, `${shown(argv)}: ${stderr.trim() || `status ${status}`}`);
}

/** A command for people: of a script only what it works on. */
const shown = ([program = '', ...args]: readonly string[]): string =>
  program === 'sh' && args[0] === '-c' ? ['a script', ...args.slice(3)].join(' ') : [program, ...args].join(' ');
