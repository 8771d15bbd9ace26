/** Where chance decides between ways (a balancer of others), each of them is traced. */
import type { RuleReference } from '../nftables/index.ts';
import type { Network } from './network.ts';
import { simulate } from './simulate.ts';
import type { Flow, Trace } from './trace.ts';

/** Draws for one trace: those that are given first, then the first way of each. What decides does so once, and so again for each packet of the flow. */
export interface Draws {
  readonly draw: (at: RuleReference, count: number) => number;
  /** `by`: the same text decides alike. */
  readonly drawNexthop: (by: string, count: number) => number;
  /** What was drawn, in order, and of how many ways. */
  readonly drawn: readonly { readonly way: number; readonly of: number }[];
}

export function startDraws(ways: readonly number[]): Draws {
  const drawn: { way: number; of: number }[] = [];
  const before = new Map<unknown, number>();
  const drawBy = (by: unknown, count: number): number => {
    const known = before.get(by);
    if (known !== undefined) return known;
    const way = Math.min(ways[drawn.length] ?? 0, count - 1);
    drawn.push({ way, of: count });
    before.set(by, way);
    return way;
  };
  return { drawn, draw: ({ rule }, count) => drawBy(rule, count), drawNexthop: drawBy };
}

/** A Service of more pods than this is judged by the first ones, and what is left is not known. */
const MOST_WAYS = 256;

/** One of the ways a flow may take by chance; `ways` traces it again. */
export interface ChanceTrace extends Trace {
  readonly ways: readonly number[];
}

/** The flow by every way that chance may choose for it; `complete` is false where there are too many. */
export function simulateAll(
  network: Network,
  flow: Flow,
): { readonly traces: readonly [ChanceTrace, ...(readonly ChanceTrace[])]; readonly complete: boolean } {
  const pending: (readonly number[])[] = [];
  const trace = (given: readonly number[]): ChanceTrace => {
    const draws = startDraws(given);
    const traced = simulate(network, flow, { draws });
    const ways = draws.drawn.map(({ way }) => way);
    for (const [index, { of }] of draws.drawn.entries())
      for (let way = 1; index >= given.length && way < of; way++) pending.push([...ways.slice(0, index), way]);
    return { ...traced, ways };
  };
  const traces: [ChanceTrace, ...ChanceTrace[]] = [trace([])];
  while (traces.length < MOST_WAYS) {
    const next = pending.pop();
    if (next === undefined) break;
    traces.push(trace(next));
  }
  return { traces, complete: pending.length === 0 };
}
