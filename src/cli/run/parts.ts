/** What of a set of documents can be thought over by itself. Pure. */
import type { ResourceSet } from '../../resources/index.ts';

/**
 * The set in as many parts as there are groups of hosts that a tunnel or a forward joins: what a host is to become is decided by its own part alone
 * (`parts.test.ts`), so that a change on one of a hundred hosts is not thought over a hundred times.
 */
export function partsOf(set: ResourceSet): readonly ResourceSet[] {
  const above = new Map([...set.hosts.keys()].map((name) => [name, name]));
  const leader = (name: string): string => {
    let at = name;
    for (let next = above.get(at) ?? at; next !== at; next = above.get(at) ?? at) at = next;
    above.set(name, at);
    return at;
  };
  const join = ([first, ...others]: readonly string[]): void => {
    for (const other of others) if (first !== undefined) above.set(leader(other), leader(first));
  };
  const hostsOf = {
    tunnel: ({ ends }: Tunnel): readonly string[] => ends.map(({ host }) => host),
    forward: ({ atHosts, to }: Forward): readonly string[] => [
      ...atHosts,
      ...to.flatMap((target) => (target.kind === 'host' ? [target.host] : [])),
    ],
  };
  for (const tunnel of set.tunnels.values()) join(hostsOf.tunnel(tunnel));
  for (const forward of set.forwards.values()) join(hostsOf.forward(forward));
  const parts = new Map<
    string,
    { hosts: Map<string, Host>; tunnels: Map<string, Tunnel>; forwards: Map<string, Forward> }
  >();
  const partOf = (host = '') => {
    const found = parts.get(leader(host));
    if (found !== undefined) return found;
    const part = { hosts: new Map(), tunnels: new Map(), forwards: new Map() };
    parts.set(leader(host), part);
    return part;
  };
  for (const [name, host] of set.hosts) partOf(name).hosts.set(name, host);
  for (const [name, tunnel] of set.tunnels) partOf(hostsOf.tunnel(tunnel)[0]).tunnels.set(name, tunnel);
  for (const [name, forward] of set.forwards) partOf(hostsOf.forward(forward)[0]).forwards.set(name, forward);
  return [...parts.values()];
}

type Members<Of> = Of extends ReadonlyMap<string, infer Member> ? Member : never;
type Host = Members<ResourceSet['hosts']>;
type Tunnel = Members<ResourceSet['tunnels']>;
type Forward = Members<ResourceSet['forwards']>;
