/** The load tool (bench/load.c, compiled by `make bench`), run in hosts of a lab: clients and servers on CPU 0, its meter on CPU 1. */
import { fileURLToPath } from 'node:url';
import type { LabHost, RunningCommand } from '../src/lab/index.ts';

const LOAD = fileURLToPath(new URL('../dist/load', import.meta.url));

/** Whoever asks and answers runs here. */
export const ENDS_CPU = 0;
/** Whatever stands between them runs here, and nothing else does. */
export const EDGE_CPU = 1;

export interface Target {
  readonly address: string;
  readonly port: number;
}

/** What one command of the tool tells, by name; the head of bench/load.c says which. `ms` and `busyMs` are always there. */
export type Told = Readonly<Record<string, number>>;

export const onCpu = (cpu: number, argv: readonly string[]): readonly string[] => [
  'taskset',
  '--cpu-list',
  String(cpu),
  ...argv,
];

/** Answers every load at `port`, once this returns. */
export async function serveLoad(host: LabHost, port: number): Promise<RunningCommand> {
  const server = await host.spawn(onCpu(ENDS_CPU, [LOAD, 'serve', String(port)]));
  await new Promise((resolve) => server.stdout.once('data', resolve));
  return server;
}

/** Makes load from `host` for `ms`; `rest` is what the command takes beside. Throws where a connection failed. */
export async function makeLoad(
  host: LabHost,
  command: 'connect' | 'latency' | 'bulk' | 'udp',
  { address, port }: Target,
  ms: number,
  ...rest: readonly number[]
): Promise<Told> {
  const told = await run(host, [command, address, ...[port, ms, ...rest].map(String)]);
  const { failed = 0 } = told;
  if (failed > 0)
    throw new Error(`${host.name}: ${command} ${address}:${port}: ${failed} failed: ${JSON.stringify(told)}`);
  return told;
}

/** How much of EDGE_CPU is not free while nothing is done, from 0 to 1. Where others use it, they are given a minute to end. */
export async function restShare(host: LabHost): Promise<number> {
  for (const deadline = performance.now() + PATIENCE_MS; ; ) {
    const { ms = 0, busyMs = 0 } = await run(host, ['idle', '300']);
    if (busyMs / ms < QUIET || performance.now() > deadline) return busyMs / ms;
  }
}

const QUIET = 0.03;
const PATIENCE_MS = 60_000;

async function run(host: LabHost, command: readonly string[]): Promise<Told> {
  const { stdout } = await host.run(onCpu(ENDS_CPU, [LOAD, '-m', String(EDGE_CPU), ...command]), { timeoutMs: 60_000 });
  return readTold(stdout);
}

function readTold(text: string): Told {
  const json: unknown = JSON.parse(text);
  if (typeof json !== 'object' || json === null) throw new Error(`the load tool said ${text}`);
  return Object.fromEntries(
    Object.entries(json).flatMap(([name, value]) => (typeof value === 'number' ? [[name, value]] : [])),
  );
}

/** Holds `count` connections while `work` runs; throws where one was lost. */
export async function whileHeld<T>(
  host: LabHost,
  { address, port }: Target,
  count: number,
  work: () => Promise<T>,
): Promise<T> {
  await using held = await host.spawn(onCpu(ENDS_CPU, [LOAD, 'hold', address, String(port), String(count)]));
  const line = (): Promise<Told> =>
    new Promise((resolve, reject) => {
      held.stdout.once('data', (chunk: Buffer) => resolve(readTold(chunk.toString('utf8'))));
      void held.exited.then((status) =>
        reject(new Error(`holding connections to ${address}:${port} ended: ${status}`)),
      );
    });
  const first = await line();
  const answer = await work();
  const last = line();
  held.stdin.end();
  for (const { open } of [first, await last])
    if (open !== count) throw new Error(`${open} of ${count} connections to ${address}:${port} answer`);
  return answer;
}
