/** One packet inside one host: the hooks it runs through, conntrack and translation between them. */
import type { Address } from '../net/index.ts';
import {
  type ChainSelection,
  type Evaluation,
  evaluate,
  type Hook,
  printReference,
  type SocketPlace,
  standsAt,
  type Translation,
  type ZoneSet,
} from '../nftables/index.ts';
import { printRoute, printRule, type RouteResult } from '../routing/index.ts';
import type { Draws } from './chance.ts';
import {
  CONFIRMED,
  type ConnectionTable,
  confirm,
  type FreePort,
  forget,
  type Half,
  relate,
  settle,
  type Tracked,
  track,
  trackError,
  translated,
  translatedError,
  type Zone,
} from './connections.ts';
import { contextOf } from './context.ts';
import { evaluateWhole, joinTracked } from './fragments.ts';
import type { SimulatedHost } from './network.ts';
import { rejectionOf } from './notice.ts';
import { familyOf, isIcmp, type Packet, printEnd, printPacket } from './packet.ts';
import { printChanges, printPlace } from './print-changes.ts';
import { takesUpTcp } from './setting.ts';
import { expectationOf } from './standing.ts';
import { type End, end, type Recorder } from './trace.ts';
import { targetOf, withOpenAddress, withOpenPort } from './translation.ts';

/** It changes as the packet goes; made anew for each host the packet comes to. */
export interface Passage {
  readonly host: SimulatedHost;
  readonly connections: ConnectionTable;
  readonly record: Recorder;
  packet: Packet;
  iif?: string;
  /** Of the sender on the last link, where it is known. */
  hardware?: string;
  oif?: string;
  nexthop?: Address;
  /** The largest of the fragments it was put together from, in bytes. */
  joined?: number;
  /** It leaves in fragments of this size. */
  cut?: number;
  /** How many routers may still take it on, and one; DEFAULT_TTL unless given. */
  ttl?: number;
  /** Of a packet made here: its source is the one that the routes gave. */
  choseSource?: true;
  /** Of a packet made here: it carries what goes into that VXLAN. */
  readonly wraps?: string;
  /** It answers, or it follows an answer. */
  readonly answers?: true;
  /** Its connection stood before it. */
  readonly stands?: true;
  tracked?: Tracked;
  untracked?: true;
  /** Where a transparent proxy takes it, if it is delivered here. */
  proxy?: SocketPlace;
  /** `ct original zone set`, between the raw hook and conntrack. */
  zone?: ZoneSet;
  readonly draws?: Draws;
  readonly freePort?: FreePort;
}

/** netfilter_ipv4.h: fragments are put together at -400, conntrack -200, destination translation -100, source translation 100. */
const DEFRAGMENTATION = -400;
const CONNTRACK = -200;
const TRANSLATION = { destination: -100, source: 100 } as const;

const zoneOf = (set: ZoneSet | undefined): Zone => {
  const { id, direction } = set ?? { id: 0 };
  return direction === undefined ? { original: id, reply: id } : { original: 0, reply: 0, [direction]: id };
};

/** Everything of prerouting or output: raw, conntrack, mangle, translation of the destination, the rest. */
export function runEntry(
  passage: Passage,
  hook: 'prerouting' | 'output',
  reroute: () => End | undefined,
): End | undefined {
  return (
    runRaw(passage, hook, reroute) ??
    runConntrack(passage) ??
    runFilter(passage, { hook, from: CONNTRACK, below: TRANSLATION.destination }, reroute) ??
    runTranslation(passage, hook, 'destination', reroute) ??
    runFilter(passage, { hook, from: TRANSLATION.destination }, reroute)
  );
}

/** What stands before conntrack; it puts fragments together at a place of its own there. */
function runRaw(passage: Passage, hook: 'prerouting' | 'output', reroute: () => End | undefined): End | undefined {
  if (passage.packet.fragment === undefined) return runFilter(passage, { hook, below: CONNTRACK }, reroute);
  const early = runFilter(passage, { hook, below: DEFRAGMENTATION }, reroute);
  if (early !== undefined) return early;
  joinTracked(passage);
  return runFilter(passage, { hook, from: DEFRAGMENTATION, below: CONNTRACK }, reroute);
}

