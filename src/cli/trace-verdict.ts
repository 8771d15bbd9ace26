/** How a trace ended, in a sentence: for the terminal and for drawings alike. */
import type { TraceReport, WayReport } from '../simulate/index.ts';

export interface Verdict {
  readonly sentence: string;
  /** What would mend it. */
  readonly fix?: string;
}

/** Of the request, or of its answer where that is what fails. */
export function tellVerdict(trace: TraceReport): Verdict {
  const { works, verdict, reply } = trace;
  const seen = trace.clientAddressSeen === undefined ? '' : `, which sees ${trace.clientAddressSeen}`;
  if (works === true) {
    const host = trace.hops.at(-1)?.host ?? 'its end';
    const reached =
      verdict === 'exits'
        ? `leaves ${host} for a machine that is no Host${seen} and is taken to answer`
        : `reaches ${host}${seen}`;
    return { sentence: `It works: the packet ${reached}, and the answer comes back.` };
  }
  // What leaves for a machine that is no Host has an answer only where that machine is taken to give one.
  const broken = reply !== undefined && (verdict === 'delivered' || verdict === 'exits') ? reply : undefined;
  const what =
    broken === undefined
      ? `The packet ${endingOf(verdict)}`
      : `The packet arrives${trace.clientAddressSeen === undefined ? '' : ` from ${trace.clientAddressSeen}`}, but its answer ${endingOf(broken.verdict)}`;
  const { reason, fix } = broken ?? trace;
  return {
    sentence: `${what}${reason === undefined ? '' : `: ${reason}`}.`,
    ...(fix !== undefined && { fix }),
  };
}

function endingOf(verdict: WayReport['verdict']): string {
  switch (verdict) {
    case 'delivered':
      return 'arrives, but not where it should';
    case 'dropped':
      return 'is dropped';
    case 'rejected':
      return 'is rejected';
    case 'unreachable':
      return 'has no way';
    case 'looped':
      return 'goes in a ring';
    case 'exits':
      return 'leaves the network that is known';
    case 'undecided':
      return 'cannot be told beyond here';
  }
}

/** `2 of 3 ways work.` */
export const tellSummary = (traces: readonly TraceReport[]): string =>
  `${traces.filter(({ works }) => works === true).length} of ${traces.length} ways work.`;

/** `Way 2 of 3, by chance`. */
export const tellWay = (index: number, count: number): string => `Way ${index + 1} of ${count}, by chance`;

/** Between two that decided: a rule of a table and another, a routing rule and its route. */
const SEVERAL = /; (?=(?:ip6?|inet|netdev|bridge) )|, (?=route )/;

/** What decided a hop, one by one. */
export const splitDeciders = (decidedBy: string): readonly string[] =>
  decidedBy === '' ? [] : decidedBy.split(SEVERAL);
