/** The connections that hosts track go on after the plan as before: from both of their ends. */
import { type Compiled, type CompiledHost, handedOver, markFor } from '../compile/index.ts';
import { type HandMade, isOwnLink } from '../host/index.ts';
import { type Address, addressScope, sameAddress } from '../net/index.ts';
import type { ConntrackEntry, Tuple } from '../nftables/index.ts';
import { lookupRoute } from '../routing/index.ts';
import {
  amongStanding,
  type Flow,
  hidesRouter,
  type Network,
  printPacket,
  simulate,
  type Way,
  withEntries,
} from '../simulate/index.ts';
import { type KindOf, kindsOf } from './kinds.ts';
import type { Finding, Ground } from './promise.ts';

/** What hosts track, by name; as text: why that is not known. */
export type Entries = ReadonlyMap<string, readonly ConntrackEntry[] | string>;

/** Kinds of connections beyond this are not traced: each costs a millisecond. */
const MOST_KINDS = 5_000;
/** Named in a reason. */
const SHOWN = 5;

/** One connection for all of its kind. */
interface Kind {
  readonly entry: ConntrackEntry;
  count: number;
}

/** By host; none for one that tracks nothing. Of a hundred thousand connections one of each kind is traced. */
export function standingFindings(
  now: Network,
  ground: Ground,
  compiled: Compiled,
  entries: Entries,
  taken: ReadonlyMap<string, readonly HandMade[]>,
): ReadonlyMap<string, readonly Finding[]> {
  const kindOf = kindsOf([now, ground.network]);
  const found = new Map<string, readonly Kind[]>();
  const findings = new Map<string, Finding[]>();
  for (const host of compiled.hosts.values()) {
    const own = entries.get(host.name);
    if (own === undefined) continue;
    if (typeof own !== 'string') {
      const { kinds, untold } = kindsAt(ground, host, own, kindOf);
      found.set(host.name, kinds);
      const reason = `${untold} connections more, of more than ${MOST_KINDS} kinds, were not traced`;
      findings.set(host.name, untold === 0 ? [] : [{ holds: 'undecided', reason }]);
      continue;
    }
    const tracks = now.hosts.get(host.name)?.tracks;
    const reason = `which connections ${host.name} tracks is not known: ${own}`;
    if (tracks?.[4] === true || tracks?.[6] === true) findings.set(host.name, [{ holds: 'undecided', reason }]);
  }
  const samples = new Map([...found].map(([host, kinds]) => [host, kinds.map(({ entry }) => entry)]));
  const before = withEntries(now, samples);
  const later = [...samples].map(
    ([host, some]) => [host, handOver(some, compiled.hosts.get(host), taken.get(host) ?? [])] as const,
  );
  const after = withEntries(ground.network, new Map(later));
  for (const [host, kinds] of found) findings.get(host)?.push(...ofHost(before, after, host, kinds));
  return findings;
}

/** The connections of rules that are taken over, with the marks that they get. */
function handOver(
  entries: readonly ConntrackEntry[],
  host: CompiledHost | undefined,
  taken: readonly HandMade[],
): readonly ConntrackEntry[] {
  const handed = host?.record && taken.length > 0 ? handedOver(host.record, taken) : undefined;
  if (handed === undefined) return entries;
  return entries.map((entry) => {
    const { original, reply, mark } = entry;
    const protocol = TRANSPORTS[original.protocol];
    if (protocol !== 'tcp' && protocol !== 'udp') return entry;
    const given = markFor(handed, {
      ...{ protocol, mark, client: original.source, asked: original.destination, askedPort: original.destinationPort },
      ...{ target: reply.source, targetPort: reply.sourcePort },
      ...(!sameAddress(reply.destination, original.source) && { hidden: true }),
    });
    return given === undefined ? entry : { ...entry, mark: ((mark & ~handed.mask) | given) >>> 0 };
  });
}

function kindsAt(
  ground: Ground,
  host: CompiledHost,
  entries: readonly ConntrackEntry[],
  kindOf: KindOf,
): { readonly kinds: readonly Kind[]; readonly untold: number } {
  const kinds = new Map<string, Kind>();
  let untold = 0;
  for (const entry of entries) {
    if (isTakenBack(ground, host, entry)) continue;
    const kind = kindOf(host.name, entry);
    const known = kinds.get(kind);
    if (known !== undefined) known.count += 1;
    else if (kinds.size < MOST_KINDS) kinds.set(kind, { entry, count: 1 });
    else untold += 1;
  }
  return { kinds: [...kinds.values()], untold };
}

