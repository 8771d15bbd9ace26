/** Resources and facts → what should stand on each host. */
import {
  EMPTY_STATE,
  type HostFacts,
  type HostNumbers,
  type HostRecord,
  type HostShare,
  type HostState,
  isOwnLink,
  nextGeneration,
  printPlace,
  RECORD_FORMAT,
  takeOver,
} from '../host/index.ts';
import { type Address, printAddress } from '../net/index.ts';
import {
  compareProblems,
  type HostResource,
  type Problem,
  printPosition,
  type ResourceSet,
} from '../resources/index.ts';
import { makeWay, printStop, type Stop } from './accepts.ts';
import { chooseAims, waysOf } from './aim.ts';
import { assemble, mostConnections, tunnelsOf } from './assemble.ts';
import { claimProblems } from './claim.ts';
import { cannotSetMax, conntrackNotes } from './conntrack.ts';
import { daemonNotes } from './daemon-files.ts';
import { declaredDiffers } from './declared.ts';
import { withoutFamiliesOff } from './families.ts';
import { fastPathNotes } from './fast-path.ts';
import { compileForwards } from './forward.ts';
import { chooseNumbers } from './numbers.ts';
import type { TargetHealth, TargetProbe } from './probe.ts';
import { desiredSysctls, sysctlsBefore } from './sysctl.ts';
import { compileEnd } from './tunnel.ts';
import { chooseMtus, endKey } from './tunnel-mtu.ts';
import { type HostView, type PublicAddress, viewHost } from './view.ts';

export interface Compiled {
  readonly hosts: ReadonlyMap<string, CompiledHost>;
  /** How the targets of forwards are asked whether they answer. */
  readonly probes: readonly TargetProbe[];
  /** What cannot be, with the place in the resources; then the hosts are not to be used. */
  readonly problems: readonly Problem[];
}

export interface CompiledHost {
  readonly name: string;
  readonly share: HostShare;
  /** What to keep on the host; absent where nothing of ours is left on it. */
  readonly record?: HostRecord;
  readonly state: HostState;
  /** WireGuard links whose private key must be on the host before it is armed. */
  readonly keyLinks: readonly string[];
  /** Tunnels whose preshared key both ends must have before they are armed; absent: none. */
  readonly presharedFor?: readonly string[];
  readonly publicAddresses: readonly PublicAddress[];
  /** Plain sentences for the plan: main addresses, families left out. */
  readonly notes: readonly string[];
}

/** The version written into records; for messages alone. */
export interface CompileOptions {
  readonly setName: string;
  readonly version: string;
  /** Of what nobody asked, what stands is kept: a target that was left out stays out. */
  readonly health?: TargetHealth;
}

