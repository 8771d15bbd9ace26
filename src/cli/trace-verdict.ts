/** How a trace ended, in a sentence: for the terminal and for drawings alike. */
import { MAYBE, type TraceReport, type WayReport } from '../simulate/index.ts';

export interface Verdict {
  /** Of a packet that dies another says what its sender hears of that. */
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
  const told = isAnswer(trace) ? broken?.heard : tellHeard(trace);
  return {
    sentence: `${what}${reason === undefined ? '' : `: ${reason}`}.${told === undefined ? '' : ` ${told}`}`,
    ...(fix !== undefined && { fix }),
  };
}

/** Whether what comes back answers the request, and does not tell of its death. */
const isAnswer = ({ verdict }: TraceReport): boolean => verdict === 'delivered' || verdict === 'exits';

/** Over the way of what comes back. */
export const tellReply = (trace: TraceReport): string =>
  trace.reply?.hops[0] !== undefined && NOTICES.has(trace.reply.hops[0].stage) ? 'What its sender hears' : 'The answer';

const NOTICES: ReadonlySet<string> = new Set(['icmp', 'reset']);

/** Whether the sender learns of the death of its packet; of one that was too large, whether it finds the size that fits. */
function tellHeard({ verdict, hops, reply }: TraceReport): string | undefined {
  if (verdict === 'undecided') return undefined;
  // What the sender itself does not let out, its own call learns.
  if (hops[0]?.stage === 'socket' && reply === undefined && hops.every(({ host }) => host === hops[0]?.host))
    return undefined;
  const isTooLarge = hops.at(-1)?.stage === 'mtu';
  if (reply === undefined)
    return `Nobody tells its sender${isTooLarge ? ': a black hole for packets of this size' : ''}.`;
  const notice = reply.hops[0]?.detail.replace(/ goes to .*/, '') ?? '';
  const lost = reply.reason === undefined ? '' : `: ${reply.reason}`;
  if (reply.verdict === 'undecided' || reply.verdict === 'exits')
    return `Whether its sender hears of it, by ${notice}, is not known${lost}.`;
  if (reply.verdict === 'delivered' && reply.reason === undefined)
    return `Its sender hears of it, by ${notice}${isTooLarge ? ', and sends smaller packets from then on' : reply.hops[0]?.decidedBy === '' ? '' : MAYBE}.`;
  const fix = reply.fix === undefined ? '' : ` Fix of that: ${reply.fix}`;
  return `Its sender hears nothing of it${isTooLarge ? ', a black hole for packets of this size' : ''}: ${notice} is lost on its way back${lost}.${fix}`;
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
