/** What the hosts are to become, as far as it is known just now, and which of them must change together. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { type Aim, type AimFor, type HostPlan, needsWork } from '../../apply/index.ts';
import { compileRemoval } from '../../compile/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { tunnelUp } from '../../wireguard/index.ts';
import { sallyportVersion } from '../version.ts';

/** Hosts of which none decides what another one's are to become, and what documents want of them. */
export interface AimedPart {
  readonly hosts: ReadonlySet<string>;
  readonly aimFor: AimFor;
}

/**
 * The documents' aim for the hosts that are asked for, part by part; where a part cannot be compiled on what stands there now, and for hosts that the
 * documents do not have, what each host's own record says: it was proven when it was written. `all`: what is known of hosts, those of a part all.
 */
export const aimNow =
  (parts: readonly AimedPart[], all: ReadonlyMap<string, HostFacts>): AimFor =>
  (fresh) => {
    const facts = new Map([...all, ...fresh]);
    const wanted = new Map(aimOfRecords(fresh).hosts);
    for (const { hosts, aimFor } of parts) {
      if (![...fresh.keys()].some((name) => hosts.has(name))) continue;
      const aim = aimFor(new Map([...facts].filter(([name]) => hosts.has(name))));
      if (aim.problems.length > 0) continue;
      for (const [name, each] of aim.hosts) if (fresh.has(name)) wanted.set(name, each);
    }
    return { problems: [], hosts: wanted };
  };

/** No set is named so (set names are not empty): taking it away leaves what the record says. A host without a record is left alone. */
const aimOfRecords = (facts: ReadonlyMap<string, HostFacts>): Aim => ({
  problems: [],
  hosts: new Map(
    [...facts].flatMap(([name, known]) =>
      known.record === undefined ? [] : [[name, compileRemoval(name, known, '', sallyportVersion())] as const],
    ),
  ),
});

/** The hosts that need work, those that a tunnel joins together: a node changes before the edge that sends it something. */
export function groupsOf(plans: readonly HostPlan[]): readonly (readonly HostPlan[])[] {
  const working = plans.filter(needsWork);
  const group = new Map(working.map(({ host }) => [host, host]));
  const leader = (host: string): string => {
    const next = group.get(host) ?? host;
    return next === host ? host : leader(next);
  };
  for (const { host, aim } of working)
    for (const { tunnels } of aim.record?.sets.values() ?? [])
      for (const { peer } of tunnels) if (group.has(peer.host)) group.set(leader(peer.host), leader(host));
  const groups = new Map<string, HostPlan[]>();
  for (const plan of working) {
    const name = leader(plan.host);
    groups.set(name, [...(groups.get(name) ?? []), plan]);
  }
  return [...groups.values()];
}

/** Whether two looks saw the same, as far as anything is decided by it: counters and the time do not count. */
export const sameFacts = (one: HostFacts, other: HostFacts): boolean => isDeepStrictEqual(quiet(one), quiet(other));

/** An endpoint's name is looked up anew for a tunnel that is down, so that counts; when its last handshake was does not. */
const quiet = ({ state, memoryAvailableBytes: _, names, ...facts }: HostFacts): unknown => ({
  ...facts,
  names: names?.meanings,
  state: {
    ...state,
    devices: state.devices.map(({ peers, ...device }) => ({
      ...device,
      peers: peers.map(({ receivedBytes: __, sentBytes: ___, latestHandshake, ...peer }) => ({
        ...peer,
        isUp:
          names !== undefined &&
          tunnelUp({ ...peer, ...(latestHandshake !== undefined && { latestHandshake }) }, names.seconds),
      })),
    })),
  },
});
