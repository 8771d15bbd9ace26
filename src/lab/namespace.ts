import { createRunner, type Runner } from './command.ts';
import { entryOf, startHolder } from './holder.ts';

/** One network namespace with a mount and pid namespace of its own; `lo` is up, /run is private and empty. */
export interface Namespace extends Runner, AsyncDisposable {
  /** The process that holds it: `/proc/PID/ns/net` is the namespace, `/proc/PID/root/run` its /run. */
  readonly pid: number;
}

export interface NamespaceOptions {
  /** Begins the errors of its commands; `namespace` unless given. */
  readonly name?: string;
}

/** Starts a namespace in about 10 ms. It and all its processes are gone with the disposal or the end of this process. */
export async function startNamespace(options: NamespaceOptions = {}): Promise<Namespace> {
  const holder = await startHolder();
  return {
    ...createRunner(options.name ?? 'namespace', entryOf(holder.pid)),
    pid: holder.pid,
    [Symbol.asyncDispose]: () => holder[Symbol.asyncDispose](),
  };
}
