/** PortForwards: what each edge translates, and what each node takes from a tunnel. */
import type { AcceptShare, ForwardShare } from '../host/index.ts';
import { type Address, type Family, printAddress, sameAddress } from '../net/index.ts';
import type { PortForwardResource, Problem, ResourceSet, Target, TunnelResource } from '../resources/index.ts';
import { type Aim, aimKey, endOf } from './aim.ts';
import { linkName } from './tunnel.ts';
import { type HostView, linkTowards, type PublicAddress, printPublic, wayTo } from './view.ts';

/** By PortForward: whether each of its targets answers, in their order. */
export type TargetHealth = ReadonlyMap<string, readonly boolean[]>;

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
  health: TargetHealth = new Map(),
): Forwards {
  const forwards = new Map<string, ForwardShare[]>();
  const accepts = new Map<string, AcceptShare[]>();
  const notes = new Map<string, { readonly host: string; readonly text: string }>();
  const problems: Problem[] = [];
  const note = (host: string, text: string): void => {
    notes.set(`${host} ${text}`, { host, text });
  };
  for (const forward of set.forwards.values()) {
    problems.push(...unknownAddresses(forward, views));
    for (const host of forward.atHosts) {
      const edge = views.get(host);
      if (edge === undefined) continue;
      const known = health.get(forward.name);
      const at = compileAt({ set, views, aims, forward, edge, ...(known !== undefined && { health: known }) });
      push(forwards, host, at.forwards);
      for (const { host: node, accept } of at.accepts) push(accepts, node, [accept]);
      for (const text of at.notes) note(host, text);
      problems.push(...at.problems);
    }
  }
  const settled = new Map([...accepts].map(([host, list]) => [host, unique(list)]));
  return { forwards, accepts: settled, notes: [...notes.values()], problems };
}

/** A PortForward at one of its hosts. */
interface Place {
  readonly set: ResourceSet;
  readonly views: ReadonlyMap<string, HostView>;
  readonly aims: ReadonlyMap<string, Aim>;
  readonly forward: PortForwardResource;
  readonly edge: HostView;
  /** Which targets answer, by their places; absent: nobody asked. */
  readonly health?: readonly boolean[];
}

interface AtHost {
  readonly forwards: readonly ForwardShare[];
  readonly accepts: readonly { readonly host: string; readonly accept: AcceptShare }[];
  readonly notes: readonly string[];
  readonly problems: readonly Problem[];
}

function compileAt(place: Place): AtHost {
  const { forward, edge } = place;
  const forwards: ForwardShare[] = [];
  const accepts: { host: string; accept: AcceptShare }[] = [];
  const notes = new Set<string>();
  const refused = new Map<Family, { readonly address: Address; readonly why: string }>();
  const open = publicMatches(forward, edge);
  const policy = {
    ...policyOf(forward),
    ...(!forward.drain && { drain: false as const }),
    ...(!forward.hairpin && { hairpin: false as const }),
    ...(forward.fastPath === 'Off' && { fastPath: false as const }),
    ...(forward.tracking === 'Stateless' && { stateless: true as const }),
  };
  const problems = forward.tracking === 'Stateless' ? leasedProblems(forward, edge, open) : [];
  for (const { match, family, link, address } of open) {
    const found = aimAll(place, family);
    if (typeof found === 'string') {
      refused.set(family, { address, why: found });
      continue;
    }
    for (const text of found.notes) notes.add(text);
    for (const { protocol, ports, targetPorts } of forward.ports) {
      const { name } = forward;
      forwards.push({ name, match, protocol, ports, targetPorts, ...found.forward, publicLinks: [link], ...policy });
      for (const { host, ...accept } of found.accepts)
        accepts.push({ host, accept: { name, protocol, ports: targetPorts, ...accept } });
    }
  }
  const nothing = forwards.length === 0 && forward.atAddresses === undefined;
  if (nothing || forward.atAddresses !== undefined)
    for (const { address, why } of refused.values())
      problems.push(problem(forward, 'spec.at', `${printAddress(address)}: ${why}`));
  if (problems.length === 0)
    for (const [family, { why }] of refused) notes.add(`PortForward ${forward.name}: IPv${family} is left out: ${why}`);
  if (open.length === 0 && nothing) problems.push(problem(forward, 'spec.at.hosts', noPublicAddress(edge.name)));
  return { forwards, accepts, notes: [...notes], problems };
}

