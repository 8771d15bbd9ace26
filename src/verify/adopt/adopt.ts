/** Which rules that somebody made by hand the documents stand for, packet by packet: those alone a plan may take over. */
import type { Compiled } from '../../compile/index.ts';
import { type HandMade, type HostFacts, handMadeKey, withoutHandMade } from '../../host/index.ts';
import type { ResourceSet } from '../../resources/index.ts';
import { type Flow, type Network, printFlow } from '../../simulate/index.ts';
import { futureNetwork, liveNetwork, type Sightings } from '../future.ts';
import { type Candidate, candidatesOn } from './candidates.ts';
import { type Fate, fateOf } from './fate.ts';
import { MOST_PROBES, probesFor } from './probes.ts';

/** A rule that speaks of what the documents ask, and stays. */
export interface LeftAlone {
  readonly made: HandMade;
  /** The packet that shows it, and what would become of it. */
  readonly why: string;
}

export interface Adoption {
  /** The hosts as they are without what is taken over. */
  readonly facts: ReadonlyMap<string, HostFacts>;
  readonly compiled: Compiled;
  /** By host, in the order in which they stand. */
  readonly taken: ReadonlyMap<string, readonly HandMade[]>;
  readonly left: ReadonlyMap<string, readonly LeftAlone[]>;
}

/** The facts of all hosts as if nobody had made these rules. */
export const factsWithout = (
  facts: ReadonlyMap<string, HostFacts>,
  taken: ReadonlyMap<string, readonly HandMade[]>,
): ReadonlyMap<string, HostFacts> =>
  new Map(
    [...facts].map(([name, known]) => {
      const hand = taken.get(name) ?? [];
      return [name, hand.length === 0 ? known : { ...known, state: withoutHandMade(known.state, hand) }];
    }),
  );

/**
 * All that speak of what the documents ask are taken away, and those are put back of which a packet shows that its fate would be another
 * one than now, until none does: also what only looked superfluous beside one that stays. What the model does not know stays as it is.
 */
export function adopt(
  set: ResourceSet,
  facts: ReadonlyMap<string, HostFacts>,
  compileFor: (facts: ReadonlyMap<string, HostFacts>) => Compiled,
  sockets: Sightings['sockets'],
): Adoption {
  const now = compileFor(facts);
  const seen: Sightings = { sockets: listeningOnEdges(now, sockets) };
  const found = [...now.hosts.values()].flatMap((host) => {
    const known = facts.get(host.name);
    return known === undefined || known.source === 'declared' ? [] : candidatesOn(host, known);
  });
  const left = new Map<string, { readonly host: string; readonly left: LeftAlone }>();
  const leave = ({ host, made }: Candidate, why: string): void =>
    void left.set(`${host} ${handMadeKey(made)}`, { host, left: { made, why } });
  for (const each of found) if (each.unfit !== undefined) leave(each, each.unfit);
  const isLeft = ({ host, made }: Candidate): boolean => left.has(`${host} ${handMadeKey(made)}`);
  const live = networkOf(set, facts, seen);
  const known = new Map<Flow, Fate>();
  let probes: readonly Flow[] | undefined;
  for (;;) {
    const candidates = found.filter((each) => !isLeft(each));
    const taken = byHost(candidates);
    const without = factsWithout(facts, taken);
    const compiled = candidates.length === 0 && left.size === 0 ? now : compileFor(without);
    const result = { facts: without, compiled, taken, left: leftBy([...left.values()]) };
    if (candidates.length === 0 || compiled.problems.length > 0) return result;
    const future = futureNetwork(set, compiled, without, seen);
    probes ??= probesFor(live, future, compiled, found);
    if (probes === undefined) {
      for (const each of candidates)
        leave(each, `more than ${MOST_PROBES} kinds of packets are told apart on these hosts`);
      continue;
    }
    const before = left.size;
    const withoutOne = withoutEach(set, facts, seen);
    for (const flow of probes) {
      const was = known.get(flow) ?? fateOf(live, flow);
      known.set(flow, was);
      if (was.kind === 'fails') continue;
      const becomes = fateOf(future, flow);
      if (was.kind !== 'unknown' && becomes.text === was.text) continue;
      const matters = (some: readonly Candidate[]): boolean => fateOf(withoutOne(some), flow).text !== was.text;
      // Left in this round for another packet already.
      if (candidates.some((each) => isLeft(each) && matters([each]))) continue;
      const still = candidates.filter((each) => !isLeft(each));
      const alone = still.filter((each) => matters([each]));
      // Of two that do the same neither matters alone.
      const culprits = alone.length > 0 || !matters(still) ? alone : still;
      for (const each of culprits) leave(each, whyOf(flow, was, becomes));
    }
    if (left.size === before) return result;
  }
}

const whyOf = (flow: Flow, was: Fate, becomes: Fate): string =>
  was.kind === 'unknown'
    ? `${printFlow(flow)}: ${was.text}`
    : `${printFlow(flow)}: now ${was.text}; without it ${becomes.text}`;

/** On a host that only forwards, who listens is known; where forwards lead somebody is assumed, for a server may be down just now. */
const listeningOnEdges = (now: Compiled, sockets: Sightings['sockets']): Sightings['sockets'] =>
  new Map([...sockets].filter(([host]) => now.hosts.get(host)?.share.accepts.length === 0));

const networkOf = (set: ResourceSet, facts: ReadonlyMap<string, HostFacts>, seen: Sightings): Network =>
  liveNetwork(set, facts, new Map(), seen);

/** The hosts as they stand, less some rules; each made once. */
function withoutEach(
  set: ResourceSet,
  facts: ReadonlyMap<string, HostFacts>,
  seen: Sightings,
): (some: readonly Candidate[]) => Network {
  const made = new Map<string, Network>();
  return (some) => {
    const key = some.map(({ host, made: each }) => `${host} ${handMadeKey(each)}`).join('\n');
    const network = made.get(key) ?? networkOf(set, factsWithout(facts, byHost(some)), seen);
    made.set(key, network);
    return network;
  };
}

function byHost(candidates: readonly Candidate[]): ReadonlyMap<string, readonly HandMade[]> {
  const hosts = new Map<string, HandMade[]>();
  for (const { host, made } of candidates) hosts.set(host, [...(hosts.get(host) ?? []), made]);
  return hosts;
}

function leftBy(all: readonly { readonly host: string; readonly left: LeftAlone }[]): Adoption['left'] {
  const hosts = new Map<string, LeftAlone[]>();
  for (const { host, left } of all) hosts.set(host, [...(hosts.get(host) ?? []), left]);
  return hosts;
}
