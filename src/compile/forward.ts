/** PortForwards: what each edge translates, and what each node takes from a tunnel. */
import type { AcceptShare, ForwardShare } from '../host/index.ts';
import { type Address, type Family, isAddress, printAddress, sameAddress } from '../net/index.ts';
import type { PortForwardResource, Problem, ResourceSet, Target } from '../resources/index.ts';
import { type Aim, aimKey, endOf } from './aim.ts';
import { type HostView, linkTowards, type PublicAddress, printPublic, wayTo } from './view.ts';

export interface Forwards {
  /** By host name. */
  readonly forwards: ReadonlyMap<string, readonly ForwardShare[]>;
  readonly accepts: ReadonlyMap<string, readonly AcceptShare[]>;
  readonly notes: readonly { readonly host: string; readonly text: string }[];
  readonly problems: readonly Problem[];
}

/** Compiles every PortForward at every host it is at. */
export function compileForwards(
  set: ResourceSet,
  views: ReadonlyMap<string, HostView>,
  aims: ReadonlyMap<string, Aim>,
): Forwards {
  const forwards = new Map<string, ForwardShare[]>();
  const accepts = new Map<string, ForwardAccept[]>();
  const notes: { host: string; text: string }[] = [];
  const problems: Problem[] = [];
  for (const forward of set.forwards.values()) {
    for (const address of forward.atAddresses ?? [])
      if (!forward.atHosts.some((host) => isAt(views.get(host), address)))
        problems.push(
          problem(
            forward,
            'spec.at.addresses',
            `${printAddress(address)} is no public address of ${forward.atHosts.join(' or ')}; ${known(forward, views)}`,
          ),
        );
    for (const host of forward.atHosts) {
      const edge = views.get(host);
      if (edge === undefined) continue;
      const open = publicMatches(forward, edge);
      if (open.length === 0 && forward.atAddresses === undefined)
        problems.push(
          problem(
            forward,
            'spec.at.hosts',
            `${host} has no public address: name the interface in its Host with zone: public, or the addresses in at.addresses`,
          ),
        );
      const left = new Set<Family>();
      for (const target of forward.to) {
        for (const match of open) {
          const aimed = aim(set, forward, edge, views, target, match.family, aims);
          if (typeof aimed === 'string') {
            if (forward.atAddresses !== undefined)
              problems.push(problem(forward, 'spec.at.addresses', `${printAddress(match.address)}: ${aimed}`));
            else if (!left.has(match.family))
              notes.push({ host, text: `PortForward ${forward.name}: IPv${match.family} is left out: ${aimed}` });
            left.add(match.family);
            continue;
          }
          push(
            forwards,
            host,
            ...forward.ports.map(
              (ports): ForwardShare => ({
                name: forward.name,
                match: match.match,
                ...ports,
                ...aimed.forward,
                publicLinks: [match.link],
              }),
            ),
          );
          if (aimed.accept !== undefined) {
            const { host: at, ...accept } = aimed.accept;
            push(
              accepts,
              at,
              ...forward.ports.map(({ protocol, targetPorts }) => ({
                name: forward.name,
                protocol,
                ports: targetPorts,
                ...accept,
              })),
            );
          }
        }
      }
    }
  }
  return { forwards, accepts: new Map([...accepts].map(([host, list]) => [host, unique(list)])), notes, problems };
}

type ForwardAccept = AcceptShare;

interface Match {
  readonly match: ForwardShare['match'];
  readonly family: Family;
  readonly link: string;
  readonly address: Address;
}

/** Where the forward listens on the edge: a key for each lasting address, one for each interface and family with a lease. */
function publicMatches(forward: PortForwardResource, edge: HostView): readonly Match[] {
  const found = new Map<string, Match>();
  for (const open of edge.publicAddresses) {
    const named = forward.atAddresses?.some((address) => isThe(open, address)) === true;
    const family = open.inner.family;
    if (forward.atAddresses !== undefined ? !named : !forward.families.includes(family) && forward.families.length > 0)
      continue;
    const match = open.dynamic && !named ? { interface: open.link, family } : { address: open.inner };
    found.set('address' in match ? printAddress(open.inner) : `${open.link} ${family}`, {
      match,
      family,
      link: open.link,
      address: open.inner,
    });
  }
  return [...found.values()];
}

const isThe = (open: PublicAddress, address: Address): boolean =>
  sameAddress(open.inner, address) || sameAddress(open.outer, address);
const isAt = (view: HostView | undefined, address: Address): boolean =>
  view?.publicAddresses.some((open) => isThe(open, address)) === true;