/** Everything of input or postrouting: filters, translation of the source, filters, and the connection is entered. */
export function runExit(passage: Passage, hook: 'input' | 'postrouting'): End | undefined {
  return (
    runFilter(passage, { hook, below: TRANSLATION.source }) ??
    runTranslation(passage, hook, 'source') ??
    runFilter(passage, { hook, from: TRANSLATION.source }) ??
    runConfirm(passage)
  );
}

export const runForward = (passage: Passage): End | undefined => runFilter(passage, { hook: 'forward' });

/** Chains at the device itself, before all else. */
export const runIngress = (passage: Passage): End | undefined =>
  passage.iif === undefined ? undefined : runFilter(passage, { hook: 'ingress', ...at(passage, passage.iif) });

/** Chains at the device that the packet leaves by, after all else (nf_hook_egress). */
export const runEgress = (passage: Passage): End | undefined =>
  passage.oif === undefined ? undefined : runFilter(passage, { hook: 'egress', ...at(passage, passage.oif) });

/** The ports of a bridge or bond, the device of a VLAN or macvlan. */
function at({ host: { links } }: Passage, device: string): Pick<ChainSelection, 'device' | 'lower'> {
  const { kind, peerIndex, peerNamespace } = links.get(device) ?? {};
  const hasLower = (kind === 'vlan' || kind === 'macvlan') && peerNamespace === undefined;
  const lower = [...links.values()].filter(
    ({ master, index }) => master === device || (hasLower && index !== undefined && index === peerIndex),
  );
  return { device, ...(lower.length > 0 && { lower: lower.map(({ name }) => name) }) };
}

type FilterSelection = Omit<ChainSelection, 'type'>;

/** All the chains; where one has the routes asked anew, what they say comes before the next. */
function runFilter(passage: Passage, selection: FilterSelection, reroute?: () => End | undefined): End | undefined {
  const { ruleset } = passage.host;
  const chains = { ...selection, type: 'filter' } as const;
  if (!standsAt(ruleset, chains, familyOf(passage.packet))) return undefined;
  const evaluation = evaluateWhole(passage, chains);
  const ended = judge(passage, selection.hook, evaluation);
  if (evaluation.verdict === 'undecided') return ended;
  markConnection(passage, evaluation);
  if (ended !== undefined) return ended;
  const { mark, zone, notrack, maxseg, rewritten, proxy, reroute: again } = evaluation.changes;
  if (rewritten !== undefined) passage.packet = { ...passage.packet, ...rewritten };
  if (mark !== undefined) passage.packet = { ...passage.packet, mark };
  if (maxseg !== undefined) passage.packet = { ...passage.packet, maxseg };
  if (zone !== undefined) {
    passage.zone = zone;
    // What came untracked by lo is tracked again: it bears a template now (nft_ct_set_zone_eval).
    delete passage.untracked;
  }
  if (notrack === true) passage.untracked = true;
  if (proxy !== undefined) passage.proxy = proxy;
  const lost = again === true ? reroute?.() : undefined;
  if (lost !== undefined || evaluation.ran === undefined) return lost;
  return runFilter(passage, { ...selection, skip: (selection.skip ?? 0) + evaluation.ran }, reroute);
}

/** The connection keeps its mark and labels, though the packet that brought them be dropped. */
function markConnection(
  { tracked }: Passage,
  { changes: { connectionMark, labels } }: Exclude<Evaluation, { verdict: 'undecided' }>,
): void {
  if (connectionMark !== undefined && tracked !== undefined) tracked.connection.mark = connectionMark;
  if (labels !== undefined && tracked !== undefined) tracked.connection.labels = labels;
}

