/** Path MTU discovery: a packet as large as its sender's way carries arrives, or its sender is told what fits, and that arrives. */
import {
  type ChanceTrace,
  type Connections,
  type Flow,
  largestPackets,
  type Network,
  simulate,
  startDraws,
  type Trace,
} from '../simulate/index.ts';
import { type Finding, fulfilled, worstOf } from './promise.ts';

/**
 * What the largest packets of a flow say that reaches its target, none of which may be fragmented: of the client's, and where the target's
 * answers come home of those. How much a client of TCP sends at once the answer says.
 */
export function sizeFinding(network: Network, flow: Flow, trace: ChanceTrace): Finding {
  const { works, request, reply, ways } = trace;
  const largest = largestPackets(network, flow, trace);
  const through = new Set([...request.through, ...(reply?.through ?? [])]);
  const narrowest = narrowestOf(network, through);
  const isAnswered = works === true;
  const stands = { ...flow, stands: true as const };
  const sides = [
    ...(isAnswered || flow.protocol !== 'tcp' ? [{ begins: isAnswered ? stands : flow, size: largest.client }] : []),
    ...(isAnswered ? [{ begins: answering(flow, trace), size: largest.target }] : []),
  ].filter(({ size }) => size > narrowest);
  if (sides.length === 0) return fulfilled;
  const connections: Connections = new Map();
  const draws = () => ({ draws: startDraws(ways) });
  simulate(network, flow, { connections, ...draws() });
  const send = (each: Flow): Trace => simulate(network, each, { connections, hops: true, ...draws() });
  return worstOf(sides.map(({ begins, size }) => discovery(begins, size, flow, send))) ?? fulfilled;
}

/** What any link or route of the hosts carries, whichever is taken; a smaller packet is asked nothing. */
function narrowestOf({ hosts }: Network, names: ReadonlySet<string>): number {
  let narrowest = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const host = hosts.get(name);
    for (const { mtu } of host?.links.values() ?? []) narrowest = Math.min(narrowest, mtu);
    for (const { mtu } of host?.state.routes ?? []) narrowest = Math.min(narrowest, mtu ?? narrowest);
  }
  return narrowest;
}

/** What the target sends to the client once it was asked. */
const answering = (flow: Flow, { request: { verdict, host, link, packet } }: Trace): Flow => {
  const at = { host: host ?? '', address: packet.destination };
  return {
    from: verdict === 'delivered' ? { kind: 'host', ...at } : { kind: 'beyond', link: link ?? '', ...at },
    ...{ to: packet.source, port: packet.sourcePort, sourcePort: packet.destinationPort },
    ...{ protocol: flow.protocol, stands: true },
  };
};

/** How often a sender is told of a link that is narrower still. */
const MOST_STEPS = 5;

/** Sends as much as is said to fit, until it does. */
function discovery(small: Flow, largest: number, before: Flow, send: (flow: Flow) => Trace): Finding {
  let size = largest;
  for (let step = 0; step < MOST_STEPS; step++) {
    const flow: Flow = { ...small, size, df: true };
    const { request, notice } = send(flow);
    const { verdict, cause, reason = '' } = request;
    const finding = (holds: Finding['holds'], why: string): Finding => ({ holds, reason: why, flow, after: [before] });
    if (verdict === 'delivered' || verdict === 'exits') return fulfilled;
    if (verdict === 'undecided') return finding('undecided', reason);
    // What stops the small ones too has nothing to do with their size, and is told by another promise.
    if (cause?.kind !== 'tooBig') return isThrough(send(small)) ? finding(false, reason) : fulfilled;
    const told = request.tells !== undefined || !isSender(small, cause.host) ? hearing(notice) : TOLD;
    if (told.holds !== true) return finding(told.holds, `${reason}; ${told.reason}`);
    if (cause.mtu >= size) return finding('undecided', reason);
    size = cause.mtu;
  }
  return fulfilled;
}

const isThrough = ({ request: { verdict } }: Trace): boolean => verdict === 'delivered' || verdict === 'exits';

/** Its own kernel refuses to send what does not fit (EMSGSIZE), or tells its socket. */
const isSender = ({ from }: Flow, host: string): boolean => from.kind === 'host' && from.host === host;

const TOLD: Pick<Finding, 'holds' | 'reason'> = { holds: true };

/** Whether the sender makes something of what it is told. */
function hearing(notice: Trace['notice']): Pick<Finding, 'holds' | 'reason'> {
  if (notice === undefined) return { holds: false, reason: 'its sender is told nothing' };
  const { way, unheard } = notice;
  const isThere = way.verdict === 'delivered';
  if (isThere && unheard === undefined) return TOLD;
  const isOpen = way.verdict === 'undecided' || way.verdict === 'exits';
  return {
    holds: isOpen ? 'undecided' : false,
    reason: `that does not reach its sender: ${unheard ?? way.reason ?? 'it is lost'}`,
  };
}
