/** From a Host resource to what can look at it and program it. */
import type { ManagedHost, SetPlan } from '../apply/index.ts';
import { linuxDriver, type SharedKernel } from '../drivers/index.ts';
import type { Access, HostResource, ResourceSet } from '../resources/index.ts';
import { localTransport, namespaceTransport, type Transport } from '../transport/index.ts';
import { UsageError } from './exit.ts';

/** The way to a host by its `access`. Throws UsageError for a kind that is not yet supported. */
function openTransport(host: string, access: Access): Transport {
  switch (access.kind) {
    case 'local':
      return localTransport(host, access.become === undefined ? {} : { become: access.become });
    case 'netns':
      return namespaceTransport(host, access.name);
    case 'ssh':
    case 'http':
    case 'agent':
      throw new UsageError(`not yet supported: ${access.kind} access (${host})`);
  }
}

/** This machine and its network namespaces have one. */
const ownKernel: SharedKernel = {};

/** Transport and driver of one host. */
export function manage({ name, access }: Pick<HostResource, 'name' | 'access'>): ManagedHost {
  const transport = openTransport(name, access);
  const isHere = access.kind === 'local' || access.kind === 'netns';
  return { name, transport, driver: linuxDriver(transport, isHere ? ownKernel : undefined) };
}

/** All hosts of the set. Throws UsageError where two of them are one machine: each would take back what the other made. */
export function manageAll(set: ResourceSet): readonly ManagedHost[] {
  const places = new Map<string, string>();
  for (const { name, access } of set.hosts.values()) {
    const place = printAccess(access);
    const other = places.get(place);
    if (other !== undefined)
      throw new UsageError(`Hosts ${other} and ${name} are one and the same (${place}): write one Host`);
    places.set(place, name);
  }
  return [...set.hosts.values()].map(manage);
}

/** `netns edge`, `this machine`: how a host is reached, for people. */
function printAccess(access: Access): string {
  switch (access.kind) {
    case 'local':
      return access.become === undefined ? 'this machine' : `this machine, by ${access.become}`;
    case 'netns':
      return `netns ${access.name}`;
    case 'ssh':
      return `ssh ${access.user === undefined ? '' : `${access.user}@`}${access.address}`;
    case 'http':
      return access.url;
    case 'agent':
      return 'its agent';
  }
}

/** What the printed plan says of each host beside its changes. */
export const aboutHosts = (
  set: ResourceSet,
  planned: SetPlan,
): ReadonlyMap<string, { readonly access: string; readonly notes: readonly string[] }> =>
  new Map(
    [...set.hosts.values()].map(({ name, access }) => {
      const notes = planned.hosts.find(({ host }) => host === name)?.aim.notes ?? [];
      return [name, { access: printAccess(access), notes }];
    }),
  );
