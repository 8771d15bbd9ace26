/** What one flow to a public port says of a forward's promises. */
import type { ForwardShare, ForwardTarget } from '../host/index.ts';
import { type Address, printAddress, sameAddress } from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import {
  type ChanceTrace,
  type Flow,
  type Network,
  portClass,
  printPacket,
  simulate,
  simulateAll,
  startDraws,
  type Trace,
  type Way,
  wideSegments,
} from '../simulate/index.ts';
import { refusedBy } from './excuse.ts';
import { type Finding, fulfilled, type Ground, type Judged, worstOf } from './promise.ts';
import { sizeFinding } from './sizes.ts';

/** Where the request should end: at which address, on which host, or beyond it by a link: on a machine that may be no host of ours. */
export interface Expected {
  readonly host: string;
  readonly beyond?: { readonly link?: string };
  readonly address: Address;
  readonly masquerade: boolean;
  /** The address the edge translates to, and the one the node moves it on to. */
  readonly aims: readonly Address[];
}

/** Where the packets of a forward come to rest that go to one of its targets by an edge. */
export type Aims = (forward: ForwardShare, target: ForwardTarget, edge: string) => Expected;

/** Forwards between the same addresses whose ports nobody tells apart are judged by one of them, hops through other hosts excepted. */
export function judgeOnce(
  ground: Ground,
  edge: string,
  flow: Flow,
  expected: Expected,
  targetPort: number,
  same: string | undefined = classOf(ground, edge, flow, expected, targetPort),
): Judged {
  const source = flow.from.address ?? flow.to;
  const hosts = hostsOf(edge, flow, expected);
  if (same === undefined) return judge(ground, flow, expected, targetPort);
  const { from, to, sourcePort = '', protocol } = flow;
  const where = from.kind === 'beyond' ? `beyond ${from.link}` : `host ${from.host}`;
  let key = `${where} ${source.value} ${sourcePort} ${protocol} ${expected.masquerade} ${hosts.join(' ')} ${to.value}`;
  for (const { value } of expected.aims) key += ` ${value}`;
  key += ` ${same}`;
  const known = ground.judged.get(key);
  if (known !== undefined) return known;
  const judged = judge(ground, flow, expected, targetPort);
  if (judged.through.every((host) => hosts.includes(host))) ground.judged.set(key, judged);
  return judged;
}

/** Most often all three are one: no set is made of them. */
const hostsOf = (edge: string, { from }: Flow, { host }: Expected): readonly string[] =>
  edge === host && edge === from.host ? [edge] : [...new Set([edge, host, from.host])];

/**
 * classOf, found once for all who ask a resource so: its text depends on who asks on no host where rules do not ask for clients and ports
 * together (`isAlike`), unless one more host is on the way.
 */
export function alikeClass(
  ground: Ground,
  edge: string,
  flow: Flow,
  expected: Expected,
  { targetPort, isAlike }: { readonly targetPort: number; readonly isAlike: boolean },
): string | undefined {
  const { from, to, port, protocol, sourcePort } = flow;
  const isOnTheWay = from.host === edge || from.host === expected.host;
  if (!isAlike || !isOnTheWay || sourcePort !== undefined) return classOf(ground, edge, flow, expected, targetPort);
  let key = `${protocol} ${port} ${targetPort} ${expected.host} ${to.value}`;
  for (const { value } of expected.aims) key += ` ${value}`;
  const known = ground.classes.get(key);
  if (known !== undefined || ground.classes.has(key)) return known;
  const same = classOf(ground, edge, flow, expected, targetPort);
  ground.classes.set(key, same);
  return same;
}

/** What ports have in common with others, by the edge, the target and who asks (portClass). */
const classOf = (
  { network }: Ground,
  edge: string,
  flow: Flow,
  expected: Expected,
  targetPort: number,
): string | undefined =>
  portClass(network, hostsOf(edge, flow, expected), {
    from: flow.from.address ?? flow.to,
    ...{ to: flow.to, protocol: flow.protocol, aims: expected.aims, port: flow.port, aimPort: targetPort },
    ...(flow.sourcePort !== undefined && { sourcePort: flow.sourcePort }),
  });

function judge(ground: Ground, flow: Flow, expected: Expected, targetPort: number): Judged {
  const { traces, complete } = simulateAll(ground.network, flow);
  const each = traces.map((trace) => judgeTrace(ground, flow, trace, expected, targetPort));
  const beyond: readonly Finding[] = complete ? [] : [{ holds: 'undecided', reason: 'chance has too many ways', flow }];
  const worst = (kind: Exclude<keyof Judged, 'through'>): Finding =>
    worstOf([...each.map((judged, index) => byWay(judged[kind], traces[index])), ...beyond]) ?? fulfilled;
  const through = traces.flatMap(({ request, reply, next }) =>
    [request, reply, next].flatMap((way) => way?.through ?? []),
  );
  return {
    ...{ reaches: worst('reaches'), client: worst('client'), answers: worst('answers') },
    ...{ fits: worst('fits'), sized: worst('sized'), untracked: worst('untracked'), through: [...new Set(through)] },
  };
}

const byWay = (finding: Finding, trace: ChanceTrace | undefined): Finding =>
  finding.flow === undefined || trace === undefined || trace.ways.length === 0
    ? finding
    : { ...finding, ways: trace.ways };

