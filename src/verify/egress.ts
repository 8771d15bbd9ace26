/** What an EgressRoute promises, judged on what stands: nothing of its sources leaves by another link than its path, up or down. */
import type { Compiled } from '../compile/index.ts';
import type { Family, Prefix } from '../net/index.ts';
import { printPrefix, sameAddress } from '../net/index.ts';
import type { EgressRouteResource, ResourceSet } from '../resources/index.ts';
import {
  type Connections,
  type Flow,
  type Network,
  printFlow,
  simulate,
  type Trace,
  type TunnelPlug,
  type Way,
} from '../simulate/index.ts';
import { type Door, leavingFlows, unnamedBeside } from './egress-flows.ts';
import { helpAgainst } from './egress-help.ts';
import { isPlug, leakOf } from './egress-leak.ts';
import { type PathState, pathStates } from './egress-states.ts';
import { concluded, type Finding, fulfilled, type Ground, type Promised, type Vow } from './promise.ts';
import { egressVows } from './vows.ts';

/** One promise for each family and each state that its path may be in. */
export const egressPromises = (ground: Ground, set: ResourceSet, compiled: Compiled): readonly Promised[] =>
  [...(set.egress?.values() ?? [])].flatMap((route) => promisesOf(ground, route, compiled));

function promisesOf(ground: Ground, route: EgressRouteResource, compiled: Compiled): readonly Promised[] {
  const resource = `EgressRoute/${route.name}`;
  const plugs = plugsOf(route, compiled);
  const { from: sources } = route;
  const way = plugs.map(({ link, host }) => `${link} of ${host}`).join(' and ') || route.via.name;
  const unknown = (reason: string): readonly Promised[] => [
    concluded(ground, resource, egressVows.alone(4, way, 'at any time'), [{ holds: 'undecided', reason }]),
  ];
  if (sources === undefined) return unknown('which pods its labels or its pool choose, the cluster alone knows');
  if (plugs.length === 0) return unknown(`no host of it has a link of tunnel ${route.via.name}`);
  const all = pathStates(ground.network, plugs);
  // Who may leave directly while it is down promises nothing then.
  const states = route.whenDown === 'Direct' ? all.filter(({ when }) => when.endsWith(' up')) : all;
  const named = ([4, 6] as const).map((family) => sources.filter(({ address }) => address.family === family));
  return ([4, 6] as const).flatMap((family, index) => {
    const own = named[index] ?? [];
    const doors = leavingFlows(ground, named[1 - index] ?? [], [], family === 4 ? 6 : 4).doors;
    const beside = own.length > 0 ? [] : unnamedBeside(ground.network, doors, family);
    const who = { sources: own.length > 0 ? own : beside, isNamed: own.length > 0 };
    if (who.sources.length === 0) return [];
    return states.map((state): Promised => {
      const vow: Vow = egressVows.alone(family, way, state.when);
      return concluded(ground, resource, vow, findingsIn(ground, { route, plugs, state, family, ...who }));
    });
  });
}

/** By their hosts' links. */
const plugsOf = ({ atHosts, via }: EgressRouteResource, compiled: Compiled): readonly TunnelPlug[] =>
  atHosts.flatMap((host): readonly TunnelPlug[] => {
    if (via.kind === 'interface') return [{ host, link: via.name }];
    const link = compiled.hosts.get(host)?.share.tunnels.find(({ name }) => name === via.name)?.link;
    return link === undefined ? [] : [{ host, link }];
  });

interface Asked {
  readonly route: EgressRouteResource;
  readonly plugs: readonly TunnelPlug[];
  readonly state: PathState;
  readonly family: Family;
  readonly sources: readonly Prefix[];
  readonly isNamed: boolean;
}

function findingsIn(ground: Ground, asked: Asked): readonly Finding[] {
  const { route, sources, family, state } = asked;
  const { flows, doors, doubts } = leavingFlows(ground, sources, route.except, family);
  const findings = flows.flatMap((flow) => [
    judge(asked, doors, flow, undefined),
    ...standing(ground, asked, doors, flow),
  ]);
  const leak = findings.find(({ holds }) => holds === false);
  const open = doubts.map((reason): Finding => ({ holds: 'undecided', reason }));
  if (leak?.flow === undefined) return [...findings, ...open];
  const help = helpAgainst(state.network, leak, asked, (network) => isTight(network, asked, doors, leak));
  return [{ ...leak, reason: `${leak.reason ?? ''}${help === undefined ? '' : `; what would help: ${help}`}` }];
}

