/** Hears of changes on a host by what it tells of itself, for as long as the connection to it stands. */
import type { Driver, Notice } from '../../apply/index.ts';
import { backoff } from '../../keep/index.ts';
import { pause } from './wake.ts';

/**
 * Calls `onNotice` at each change there, and whenever it begins to listen; `onSilence` when it is heard no longer. Begins anew when the connection
 * was lost.
 */
export async function watchHost(
  driver: Driver,
  onNotice: (notice: Notice) => void,
  onSilence: () => void,
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    const heard = (notice: Notice): void => {
      if (notice.kind === 'listening') failures = 0;
      onNotice(notice);
    };
    try {
      await driver.watch(heard, signal);
    } catch {
      // Why a host does not answer is said by whoever looks at it; one that cannot be listened to is looked at on a timer.
    }
    if (signal.aborted) return;
    onSilence();
    failures += 1;
    await pause(backoff(failures, Math.random()), signal);
  }
}
