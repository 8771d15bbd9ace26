/** What a PortForward promises: reachable from outside, the client's address kept or hidden, answered by the same edge. */
import type { Compiled, CompiledHost } from '../compile/index.ts';
import { type ForwardShare, type ForwardTarget, isOwnLink, targetsOf } from '../host/index.ts';
import { type Address, isPublicAddress, portCount, printAddress, printPortRange, sameAddress } from '../net/index.ts';
import type { PortForwardResource, ResourceSet } from '../resources/index.ts';
import { type Flow, simulate } from '../simulate/index.ts';
import { pairs, targetOf } from './balance.ts';
import { clientsOf } from './clients.ts';
import { type Expected, judgeOnce } from './judge.ts';
import { neighbourOn } from './outsider.ts';
import { concluded, type Finding, fulfilled, type Ground, type Judged, type Promised } from './promise.ts';

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

type Aims = (forward: ForwardShare, target: ForwardTarget, edge: string) => Expected;

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
  const judged = forwards.flatMap((forward) => {
    const { protocol } = forward;
    return placesOf(forward, edge).flatMap(({ address, link }) =>
      boundaries(forward).flatMap(([port, targetPort]) => {
        const flowOf = (client: Address): Flow => ({
          from: { kind: 'beyond', host: edge.name, link, address: client },
          ...{ to: address, port, protocol },
        });
        const clients = clientsOf(ground, edge.name, link, address.family, forward.policy?.allow).inside;
        const expectedOf = (target: ForwardTarget): Expected => aims(forward, target, edge.name);
        const found = pairs(ground, forward, clients, flowOf, expectedOf);
        return [
          ...found.pairs.map(({ client, target }) =>
            judgeOnce(ground, edge.name, flowOf(client), expectedOf(target), targetPort),
          ),
          ...found.missing.map(({ id }) => unseen(id)),
        ];
      }),
    );
  });
  const name = `PortForward/${resource.name}`;
  const promise = (what: string, of: (each: Judged) => Finding): Promised =>
    concluded(ground, name, what, judged.map(of));
  const isHidden = forwards.some((forward) =>
    targetsOf(forward).some((target) => aims(forward, target, edge.name).masquerade),
  );
  const seen = isHidden ? "the client's address is hidden from the target" : "the target sees the client's own address";
  const kept = keptOut(ground, edge, forwards);
  // Those inside would be answered by nobody who remembers what they asked.
  const isStateless = resource.tracking === 'Stateless';
  const inside = isStateless ? [] : hairpinFindings(ground, edge, forwards, aims, resource.hairpin);
  return [
    promise(`reachable from outside by ${edge.name} at ${places(forwards, edge)}`, ({ reaches }) => reaches),
    ...(kept.length === 0 ? [] : [concluded(ground, name, `nobody outside allow comes in by ${edge.name}`, kept)]),
    promise(seen, ({ client }) => client),
    promise(`answers leave by ${edge.name}, from the address that was asked`, ({ answers }) => answers),
    ...(forwards.some(({ protocol }) => protocol === 'tcp')
      ? [promise('TCP segments fit the tunnels on the way', ({ fits }) => fits)]
      : []),
    ...(isStateless ? [promise(`${edge.name} tracks none of its connections`, ({ untracked }) => untracked)] : []),
    ...(inside.length === 0
      ? []
      : [
          concluded(
            ground,
            name,
            `${resource.hairpin ? '' : 'not '}reachable from ${edge.name} itself and from the target's network`,
            inside,
          ),
        ]),
  ];
}

/** Nobody who was tried came to the target: its share may be that small. */
function unseen(id: string): Judged {
  const finding: Finding = { holds: 'undecided', reason: `none of the clients that were tried comes to ${id}` };
  return { reaches: finding, client: fulfilled, answers: fulfilled, fits: fulfilled, untracked: fulfilled };
}

/** Those just outside `allow`, at the first and last port: each must end on the edge. */
function keptOut(ground: Ground, edge: CompiledHost, forwards: readonly ForwardShare[]): readonly Finding[] {
  const seen = new Set<string>();
  return forwards.flatMap((forward) => {
    const { allow } = forward.policy ?? {};
    if (allow === undefined) return [];
    return placesOf(forward, edge).flatMap(({ address, link }) =>
      clientsOf(ground, edge.name, link, address.family, allow).outside.flatMap((client) =>
        boundaries(forward).flatMap(([port]): readonly Finding[] => {
          const { protocol } = forward;
          const key = [address.value, client.value, protocol, port].join(' ');
          if (seen.has(key)) return [];
          seen.add(key);
          const from = { kind: 'beyond', host: edge.name, link, address: client } as const;
          const flow: Flow = { from, to: address, port, protocol };
          return [staysOut(ground, flow, printAddress(client))];
        }),
      ),
    );
  });
}

