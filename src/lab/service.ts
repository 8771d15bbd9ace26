import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningCommand } from './command.ts';
import type { LabHost } from './lab.ts';

/** A server of another's on a host of the lab, in the foreground and with it gone. */
export interface Service extends AsyncDisposable {
  /** Ends it by SIGTERM, as its unit would, and waits until it is gone. */
  stop(): Promise<void>;
  /** Stops and starts it; it answers when this returns. */
  restart(): Promise<void>;
}

const READY_WITHIN_MS = 30_000;

/** Starts `argv` on the host and returns once `ready` ends with status 0. */
export async function startService(
  host: LabHost,
  argv: readonly string[],
  ready: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Service> {
  const start = async (): Promise<RunningCommand> => {
    const program = await host.spawn(argv, options);
    let [stderr, status]: [string, number | undefined] = ['', undefined];
    program.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    program.stdout.resume();
    void program.exited.then((ended) => {
      status = ended;
    });
    for (const deadline = Date.now() + READY_WITHIN_MS; ; await sleep(50)) {
      const said = `${argv[0]}: ${stderr.trim().slice(-2_000)}`;
      if (status !== undefined) throw new Error(`${host.name}: ended with status ${status}: ${said}`);
      if ((await host.run(ready, { allowFailure: true })).status === 0) return program;
      if (Date.now() > deadline) throw new Error(`${host.name}: not ready after ${READY_WITHIN_MS} ms: ${said}`);
    }
  };
  let running = await start();
  const stop = async (): Promise<void> => {
    running.kill('SIGTERM');
    await running.exited;
  };
  return {
    stop,
    async restart() {
      await stop();
      running = await start();
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}
