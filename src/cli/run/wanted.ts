/** What the hosts are to become, as far as it is known just now, and which of them must change together. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { type Aim, type AimFor, type HostPlan, needsWork } from '../../apply/index.ts';
import { compileRemoval } from '../../compile/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { tunnelUp } from '../../wireguard/index.ts';
import { sallyportVersion } from '../version.ts';

/**
 * The documents' aim, for hosts of which all are known; else, and where they cannot be compiled on what stands there now, what each host's
 * own record says: it was proven when it was written.
 */
export const aimNow =
  (byDocuments: AimFor | undefined, all: ReadonlyMap<string, HostFacts>): AimFor =>
  (fresh) => {
    const facts = new Map([...all, ...fresh]);
    const aim = byDocuments?.(facts);
    const whole: Aim = aim === undefined || aim.problems.length > 0 ? aimOfRecords(facts) : aim;
    return { problems: [], hosts: new Map([...whole.hosts].filter(([name]) => fresh.has(name))) };
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
