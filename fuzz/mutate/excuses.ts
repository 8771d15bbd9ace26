/** Packets of which it does no harm that they fare otherwise, by rules that hold for all of them and name no mutant. */
import { type Flow, hidesRouter, type Network, simulate } from '../../src/simulate/index.ts';

interface Excuse {
  readonly why: string;
  readonly holds: (flow: Flow, before: Network, after: Network) => boolean;
}

const EXCUSES: readonly Excuse[] = [
  {
    why: 'it crosses the Internet from an address that nobody has there: a router on the way gives it another, and it is a stranger',
    holds: (flow, before, after) =>
      [before, after].some((network) => simulate(network, flow, { hops: true }).request.crossings.some(hidesRouter)),
  },
];

/** Why a packet need not be counted; undefined where it must. */
export const excuseOf = (flow: Flow, before: Network, after: Network): string | undefined =>
  EXCUSES.find(({ holds }) => holds(flow, before, after))?.why;
