/** What a PortForward promises: reachable from outside, the client's address kept or hidden, answered by the same edge. */
import type { Compiled, CompiledHost } from '../compile/index.ts';
import { type ForwardShare, targetsOf } from '../host/index.ts';
import { type Address, printAddress, printPortRange } from '../net/index.ts';
import type { PortForwardResource, ResourceSet } from '../resources/index.ts';
import type { Flow } from '../simulate/index.ts';
import { clientsOf, type Door } from './clients.ts';
import { askedInside, staysShut } from './inside.ts';
import type { Aims, Expected } from './judge.ts';
import { boundaries, placesOf } from './places.ts';
import { concluded, type Finding, type Ground, type Judged, type Promised, type Vow } from './promise.ts';
import { askedByStrangers } from './strangers.ts';
import { forwardVows as vows } from './vows.ts';

/** The promises of every forward at every edge: one of each kind, over all of its addresses, families and ports. */
export function forwardPromises(ground: Ground, set: ResourceSet, compiled: Compiled): readonly Promised[] {
  const aims = expectedAims(compiled);
  return [...compiled.hosts.values()].flatMap((edge) =>
    [...groupByName(edge.share.forwards)].flatMap(([name, forwards]) => {
      const resource = set.forwards.get(name);
      return resource === undefined ? [] : promisesAt(ground, resource, edge, forwards, aims);
    }),
  );
}

function groupByName(forwards: readonly ForwardShare[]): ReadonlyMap<string, readonly ForwardShare[]> {
  const groups = new Map<string, ForwardShare[]>();
  for (const forward of forwards) {
    const group = groups.get(forward.name);
    if (group === undefined) groups.set(forward.name, [forward]);
    else group.push(forward);
  }
  return groups;
}

/** What each node said it takes tells where a forward's packets come to rest; a target without a node lies beyond the edge. */
function expectedAims(compiled: Compiled): Aims {
  const accepts = new Map<string, Expected>();
  for (const { name: host, share } of compiled.hosts.values())
    for (const { name, behind, address: aim, moveTo, masquerade } of share.accepts)
      accepts.set(`${name} ${printAddress(aim)}`, {
        ...{ host, address: moveTo ?? aim, masquerade },
        aims: moveTo === undefined ? [aim] : [aim, moveTo],
        ...(behind !== undefined && { beyond: { link: behind } }),
      });
  return ({ name }, { to, masquerade, link }, edge) => {
    const accepted = accepts.get(`${name} ${printAddress(to)}`);
    if (accepted !== undefined) return { ...accepted, masquerade: accepted.masquerade || masquerade };
    return { ...{ host: edge, address: to, masquerade, aims: [to] }, beyond: link === undefined ? {} : { link } };
  };
}

function promisesAt(
  ground: Ground,
  resource: PortForwardResource,
  edge: CompiledHost,
  forwards: readonly ForwardShare[],
  aims: Aims,
): readonly Promised[] {
  ground.classes.clear();
  // Those inside would be answered by nobody who remembers what they asked.
  const isStateless = resource.tracking === 'Stateless';
  const { inside, outside } = isStateless
    ? { inside: [], outside: [] }
    : askedInside(ground, { edge, forwards, aims, reaches: resource.hairpin });
  const strangers = askedByStrangers(ground, { edge, forwards, aims });
  const judged = [...strangers, ...outside];
  const name = `PortForward/${resource.name}`;
  const promise = (vow: Vow, of: (each: Judged) => Finding): Promised => concluded(ground, name, vow, judged.map(of));
  const isHidden = forwards.some((forward) =>
    targetsOf(forward).some((target) => aims(forward, target, edge.name).masquerade),
  );
  const kept = keptOut(ground, edge, forwards);
  return [
    promise(vows.reachable(edge.name, places(forwards, edge)), ({ reaches }) => reaches),
    ...(kept.length === 0 ? [] : [concluded(ground, name, vows.allowed(edge.name), kept)]),
    promise(isHidden ? vows.hidden : vows.seen, ({ client }) => client),
    promise(vows.answered(edge.name), ({ answers }) => answers),
    ...(forwards.some(({ protocol }) => protocol === 'tcp') ? [promise(vows.fits, ({ fits }) => fits)] : []),
    ...(isStateless
      ? [promise(vows.untracked(edge.name), ({ untracked }) => untracked)]
      : [promise(vows.sized, ({ sized }) => sized)]),
    ...(inside.length === 0
      ? []
      : [concluded(ground, name, resource.hairpin ? vows.inside(edge.name) : vows.notInside(edge.name), inside)]),
  ];
}

/** Those just outside `allow`, and of those farther off one of each kind that the edge tells apart, at the first and last port: each must end there. */
function keptOut(ground: Ground, edge: CompiledHost, forwards: readonly ForwardShare[]): readonly Finding[] {
  const seen = new Set<string>();
  return forwards.flatMap((forward) => {
    const { allow } = forward.policy ?? {};
    if (allow === undefined) return [];
    return placesOf(forward, edge).flatMap(({ address, link }) =>
      clientsOf(ground, doorOf(edge, link, address), allow).outside.flatMap((client) =>
        boundaries(forward).flatMap(([port]): readonly Finding[] => {
          const { protocol } = forward;
          const key = [address.value, client.value, protocol, port].join(' ');
          if (seen.has(key)) return [];
          seen.add(key);
          const from = { kind: 'beyond', host: edge.name, link, address: client } as const;
          const flow: Flow = { from, to: address, port, protocol };
          return [staysShut(ground, flow, printAddress(client))];
        }),
      ),
    );
  });
}

const doorOf = ({ name }: CompiledHost, link: string, { family }: Address): Door => ({
  ...{ host: name, link, family, hosts: [name] },
});

/** `198.51.100.10 tcp/80, udp/30000-30100 and 3 more`. */
function places(forwards: readonly ForwardShare[], edge: CompiledHost): string {
  const all = new Set<string>();
  for (const forward of forwards) {
    if (all.size > MOST_PLACES) break;
    for (const { address } of placesOf(forward, edge))
      all.add(`${printAddress(address)} ${forward.protocol}/${printPortRange(forward.ports)}`);
  }
  const shown = [...all].slice(0, MOST_PLACES);
  return all.size > MOST_PLACES ? `${shown.join(', ')} and more` : shown.join(', ');
}

const MOST_PLACES = 4;