function judgeTrace(
  ground: Ground,
  flow: Flow,
  trace: ChanceTrace,
  expected: Expected,
  targetPort: number,
): Omit<Judged, 'through'> {
  const reaches = reachFinding(ground, flow, trace, expected, targetPort);
  if (reaches.holds !== true) {
    const unknown: Finding = { holds: 'undecided', reason: 'the request does not reach the target' };
    return { reaches, client: unknown, answers: unknown, fits: unknown, sized: unknown, untracked: unknown };
  }
  const fits = fitFinding(ground, flow, trace);
  const { host: edge } = flow.from;
  const untracked: Finding = trace.trackedBy.includes(edge)
    ? { holds: false, reason: `${edge} tracks the connection`, flow }
    : fulfilled;
  if (flow.from.kind === 'host')
    return { reaches, client: fulfilled, answers: ownAnswerFinding(flow, trace), fits, sized: fulfilled, untracked };
  // Without conntrack an error speaks of packets that nobody sent so (docs/reference.md, tracking).
  const sized = untracked.holds === true ? fulfilled : sizeFinding(ground.network, flow, trace);
  const client = clientFinding(ground, flow, trace, expected);
  return { reaches, client, answers: answerFinding(ground, flow, trace), fits, sized, untracked };
}

function reachFinding(
  { network }: Ground,
  flow: Flow,
  { request, reply }: Trace,
  { host, beyond, address, aims }: Expected,
  targetPort: number,
): Finding {
  const { verdict, packet, arrived, reason, link } = request;
  const isThere = sameAddress(packet.destination, address) && packet.destinationPort === targetPort;
  // What the target host does with it by itself (a NodePort, a Service's address, a container's published port) is its own.
  const isHanded =
    request.host === host &&
    (beyond === undefined ||
      (arrived.destinationPort === targetPort && aims.some((aim) => sameAddress(aim, arrived.destination))));
  if (verdict === 'delivered' && request.host !== undefined) {
    if (isThere || isHanded) return fulfilled;
    return { holds: false, reason: `${printPacket(packet)} is delivered on ${request.host}`, flow };
  }
  const said = reason === undefined ? {} : { reason };
  if (verdict === 'undecided') return { holds: 'undecided', flow, ...said };
  if (verdict !== 'exits' || request.host !== host)
    return { holds: false, flow, ...said, ...refusal(network, flow, request) };
  const isByLink = beyond !== undefined && (beyond.link === undefined || beyond.link === link);
  if (isThere && isByLink) return fulfilled;
  if (!isHanded) return { holds: false, flow, ...said };
  // Moved on by others' rules on the target host: to one who is known to answer, or to where the model does not see.
  return reply === undefined ? { holds: 'undecided', flow, ...said } : fulfilled;
}

function clientFinding(
  { network }: Ground,
  flow: Flow,
  { request, ways }: ChanceTrace,
  { host, masquerade }: Expected,
): Finding {
  const asked = flow.from.kind === 'beyond' ? flow.from.address : undefined;
  const isKept = asked !== undefined && sameAddress(request.packet.source, asked);
  if (isKept !== masquerade) return fulfilled;
  const seen = `the target sees ${printAddress(request.packet.source)}`;
  if (masquerade) return { holds: false, reason: seen, flow };
  const { hops } = simulate(network, flow, { hops: true, draws: startDraws(ways) }).request;
  const hiding = hops.findLast((hop) => hop.stage === 'postrouting' && hop.decidedBy !== '');
  if (hiding?.host !== host) return { holds: false, reason: seen, flow };
  const hint = KUBE_PROXY.test(hiding.decidedBy)
    ? '; ClusterIPs and externalTrafficPolicy: Cluster ask for that, NodePorts and load-balancer addresses with Local do not'
    : '';
  return { holds: false, reason: `${seen}, for ${host} hides the client: ${hiding.decidedBy}${hint}`, flow };
}

/** The rule of kube-proxy that hides clients, in its modes iptables and nftables. */
const KUBE_PROXY = /ip6? (?:nat KUBE-POSTROUTING|kube-proxy masquerading): /;

function answerFinding({ network }: Ground, flow: Flow, trace: Trace): Finding {
  const { works, request, reply, next } = trace;
  if (works !== true) {
    const last = next ?? reply;
    const reason =
      last === undefined
        ? `how ${printAddress(request.packet.destination)} answers is not known: it is no host of ours`
        : (last.reason ?? `the client gets ${printPacket(last.packet)}`);
    return { holds: works, reason, flow, ...(works === false && last !== undefined && refusal(network, flow, last)) };
  }
  const node = request.verdict === 'delivered' ? network.hosts.get(request.host ?? '') : undefined;
  if (flow.protocol === 'tcp' || node === undefined) return fulfilled;
  // A server on the wildcard address that does not ask where a datagram came to (IP_PKTINFO) has the kernel choose its source.
  const way = lookupRoute(node.routes, { destination: request.packet.source });
  const source = 'source' in way ? way.source : undefined;
  if (source === undefined || sameAddress(source, request.packet.destination)) return fulfilled;
  return {
    holds: 'undecided',
    reason: `a UDP server on ${node.name} that is bound to no address answers from ${printAddress(source)}, and was asked at ${printAddress(request.packet.destination)}`,
    flow,
  };
}

const refusal = (network: Network, { from }: Flow, way: Way): Pick<Finding, 'refusedBy'> => {
  const by = from.kind === 'beyond' ? refusedBy(network, from.address, way) : undefined;
  return by === undefined ? {} : { refusedBy: by };
};

/** Each side's largest segment must fit the tunnels on the way to it. */
function fitFinding({ network }: Ground, flow: Flow, trace: Trace): Finding {
  const wide = wideSegments(network, flow, trace);
  if (wide === undefined) return fulfilled;
  const { by, size, mtu } = wide;
  return { holds: false, flow, reason: `the ${by} may send segments of ${size} bytes into a tunnel of MTU ${mtu}` };
}

const ownAnswerFinding = (flow: Flow, { works, request, reply }: Trace): Finding =>
  works === true
    ? fulfilled
    : { holds: works, flow, reason: (reply ?? request).reason ?? 'the answer is not for who asked' };
