/** A packet, its answer and the packet after that, through the network of hosts. */
import { isPublicAddress, printAddress } from '../net/index.ts';
import { answers, answerTo, type Start } from './answer.ts';
import { startOf, unsent } from './begin.ts';
import { crossBridge, looksInto } from './bridged.ts';
import { carriersOf, sawHandshake } from './carrier.ts';
import type { Draws } from './chance.ts';
import type { ConnectionTable, FreePort, Tracked } from './connections.ts';
import { cross } from './crossing.ts';
import { packetOf, TCP_FLAGS } from './flow-packet.ts';
import { DEFAULT_TTL, type Left, receive, send } from './host-path.ts';
import { isOverlay, type Network, type SimulatedHost, type TunnelPlug } from './network.ts';
import { limitOf, misunderstood, noticePacket, printNotice } from './notice.ts';
import { familyOf, isIcmp, type Packet, printPacket } from './packet.ts';
import type { Passage } from './passage.ts';
import { hear } from './sockets.ts';
import { startTable } from './standing.ts';
import {
  type Crossed,
  type End,
  type Ending,
  endOf,
  type Flow,
  type Heard,
  type Hop,
  type Origin,
  type Recorder,
  type Trace,
  type Way,
} from './trace.ts';

/** The connections that hosts know, by host: given to several traces, each meets what those before it left. */
export type Connections = Map<string, ConnectionTable>;

export interface SimulateOptions {
  readonly connections?: Connections;
  /** Tell the hops; without it only where each way ends. */
  readonly hops?: true;
  /** Every packet in a VXLAN is carried by one of its own, which meets what those before it left; their hops are told too. */
  readonly carriers?: true;
  /** What chance decides; without it that is not known. */
  readonly draws?: Draws;
  /** Chooses source ports where the kernel takes any that is free; the next one is taken without it. */
  readonly freePort?: FreePort;
}

/** Traces a flow: the request, the answer of a socket that is assumed to listen where the request is delivered, and the next packet. */
export function simulate(
  network: Network,
  flow: Flow,
  { connections = new Map(), hops, carriers, draws, freePort }: SimulateOptions = {},
): Trace {
  const walk = (start: Start): Way =>
    follow(
      network,
      {
        connections,
        origin: flow.from,
        keepsHops: hops === true,
        ...(flow.stands === true && { stands: true as const }),
        ...(carriers === true && { carriers }),
        ...(draws && { draws }),
        ...(freePort && { freePort }),
      },
      start,
    );
  const traced = traceOf(network, flow, walk);
  return { ...traced, trackedBy: [...connections].flatMap(([host, { size }]) => (size > 0 ? [host] : [])) };
}

function traceOf(network: Network, flow: Flow, walk: (start: Start) => Way): Omit<Trace, 'trackedBy'> {
  const begin = startOf(network, flow);
  if (begin === undefined) {
    return {
      works: 'undecided',
      request: {
        ...unsent(network, flow),
        hops: [],
        crossings: [],
        packet: packetOf(flow, flow.to),
        arrived: packetOf(flow, flow.to),
      },
    };
  }
  const request = walk(begin);
  const answer = answerTo(network, request);
  const asked = begin.packet;
  if (answer === undefined) {
    const own = flow.from.kind === 'host' ? flow.from.host : undefined;
    const notice = request.hops.length === 0 ? undefined : heardOf(network, own, asked, request, walk);
    return { works: isOpen(request.verdict) ? 'undecided' : false, request, ...(notice && { notice }) };
  }
  const reply = walk(answer);
  const isAnswer = answers(reply.packet, asked);
  if (reply.verdict !== 'delivered' || !isAnswer) {
    // Out by another way, yet all right in itself: the Internet may carry it to the client.
    const may = reply.verdict === 'undecided' || (reply.verdict === 'exits' && isAnswer);
    const told =
      reply.hops.length === 0
        ? undefined
        : heardOf(network, answer.link === undefined ? answer.host : undefined, answer.packet, reply, walk);
    return { works: may ? 'undecided' : false, request, reply, ...(told && { notice: told }) };
  }
  const next = walk({ ...(startOf(network, flow, TCP_FLAGS.ack) ?? begin), answers: true });
  const isSame = next.verdict === request.verdict;
  const works = isSame ? true : next.verdict === 'undecided' ? 'undecided' : false;
  const answerAgain = isIcmp(asked) ? answerTo(network, next) : undefined;
  return { works, request, reply, next, ...(answerAgain && { again: walk(answerAgain) }) };
}

