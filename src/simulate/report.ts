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
    ...(reply !== undefined && { reply: reportWay(reply, works) }),
    ...(notice !== undefined && { reply: reportNotice(notice) }),
  };
}

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