/** An answer must be given its source without anybody remembering what was asked: an address that changes is not known. */
const leasedProblems = (forward: PortForwardResource, edge: HostView, open: readonly Match[]): Problem[] =>
  open.flatMap(({ match, address }) =>
    'interface' in match
      ? [
          problem(
            forward,
            'spec.tracking',
            `${printAddress(address)} on ${match.interface} of ${edge.name} is leased, and Stateless needs to know what answers come from; name it in at.addresses if it does not change`,
          ),
        ]
      : [],
  );

/** What the forward asks of its clients, where it asks anything. */
function policyOf({ allow, limits }: PortForwardResource): Pick<ForwardShare, 'policy'> {
  const isOpen = ([4, 6] as const).every((family) =>
    allow.some(({ address, length }) => address.family === family && length === 0),
  );
  const asked = Object.keys(limits ?? {}).length > 0;
  return isOpen && !asked ? {} : { policy: { ...(!isOpen && { allow }), ...limits } };
}

const noPublicAddress = (host: string): string =>
  `${host} has no public address: name the interface in its Host with zone: public, or the addresses in at.addresses`;

/** Addresses that were named and stand on none of the forward's hosts. */
const unknownAddresses = (forward: PortForwardResource, views: ReadonlyMap<string, HostView>): readonly Problem[] =>
  (forward.atAddresses ?? [])
    .filter((address) => !forward.atHosts.some((host) => isAt(views.get(host), address)))
    .map((address) => {
      const hosts = forward.atHosts.join(' or ');
      const what = `${printAddress(address)} is no public address of ${hosts}; ${known(forward, views)}`;
      return problem(forward, 'spec.at.addresses', what);
    });

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
    if (forward.atAddresses !== undefined && !named) continue;
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
  /** What was chosen, for the plan. */
  readonly note?: string;
}

/** Where packets of a family go, and what every node that may be chosen takes; or why there is nowhere. */
interface AimedAll {
  readonly forward: Pick<ForwardShare, 'to' | 'masquerade' | 'link' | 'balance'>;
  readonly accepts: readonly NonNullable<Aimed['accept']>[];
  readonly notes: readonly string[];
}

function aimAll(place: Place, family: Family): AimedAll | string {
  const { forward, health } = place;
  const all = forward.to.map((target, index) => ({ target, index, aimed: aim(place, target, family) }));
  const able = all.flatMap(({ target, index, aimed }) =>
    typeof aimed === 'string' ? [] : [{ target, aimed, answers: health?.[index] !== false }],
  );
  const answering = able.filter(({ answers }) => answers);
  const chosen = answering.length > 0 ? answering : able;
  const [first] = chosen;
  if (first === undefined) return all.map(({ aimed }) => (typeof aimed === 'string' ? aimed : '')).join('; ');
  const silent = able.filter(({ answers }) => !answers).map(({ target }) => targetId(target));
  const spreads = forward.policy === 'Balance' && chosen.length > 1;
  return {
    forward: {
      ...first.aimed.forward,
      ...(spreads && {
        balance: chosen.map(({ target, aimed }) => ({
          ...aimed.forward,
          id: targetId(target),
          weight: target.weight,
        })),
      }),
    },
    // All of them, always: a forward moves from one to another by a change at the edge alone.
    accepts: able.flatMap(({ aimed }) => aimed.accept ?? []),
    notes: [
      ...able.flatMap(({ aimed }) => aimed.note ?? []),
      ...(silent.length === 0
        ? []
        : [
            answering.length === 0
              ? `PortForward ${forward.name}: no target answers (${silent.join(', ')}); it is sent on as if all did`
              : `PortForward ${forward.name}: ${silent.join(', ')} does not answer; it goes to ${chosen.map(({ target }) => targetId(target)).join(', ')}`,
          ]),
    ],
  };
}

/** What a target is called: `node`, `node/10.42.0.10`, `192.168.1.240`. */
const targetId = (target: Target): string => {
  if (target.kind === 'address') return printAddress(target.address);
  return target.address === undefined ? target.host : `${target.host}/${printAddress(target.address)}`;
};