/** How the sender of a packet that died is told, at the host `own` or beyond all; undefined where nobody tells. */
function heardOf(
  network: Network,
  own: string | undefined,
  asked: Packet,
  { tells }: Way,
  walk: (start: Start) => Way,
): Heard | undefined {
  const host = tells === undefined ? undefined : network.hosts.get(tells.host);
  const made = tells === undefined || host === undefined ? undefined : noticePacket(host, tells);
  if (tells === undefined || made === undefined) return undefined;
  const { notice } = tells;
  const way = walk({ ...made, host: tells.host, answers: true, notice });
  const astray = way.host === own ? undefined : `it comes to ${way.host}`;
  const unheard = way.verdict === 'delivered' ? (astray ?? misunderstood(asked, way.packet)) : undefined;
  return { notice, way, ...(unheard !== undefined && { unheard }) };
}

/** Endings beyond which the model does not see; delivered without a host is one of them: the packet came back to who sent it. */
const isOpen = (verdict: Ending): boolean => verdict === 'undecided' || verdict === 'exits' || verdict === 'delivered';

/** Links a packet may cross, those within a host too: before it does its TTL is used up. */
const MOST_LINKS = 4 * DEFAULT_TTL;

/** What all ways of one trace have in common. */
interface Walk {
  readonly connections: Connections;
  readonly origin: Origin;
  readonly keepsHops: boolean;
  /** Its connection stood before it. */
  readonly stands?: true;
  readonly carriers?: true;
  readonly draws?: Draws;
  readonly freePort?: FreePort;
  /** How many tunnels it is carried in. */
  readonly depth?: number;
}

/** Tunnels in tunnels beyond this are taken to be up. */
const DEEPEST = 4;

/** How what goes into a tunnel is carried: `lost` by none, or `by` one that arrives. Neither: it is taken to be up. */
interface Carried {
  readonly lost?: Way;
  readonly by?: Way;
}

/**
 * The way on which a tunnel's own packets die, where every call of it certainly does; nothing where one arrives, or may. Asked only
 * where somebody looked how the hosts are wired.
 */
function carry(network: Network, walk: Walk, near: TunnelPlug, far: TunnelPlug, packet: Packet): Carried {
  if (walk.carriers === true) return carryEach(network, walk, near, far, packet);
  const depth = (walk.depth ?? 0) + 1;
  if (network.wires.unknown === true || depth > DEEPEST || sawHandshake(network, near, far)) return {};
  let lost: Way | undefined;
  for (const { flow, to, answered } of carriersOf(network, near, far, packet)) {
    const begin = startOf(network, flow);
    if (begin === undefined) return {};
    const { stands: _, ...rest } = walk;
    const own: Walk = { ...rest, connections: new Map(), origin: flow.from, depth };
    const { asks, ...start } = begin;
    const there = follow(network, own, start);
    if (hidesNat(network, there)) return {};
    const back = there.verdict === 'delivered' && answered ? answerTo(network, there) : undefined;
    const way = back === undefined ? there : follow(network, own, back);
    if (way.verdict === 'delivered' && answered && there.host === to) return {};
    if (way.verdict === 'delivered' && !answered && comesTo(there, to, flow)) return { by: way };
    if (way.verdict === 'undecided' || way.verdict === 'exits') return {};
    lost ??= way;
  }
  return lost === undefined ? {} : { lost };
}

/** To the socket of the tunnel's far end, wherever it was sent. */
const comesTo = ({ host, packet }: Way, to: string, { port }: Flow): boolean =>
  host === to && packet.destinationPort === port;

/** By the one packet that really carries it, after those before it. */
function carryEach(network: Network, walk: Walk, near: TunnelPlug, far: TunnelPlug, packet: Packet): Carried {
  const depth = (walk.depth ?? 0) + 1;
  const [carrier] = carriersOf(network, near, far, packet);
  const begin = carrier && startOf(network, carrier.flow);
  if (carrier === undefined || begin === undefined) return {};
  const { asks, ...start } = begin;
  const told = { hops: [], crossings: [], through: [near.host], packet, arrived: packet };
  if (depth > DEEPEST)
    return { lost: { verdict: 'undecided', reason: `more than ${DEEPEST} tunnels in each other`, ...told } };
  const way = follow(network, { ...walk, origin: carrier.flow.from, depth }, { ...start, wraps: near.link });
  return way.verdict === 'delivered' && comesTo(way, carrier.to, carrier.flow) ? { by: way } : { lost: way };
}