/** Tells what the rules did, and ends the way where they do. */
function judge(passage: Passage, hook: Hook, evaluation: Evaluation): End | undefined {
  const { host, record } = passage;
  if (evaluation.verdict === 'undecided') {
    record(host.name, hook, () => ({ detail: evaluation.why }));
    return end('undecided', evaluation.why);
  }
  const { verdict, changes, changedBy, decidedBy, orBy = [] } = evaluation;
  if (changedBy.length > 0) {
    record(host.name, hook, () => ({
      detail: printChanges(changes),
      decidedBy: changedBy.map(printPlace).join('; '),
    }));
  }
  if (verdict === 'accept') {
    if (decidedBy?.rule !== undefined && !changedBy.includes(decidedBy))
      record(host.name, hook, () => ({ detail: 'accepted', decidedBy: printPlace(decidedBy) }));
    return undefined;
  }
  const deciders = decidedBy === undefined ? [] : [decidedBy, ...orBy];
  const by = deciders.map(printReference).join(', or by ');
  record(host.name, hook, () => ({
    detail: verdict === 'drop' ? 'dropped' : 'rejected',
    ...(deciders.length > 0 && { decidedBy: deciders.map(printPlace).join('; ') }),
  }));
  const what = verdict === 'drop' ? 'dropped' : 'rejected';
  // From the ingress of its devices on it passes all chains but theirs (nf_flow_offload_ip_hook).
  if (passage.tracked?.connection.entry?.offloaded === true && hook !== 'ingress' && hook !== 'egress')
    return end(
      'undecided',
      `${host.name} has the connection of ${printPacket(passage.packet)} in its fast path, whose packets pass by what would stop this one: ${by}`,
    );
  return end(
    what,
    `${host.name} ${what === 'dropped' ? 'drops' : 'rejects'} ${printPacket(passage.packet)} in ${hook}: ${by}`,
    decidedBy && {
      ...{ kind: 'rule', host: host.name, at: decidedBy, packet: passage.packet },
      answer: passage.answers === true || passage.tracked?.state === 'established',
    },
    verdict === 'reject' && decidedBy !== undefined ? rejectionOf(decidedBy, familyOf(passage.packet)) : undefined,
  );
}

/** A packet that comes back by `lo` keeps the connection it had on its way out. */
function runConntrack(passage: Passage): End | undefined {
  if (!passage.host.tracks[familyOf(passage.packet)]) return undefined;
  if (passage.untracked === true || passage.tracked !== undefined) return undefined;
  const { connections, packet, host, record } = passage;
  const zone = zoneOf(passage.zone);
  // Whatever comes of it: the template is off the packet now (nf_conntrack_in).
  delete passage.zone;
  if (packet.inner !== undefined) {
    const tracked = trackError(connections, packet.inner, packet.destination, zone);
    if (tracked !== undefined) passage.tracked = tracked;
    record(host.name, 'conntrack', () =>
      tracked === undefined
        ? { detail: 'INVALID: the connection of the packet within is not known here' }
        : { detail: `related to ${printPacket(tracked.connection.original)}` },
    );
    return undefined;
  }
  const tracked = track(connections, packet, zone, { takesUp: takesUpTcp(host) });
  if (tracked === undefined) {
    record(host.name, 'conntrack', () => ({ detail: 'INVALID: what must come before it was not seen here' }));
    return undefined;
  }
  passage.tracked = tracked;
  const { connection, direction, state, unsure } = tracked;
  const { entry } = connection;
  if (entry === undefined) {
    const expected = (connection.status & CONFIRMED) === 0 ? expectationOf(host.standing, packet) : undefined;
    if (expected !== undefined && expected.master.zone.original === zone.original) {
      const related = relate(tracked, expected.master);
      record(host.name, 'conntrack', () => ({
        detail: `expected by another connection: related${connection.mark === 0 ? '' : `, mark 0x${connection.mark.toString(16)}`}`,
        decidedBy: expected.text,
      }));
      if (related === undefined)
        return end(
          'undecided',
          `${host.name} expects ${printPacket(packet)} as part of another connection, which is translated, and translates it, too: ${expected.text}`,
        );
      passage.tracked = related;
      return undefined;
    }
    return passage.stands === true && host.entries === undefined && state === 'new'
      ? end('undecided', `whether ${host.name} tracks the connection of ${printPacket(packet)} nobody could see`)
      : undefined;
  }
  record(host.name, 'conntrack', () => ({
    detail: `${direction === 'reply' ? 'an answer of' : 'of'} a connection that stands: ${state}${connection.mark === 0 ? '' : `, mark 0x${connection.mark.toString(16)}`}`,
    decidedBy: entry.text,
  }));
  return unsure === true
    ? end(
        'undecided',
        `whether ${printPacket(packet)} begins a connection on ${host.name} hangs on who ended the one before`,
      )
    : undefined;
}

function runConfirm({ tracked, connections, host, packet }: Passage): End | undefined {
  // What tells of a packet that died does not enter its connection (__nf_conntrack_confirm).
  if (tracked === undefined || tracked.direction === 'reply') return undefined;
  if (confirm(connections, tracked.connection)) return undefined;
  return end(
    'dropped',
    `${host.name} has another connection with the tuple of ${printPacket(packet)}, and no nat chain to tell them apart`,
  );
}