/** Compiles a set for all of its hosts. Every host of the set must have facts: observed, or declaredFacts. */
export function compile(
  documents: ResourceSet,
  facts: ReadonlyMap<string, HostFacts>,
  { setName, version, health }: CompileOptions,
): Compiled {
  const views = new Map<string, HostView>();
  const problems: Problem[] = [];
  for (const [name, resource] of documents.hosts) {
    const known = facts.get(name);
    if (known === undefined) throw new TypeError(`no facts of host ${name}`);
    views.set(name, viewHost(resource, known));
    problems.push(...declaredDiffers(resource, known));
  }
  const { set, notes: switchedOff, problems: empty } = withoutFamiliesOff(documents, views);
  problems.push(...empty);
  const aims = chooseAims(waysOf(set, views), setName);
  const forwards = compileForwards(set, views, aims, health ?? new Map(), setName);
  problems.push(...forwards.problems);
  const { mtus, problems: tooLarge, notes: narrow } = chooseMtus(set, views);
  problems.push(...tooLarge);
  const hosts = new Map<string, CompiledHost>();
  for (const view of views.values()) {
    const tunnels = [...set.tunnels.values()].flatMap((tunnel) => {
      const far = tunnel.ends.find(({ host }) => host !== view.name);
      const peer = far === undefined ? undefined : views.get(far.host);
      if (!tunnel.ends.some(({ host }) => host === view.name) || peer === undefined) return [];
      const accepts = (forwards.accepts.get(view.name) ?? []).filter((accept) => accept.tunnel === tunnel.name);
      const farAccepts = (forwards.accepts.get(peer.name) ?? []).filter((accept) => accept.tunnel === tunnel.name);
      const { share, problems: found } = compileEnd(set, tunnel, view, peer, {
        accepts,
        mtu: mtus.get(endKey(tunnel.name, view.name)) ?? 0,
        aims: distinct(farAccepts.map(({ address }) => address)),
      });
      problems.push(...found);
      return share === undefined ? [] : [share];
    });
    const { conntrack } = view.resource;
    const share = takeOver(view.facts.record?.sets.get(setName), {
      tunnels,
      forwards: forwards.forwards.get(view.name) ?? [],
      accepts: forwards.accepts.get(view.name) ?? [],
      ...(conntrack.max !== undefined && { conntrackMax: conntrack.max }),
    });
    const refused = conntrack.max === undefined ? undefined : cannotSetMax(view.facts);
    if (refused !== undefined)
      problems.push({
        code: 'cannotBe',
        at: view.resource.positionOf('spec.conntrack.max'),
        path: 'spec.conntrack.max',
        what: `${view.name}: ${refused}`,
      });
    const compiled = [...switchedOff, ...forwards.notes, ...narrow].filter(({ host }) => host === view.name);
    const settled = settle(view.resource, view.facts, setName, share, version);
    const notes = [
      ...(view.facts.notes ?? []),
      ...compiled.map(({ text }) => text),
      ...stopNotes(settled.stops),
      ...conntrackNotes(share, view.facts),
      ...flowNotes(share, view.facts),
      ...(share.tunnels.length + share.forwards.length === 0 ? [] : daemonNotes(view.facts)),
      ...fastPathNotes(share, view.facts),
    ];
    problems.push(...settled.problems, ...claimProblems(set, view, settled.sets, setName));
    hosts.set(view.name, { name: view.name, share, ...settled.host, publicAddresses: view.publicAddresses, notes });
  }
  return { hosts, probes: forwards.probes, problems: distinctProblems(problems) };
}

/** Said before anything moves: without conntrack an old flow keeps its target as long as it sends. */
const flowNotes = ({ forwards }: HostShare, { noFlows }: HostFacts): readonly string[] =>
  noFlows === undefined || forwards.length === 0
    ? []
    : [`${noFlows}: when a forward moves, UDP flows stay on the old target while they send`];

/** In the order of the documents; both ends of a tunnel find the same thing wrong with it. */
const distinctProblems = (problems: readonly Problem[]): readonly Problem[] =>
  [...new Map(problems.map((each) => [`${printPosition(each.at)} ${each.path} ${each.what}`, each])).values()].sort(
    compareProblems,
  );

/** What is left on a host when a set is taken from it, or every set. Needs no resources: the host's record tells. */
export function compileRemoval(
  name: string,
  facts: HostFacts,
  setName: string | undefined,
  version: string,
): CompiledHost {
  const sets = new Map(setName === undefined ? [] : [...(facts.record?.sets ?? [])].filter(([set]) => set !== setName));
  if (sets.size === 0)
    return { name, share: NOTHING_ASKED, state: EMPTY_STATE, keyLinks: [], publicAddresses: [], notes: [] };
  const numbers = facts.record?.numbers ?? chooseNumbers(facts, {}, []).numbers;
  return settleSets(name, facts, sets, keepUsed(numbers, sets), version);
}

/** These shares alone as what stands on the host, under the numbers that it has. */
export const settleSets = (
  name: string,
  facts: HostFacts,
  sets: ReadonlyMap<string, HostShare>,
  numbers: HostNumbers,
  version: string,
): CompiledHost => ({
  ...{ name, share: NOTHING_ASKED, publicAddresses: [], notes: [] },
  ...finish(name, facts, sets, numbers, version).host,
});

const NOTHING_ASKED: HostShare = { tunnels: [], forwards: [], accepts: [] };

