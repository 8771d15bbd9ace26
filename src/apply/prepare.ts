/** From observations to what would change on each host: for plan, status, apply and destroy alike. */
import type { HandMade, HostFacts, HostRecord, HostShare, HostState } from '../host/index.ts';
import { type Desired, type HostChange, isMade, planHost, standing, unmade } from '../plan/index.ts';
import type { Problem } from '../resources/index.ts';

/** What one host is to become. */
export interface HostAim {
  readonly state: HostState;
  /** Absent: nothing of ours is left there. */
  readonly record?: HostRecord;
  /** WireGuard links whose key must exist before the host is changed. */
  readonly keyLinks: readonly string[];
  /** Tunnels for which both ends need one preshared key first; absent: none. */
  readonly presharedFor?: readonly string[];
  /** Plain sentences about what was chosen. */
  readonly notes: readonly string[];
  /** A fix: these changes, whosever they touch, and nothing of ours beside them. */
  readonly mend?: readonly HostChange[];
  /** What it becomes on the way there, one after the other, and all hosts together. Absent: it is changed at once. */
  readonly through?: readonly Desired[];
  /** Rules that somebody made by hand, which this takes over. */
  readonly taken?: readonly HandMade[];
}

/** What is to be done on a host that it may become as wanted. */
export const changesFor = (facts: HostFacts, aim: HostAim): readonly HostChange[] =>
  aim.mend === undefined ? planHost(facts, aim) : unmade(facts, aim.mend);

/** What a look shows to be still undone of the aim. */
export const leftOf = (facts: HostFacts, aim: HostAim): readonly HostChange[] =>
  aim.mend === undefined ? planHost(facts, aim) : aim.mend.filter((change) => isMade(facts, change) === false);

/** A host before a plan is carried out there; without an aim it is no fix. */
export interface Before {
  readonly facts: HostFacts;
  readonly aim?: Pick<HostAim, 'mend' | 'record'>;
}

/** Whether nothing of ours stood there: then nothing is left where the plan is taken back. A fix leaves what lies in the state folder alone. */
export const stoodEmpty = ({ facts, aim }: Before): boolean => facts.record === undefined && aim?.mend === undefined;

/** Whether nothing of ours is to stand there: then its state folder goes. */
export const endsEmpty = ({ aim }: Before): boolean => aim?.record === undefined && aim?.mend === undefined;

/** What all hosts are to become; with problems, nothing may be carried out. */
export interface Aim {
  readonly hosts: ReadonlyMap<string, HostAim>;
  readonly problems: readonly Problem[];
}

/** From what is known of the hosts to what they are to become. Pure: it is asked again once keys are made. */
export type AimFor = (facts: ReadonlyMap<string, HostFacts>) => Aim;

export interface HostPlan {
  readonly host: string;
  readonly facts: HostFacts;
  readonly aim: HostAim;
  /** In the order they are to be carried out. */
  readonly changes: readonly HostChange[];
  /** Of a host that goes through other states: what is carried out in place of `changes`, one list after the other. */
  readonly stages?: readonly (readonly HostChange[])[];
}

/** What is carried out on the host, stage by stage. */
export const stagesOf = ({
  changes,
  stages,
}: Pick<HostPlan, 'changes' | 'stages'>): readonly (readonly HostChange[])[] => stages ?? [changes];

/** Keys are exchanged at the edge first: it is called. */
export const directionOf = (command: string): 'add' | 'remove' =>
  command === 'destroy' || command === 'rotate' ? 'remove' : 'add';

export interface SetPlan {
  readonly problems: readonly Problem[];
  /** In the order the hosts are to be changed. */
  readonly hosts: readonly HostPlan[];
}

/** Plans every host of the aim, in the order that keeps traffic out of unready paths. Empty with problems. */
export function prepare(facts: ReadonlyMap<string, HostFacts>, aimFor: AimFor, direction: 'add' | 'remove'): SetPlan {
  const aim = aimFor(facts);
  if (aim.problems.length > 0) return { problems: aim.problems, hosts: [] };
  const shares = new Map<string, readonly HostShare[]>();
  for (const [name, { record }] of aim.hosts) {
    const before = facts.get(name)?.record?.sets.values() ?? [];
    shares.set(name, direction === 'add' ? [...(record?.sets.values() ?? [])] : [...before]);
  }
  const hosts: HostPlan[] = [];
  for (const name of orderHosts(direction, shares)) {
    const known = facts.get(name);
    const wanted = aim.hosts.get(name);
    if (known === undefined || wanted === undefined) continue; // asked for a host nobody looked at
    const changes = changesFor(known, wanted);
    const stages = wanted.through === undefined ? undefined : planStages(known, [...wanted.through, wanted]);
    hosts.push({ host: name, facts: known, aim: wanted, changes, ...(stages && { stages }) });
  }
  return { problems: [], hosts };
}

/** Each from the state before it, as that will be: nobody looks in between. */
function planStages(facts: HostFacts, aims: readonly Desired[]): readonly (readonly HostChange[])[] {
  let stands = facts;
  return aims.map((aim) => {
    const changes = planHost(stands, aim);
    stands = standing(stands, aim);
    return changes;
  });
}

/**
 * In which order hosts change, so that traffic never enters a path whose other end is not ready: those with the way back before
 * those that send traffic in (forwards). `remove` turns it round: first nothing is sent in any more, then the way back goes.
 */
export function orderHosts(
  direction: 'add' | 'remove',
  shares: ReadonlyMap<string, readonly HostShare[]>,
): readonly string[] {
  const sends = (name: string): boolean => (shares.get(name) ?? []).some(({ forwards }) => forwards.length > 0);
  const names = [...shares.keys()];
  const receivers = names.filter((name) => !sends(name));
  const senders = names.filter(sends);
  return direction === 'add' ? [...receivers, ...senders] : [...senders, ...receivers];
}

/** A host that is no longer among the documents, and the hosts whose record still has it as a tunnel's other end. */
export interface LeftHost {
  readonly host: string;
  readonly rememberedBy: readonly string[];
}

/** The hosts that left the set: named as peers in records of the set, absent from `declared`, and not in `forgotten`. */
export function leftHosts(
  setName: string,
  facts: ReadonlyMap<string, HostFacts>,
  declared: ReadonlySet<string>,
  forgotten: ReadonlySet<string>,
): readonly LeftHost[] {
  const left = new Map<string, string[]>();
  for (const [name, { record }] of facts) {
    for (const { peer } of record?.sets.get(setName)?.tunnels ?? []) {
      if (declared.has(peer.host) || forgotten.has(peer.host)) continue;
      const by = left.get(peer.host) ?? [];
      if (!by.includes(name)) by.push(name);
      left.set(peer.host, by);
    }
  }
  return [...left].map(([host, rememberedBy]) => ({ host, rememberedBy }));
}
