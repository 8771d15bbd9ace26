/** Ctrl-C: the first asks to stop at the next safe point, the second ends at once. */
import { CommandFailure, INTERRUPTED } from './exit.ts';

/** A signal that the first SIGINT, SIGTERM or SIGHUP aborts; disposed, the process has its own ways back. */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
}

/** Listens for signals while a command runs. `writes`: whether stopping at once could leave something half done. */
export function listenForInterrupt(writes: boolean): Interrupt {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted || !writes) {
      if (writes) process.stderr.write('\nended at once: what was not confirmed, the hosts take back by themselves\n');
      process.exit(signal === 'SIGTERM' ? 143 : INTERRUPTED);
    }
    process.stderr.write('\nstopping at the next safe point; once more ends at once\n');
    controller.abort(new CommandFailure('stopped; nothing was changed'));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}
