/** The connections that stood on a host before the first packet of a trace. */
import type { ConntrackEntry, Expectation, Tuple } from '../nftables/index.ts';
import { type Connection, type ConnectionTable, type Found, keyOf, sourceKey } from './connections.ts';
import { SOURCE_PORT } from './flow-packet.ts';
import type { Network } from './network.ts';
import { ECHO, isIcmp, PROTOCOLS } from './packet.ts';
import { tcpStateOf } from './tcp-state.ts';
import type { Flow } from './trace.ts';

/** Entries by what they are found by; shared by all traces, and never changed. */
export interface Standing {
  readonly byTuple: ReadonlyMap<string, ConntrackEntry>;
  readonly bySource: ReadonlyMap<string, readonly ConntrackEntry[]>;
  /** By both tuples, whatever their zone; of several the first. */
  readonly byEnds: ReadonlyMap<string, ConntrackEntry>;
  readonly expected: readonly Expectation[];
}

/** What waits there for a first packet with these ends (nf_ct_find_expectation). Without a source port: for one from any. */
export const expectationOf = (
  standing: Standing | undefined,
  { source, destination, protocol, sourcePort, destinationPort }: Omit<Tuple, 'sourcePort'> & Partial<Tuple>,
): Expectation | undefined =>
  standing?.expected.find(
    (each) =>
      each.protocol === protocol &&
      each.destination.family === destination.family &&
      each.destination.value === destination.value &&
      each.destinationPort === destinationPort &&
      (each.source.value & each.sourceMask) === (source.value & each.sourceMask) &&
      (each.sourcePort === undefined || sourcePort === undefined || each.sourcePort === sourcePort),
  );

const endsOf = ({ source, destination, protocol, sourcePort, destinationPort }: Tuple): string =>
  `${source.family} ${source.value} ${destination.value} ${protocol} ${sourcePort} ${destinationPort}`;

/** Of ICMP echoes alone: other questions have an id, too, and nobody traces them. */
export function indexEntries(entries: readonly ConntrackEntry[]): Standing {
  const byTuple = new Map<string, ConntrackEntry>();
  const bySource = new Map<string, ConntrackEntry[]>();
  const byEnds = new Map<string, ConntrackEntry>();
  for (const entry of entries) {
    const { original, reply, zone, icmpType } = entry;
    if (isIcmp(original) && icmpType !== ECHO[original.source.family].request) continue;
    byTuple.set(keyOf('original', zone, original), entry);
    byTuple.set(keyOf('reply', zone, reply), entry);
    for (const tuple of [original, reply]) if (!byEnds.has(endsOf(tuple))) byEnds.set(endsOf(tuple), entry);
    const source = bySource.get(sourceKey(entry));
    if (source === undefined) bySource.set(sourceKey(entry), [entry]);
    else source.push(entry);
  }
  return { byTuple, bySource, byEnds, expected: entries.flatMap(({ expects = [] }) => expects) };
}

/**
 * The table a trace begins with. What stood is taken into it when a packet first meets it, for packets change it; `size` counts that and
 * what the trace itself entered.
 */
export function startTable(standing: Standing | undefined): ConnectionTable {
  const own = new Map<string, Found>();
  if (standing === undefined) return own;
  const taken = new Map<ConntrackEntry, Connection>();
  const forgotten = new Set<string>();
  const take = (entry: ConntrackEntry): Connection => {
    const known = taken.get(entry);
    if (known !== undefined) return known;
    const connection = connectionOf(entry);
    taken.set(entry, connection);
    return connection;
  };
  const bySource = (key: string): Found | undefined => {
    let last: Connection | undefined;
    for (const entry of standing.bySource.get(key) ?? []) {
      const connection = take(entry);
      if (last !== undefined) connection.earlier = last;
      last = connection;
    }
    return last && { connection: last, direction: 'original' };
  };
  const get = (key: string): Found | undefined => {
    const known = own.get(key);
    if (known !== undefined || forgotten.has(key)) return known;
    const entry = standing.byTuple.get(key);
    const found: Found | undefined =
      entry === undefined
        ? bySource(key)
        : {
            connection: take(entry),
            direction: key === keyOf('original', entry.zone, entry.original) ? 'original' : 'reply',
          };
    if (found !== undefined) own.set(key, found);
    return found;
  };
  return {
    values: () => own.values(),
    get,
    has: (key) => get(key) !== undefined,
    set: (key, found) => own.set(key, found),
    delete(key) {
      forgotten.add(key);
      return own.delete(key);
    },
    get size() {
      return own.size;
    },
  };
}

function connectionOf(entry: ConntrackEntry): Connection {
  const { original, reply, zone, mark, status, tcpState } = entry;
  const state = tcpState === undefined ? undefined : tcpStateOf(tcpState);
  return {
    ...{ original, reply, zone, mark, status, entry },
    // They are listed by the names of a file alone (connlabel.conf).
    labels: 'unknown',
    settled: new Set(['source', 'destination']),
    ...(original.protocol === PROTOCOLS.tcp && { tcp: { state: state ?? 'established' } }),
  };
}

/** A connection that stands, and who tracks it. */
export interface StandingFlow {
  readonly host: string;
  readonly entry: ConntrackEntry;
}

/**
 * The flow as a packet of the connection that it belongs to, where some host tracks one with its ends and port and those have met; without
 * a port of its own it gets one by which it belongs to none.
 */
export function amongStanding(network: Network, flow: Flow): { readonly flow: Flow; readonly standing?: StandingFlow } {
  const source = flow.from.address;
  if (source === undefined) return { flow };
  const tupleFrom = (sourcePort: number): Tuple => {
    const { to, port, protocol } = flow;
    const isEcho = protocol === 'icmp' || protocol === 'icmpv6';
    const destinationPort = isEcho ? sourcePort : port;
    return { source, destination: to, protocol: PROTOCOLS[protocol], sourcePort, destinationPort };
  };
  if (flow.sourcePort === undefined) {
    for (let sourcePort = SOURCE_PORT; sourcePort <= 0xffff; sourcePort++)
      if (entryOf(network, tupleFrom(sourcePort)) === undefined)
        return { flow: sourcePort === SOURCE_PORT ? flow : { ...flow, sourcePort } };
    return { flow };
  }
  const standing = entryOf(network, tupleFrom(flow.sourcePort));
  return standing === undefined || !haveMet(standing.entry) ? { flow } : { flow: { ...flow, stands: true }, standing };
}

/** In whatever zone it is tracked: that one is set by rules. */
function entryOf(network: Network, tuple: Tuple): StandingFlow | undefined {
  for (const { name, standing } of network.hosts.values()) {
    const entry = standing?.byEnds.get(endsOf(tuple));
    if (entry !== undefined) return { host: name, entry };
  }
  return undefined;
}

const SEEN_REPLY = 2;
/** Of these a SYN begins another. */
const ENDED: ReadonlySet<string | undefined> = new Set(['TIME_WAIT', 'CLOSE']);

const haveMet = ({ status, tcpState }: ConntrackEntry): boolean => (status & SEEN_REPLY) !== 0 && !ENDED.has(tcpState);
