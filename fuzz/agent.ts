/** The program of agent/, by which the fuzzer acts inside its namespaces. */
import { once } from 'node:events';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startNamespace } from '../src/lab/index.ts';
import type { Output } from '../src/transport/index.ts';

export interface Command {
  readonly space: string;
  readonly argv: readonly string[];
  readonly stdin?: string;
}

export interface Agent extends AsyncDisposable {
  /** Its answer, as agent.c says of each request. Nothing else is done meanwhile: to go on with something else would cost more. */
  ask(words: readonly string[]): string;
  /** Starts all at once; their outputs are in order. */
  run(commands: readonly Command[]): readonly Output[];
}

/** Compiled by `make test` and `make fuzz`. */
const PROGRAM = fileURLToPath(new URL('../node_modules/.cache/fuzz/agent', import.meta.url));

export async function startAgent(): Promise<Agent> {
  const namespace = await startNamespace({ name: 'fuzz' });
  const program = await namespace.spawn([PROGRAM]);
  const [numbers]: [Buffer] = (await once(program.stdout, 'data')) as [Buffer];
  const [requests, answers] = numbers.toString().trim().split(' ');
  const open = (number: string | undefined, flags: string): number =>
    openSync(`/proc/${program.pid}/fd/${number}`, flags);
  const [to, from] = [open(requests, 'w'), open(answers, 'r')];
  const ask = (words: readonly string[]): string => {
    const request = Buffer.from(`\0\0\0\0${words.map((word) => `${word}\0`).join('')}`);
    request.writeUInt32LE(request.length - 4, 0);
    for (let at = 0; at < request.length; ) at += writeSync(to, request, at);
    const answer = readAnswer(from);
    if (answer.startsWith('!')) throw new Error(`the agent: ${answer.slice(1)}`);
    return answer.slice(1);
  };
  return {
    ask,
    run(commands) {
      const words = commands.flatMap(({ space, argv, stdin = '' }) => [space, stdin, String(argv.length), ...argv]);
      const told = ask(['run', ...words]).split('\0');
      return commands.map((_, at) => {
        const [stdout = '', stderr = '', status] = told.slice(3 * at, 3 * at + 3);
        return { stdout, stderr, status: Number(status) };
      });
    },
    async [Symbol.asyncDispose]() {
      closeSync(to);
      closeSync(from);
      await program[Symbol.asyncDispose]();
      await namespace[Symbol.asyncDispose]();
    },
  };
}

/** What is not read at once is the rule for outputs of commands alone. */
const buffer = Buffer.allocUnsafe(1 << 16);

function readAnswer(from: number): string {
  let got = readSync(from, buffer);
  if (got === 0) throw new Error('the agent ended');
  while (got < 4) got += readSome(from, buffer, got);
  const length = 4 + buffer.readUInt32LE(0);
  if (length <= got) return buffer.toString('utf8', 4, length);
  const whole = Buffer.allocUnsafe(length);
  buffer.copy(whole, 0, 0, got);
  for (; got < length; ) got += readSome(from, whole, got);
  return whole.toString('utf8', 4);
}

function readSome(from: number, into: Buffer, at: number): number {
  const got = readSync(from, into, { offset: at });
  if (got === 0) throw new Error('the agent ended within an answer');
  return got;
}