interface Settled {
  readonly host: Pick<CompiledHost, 'record' | 'state' | 'keyLinks' | 'presharedFor'>;
  /** Where others would stop what any of the sets asks for. */
  readonly stops: readonly Stop[];
  readonly sets: ReadonlyMap<string, HostShare>;
  readonly problems: readonly Problem[];
}

/** Puts the share beside those of other sets on the host, gives its tunnels their numbers, and assembles all of them. */
function settle(resource: HostResource, facts: HostFacts, setName: string, share: HostShare, version: string): Settled {
  const sets = new Map(facts.record?.sets ?? []);
  const asksMore = share.conntrackMax !== undefined;
  if (share.tunnels.length + share.forwards.length + share.accepts.length > 0 || asksMore) sets.set(setName, share);
  else sets.delete(setName);
  if (sets.size === 0) return { host: { state: EMPTY_STATE, keyLinks: [] }, stops: [], sets, problems: [] };
  const returning = tunnelsOf(sets).filter(({ returns, beside }) => returns.length > 0 && beside === undefined);
  const { numbers, clashes } = chooseNumbers(
    facts,
    resource.forwarding,
    returning.map(({ key }) => key),
  );
  const problems = clashes.map(
    ({ path, what }): Problem => ({
      code: 'cannotBe',
      at: resource.positionOf(path),
      path,
      what: `${resource.name}: ${what}`,
    }),
  );
  const finished = finish(resource.name, facts, sets, numbers, version);
  return { ...finished, sets, problems: [...problems, ...refusals(resource, finished.stops)] };
}

function finish(
  host: string,
  facts: HostFacts,
  sets: ReadonlyMap<string, HostShare>,
  numbers: HostNumbers,
  version: string,
): Pick<Settled, 'host' | 'stops'> {
  const noted = facts.record?.sysctlsBefore ?? new Map<string, string>();
  const tunnels = tunnelsOf(sets);
  const forwards = [...sets.values()].flatMap((share) => share.forwards);
  const before = sysctlsBefore(desiredSysctls(tunnels, forwards, facts, noted, mostConnections(sets)), facts, noted);
  const record = nextGeneration({ format: RECORD_FORMAT, version, sets, numbers, sysctlsBefore: before }, facts.record);
  const keyLinks = [...new Set(tunnels.filter(({ type }) => type === 'WireGuard').map(({ link }) => link))].filter(
    isOwnLink,
  );
  const presharedFor = tunnels.flatMap(({ name, peer }) => (peer.presharedKey === 'pending' ? [name] : []));
  const way = makeWay({ tunnels, forwards, numbers, facts });
  const state: HostState = { ...assemble(host, record, facts), accepts: way.accepts };
  return {
    host: { record, state, keyLinks, ...(presharedFor.length > 0 && { presharedFor }) },
    stops: way.stops,
  };
}

/** foreignFirewall: Refuse. */
const refusals = ({ name, foreignFirewall, positionOf }: HostResource, stops: readonly Stop[]): readonly Problem[] =>
  foreignFirewall === 'Accommodate'
    ? []
    : stops
        .filter(({ unsure }) => unsure !== true)
        .map((stop) => ({
          code: 'cannotBe',
          at: positionOf('spec.foreignFirewall'),
          path: 'spec.foreignFirewall',
          what: `${name}: ${printStop(stop)}, and foreignFirewall is Refuse`,
        }));

/** For the plan: who would stop us, and where we go through all the same. */
const stopNotes = (stops: readonly Stop[]): readonly string[] =>
  stops.map((stop) =>
    stop.accept === undefined
      ? `${printStop(stop)}, and no accept of ours can stand there`
      : `${printStop(stop)}: let through in ${printPlace(stop.accept.place)}`,
  );

const keepUsed = (numbers: HostNumbers, sets: ReadonlyMap<string, HostShare>): HostNumbers => {
  const used = new Set(tunnelsOf(sets).map(({ key }) => key));
  return { ...numbers, tunnels: new Map([...numbers.tunnels].filter(([key]) => used.has(key))) };
};

const distinct = (addresses: readonly Address[]): readonly Address[] => [
  ...new Map(addresses.map((each) => [printAddress(each), each])).values(),
];