const known = (forward: PortForwardResource, views: ReadonlyMap<string, HostView>): string => {
  const open = forward.atHosts.flatMap((host) => views.get(host)?.publicAddresses.map(printPublic) ?? []);
  return open.length === 0 ? 'none is known there' : `known there: ${open.join(', ')}`;
};

interface Aimed {
  readonly forward: Pick<ForwardShare, 'to' | 'masquerade' | 'link'>;
  readonly accept?: Omit<AcceptShare, 'name' | 'protocol' | 'ports'> & { readonly host: string };
}

/** Where packets of a family go for a target, or why they cannot. */
function aim(
  set: ResourceSet,
  forward: PortForwardResource,
  edge: HostView,
  views: ReadonlyMap<string, HostView>,
  target: Target,
  family: Family,
  aims: ReadonlyMap<string, Aim>,
): Aimed | string {
  const masquerade = forward.clientAddress === 'Masquerade';
  if (target.kind === 'address') {
    if (target.address.family !== family)
      return `the target ${printAddress(target.address)} is IPv${target.address.family}`;
    const link = linkTowards(edge, target.address);
    if (link === undefined && edge.facts.source === 'observed')
      return `${edge.name} has no route to ${printAddress(target.address)}`;
    return { forward: { to: target.address, masquerade, ...(link !== undefined && { link }) } };
  }
  const tunnel = set.tunnels.get(target.via.get(edge.name) ?? '');
  const node = views.get(target.host);
  if (tunnel === undefined || node === undefined) return `no tunnel joins ${edge.name} and ${target.host}`;
  if (!tunnel.families.includes(family)) return `tunnel ${tunnel.name} has no IPv${family} addresses`;
  const link = tunnel.type === 'Direct' ? linkTowardsPeer(edge, tunnel, target.host, family) : undefined;
  const over = { masquerade, ...(link !== undefined && { link }) };
  if (target.address !== undefined) {
    if (target.address.family !== family)
      return `the target ${printAddress(target.address)} is IPv${target.address.family}`;
    const way = wayTo(node, target.address);
    const isLocal = way.kind === 'local';
    const behind = isLocal ? undefined : linkTowards(node, target.address);
    if (!isLocal && behind === undefined && node.facts.source === 'observed')
      return `${node.name} has no route to ${printAddress(target.address)}`;
    return {
      // Behind the node the edge's own address in the tunnel would be as foreign as the client's: the node masquerades instead.
      forward: { to: target.address, ...over, masquerade: masquerade && isLocal },
      accept: {
        host: node.name,
        tunnel: tunnel.name,
        address: target.address,
        masquerade: masquerade && !isLocal,
        ...(behind !== undefined && { behind }),
      },
    };
  }
  const inTunnel = endOf(tunnel, node.name)?.addresses.find((each) => each.address.family === family)?.address;
  if (masquerade && inTunnel !== undefined)
    // The edge asks from its own address in the tunnel: a UDP server on the wildcard address answers it from the node's.
    return {
      forward: { to: inTunnel, ...over },
      accept: { host: node.name, tunnel: tunnel.name, address: inTunnel, masquerade: false },
    };
  const found = aims.get(aimKey({ edge, node, tunnel }, family));
  if (found === undefined) return `${node.name} has no IPv${family} address in tunnel ${tunnel.name}`;
  return {
    forward: { to: found.address, ...over },
    accept: {
      host: node.name,
      tunnel: tunnel.name,
      address: found.address,
      masquerade: false,
      ...(found.moveTo !== undefined && { moveTo: found.moveTo }),
    },
  };
}

const linkTowardsPeer = (
  edge: HostView,
  tunnel: Parameters<typeof endOf>[0],
  node: string,
  family: Family,
): string | undefined => {
  const peer = endOf(tunnel, node)?.addresses.find(({ address }) => address.family === family)?.address;
  return peer !== undefined && isAddress(peer) ? linkTowards(edge, peer) : undefined;
};

function push<T>(lists: Map<string, T[]>, key: string, ...items: readonly T[]): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [...items]);
  else list.push(...items);
}

/** Several public addresses lead to one target: what the node takes is said once. */
function unique(accepts: readonly AcceptShare[]): readonly AcceptShare[] {
  const seen = new Map<string, AcceptShare>();
  for (const accept of accepts)
    seen.set(
      `${accept.tunnel} ${accept.protocol} ${printAddress(accept.address)} ${accept.ports.first} ${accept.ports.last} ${accept.name}`,
      accept,
    );
  return [...seen.values()];
}

const problem = (forward: PortForwardResource, path: string, what: string): Problem => ({
  code: 'cannotBe',
  at: forward.positionOf(path),
  path,
  what,
});