/** That a flow is not translated. `who` is for the reason. */
function staysOut({ network }: Ground, flow: Flow, who: string): Finding {
  const { request } = simulate(network, flow);
  if (request.verdict === 'undecided')
    return { holds: 'undecided', flow, ...(request.reason !== undefined && { reason: request.reason }) };
  if (request.verdict !== 'delivered' && request.verdict !== 'exits') return fulfilled;
  // What arrives untranslated meets whatever listens on the edge itself: not this forward.
  if (sameAddress(request.packet.destination, flow.to)) return fulfilled;
  return { holds: false, reason: `${who} comes in`, flow };
}

/** The addresses a forward listens at, as they stand on the edge: the one it names, or those its interface has now. */
export function placesOf(
  { match, to, publicLinks }: ForwardShare,
  edge: CompiledHost,
): readonly { readonly address: Address; readonly link: string }[] {
  const [link] = publicLinks;
  if (!('address' in match)) {
    return edge.publicAddresses
      .filter((open) => open.link === match.interface && open.inner.family === to.family)
      .map(({ inner }) => ({ address: inner, link: match.interface }));
  }
  return link === undefined ? [] : [{ address: match.address, link }];
}

/** The first and the last port with their targets, as what lies between is one interval; a range that is shifted is an element a port. */
export function boundaries({ ports, targetPorts }: ForwardShare): readonly (readonly [number, number])[] {
  const shift = targetPorts.first - ports.first;
  const wanted =
    shift === 0
      ? [...new Set([ports.first, ports.last])]
      : Array.from({ length: portCount(ports) }, (_, at) => ports.first + at);
  return wanted.map((port) => [port, port + shift]);
}

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

/** One packet for each family and protocol: the maps are those of strangers, the hook is another. */
function hairpinFindings(
  ground: Ground,
  edge: CompiledHost,
  forwards: readonly ForwardShare[],
  aims: Aims,
  reaches: boolean,
): readonly Finding[] {
  const seen = new Set<string>();
  return forwards.flatMap((forward): readonly Finding[] => {
    const [place] = placesOf(forward, edge);
    const kind = `${forward.to.family} ${forward.protocol}`;
    if (place === undefined || seen.has(kind)) return [];
    // A lease that the Internet does not know nobody asks for.
    if (!('address' in forward.match) && !isPublicAddress(place.address)) return [];
    // Those inside are clients like others: whether they are allowed is said in the forward.
    if (forward.policy?.allow !== undefined) return [];
    seen.add(kind);
    const asked = { to: place.address, port: forward.ports.first, protocol: forward.protocol };
    const own: Flow = { from: { kind: 'host', host: edge.name }, ...asked };
    const expectedOf = (target: ForwardTarget): Expected => aims(forward, target, edge.name);
    return [own, ...besideTarget(ground, edge.name, forward, asked)].map((flow) => {
      if (!reaches)
        return staysOut(ground, flow, flow === own ? `${edge.name} itself` : "a client in the target's network");
      const judged = judgeOnce(
        ground,
        edge.name,
        flow,
        expectedOf(targetOf(ground, forward, flow, expectedOf)),
        forward.targetPorts.first,
      );
      return judged.reaches.holds === true ? judged.answers : judged.reaches;
    });
  });
}

/** A client in the target's own network, where that is a network of the edge: not a target itself, which would ask itself. */
function besideTarget(
  { network, outsiders }: Ground,
  edge: string,
  forward: ForwardShare,
  asked: Omit<Flow, 'from'>,
): readonly Flow[] {
  const { link, to, publicLinks } = forward;
  if (link === undefined || isOwnLink(link) || publicLinks.includes(link)) return [];
  const address = neighbourOn(network, edge, link, to.family, outsiders[to.family], [
    to,
    ...targetsOf(forward).map((each) => each.to),
  ]);
  return [{ from: { kind: 'beyond', host: edge, link, address }, ...asked }];
}
