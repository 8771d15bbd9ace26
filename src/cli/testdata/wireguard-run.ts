/** `sallyport wireguard …` on a host of a lab, until it is told to end. */
import { expect } from 'vitest';
import { type Lab, withSockets } from '../../lab/index.ts';
import { SALLYPORT, waitFor } from './story.ts';

export interface RunningWireguard extends AsyncDisposable {
  readonly said: () => string;
  /** Its exit status; again it is the same. */
  end(signal: NodeJS.Signals): Promise<number>;
}

/** `within` goes before its argument vector. It has said `ready` when this returns. */
export async function startWireguard(
  lab: Lab,
  host: string,
  args: readonly string[],
  ready: string,
  within: readonly string[] = [],
): Promise<RunningWireguard> {
  const argv = withSockets([...within, process.execPath, SALLYPORT, 'wireguard', ...args]);
  const child = await lab.host(host).spawn(argv);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  child.stdout.resume();
  let isOver = false;
  const ended = child.exited.finally(() => {
    isOver = true;
  });
  const end = async (signal: NodeJS.Signals): Promise<number> => {
    child.kill(signal);
    return await ended;
  };
  await waitFor(ready, async () => said.includes(ready) || isOver);
  expect(isOver, said).toBe(false);
  return {
    ...{ said: () => said, end },
    async [Symbol.asyncDispose]() {
      await end('SIGTERM');
    },
  };
}