function runTranslation(passage: Passage, hook: Hook, half: Half, reroute?: () => End | undefined): End | undefined {
  const { host, tracked, packet } = passage;
  if (tracked === undefined || !host.translates[familyOf(packet)]) return undefined;
  if (packet.inner !== undefined) {
    passage.packet = translatedError(packet, packet.inner, tracked, half);
    recordTranslated(passage, hook, half, packet, undefined);
    return passage.packet.destination.value === packet.destination.value ? undefined : reroute?.();
  }
  const { connection, direction } = tracked;
  const link = connection.masqueradedFor;
  // nf_nat_oif_changed
  if (hook === 'postrouting' && direction === 'original' && link !== undefined && link !== passage.oif) {
    forget(passage.connections, connection);
    const what = `${printPacket(packet)} was masqueraded for ${link}, and leaves by ${passage.oif ?? 'no link'} now`;
    return end('dropped', `${host.name} ends the connection: ${what}`);
  }
  let chosen: Translation | undefined;
  if (tracked.state !== 'established' && !tracked.connection.settled.has(half)) {
    const evaluation = evaluate(host.ruleset, { hook, type: 'nat' }, contextOf(passage));
    const ended = judge(passage, hook, evaluation);
    if (evaluation.verdict === 'undecided') return ended;
    markConnection(passage, evaluation);
    if (ended !== undefined) return ended;
    const { mark, translation } = evaluation.changes;
    if (mark !== undefined) passage.packet = { ...passage.packet, mark };
    chosen = translation;
    const wanted = translation === undefined ? {} : targetOf(passage, translation);
    const withOpen = half === 'source' ? withOpenAddress : withOpenPort;
    const to = 'kind' in wanted ? wanted : withOpen(passage, connection, wanted);
    if ('kind' in to) return to;
    if (translation?.kind === 'masquerade' && passage.oif !== undefined) connection.masqueradedFor = passage.oif;
    settle(passage.connections, connection, half, to, passage.freePort);
  }
  passage.packet = translated(passage.packet, tracked, half);
  // A rule that names the new address was told already.
  if (chosen?.kind !== 'dnat' && chosen?.kind !== 'snat') recordTranslated(passage, hook, half, packet, chosen);
  return passage.packet.destination.value === packet.destination.value ? undefined : reroute?.();
}

/** What decided is the rule that was told just before, or else what the connection got with its first packet. */
function recordTranslated(
  { host, record, packet, tracked }: Passage,
  hook: Hook,
  half: Half,
  before: Packet,
  chosen: Translation | undefined,
): void {
  if (packet[half].value === before[half].value && packet[`${half}Port`] === before[`${half}Port`]) return;
  const end = (each: Packet): string => printEnd(each[half], isIcmp(each) ? undefined : each[`${half}Port`]);
  record(host.name, hook, () => ({
    detail: `${half} ${end(before)} becomes ${end(packet)}`,
    ...(tracked !== undefined &&
      chosen === undefined && { decidedBy: `conntrack: ${printPacket(tracked.connection.original)}` }),
  }));
}

/** What a lookup that gave no way means for the packet. */
export function noWay(
  host: SimulatedHost,
  packet: Packet,
  result: Exclude<RouteResult, { readonly kind: 'route' | 'local' }>,
): End {
  const cause = { host: host.name, destination: packet.destination, by: printRefusal(result) };
  const what = `${printPacket(packet)}${packet.mark === 0 ? '' : ` with mark 0x${packet.mark.toString(16)}`}`;
  switch (result.kind) {
    case 'undecided':
      return end('undecided', `the way of ${what} on ${host.name}: ${result.why}`);
    case 'blackhole':
      return end('dropped', `a blackhole route on ${host.name} takes ${what}`, { ...cause, kind: 'routeRefuses' });
    case 'prohibit':
    case 'unreachable':
      return result.route === undefined && result.rule === undefined
        ? end('unreachable', `${host.name} has no route for ${what}`, { ...cause, kind: 'noRoute' })
        : end('unreachable', `${host.name} refuses ${what} by ${printRefusal(result)}`, {
            ...cause,
            kind: 'routeRefuses',
          });
  }
}

/** The route or rule that refuses. */
function printRefusal(result: Exclude<RouteResult, { readonly kind: 'route' | 'local' }>): string {
  if (result.kind === 'undecided') return result.why;
  if (result.route !== undefined) return `route ${printRoute(result.route)}`;
  return result.rule === undefined ? 'no route' : `rule ${printRule(result.rule)}`;
}