/** Where packets of a family go for a target, or why they cannot. */
function aim({ set, views, aims, forward, edge }: Place, target: Target, family: Family): Aimed | string {
  const masquerade = forward.clientAddress === 'Masquerade';
  if (target.kind === 'address') {
    const found = aimByRoute(edge, target.address, family, masquerade);
    const isUnknown = typeof found !== 'string' && found.forward.link === undefined;
    return forward.tracking === 'Stateless' && isUnknown
      ? `by which link ${printAddress(target.address)} answers is not known, and Stateless needs it: declare its network in the Host`
      : found;
  }
  const tunnel = set.tunnels.get(target.via.get(edge.name) ?? '');
  const node = views.get(target.host);
  if (tunnel === undefined || node === undefined) return `no tunnel joins ${edge.name} and ${target.host}`;
  if (!tunnel.families.includes(family)) return `tunnel ${tunnel.name} carries no IPv${family}`;
  const inTunnel = addressIn(tunnel, node.name, family);
  const link = linkInto(tunnel, edge, inTunnel, forward);
  const over = { masquerade, ...(link !== undefined && { link }) };
  const through = { host: node.name, tunnel: tunnel.name };
  if (target.address !== undefined) {
    const behind = aimBehind(node, target.address, family);
    if (typeof behind === 'string') return behind;
    const atNode = behind.link !== undefined;
    return {
      // Behind the node the edge's own address in the tunnel would be as foreign as the client's: the node masquerades instead.
      forward: { to: target.address, ...over, masquerade: masquerade && !atNode },
      accept: {
        ...through,
        address: target.address,
        masquerade: masquerade && atNode,
        ...(behind.link !== undefined && { behind: behind.link }),
      },
    };
  }
  const name = `forwards to ${node.name} by ${tunnel.name} aim at`;
  if (masquerade && inTunnel !== undefined)
    // The edge asks from its own address in the tunnel: a UDP server on the wildcard address answers it from the node's.
    return {
      forward: { to: inTunnel, ...over },
      accept: { ...through, address: inTunnel, masquerade: false },
      note: `${name} ${printAddress(inTunnel)}, its tunnel address: the client is hidden`,
    };
  const found = aims.get(aimKey({ edge, node, tunnel }, family));
  if (found === undefined) return `${node.name} has no IPv${family} address in tunnel ${tunnel.name}`;
  const which = found.why === undefined ? 'its main address' : `its tunnel address: ${found.why}`;
  return {
    forward: { to: found.address, ...over },
    accept: {
      ...through,
      address: found.address,
      masquerade: false,
      ...(found.moveTo !== undefined && { moveTo: found.moveTo }),
    },
    note: `${name} ${printAddress(found.address)}, ${which}`,
  };
}

/** Direct: the existing link. Of other tunnels the table knows it by the target's route, but where nothing is remembered answers are told by it. */
function linkInto(
  tunnel: TunnelResource,
  edge: HostView,
  inTunnel: Address | undefined,
  { tracking }: PortForwardResource,
): string | undefined {
  if (tunnel.type === 'Direct') return inTunnel && linkTowards(edge, inTunnel);
  const end = tracking === 'Stateless' ? endOf(tunnel, edge.name) : undefined;
  return end && linkName(tunnel, end, edge.facts);
}

/** A target that the edge reaches by its own routes. */
function aimByRoute(edge: HostView, to: Address, family: Family, masquerade: boolean): Aimed | string {
  if (to.family !== family) return `the target ${printAddress(to)} is IPv${to.family}`;
  const link = linkTowards(edge, to);
  if (link === undefined && edge.facts.source === 'observed') return `${edge.name} has no route to ${printAddress(to)}`;
  return { forward: { to, masquerade, ...(link !== undefined && { link }) } };
}

/** A target behind a node: the link towards it, none where the address is the node's own. */
function aimBehind(node: HostView, to: Address, family: Family): { readonly link?: string } | string {
  if (to.family !== family) return `the target ${printAddress(to)} is IPv${to.family}`;
  if (wayTo(node, to).kind === 'local') return {};
  const link = linkTowards(node, to);
  if (link === undefined && node.facts.source === 'observed') return `${node.name} has no route to ${printAddress(to)}`;
  return link === undefined ? {} : { link };
}

/** The host's address of a family inside the tunnel. */
const addressIn = (tunnel: TunnelResource, host: string, family: Family): Address | undefined =>
  endOf(tunnel, host)?.addresses.find(({ address }) => address.family === family)?.address;

function push<T>(lists: Map<string, T[]>, key: string, items: readonly T[]): void {
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