/** A packet of a connection that was opened while the path was as it stands. */
function standing(ground: Ground, asked: Asked, doors: readonly Door[], flow: Flow): readonly Finding[] {
  if (flow.protocol !== 'tcp' && flow.protocol !== 'udp') return [];
  const [now] = pathStates(ground.network, asked.plugs);
  if (now === undefined || !now.when.endsWith(' up')) return [];
  return [judge(asked, doors, { ...flow, stands: true }, () => openedBy(now.network, asked, flow))];
}

/** What hosts track once the flow was answered from where it went. */
function openedBy(network: Network, { plugs, state }: Asked, flow: Flow): Connections {
  const connections: Connections = new Map();
  const { request, reply } = simulate(network, flow, { connections, hops: true });
  const out = plugs.find(({ host, link }) => host === request.host && link === request.link);
  if (reply === undefined && request.verdict === 'exits' && out !== undefined) {
    const { source, destination, sourcePort = 0, destinationPort = 0 } = request.packet;
    const back: Flow = {
      from: { kind: 'beyond', ...out, address: destination },
      ...{ to: source, port: sourcePort, sourcePort: destinationPort, protocol: flow.protocol },
    };
    simulate(network, back, { connections });
  }
  state.befalls(connections);
  return connections;
}

function judge(
  { plugs, state: { network, when }, isNamed, sources }: Asked,
  doors: readonly Door[],
  flow: Flow,
  opened: (() => Connections) | undefined,
): Finding {
  const connections = opened?.();
  const trace = simulate(network, flow, { hops: true, ...(connections && { connections }) });
  const { request } = trace;
  const leak = leakOf(request, plugs, doors);
  const told = { flow, network, ...(opened && { opened }) };
  if (leak !== undefined) {
    const kind = opened === undefined ? '' : 'of a connection that was opened before, ';
    const as = leak.source === printFlow(flow) ? '' : ` as ${leak.source}`;
    const unnamed = isNamed
      ? ''
      : ` (nobody named ${sources.map(printPrefix).join(', ')}, which is behind the same link)`;
    return {
      ...{ holds: false, ...told },
      reason: `${printFlow(flow)}: ${kind}leaves ${leak.host} by ${leak.link}${as} ${when}${unnamed}: ${decidedBy(trace, leak.host)}`,
    };
  }
  const isOpen =
    request.verdict === 'undecided' &&
    !request.crossings.some(({ from }) => isPlug(plugs, from)) &&
    !isBroadcast(network, request);
  return isOpen ? { holds: 'undecided', reason: `${printFlow(flow)}: ${request.reason ?? ''}`, ...told } : fulfilled;
}

/** What is a broadcast where it is goes no farther (ip_route_input_slow). */
const isBroadcast = (network: Network, { host, packet: { destination } }: Way): boolean =>
  network.hosts
    .get(host ?? '')
    ?.state.routes.some(
      (route) => route.type === 'broadcast' && sameAddress(route.destination.address, destination),
    ) === true;

/** The route by which it left, and the rule that chose it. */
const decidedBy = ({ request }: Trace, host: string): string =>
  request.hops
    .filter((hop) => hop.host === host && hop.stage === 'route' && hop.decidedBy !== '')
    .map((hop) => hop.decidedBy)
    .at(-1) ?? 'no rule of it says otherwise';

/** Whether what leaks leaks no more on this network. */
function isTight(
  network: Network,
  { plugs, state }: Asked,
  doors: readonly Door[],
  { flow, opened }: Finding,
): boolean {
  if (flow === undefined) return false;
  const connections = opened?.();
  const { request } = simulate(network, flow, { hops: true, ...(connections && { connections }) });
  return state.when !== '' && request.verdict !== 'undecided' && leakOf(request, plugs, doors) === undefined;
}