/** Whether it came over the Internet from an address that nobody has there: some router on the way translates, and is not known. */
const hidesNat = (network: Network, { host = '', link = '', arrived }: Way): boolean =>
  network.hosts.get(host)?.openLinks.has(link) === true && !isPublicAddress(arrived.source);

const asCarrier = (hop: Hop): Hop => ({ ...hop, carries: true });

function follow(network: Network, walk: Walk, start: Start): Way {
  const { connections, origin, keepsHops, draws, freePort } = walk;
  const hops: Hop[] = [];
  const crossings: Crossed[] = [];
  const through: string[] = [];
  const record: Recorder = (host, stage, tell) => {
    if (!keepsHops) return;
    const { detail, decidedBy = '' } = tell();
    // What was changed and changed back is no news.
    if (detail !== '') hops.push({ host, stage, detail, decidedBy });
  };
  const told = { hops, crossings, through };
  const recordCrossed = (crossed: Omit<Crossed, 'after'>): void => {
    if (keepsHops) crossings.push({ ...crossed, after: hops.length });
  };
  const passageOf = (host: SimulatedHost, packet: Packet): Passage => {
    const table: ConnectionTable = connections.get(host.name) ?? startTable(host.standing);
    connections.set(host.name, table);
    return {
      ...{ host, connections: table, record, packet },
      ...(start.answers === true && { answers: true as const }),
      ...(walk.stands === true && { stands: true as const }),
      ...(draws && { draws }),
      ...(freePort && { freePort }),
    };
  };
  let packet = start.packet;
  if (start.link !== undefined) recordCrossed({ to: { host: start.host, link: start.link }, packet });
  let arrived = packet;
  let at: Partial<TunnelPlug> & { readonly host: string } = start;
  let { tracked }: { tracked?: Tracked | undefined } = start;
  let ttl = DEFAULT_TTL;
  const tellsOf = ({ tells }: End, { host, packet, tracked, iif }: Passage): Pick<Way, 'tells'> =>
    tells === undefined
      ? {}
      : {
          tells: {
            ...{ notice: tells, host: host.name, packet },
            ...(tracked && { tracked }),
            ...(iif !== undefined && { link: iif }),
          },
        };
  const { notice } = start;
  if (notice !== undefined)
    record(start.host, notice.kind, () => {
      const teller = network.hosts.get(start.host);
      const limit = teller && limitOf(teller, notice, familyOf(packet));
      return {
        detail: `${printNotice(notice, familyOf(packet))} goes to ${printAddress(packet.destination)}`,
        ...(limit !== undefined && { decidedBy: limit }),
      };
    });
  let untracked: true | undefined;
  let hardware: string | undefined;
  let tunnelMtu: number | undefined;
  for (let links = 0; links < MOST_LINKS; links++) {
    const host = network.hosts.get(at.host);
    through.push(at.host);
    arrived = packet;
    if (host === undefined) return { verdict: 'undecided', reason: `no host ${at.host}`, ...told, packet, arrived };
    if (host.unseen !== undefined) {
      const reason = `nobody could look at ${host.name}: ${host.unseen}`;
      record(host.name, 'link', () => ({ detail: `${printPacket(packet)} comes to a host that is not known` }));
      return { verdict: 'undecided', reason, ...told, packet, arrived, host: host.name };
    }
    const passage: Passage = {
      ...passageOf(host, packet),
      ...(start.choseSource === true && links === 0 && { choseSource: true as const }),
      ...(start.wraps !== undefined && links === 0 && { wraps: start.wraps }),
      ...(tracked !== undefined && { tracked }),
      ...(untracked !== undefined && { untracked }),
      ...(hardware !== undefined && { hardware }),
      ttl,
    };
    const left: Left = at.link === undefined ? send(passage) : receive(Object.assign(passage, { iif: at.link }));
    const here = {
      host: host.name,
      ...(at.link !== undefined && { link: at.link }),
      ...(tunnelMtu !== undefined && { tunnelMtu }),
    };
    if (left.kind === 'end') {
      return { ...endOf(left), ...tellsOf(left, passage), ...told, packet: passage.packet, arrived, ...here };
    }
    if (left.kind === 'delivered') {
      const unheard =
        start.asks === true ? hear(host, left.packet, record, { link: at.link, proxy: left.proxy }) : undefined;
      if (unheard !== undefined) {
        return { ...endOf(unheard), ...tellsOf(unheard, passage), ...told, packet: left.packet, arrived, ...here };
      }
      if (start.asks !== true) record(host.name, 'delivered', () => ({ detail: 'to the socket that asked' }));
      return { verdict: 'delivered', ...told, packet: left.packet, arrived, ...here };
    }
    packet = left.packet;
    if (at.link !== undefined) ttl -= 1;
    tracked = left.tracked;
    untracked = left.untracked;
    if (left.link === 'lo') {
      at = { host: host.name, link: 'lo' };
      continue;
    }
    const from: TunnelPlug = { host: host.name, link: left.link };
    const link = host.links.get(left.link);
    if (isOverlay(link) && link !== undefined) tunnelMtu = Math.min(link.mtu, tunnelMtu ?? link.mtu);
    const crossing = cross(network, { from, nexthop: left.nexthop, packet }, origin, record);
    if (crossing.kind === 'end') {
      recordCrossed({ from, packet });
      return { ...endOf(crossing), ...tellsOf(crossing, passage), ...told, packet, arrived, ...from };
    }
    const { lost, by }: Carried =
      crossing.kind === 'arrives' && isOverlay(link) ? carry(network, walk, from, crossing.at, packet) : {};
    if (by !== undefined && walk.carriers === true) hops.push(...by.hops.map(asCarrier));
    if (lost !== undefined) {
      record(host.name, 'tunnel', () => ({ detail: `the packets of ${from.link} itself do not arrive:` }));
      recordCrossed({ from, packet });
      for (const each of lost.crossings) crossings.push({ ...each, after: each.after + hops.length });
      const lostHops = walk.carriers === true ? lost.hops.map(asCarrier) : lost.hops;
      const reason = `the packets of ${from.link} itself do not arrive: ${lost.reason ?? 'they come to another host'}`;
      return {
        ...{
          verdict: lost.verdict === 'undecided' ? lost.verdict : 'dropped',
          reason,
          ...told,
          packet,
          arrived,
          ...from,
        },
        ...{ hops: [...hops, ...lostHops], ...(walk.carriers === true && { carrier: lost }) },
        ...(lost.cause !== undefined && { cause: lost.cause }),
      };
    }
    // What marked the packet around it on the far host marked this one too: it is the same (iptunnel_pull_header).
    packet = { ...crossing.packet, mark: by?.packet.mark ?? 0 };
    for (const crossed of crossing.kind === 'arrives' ? (crossing.bridges ?? []) : []) {
      const between = network.hosts.get(crossed.host);
      if (between === undefined || !looksInto(between, crossed, packet)) continue;
      through.push(between.name);
      const passed = crossBridge(passageOf(between, packet), crossed);
      if ('kind' in passed) {
        recordCrossed({ from, packet });
        return { ...endOf(passed), ...told, packet, arrived, host: between.name, link: crossed.bridge };
      }
      packet = { ...passed, mark: 0 };
    }
    if (crossing.kind === 'returns') {
      record(host.name, 'delivered', () => ({
        detail: `by ${from.link} back to who asked: ${printPacket(crossing.packet)}`,
      }));
      recordCrossed({ from, packet });
      return {
        verdict: 'delivered',
        ...told,
        packet,
        arrived,
        link: from.link,
        ...(tunnelMtu !== undefined && { tunnelMtu }),
      };
    }
    const isFar = crossing.internet === true && { internet: true as const };
    recordCrossed({ from, to: crossing.at, ...isFar, packet });
    at = crossing.at;
    hardware = crossing.hardware;
  }
  return {
    verdict: 'looped',
    reason: `after ${MOST_LINKS} links it is at ${at.host} again`,
    ...told,
    packet,
    arrived,
    host: at.host,
  };
}
