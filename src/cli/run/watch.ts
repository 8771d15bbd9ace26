/** Hears of changes on a host by the kernel's own notices, for as long as the connection to it stands. */
import { backoff } from '../../keep/index.ts';
import { script, type Transport } from '../../transport/index.ts';
import { pause } from './wake.ts';

/** Said by the script: from now on nothing is missed, and nothing is heard any more. */
const WATCHING = 'sallyport-watching';
const ENDED = 'sallyport-ended';

/**
 * nft has read the whole ruleset before it listens, and says nothing of that: its socket stands in /proc/net/netlink with a group then
 * (protocol 12 is NETLINK_NETFILTER). Sysctls per link that routing has (rp_filter, forwarding) are told by `netconf`, others by nobody.
 */
const MONITOR = `
{ nft monitor 2>&1; echo ${ENDED}; } &
{ ip monitor link address route rule netconf 2>&1; echo ${ENDED}; } &
n=0
until awk '$2 == 12 && $4 != "00000000" { found = 1 } END { exit !found }' /proc/net/netlink || [ "$n" -ge 300 ]; do
  sleep 0.1 2>/dev/null || sleep 1
  n=$((n+1))
done
echo ${WATCHING}
wait`;

/** Calls `onNotice` at each change there, and once whenever it begins to listen; begins anew when the connection was lost. */
export async function watchHost(transport: Transport, onNotice: () => void, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    const once = new AbortController();
    const onAbort = (): void => once.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const onLine = (line: string): void => {
      if (line === WATCHING) failures = 0;
      if (line === ENDED) once.abort(new Error('a monitor ended'));
      onNotice();
    };
    try {
      await transport.follow(script(MONITOR), onLine, once.signal);
    } catch {
      // Why a host does not answer is said by whoever looks at it; one whose monitors end is looked at on a timer.
    }
    signal.removeEventListener('abort', onAbort);
    failures += 1;
    await pause(backoff(failures, Math.random()), signal);
  }
}
