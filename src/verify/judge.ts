/** What one flow to a public port says of a forward's promises. */
import { type Address, printAddress, sameAddress } from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import { type Flow, portClass, printPacket, SEGMENT_HEADERS, simulate, type Trace } from '../simulate/index.ts';
import { type Finding, fulfilled, type Ground, type Judged } from './promise.ts';

/** Where the request should end: at which address, on which host, or beyond it by a link: on a machine that may be no host of ours. */
export interface Expected {
  readonly host: string;
  readonly beyond?: { readonly link?: string };
  readonly address: Address;
  readonly masquerade: boolean;
  /** The address the edge translates to, and the one the node moves it on to. */
  readonly aims: readonly Address[];
}

/** Forwards between the same addresses whose ports nobody tells apart are judged by one of them, hops through other hosts excepted. */
export function judgeOnce(ground: Ground, edge: string, flow: Flow, expected: Expected, targetPort: number): Judged {
  const source = flow.from.kind === 'beyond' ? flow.from.address : flow.to;
  const hosts = expected.host === edge ? [edge] : [edge, expected.host];
  const ports = { port: flow.port, aimPort: targetPort };
  const same = portClass(ground.network, hosts, {
    from: source,
    to: flow.to,
    protocol: flow.protocol,
    aims: expected.aims,
    ...ports,
  });
  if (same === undefined) return judge(ground, flow, expected, targetPort).judged;
  const { kind } = flow.from;
  const ends = [
    kind,
    kind === 'beyond' ? flow.from.link : '',
    source.value,
    flow.protocol,
    expected.masquerade,
    ...hosts,
  ];
  const key = [...ends, flow.to.value, ...expected.aims.map(({ value }) => value), same].join(' ');
  const known = ground.judged.get(key);
  if (known !== undefined) return known;
  const { judged, through } = judge(ground, flow, expected, targetPort);
  if (through.every((host) => hosts.includes(host))) ground.judged.set(key, judged);
  return judged;
}

function judge(
  ground: Ground,
  flow: Flow,
  expected: Expected,
  targetPort: number,
): { readonly judged: Judged; readonly through: readonly string[] } {
  const trace = simulate(ground.network, flow);
  const through = [trace.request, trace.reply, trace.next].flatMap((way) => way?.through ?? []);
  const reaches = reachFinding(flow, trace, expected, targetPort);
  if (reaches.holds !== true) {
    const unknown: Finding = { holds: 'undecided', reason: 'the request does not reach the target' };
    return { judged: { reaches, client: unknown, answers: unknown, fits: unknown }, through };
  }
  const fits = fitFinding(flow, trace);
  if (flow.from.kind === 'host') {
    return { judged: { reaches, client: fulfilled, answers: ownAnswerFinding(flow, trace), fits }, through };
  }
  const client = clientFinding(flow, trace, expected);
  return { judged: { reaches, client, answers: answerFinding(ground, flow, trace), fits }, through };
}

function reachFinding(
  flow: Flow,
  { request }: Trace,
  { host, beyond, address }: Expected,
  targetPort: number,
): Finding {
  const { verdict, packet, reason, link } = request;
  const isThere = sameAddress(packet.destination, address) && packet.destinationPort === targetPort;
  if (verdict === 'delivered' && request.host !== undefined) {
    // What the target host does with it by itself (a NodePort, a container's published port) is its own.
    if (isThere || (request.host === host && beyond === undefined)) return fulfilled;
    return { holds: false, reason: `${printPacket(packet)} is delivered on ${request.host}`, flow };
  }
  const said = reason === undefined ? {} : { reason };
  if (verdict === 'undecided') return { holds: 'undecided', flow, ...said };
  if (verdict !== 'exits' || request.host !== host) return { holds: false, flow, ...said };
  // Moved on by others' rules on the target host, to where the model does not see.
  if (beyond === undefined) return { holds: 'undecided', flow, ...said };
  const byLink = beyond.link === undefined || beyond.link === link;
  return isThere && byLink ? fulfilled : { holds: false, flow, ...said };
}

function clientFinding(flow: Flow, { request }: Trace, { masquerade }: Expected): Finding {
  const asked = flow.from.kind === 'beyond' ? flow.from.address : undefined;
  const isKept = asked !== undefined && sameAddress(request.packet.source, asked);
  if (isKept !== masquerade) return fulfilled;
  return { holds: false, reason: `the target sees ${printAddress(request.packet.source)}`, flow };
}

function answerFinding({ network }: Ground, flow: Flow, trace: Trace): Finding {
  const { works, request, reply, next } = trace;
  if (works !== true) {
    const last = next ?? reply;
    const reason =
      last === undefined
        ? `how ${printAddress(request.packet.destination)} answers is not known: it is no host of ours`
        : (last.reason ?? `the client gets ${printPacket(last.packet)}`);
    return { holds: works, reason, flow };
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

/** Each side's largest segment must fit the tunnels on the way to it: too large ones vanish where no ICMP error comes back. */
function fitFinding(flow: Flow, { request, reply }: Trace): Finding {
  const headers = SEGMENT_HEADERS[flow.to.family];
  const isWide = (maxseg: number | undefined, mtu: number | undefined): maxseg is number =>
    maxseg !== undefined && mtu !== undefined && maxseg + headers > mtu;
  const { maxseg } = request.packet;
  const answered = reply?.packet.maxseg;
  const wide = (who: string, size: number, mtu: number | undefined): Finding => ({
    ...{ holds: false, flow },
    reason: `${who} may send segments of ${size} bytes into a tunnel of MTU ${mtu}`,
  });
  if (isWide(maxseg, reply?.tunnelMtu)) return wide('the target', maxseg, reply?.tunnelMtu);
  return isWide(answered, request.tunnelMtu) ? wide('the client', answered, request.tunnelMtu) : fulfilled;
}

const ownAnswerFinding = (flow: Flow, { works, request, reply }: Trace): Finding =>
  works === true
    ? fulfilled
    : { holds: works, flow, reason: (reply ?? request).reason ?? 'the answer is not for who asked' };
