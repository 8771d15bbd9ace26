/** What the commands that stand in a pod have in common: they go on until they are told to stop. */

export interface UntilTold extends Disposable {
  /** Aborted by SIGTERM, Ctrl-C or `stop`. */
  readonly signal: AbortSignal;
  readonly stopped: Promise<void>;
  stop(): void;
}

/** From here on; disposed, the process has its own ways back. */
export function untilTold(): UntilTold {
  const controller = new AbortController();
  const { signal } = controller;
  const stop = (): void => controller.abort(new Error('stopped'));
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const each of signals) process.on(each, stop);
  return {
    ...{ signal, stop },
    stopped: new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    [Symbol.dispose]() {
      for (const each of signals) process.off(each, stop);
    },
  };
}
