/** Proves a plan before it is applied: every promise of every resource, as packets through the network as it will stand. */
import type { Compiled } from '../compile/index.ts';
import { type HandMade, type HostFacts, ownState } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import type { Network } from '../simulate/index.ts';
import { egressPromises } from './egress.ts';
import { forwardPromises } from './forward.ts';
import { futureNetwork, liveNetwork, type Sightings } from './future.ts';
import { hostPromises } from './host.ts';
import { keptPromises } from './kept.ts';
import { chooseOutsiders } from './outsider.ts';
import type { Ground, Promised } from './promise.ts';
import type { Entries } from './standing.ts';
import { stoppedPackets, tunnelPromises } from './tunnel.ts';

export interface Planned {
  readonly set: ResourceSet;
  readonly compiled: Compiled;
  /** Of every host of the set, as they were compiled with. */
  readonly facts: ReadonlyMap<string, HostFacts>;
  /** The hosts as they stand, where `facts` are without what is taken over, and that. */
  readonly live?: ReadonlyMap<string, HostFacts>;
  readonly taken?: ReadonlyMap<string, readonly HandMade[]>;
  /** What to judge on; absent: the hosts as the plan will leave them. */
  readonly network?: Network;
  /** Who listens on the hosts, and what they track, where somebody looked. */
  readonly seen?: Seen;
  /** false: promises come without their traces. Of ten thousand forwards to a machine that is no host, those are 40 MB and half a second. */
  readonly traces?: boolean;
}

export interface Seen {
  readonly sockets: Sightings['sockets'];
  readonly entries: Entries;
}

/**
 * Every promise of the set with whether it holds once the plan is carried out, or on the network that is given. That a tunnel's two ends reach each other, and that a
 * server listens where a forward aims, is assumed. Empty where the set does not compile.
 */
export function verifyPlan(planned: Planned): readonly Promised[] {
  const { set, compiled, facts, live = facts, taken, network, seen } = planned;
  if (compiled.problems.length > 0) return [];
  const ground = groundOf(planned);
  // On a network as it stands nothing is to come.
  const now = network === undefined ? liveNetwork(set, live, new Map(), { sockets: new Map() }) : undefined;
  return [
    ...forwardPromises(ground, set, compiled),
    ...tunnelPromises(ground, set, compiled),
    ...hostPromises(ground, compiled),
    // Of what the plan would make of it nobody knows yet.
    ...(network === undefined ? [] : egressPromises(ground, set, compiled)),
    ...(now === undefined ? [] : keptPromises(ground, now, compiled, seen, taken)),
  ];
}

export function groundOf({
  set,
  compiled,
  facts,
  traces = true,
  network = futureNetwork(set, compiled, facts),
}: Planned): Ground {
  return {
    network,
    facts,
    outsiders: chooseOutsiders(network),
    judged: new Map(),
    classes: new Map(),
    sources: new Map(),
    entries: new Map(),
    tells: new Map(),
    spectra: new Map(),
    portKinds: new Map(),
    answered: new Map(),
    traces,
  };
}

/** Which hosts stop the packets of a tunnel itself as they stand now, and by what rule; as `TUNNEL HOST`. */
export function tunnelsStopped(planned: Planned): ReadonlyMap<string, string> {
  const hosts = new Map(
    [...planned.compiled.hosts].map(([name, host]) => {
      const now = planned.facts.get(name)?.state;
      return [name, now === undefined ? host : { ...host, state: ownState(now) }];
    }),
  );
  const compiled = { ...planned.compiled, hosts };
  return stoppedPackets(groundOf({ ...planned, compiled }), planned.set, compiled);
}
