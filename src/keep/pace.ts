/** When something is tried again: each host has a pace of its own, so that one that is gone never delays another. */

/** The first wait after a failure and the longest, in milliseconds. */
const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** How long to wait after so many failures in a row. `chance` from 0 to 1 spreads those of many hosts that failed at once. */
export const backoff = (failures: number, chance: number): number =>
  failures <= 0 ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16)) * (0.75 + 0.25 * chance);

const MINUTE_MS = 60_000;

/** Looks take a sixth of each minute, however much happens on a host; what is beyond that rests so many times as long as the last one took. */
const LOOKING_MS = MINUTE_MS / 6;
const REST = 5;
const LEAST_REST_MS = 100;

/** A look that was made: when it had ended, and how long it took, in milliseconds. */
export interface Look {
  readonly endedAt: number;
  readonly tookMs: number;
}

/** How long after the last of these looks the next one may begin: the first few after a quiet while at once. In milliseconds. */
export function restAfter(looks: readonly Look[], now: number): number {
  const recent = looks.filter(({ endedAt }) => now - endedAt < MINUTE_MS);
  const spent = recent.reduce((sum, { tookMs }) => sum + tookMs, 0);
  return spent <= LOOKING_MS ? LEAST_REST_MS : Math.max(LEAST_REST_MS, REST * (recent.at(-1)?.tookMs ?? 0));
}

/** A host that tells of itself is looked at so many times more seldom. */
const TOLD = 10;

/** How long after a look the next one comes where nothing happens: `everyMs` is for a host that is not as it should be, or may change without our hearing of it. */
export const lookWithin = (everyMs: number, tells: boolean): number => everyMs * (tells ? TOLD : 1);

/** So many repairs within a minute are made at once; somebody who undoes each of them is not raced. */
const QUICK_REPAIRS = 5;

/** How long to wait with a repair, when those before it were made at these times; both in milliseconds. */
export function repairDelay(made: readonly number[], now: number): number {
  const recent = made.filter((at) => now - at < MINUTE_MS);
  const last = recent.at(-1);
  if (last === undefined || recent.length < QUICK_REPAIRS) return 0;
  return Math.max(0, last + Math.min(LONGEST_MS, 1_000 * 2 ** (recent.length - QUICK_REPAIRS)) - now);
}
