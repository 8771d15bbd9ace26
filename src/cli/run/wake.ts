/** Something happened: however often it is said, whoever waits wakes once. */

export interface Wake {
  /** Wakes who waits, or who waits next. */
  wake(): void;
  /** Comes back when woken, or after so many milliseconds; at once when `signal` is aborted. */
  next(timeoutMs: number, signal: AbortSignal): Promise<void>;
}

export function createWake(): Wake {
  let isDue = false;
  let notify: (() => void) | undefined;
  return {
    wake() {
      isDue = true;
      notify?.();
    },
    async next(timeoutMs, signal) {
      if (!isDue && !signal.aborted)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeoutMs);
          notify = () => {
            clearTimeout(timer);
            resolve();
          };
          signal.addEventListener('abort', notify, { once: true });
        });
      if (notify !== undefined) signal.removeEventListener('abort', notify);
      notify = undefined;
      isDue = false;
    },
  };
}

/** Waits so many milliseconds, or until `signal` is aborted. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> => createWake().next(ms, signal);
