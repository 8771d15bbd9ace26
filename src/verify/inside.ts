/** Who asks at a public address from inside: the edge itself, neighbours of a target, and a target that asks for its own service. */
import type { CompiledHost } from '../compile/index.ts';
import { type ForwardShare, type ForwardTarget, isOwnLink, targetsOf } from '../host/index.ts';
import { type Address, containsAddress, isPublicAddress, printAddress, sameAddress } from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import {
  type Crossed,
  type Flow,
  hidesRouter,
  portClass,
  simulate,
  startDraws,
  type Trace,
} from '../simulate/index.ts';
import { targetOf } from './balance.ts';
import { type Aims, alikeClass, type Expected, judgeOnce } from './judge.ts';
import { neighbourOn } from './outsider.ts';
import { firstAbove, placesOf, portsOf } from './places.ts';
import { portKindsAt } from './ports.ts';
import { type Finding, fulfilled, type Ground, type Judged, worstOf } from './promise.ts';
import { isStrictCheck } from './strict-check.ts';

export interface AskedInside {
  readonly edge: CompiledHost;
  /** Of one resource. */
  readonly forwards: readonly ForwardShare[];
  readonly aims: Aims;
  /** Whether they are to reach it. */
  readonly reaches: boolean;
}

interface Asker {
  readonly flow: Flow;
  /** As the edge sees it. */
  readonly source: Address;
  readonly who: string;
  /** It comes in by a public link, as strangers do, whatever is said of those inside. */
  readonly isOutside: boolean;
}

/** One packet of each asker for each family, protocol and kind of port: the maps are those of strangers, the hook is another. */
export function askedInside(
  ground: Ground,
  { edge, forwards, aims, reaches }: AskedInside,
): { readonly inside: readonly Finding[]; readonly outside: readonly Judged[] } {
  const seen = new Set<string>();
  const inside: Finding[] = [];
  const outside: Judged[] = [];
  for (const forward of forwards) {
    const [place] = placesOf(forward, edge);
    if (place === undefined) continue;
    // A lease that the Internet does not know nobody asks for.
    if (!('address' in forward.match) && !isPublicAddress(place.address)) continue;
    const expectedOf = (target: ForwardTarget): Expected => aims(forward, target, edge.name);
    const { asked, others, isAlike } = askersOf(ground, { edge, forward, to: place.address, expectedOf }, seen);
    for (const reason of others) inside.push({ holds: 'undecided', reason });
    const allow = forward.policy?.allow;
    for (const { flow, source, who, isOutside, targetPort } of asked) {
      if (!reaches && !isOutside) {
        inside.push(staysOut(ground, flow, who));
        continue;
      }
      // Those inside are clients like others.
      if (allow?.some((each) => containsAddress(each, source)) === false) {
        inside.push(staysShut(ground, flow, who));
        continue;
      }
      const expected = expectedOf(targetOf(ground, forward, flow, expectedOf));
      const same = alikeClass(ground, edge.name, flow, expected, { targetPort, isAlike });
      const judged = judgeOnce(ground, edge.name, flow, expected, targetPort, same);
      const worst = worstOf([judged.reaches, judged.answers, judged.fits]) ?? fulfilled;
      if (worst.holds === false && isStrictCheck(flow, edge.name, traceOf(ground, flow, worst))) continue;
      if (reaches) inside.push(worst);
      else outside.push(judged);
    }
  }
  return { inside, outside };
}

/** Of the worst that was found of it. */
const traceOf = ({ network }: Ground, flow: Flow, { ways }: Finding): Trace =>
  simulate(network, flow, ways === undefined ? {} : { draws: startDraws(ways) });

interface AskedForward {
  readonly edge: CompiledHost;
  readonly forward: ForwardShare;
  readonly to: Address;
  readonly expectedOf: (target: ForwardTarget) => Expected;
}

/** Who asks at a forward, and was not asked for at a port of the same kind before; `others`: why not all are told. */
function askersOf(
  ground: Ground,
  { edge, forward, to, expectedOf }: AskedForward,
  seen: Set<string>,
): {
  readonly asked: readonly (Asker & { readonly targetPort: number })[];
  readonly others: readonly string[];
  readonly isAlike: boolean;
} {
  const { protocol } = forward;
  // That a lease belongs to the edge its nodes do not know.
  const targets = targetsOf(forward).map((target) => expectedOf(target).host);
  const hosts = 'address' in forward.match ? targets : [];
  const { cuts, isAlike } = portKindsAt(ground, [...new Set([edge.name, ...targets])].sort());
  const { ports, isCut } = portsOf(forward, cuts);
  const asked = ports.flatMap(([port, targetPort]) => {
    const kind = `${to.family} ${protocol} ${firstAbove(cuts, port)} ${firstAbove(cuts, targetPort)}`;
    const isFirst = (who: string): boolean => {
      const isNew = !seen.has(`${kind} ${who}`);
      seen.add(`${kind} ${who}`);
      return isNew;
    };
    const question = { to, port, protocol };
    const askers = [
      ...(isFirst(edge.name) ? [itself(ground, edge, question), ...besideTarget(ground, edge, forward, question)] : []),
      ...hosts.filter(isFirst).flatMap((host) => fromTarget(ground, edge, host, question)),
    ];
    return askers.map((each) => ({ ...each, targetPort }));
  });
  return { asked, others: isCut ? [`too many ports of ${protocol} are told apart`] : [], isAlike };
}

