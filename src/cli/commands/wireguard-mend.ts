import { localTransport } from '../../transport/index.ts';
import { DONE, UsageError } from '../exit.ts';
import type { Output } from '../output.ts';
import { openLog } from '../run/log.ts';
import { becomeChild } from '../wireguard/first-process.ts';
import { mendPod, printMendLines } from '../wireguard/mend.ts';
import { lowerPod, needNetAdmin, type PodContext, type StandingPod } from '../wireguard/tunnel.ts';
import { untilTold } from '../wireguard/until-told.ts';

export interface WireguardMendFlags {
  readonly link: string;
  readonly print?: boolean;
  /** Puts the rules there and ends: an init container. */
  readonly once?: boolean;
  readonly log: 'text' | 'json';
}

/** wg-quick may still be at work, and may be started again. Milliseconds. */
const SOON_MS = 500;
const LATER_MS = 10_000;

/** Beside a tunnel that wg-quick made: keeps the rules for answers there until SIGTERM or Ctrl-C, which take them back. */
export async function wireguardMend(output: Output, flags: WireguardMendFlags): Promise<number> {
  if (!/^[A-Za-z0-9_=+.-]{1,15}$/.test(flags.link)) throw new UsageError(`${flags.link}: no name of a link`);
  if (flags.print === true) {
    await output.write(printMendLines());
    return DONE;
  }
  needNetAdmin();
  becomeChild();
  const log = openLog(flags.log, output.say, Date.now);
  using told = untilTold();
  const { signal } = told;
  const transport = localTransport('pod');
  const context: PodContext = { transport, signal, say: (level, message) => log(level, 'tunnel', message) };
  let standing: StandingPod | undefined;
  let hasWaited = false;
  try {
    while (!signal.aborted) {
      const now = await mendPod(flags.link, context, standing);
      if (now === undefined && !hasWaited) {
        hasWaited = true;
        log('info', 'waiting', `for wg-quick to bring ${flags.link} up, with rules that take the default route`);
      }
      if (now !== undefined && now.changes.length > 0)
        log(
          'info',
          standing === undefined ? 'started' : 'repaired',
          'answers leave by the link that the question came in by',
          {
            changes: now.changes,
          },
        );
      standing = now ?? standing;
      if (flags.once === true && now !== undefined) return DONE;
      await pause(now === undefined ? SOON_MS : LATER_MS, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    if (flags.once !== true || signal.aborted) await lowerPod(flags.link, { transport, say: context.say });
  }
  log('info', 'stopped', 'what was put beside it is gone');
  return DONE;
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
