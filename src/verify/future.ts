/** The network as it will stand when the plan is carried out: what others have there, and ours as compiled. */
import { type Compiled, type CompiledHost, viewHost } from '../compile/index.ts';
import { type HostFacts, type HostState, isOwnLink, ownState, withAccepts, withoutAccepts } from '../host/index.ts';
import type { ConntrackEntry } from '../nftables/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { ownRoutes, ownRules } from '../routing/index.ts';
import {
  buildNetwork,
  findTunnels,
  type HostInput,
  type Network,
  type Socket,
  type TunnelInput,
  type Wires,
  withKernelDefaults,
  withKernelRoutes,
} from '../simulate/index.ts';

/** What was seen of hosts beside their facts; `wires`, and of a host `sockets` and `entries`, absent: nobody looked. */
export interface Sightings {
  readonly wires?: Wires;
  readonly sockets: ReadonlyMap<string, readonly Socket[]>;
  /** The connections that hosts track. */
  readonly entries?: ReadonlyMap<string, readonly ConntrackEntry[]>;
}

/** The hosts of the set in their future state, wired by their tunnels and by what was seen. */
export function futureNetwork(
  set: ResourceSet,
  compiled: Compiled,
  facts: ReadonlyMap<string, HostFacts>,
  seen: Sightings = { sockets: new Map() },
): Network {
  const hosts = [...compiled.hosts.values()].flatMap((host) => {
    const known = facts.get(host.name);
    return known === undefined
      ? []
      : [
          {
            ...{ name: host.name, state: futureState(known, host), openAddresses: host.publicAddresses },
            ...seenOf(seen, host.name),
          },
        ];
  });
  return buildNetwork(hosts, tunnelsOf(set, compiled), seen.wires);
}

/** The hosts as they stand, ours and everybody else's; those that nobody could look at, with the reason, are not known. */
export function liveNetwork(
  set: ResourceSet,
  facts: ReadonlyMap<string, HostFacts>,
  unreachable: ReadonlyMap<string, string>,
  seen: Sightings,
): Network {
  const hosts = [...set.hosts.values()].flatMap((resource) => {
    const known = facts.get(resource.name);
    if (known === undefined) return [];
    const unseen = unreachable.get(resource.name);
    return [
      {
        name: resource.name,
        // An address is there a moment before its local route.
        state:
          known.source === 'declared' ? withKernelDefaults(known.state) : withKernelRoutes(known.state, () => false),
        openAddresses: viewHost(resource, known).publicAddresses,
        ...(unseen !== undefined && { unseen }),
        ...seenOf(seen, resource.name),
      },
    ];
  });
  return buildNetwork(hosts, findTunnels(hosts), seen.wires);
}

function seenOf(seen: Sightings, host: string): Pick<HostInput, 'sockets' | 'entries'> {
  const [sockets, entries] = [seen.sockets.get(host), seen.entries?.get(host)];
  return { ...(sockets !== undefined && { sockets }), ...(entries !== undefined && { entries }) };
}

/** What stands on a host, with everything of ours replaced. Settings that we changed once and no longer want go back. */
function futureState(facts: HostFacts, { state: ours }: CompiledHost): HostState {
  const now = facts.state;
  const own = ownState(now);
  const isForeign = <T>(list: readonly T[]): ((each: T) => boolean) => {
    const members = new Set(list);
    return (each) => !members.has(each);
  };
  const sysctls = new Map(now.sysctls);
  for (const [path, value] of facts.record?.sysctlsBefore ?? []) sysctls.set(path, value);
  for (const [path, value] of ours.sysctls) sysctls.set(path, value);
  const future: HostState = {
    links: [...now.links.filter(isForeign(own.links)), ...ours.links],
    addresses: [...now.addresses.filter(({ link }) => !isOwnLink(link)), ...ours.addresses],
    // The kernel's routes of our addresses go with the addresses, and come with them.
    routes: [
      ...now.routes
        .filter(isForeign(ownRoutes(now.routes)))
        .filter(({ link }) => link === undefined || !isOwnLink(link)),
      ...ours.routes,
    ],
    rules: [...now.rules.filter(isForeign(ownRules(now.rules))), ...ours.rules],
    sysctls,
    devices: [...now.devices.filter(isForeign(own.devices)), ...ours.devices],
    tables: [...withAccepts(withoutAccepts(now.tables.filter(isForeign(own.tables))), ours.accepts), ...ours.tables],
    accepts: ours.accepts,
    files: ours.files,
  };
  return facts.source === 'declared' ? withKernelDefaults(future) : withKernelRoutes(future, isOwnLink);
}

const tunnelsOf = (set: ResourceSet, compiled: Compiled): readonly TunnelInput[] =>
  [...set.tunnels.values()].flatMap(({ name, ends: [first, second] }) => {
    const plugs = [first, second].map(({ host }) => {
      const link = compiled.hosts.get(host)?.share.tunnels.find((tunnel) => tunnel.name === name)?.link;
      return link === undefined ? undefined : { host, link };
    });
    const [left, right] = plugs;
    return left === undefined || right === undefined ? [] : [{ name, ends: [left, right] as const }];
  });