const itself = (ground: Ground, { name: host }: CompiledHost, asked: Omit<Flow, 'from'>): Asker => ({
  flow: { from: { kind: 'host', host }, ...asked },
  source: sourceTo(ground, host, asked.to) ?? asked.to,
  ...{ who: `${host} itself`, isOutside: false },
});

/** The address by which a host asks there, where it has a choice. */
function sourceTo({ network, sources }: Ground, host: string, destination: Address): Address | undefined {
  const key = `${host} ${destination.family} ${destination.value}`;
  if (sources.has(key)) return sources.get(key);
  const routes = network.hosts.get(host)?.routes;
  const way = routes === undefined ? undefined : lookupRoute(routes, { destination });
  const source = way !== undefined && 'source' in way ? way.source : undefined;
  sources.set(key, source);
  return source;
}

/** A client in the target's own network, where that is a network of the edge: not a target itself, which would ask itself. */
function besideTarget(
  { network, outsiders }: Ground,
  { name: edge }: CompiledHost,
  forward: ForwardShare,
  asked: Omit<Flow, 'from'>,
): readonly Asker[] {
  const { link, to, publicLinks } = forward;
  if (link === undefined || isOwnLink(link) || publicLinks.includes(link)) return [];
  const address = neighbourOn(network, edge, link, to.family, outsiders[to.family], [
    to,
    ...targetsOf(forward).map((each) => each.to),
  ]);
  // A network of two has no place for a third.
  if (sameAddress(address, outsiders[to.family])) return [];
  const flow: Flow = { from: { kind: 'beyond', host: edge, link, address }, ...asked };
  return [{ flow, source: address, who: "a client in the target's network", isOutside: false }];
}

/** A target's host, where what it asks of the edge comes there as it was sent. */
function fromTarget(
  ground: Ground,
  { name: edge, publicAddresses }: CompiledHost,
  host: string,
  asked: Omit<Flow, 'from'>,
): readonly Asker[] {
  const { network } = ground;
  const to = publicAddresses.find(({ inner }) => sameAddress(inner, asked.to))?.outer ?? asked.to;
  const flow: Flow = { from: { kind: 'host', host }, ...asked, to };
  const entry = entryTo(ground, edge, host, flow);
  if (entry?.to === undefined || hidesRouter(entry)) return [];
  const { source } = entry.packet;
  // What two hosts bear neither has on the Internet.
  if ([...network.hosts.values()].filter(({ isLocal }) => isLocal(source)).length > 1) return [];
  const isOutside = network.hosts.get(edge)?.openLinks.has(entry.to.link) === true;
  return [{ flow, source, who: host, isOutside }];
}

/** How what a host asks comes in at the edge, if it does: once for all ports that nobody before the edge tells apart. */
function entryTo(ground: Ground, edge: string, host: string, flow: Flow): Crossed | undefined {
  const { network, entries } = ground;
  const { to, protocol, port } = flow;
  const from = sourceTo(ground, host, to);
  const same = from && portClass(network, [host], { from, to, protocol, port, aims: [], aimPort: port });
  const key = same === undefined ? undefined : [edge, host, to.value, protocol, same].join(' ');
  if (key !== undefined && entries.has(key)) return entries.get(key);
  const { crossings, through } = simulate(network, flow, { hops: true }).request;
  const entry = crossings.find((each) => each.to?.host === edge);
  // Of hosts between the two the class says nothing.
  const isDirect = entry === undefined ? through.every((each) => each === host) : entry === crossings[0];
  if (key !== undefined && isDirect) entries.set(key, entry);
  return entry;
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

/** That a flow ends on its way: nor does it meet what listens on the edge itself at a port that is forwarded. */
export function staysShut({ network }: Ground, flow: Flow, who: string): Finding {
  const { verdict, reason, host, packet } = simulate(network, flow).request;
  if (verdict === 'undecided') return { holds: 'undecided', flow, ...(reason !== undefined && { reason }) };
  if (verdict !== 'delivered' && verdict !== 'exits') return fulfilled;
  const where = sameAddress(packet.destination, flow.to) ? `as far as ${printAddress(flow.to)} on ${host}` : 'in';
  return { holds: false, reason: `${who} comes ${where}`, flow };
}
