/** PortForwards: what each edge translates, and what each node takes from a tunnel. */
import type { AcceptShare, ForwardShare } from '../host/index.ts';
import { type Address, type Family, printAddress, sameAddress } from '../net/index.ts';
import type { PortForwardResource, Problem, ResourceSet, Target } from '../resources/index.ts';
import type { Aim } from './aim.ts';
import { answersAt, probed, probesOf, silentBefore, type TargetHealth, type TargetProbe } from './probe.ts';
import { type Aimed, aim, type Place, targetId } from './target.ts';
import { type HostView, type PublicAddress, printPublic } from './view.ts';

export interface Forwards {
  /** By host name. */
  readonly forwards: ReadonlyMap<string, readonly ForwardShare[]>;
  readonly accepts: ReadonlyMap<string, readonly AcceptShare[]>;
  readonly notes: readonly { readonly host: string; readonly text: string }[];
  /** Of forwards that may lead elsewhere, or whose documents ask for it. */
  readonly probes: readonly TargetProbe[];
  readonly problems: readonly Problem[];
}

/** Compiles every PortForward at every host it is at. */
export function compileForwards(
  set: ResourceSet,
  views: ReadonlyMap<string, HostView>,
  aims: ReadonlyMap<string, Aim>,
  health: TargetHealth,
  setName: string,
): Forwards {
  const silent = new Map([...views].map(([host, view]) => [host, silentBefore(view, setName)]));
  const forwards = new Map<string, ForwardShare[]>();
  const accepts = new Map<string, AcceptShare[]>();
  const notes = new Map<string, { readonly host: string; readonly text: string }>();
  const probes: TargetProbe[] = [];
  const problems: Problem[] = [];
  const note = (host: string, text: string): void => {
    notes.set(`${host} ${text}`, { host, text });
  };
  for (const forward of set.forwards.values()) {
    problems.push(...unknownAddresses(forward, views));
    for (const host of forward.atHosts) {
      const edge = views.get(host);
      if (edge === undefined) continue;
      const place = {
        set,
        views,
        aims,
        forward,
        edge,
        answers: answersAt(forward, health.get(host), silent.get(host)),
      };
      const at = compileAt(place);
      probes.push(...probesOf(place));
      push(forwards, host, at.forwards);
      for (const { host: node, accept } of at.accepts) push(accepts, node, [accept]);
      for (const text of at.notes) note(host, text);
      problems.push(...at.problems);
    }
  }
  const settled = new Map([...accepts].map(([host, list]) => [host, unique(list)]));
  return { forwards, accepts: settled, notes: [...notes.values()], probes, problems };
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
    accepts.push(...probed(forward, found.accepts));
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

/** Where packets of a family go, and what every node that may be chosen takes; or why there is nowhere. */
interface AimedAll {
  readonly forward: Pick<ForwardShare, 'to' | 'masquerade' | 'link' | 'balance' | 'silent'>;
  readonly accepts: readonly NonNullable<Aimed['accept']>[];
  readonly notes: readonly string[];
}

function aimAll(place: Place, family: Family): AimedAll | string {
  const { forward, answers: known } = place;
  const all = forward.to.map((target, index) => ({ target, index, aimed: aim(place, target, family) }));
  const able = all.flatMap(({ target, index, aimed }) =>
    typeof aimed === 'string' ? [] : [{ target, aimed, answers: known[index] !== false }],
  );
  const answering = able.filter(({ answers }) => answers);
  const staying = answering.filter(({ target }) => !isDrained(target, place));
  const chosen = [staying, answering, able].find(({ length }) => length > 0) ?? [];
  const [first] = chosen;
  if (first === undefined) return all.map(({ aimed }) => (typeof aimed === 'string' ? aimed : '')).join('; ');
  const isSkipped = ({ answers }: (typeof able)[number], at: number): boolean =>
    !answers && (forward.policy === 'Balance' || at < able.findIndex((each) => each.answers));
  const skipped = answering.length === 0 ? [] : able.filter(isSkipped).map(({ target }) => targetId(target));
  const silent = able.filter(({ answers }) => !answers).map(({ target }) => targetId(target));
  const drained = able.filter(({ target }) => isDrained(target, place)).map(({ target }) => targetId(target));
  const spreads = forward.policy === 'Balance' && chosen.length > 1;
  return {
    forward: {
      ...first.aimed.forward,
      ...(skipped.length > 0 && { silent: skipped }),
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
      ...(drained.length === 0
        ? []
        : [
            staying.length === 0
              ? `PortForward ${forward.name}: ${drained.join(', ')} ${drained.length === 1 ? 'is' : 'are'} to be drained, and no other target answers: it goes on there`
              : `PortForward ${forward.name}: ${drained.join(', ')} ${drained.length === 1 ? 'is' : 'are'} drained: no new connection goes there`,
          ]),
      ...(silent.length === 0
        ? []
        : [
            answering.length === 0
              ? `PortForward ${forward.name}: no target answers (${silent.join(', ')}); it is sent on as if all did`
              : `PortForward ${forward.name}: ${silent.join(', ')} ${silent.length === 1 ? 'does' : 'do'} not answer; it goes to ${chosen.map(({ target }) => targetId(target)).join(', ')}`,
          ]),
    ],
  };
}

/** Whether it is to be taken down, by itself or with the host that it is or lies behind. */
const isDrained = (target: Target, { views }: Place): boolean =>
  target.drain || (target.kind === 'host' && views.get(target.host)?.resource.drain === true);

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
