/** The network as it will stand when the plan is carried out: what others have there, and ours as compiled. */
import type { Compiled, CompiledHost } from '../compile/index.ts';
import { type HostFacts, type HostState, isOwnLink, ownState, withAccepts, withoutAccepts } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { ownRoutes, ownRules } from '../routing/index.ts';
import {
  buildNetwork,
  type Network,
  type TunnelInput,
  withKernelDefaults,
  withKernelRoutes,
} from '../simulate/index.ts';

/** The hosts of the set in their future state, wired by their tunnels. */
export function futureNetwork(set: ResourceSet, compiled: Compiled, facts: ReadonlyMap<string, HostFacts>): Network {
  const hosts = [...compiled.hosts.values()].flatMap((host) => {
    const known = facts.get(host.name);
    return known === undefined
      ? []
      : [{ name: host.name, state: futureState(known, host), openAddresses: host.publicAddresses }];
  });
  return buildNetwork(hosts, tunnelsOf(set, compiled));
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
