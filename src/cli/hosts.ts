/** From a Host resource to what can look at it and program it. */
import { dirname, resolve } from 'node:path';
import type { ManagedHost, SetPlan } from '../apply/index.ts';
import { linuxDriver, type SharedKernel } from '../drivers/index.ts';
import type { Access, HostResource, ResourceSet } from '../resources/index.ts';
import { localTransport, namespaceTransport, sshTransport, type Transport } from '../transport/index.ts';
import { UsageError } from './exit.ts';
import { gate } from './gate/text.ts';

/** The way to a host by its `access`. Throws UsageError for a kind that is not yet supported. */
function openTransport(host: string, access: Access, file: string): Transport {
  switch (access.kind) {
    case 'local':
      return localTransport(host, access.become === undefined ? {} : { become: access.become });
    case 'netns':
      return namespaceTransport(host, access.name);
    case 'ssh': {
      const { kind: _, identityFile, ...options } = access;
      const key = identityFile === undefined ? {} : { identityFile: resolve(dirname(file), identityFile) };
      return sshTransport(host, { ...options, ...key });
    }
    case 'agent':
      return sshTransport(host, gatedOptions(access, file));
    case 'http':
      throw new UsageError(`not yet supported: ${access.kind} access (${host})`);
  }
}

/** How a host is reached through its gate. */
export function gatedOptions({ kind: _, identityFile, ...options }: Access & { readonly kind: 'agent' }, file: string) {
  return { ...options, identityFile: resolve(dirname(file), identityFile), gate: gate().words };
}

/** This machine and its network namespaces have one. */
const ownKernel: SharedKernel = {};

/** Transport and driver of one host. `file`: where it was written, for paths beside it. */
export function manage({ name, access }: Pick<HostResource, 'name' | 'access'>, file = '.'): ManagedHost {
  const transport = openTransport(name, access, file);
  const isHere = access.kind === 'local' || access.kind === 'netns';
  return { name, transport, driver: linuxDriver(transport, isHere ? ownKernel : undefined) };
}

/** All hosts of the set. Throws UsageError where two of them are one machine. */
export function manageAll(set: ResourceSet): readonly ManagedHost[] {
  requireDistinct(set);
  return [...set.hosts.values()].map((host) => manage(host, host.at.file));
}

/** Throws UsageError where two hosts of the set are one machine: each would take back what the other made. */
export function requireDistinct(set: ResourceSet): void {
  const places = new Map<string, string>();
  for (const { name, access } of set.hosts.values()) {
    const place = printAccess(access);
    const other = places.get(place);
    if (other !== undefined)
      throw new UsageError(`Hosts ${other} and ${name} are one and the same (${place}): write one Host`);
    places.set(place, name);
  }
}

/** `netns edge`, `this machine`: how a host is reached, for people. */
function printAccess(access: Access): string {
  switch (access.kind) {
    case 'local':
      return access.become === undefined ? 'this machine' : `this machine, by ${access.become}`;
    case 'netns':
      return `netns ${access.name}`;
    case 'ssh':
      return `ssh ${access.user === undefined ? '' : `${access.user}@`}${access.address}${access.port === 22 ? '' : ` port ${access.port}`}`;
    case 'http':
      return access.url;
    case 'agent':
      return `the gate of ${access.user}@${access.address}${access.port === 22 ? '' : ` port ${access.port}`}`;
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

/** `ssh://USER@HOST:PORT`, user and port left out where the client knows them. Throws UsageError. */
export function readSshUrl(
  flag: string,
  text: string,
): { readonly address: string; readonly user?: string; readonly port?: number } {
  if (/^ssh:\/\/[^/@]*:[^/@]*@/.test(text))
    throw new UsageError(`${flag}: no password belongs in a URL; use a key, by an agent or the client's configuration`);
  const parts =
    /^ssh:\/\/(?:([A-Za-z0-9._][A-Za-z0-9._-]*)@)?(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._][A-Za-z0-9._-]*))(?::(\d{1,5}))?\/?$/.exec(
      text,
    );
  const [, user, bracketed, name, port] = parts ?? [];
  const address = bracketed ?? name;
  if (address === undefined || Number(port ?? 22) < 1 || Number(port ?? 22) > 65_535)
    throw new UsageError(`${flag} "${text}" is not ssh://USER@HOST:PORT`);
  return { address, ...(user !== undefined && { user }), ...(port !== undefined && { port: Number(port) }) };
}
