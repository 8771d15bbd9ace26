/** Looks at many hosts side by side. A host that does not answer is a value, not the end of the command. */
import type { HostFacts } from '../host/index.ts';
import type { Transport } from '../transport/index.ts';
import type { Driver } from './driver.ts';

/** A host that this command may look at and program. */
export interface ManagedHost {
  readonly name: string;
  readonly driver: Driver;
  readonly transport: Transport;
  /** Why nothing may be changed there; absent where it may. */
  readonly readOnly?: string;
}

export type Observation =
  | { readonly kind: 'observed'; readonly facts: HostFacts }
  | { readonly kind: 'unreachable'; readonly reason: string };

/** Observes every host; the answers stand in the order of `hosts`. Throws only when `signal` is aborted. */
export async function observeAll(
  hosts: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Observation>> {
  const answers = hosts.map(async ({ name, driver }): Promise<readonly [string, Observation]> => {
    try {
      return [name, { kind: 'observed', facts: await driver.observe(signal) }];
    } catch (error) {
      signal.throwIfAborted();
      return [name, { kind: 'unreachable', reason: reasonOf(name, error) }];
    }
  });
  return new Map(await Promise.all(answers));
}

/** The message of an error about a host, without the host's name in front: callers put it there. */
export function reasonOf(host: string, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.startsWith(`${host}: `) ? message.slice(host.length + 2) : message;
}