/** The first that goes on, the first that is not known, and of those that break one finding that names them. */
function ofHost(before: Network, after: Network, host: string, kinds: readonly Kind[]): readonly Finding[] {
  const judged = kinds.map(({ entry, count }) => ({ entry, count, finding: judge(before, after, host, entry) }));
  const [held] = judged.filter(({ finding }) => finding?.holds === true);
  const [open] = judged.filter(({ finding }) => finding?.holds === 'undecided');
  const broken = judged.filter(({ finding }) => finding?.holds === false);
  const [first] = broken;
  return [
    ...[held, open].flatMap((each) => each?.finding ?? []),
    ...(first?.finding === undefined
      ? []
      : [{ ...first.finding, reason: `${first.finding.reason}${othersOf(broken)}` }]),
  ];
}

/** `; so would A, B and 7 more`. */
function othersOf(broken: readonly Kind[]): string {
  const [, ...others] = broken;
  const named = others.slice(0, SHOWN).map(({ entry }) => printPacket(entry.original));
  const rest = broken.reduce((sum, { count }) => sum + count, 0) - 1 - named.length;
  const all = [...named, ...(rest > 0 ? [`${rest} more`] : [])];
  return all.length === 0 ? '' : `; so would ${all.join(', ')}`;
}

/**
 * Of a tunnel of ours the edge tracks it too; what our own forwards brought goes where the documents say: also where they were taken away
 * meanwhile, and their connections are left, which nobody translates any more.
 */
function isTakenBack({ facts }: Ground, { name, record }: CompiledHost, { zone, mark }: ConntrackEntry): boolean {
  const ours = (facts.get(name)?.record ?? record)?.numbers.mark.mask ?? 0;
  return zone.original !== 0 || (mark & ours) !== 0;
}

const TRANSPORTS: Readonly<Record<number, Flow['protocol']>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };

/** Undefined where it is of no kind that is traced, its ends have not met, or it does not work as it stands. */
function judge(now: Network, future: Network, host: string, entry: ConntrackEntry): Finding | undefined {
  const findings = [entry.original, entry.reply].map((tuple) => ofEnd(now, future, host, tuple));
  const worst = findings.find((each) => each?.holds === false) ?? findings.find((each) => each?.holds === 'undecided');
  return worst ?? findings.find((each) => each !== undefined);
}

function ofEnd(now: Network, future: Network, host: string, tuple: Tuple): Finding | undefined {
  const asked = flowOf(now, host, tuple);
  if (asked === undefined) return undefined;
  const { flow, standing } = amongStanding(now, asked);
  if (standing === undefined) return undefined;
  const before = simulate(now, flow, { hops: true });
  // The far end answers to another address then.
  const counts = before.works === true && !before.request.crossings.some(hidesRouter);
  if (before.works !== true && before.request.verdict !== 'exits' && before.request.verdict !== 'delivered')
    return undefined;
  const after = simulate(future, flow);
  if (after.request.verdict === 'undecided')
    return { holds: 'undecided', flow, reason: `${printPacket(tuple)}, which stands now: ${after.request.reason}` };
  if (isSame(before.request, after.request) && (!counts || after.works === true)) return { holds: true };
  const why =
    (after.next ?? after.reply)?.reason ??
    after.request.reason ??
    `it would go to ${printPacket(after.request.packet)}`;
  const holds = after.works === 'undecided' && isSame(before.request, after.request) ? 'undecided' : false;
  return { holds, flow, network: future, reason: `${printPacket(tuple)}, which stands now, would break: ${why}` };
}

const isSame = (before: Way, after: Way): boolean =>
  before.verdict === after.verdict &&
  before.host === after.host &&
  (before.verdict !== 'exits' || before.link === after.link) &&
  printPacket(before.packet) === printPacket(after.packet);

/**
 * As it leaves the host, or comes in by the link where its sender is, be that another host of ours: what it sends is its own to tell.
 * Undefined for what never leaves the host.
 */
function flowOf(now: Network, host: string, tuple: Tuple): Flow | undefined {
  const { source, destination, sourcePort, destinationPort } = tuple;
  const protocol = TRANSPORTS[tuple.protocol];
  if (protocol === undefined || [source, destination].some((each) => addressScope(each) === 'loopback'))
    return undefined;
  const from = originOf(now, host, source);
  return from && { from, to: destination, port: destinationPort, sourcePort, protocol };
}

function originOf(now: Network, host: string, source: Address): Flow['from'] | undefined {
  const own = now.hosts.get(host);
  if (own === undefined) return undefined;
  if (own.isLocal(source)) return { kind: 'host', host, address: source };
  const way = lookupRoute(own.routes, { destination: source });
  if (way.kind !== 'route' || isOwnLink(way.link)) return undefined;
  return { kind: 'beyond', host, link: way.link, address: source };
}
