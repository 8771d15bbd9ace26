/** A trace as `trace -o json` and `plan -o json` give it. */
import { printAddress } from '../net/index.ts';
import { fixOf } from './fix.ts';
import type { Ending, Heard, Hop, Trace, Way } from './trace.ts';

export interface WayReport {
  readonly works: boolean | 'undecided';
  readonly verdict: Ending;
  readonly reason?: string;
  /** What would let it pass. */
  readonly fix?: string;
  readonly hops: readonly Hop[];
  /** Of an answer that dies: whether its sender hears of that, in a sentence. */
  readonly heard?: string;
  /** The source of the request where it was delivered. */
  readonly clientAddressSeen?: string;
}

export interface TraceReport extends WayReport {
  readonly reply?: WayReport;
}

/** The way that stands for the request's: where only the next packet of the connection fails, that one's. */
export const shownRequest = ({ works, request, reply, next }: Trace): Way =>
  reply !== undefined && next !== undefined && works !== true ? next : request;

/** The request's verdict with its reply's. */
export function reportTrace(trace: Trace): TraceReport {
  const { works, request, reply, notice } = trace;
  const shown = shownRequest(trace);
  const isSeen = request.verdict === 'delivered' || request.verdict === 'exits';
  return {
    ...reportWay(shown, works),
    ...(isSeen && { clientAddressSeen: printAddress(request.packet.source) }),
    ...(reply !== undefined && { reply: { ...reportWay(reply, works), ...heardOf(trace) } }),
    ...(reply === undefined && notice !== undefined && { reply: reportNotice(notice) }),
  };
}

/** Whether who answered hears that the answer is lost. */
function heardOf({ works, reply, notice, next }: Trace): Pick<WayReport, 'heard'> {
  if (works !== false || reply === undefined || next !== undefined) return {};
  if (reply.verdict === 'delivered' || reply.verdict === 'exits') return {};
  if (notice === undefined) return { heard: 'Nobody tells who answered.' };
  const { way, unheard } = notice;
  const [told] = way.hops;
  const what = told?.detail.replace(/ goes to .*/, '') ?? '';
  const lost = unheard ?? way.reason;
  const why = lost === undefined ? '' : `: ${lost}`;
  if (way.verdict === 'undecided' || way.verdict === 'exits')
    return { heard: `Whether who answered hears of it, by ${what}, is not known${why}.` };
  return {
    heard:
      way.verdict === 'delivered' && unheard === undefined
        ? `Who answered hears of it, by ${what}${told?.decidedBy === '' ? '' : MAYBE}.`
        : `Who answered hears nothing of it: ${what} is lost on its way back${why}.`,
  };
}

/** Of an error that a host sends only so often. */
export const MAYBE = ', if not too many were told just before';

/** What comes back of a request that died is the reply to it, and nobody calls that working. */
const reportNotice = ({ way, unheard }: Heard): WayReport => ({
  ...reportWay(way, false),
  ...(unheard !== undefined && { reason: unheard }),
});

const reportWay = ({ verdict, reason, cause, hops }: Way, works: boolean | 'undecided'): WayReport => ({
  works,
  verdict,
  ...(reason !== undefined && { reason }),
  // What is not known needs a look first, not a change.
  ...(cause !== undefined && verdict !== 'undecided' && { fix: fixOf(cause) }),
  hops,
});
