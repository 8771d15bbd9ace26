/** The connections that a host tracks, as `conntrack -L -o extended` prints them (conntrack-tools). */
import { type Address, type Family, parseAddress, printAddress, sameAddress } from '../net/index.ts';
import type { Tuple } from './evaluate-packet.ts';

export interface ConntrackEntry {
  readonly original: Tuple;
  readonly reply: Tuple;
  readonly zone: Readonly<Record<'original' | 'reply', number>>;
  readonly mark: number;
  /** IPS_* of nf_conntrack_common.h: 2 seen reply, 4 assured, 8 confirmed, 16 source NAT, 32 destination NAT. */
  readonly status: number;
  /** Of TCP, in the kernel's words: `SYN_SENT`, `ESTABLISHED`, `TIME_WAIT`. */
  readonly tcpState?: string;
  /** Of ICMP: the type of the request. */
  readonly icmpType?: number;
  /** The fast path (a flowtable) has it: its packets pass most hooks by. */
  readonly offloaded?: true;
  /** Connections that it made known beforehand, and that are still to come. Absent: none. */
  readonly expects?: readonly Expectation[];
  /** Its line. */
  readonly text: string;
}

/** What another connection's first packet looks like that a helper, or `ct expectation set`, waits for (nf_conntrack_expect). */
export interface Expectation {
  readonly source: Address;
  /** Bits of the source that count. */
  readonly sourceMask: bigint;
  /** Absent: any. */
  readonly sourcePort?: number;
  readonly destination: Address;
  readonly protocol: number;
  readonly destinationPort: number;
  /** The connection which made it known. */
  readonly master: Pick<ConntrackEntry, 'mark' | 'status' | 'zone'>;
  /** Its line. */
  readonly text: string;
}

/** IPS_* of nf_conntrack_common.h. */
export const CONNTRACK_STATUS = {
  expected: 1,
  seenReply: 2,
  assured: 4,
  confirmed: 8,
  sourceNat: 16,
  destinationNat: 32,
} as const;

const FAMILIES: Readonly<Record<string, Family>> = { ipv4: 4, ipv6: 6 };

/** A hundred thousand connections are listed in two seconds; more are not read. */
const FEW_ENOUGH = '[ "$(cat /proc/sys/net/netfilter/nf_conntrack_count)" -le 100000 ] || exit 3';

const listing = (family: Family): readonly string[] => [
  ...[
    'sh',
    '-c',
    `${FEW_ENOUGH}; conntrack -L -f ipv${family} -o extended && exec conntrack -L expect -f ipv${family}`,
  ],
];

/** What lists them and then what they expect, by family: readConntrack reads the outputs. Status 3: there are too many; 127: no conntrack. */
export const CONNTRACK_COMMANDS: Readonly<Record<Family, readonly string[]>> = { 4: listing(4), 6: listing(6) };

/** `ipv4 2 udp 17 29 src=… dst=… sport=… dport=… [UNREPLIED] src=… … mark=18 zone-orig=3 use=1`. Throws on a line of another form. */
export function readConntrack(text: string): readonly ConntrackEntry[] {
  const lines = text.split('\n').map((line) => line.trim());
  const expected = lines.filter(isExpectation).map(readExpectation);
  const entries = lines.filter((line) => line !== '' && !isExpectation(line)).map(readEntry);
  if (expected.length === 0) return entries;
  return entries.map((entry) => {
    const expects = expected.filter(({ master }) => endsOf(master) === endsOf(entry.original));
    return expects.length === 0 ? entry : { ...entry, expects: expects.map((each) => ({ ...each, master: entry })) };
  });
}

const endsOf = ({ source, destination, sourcePort, destinationPort }: Omit<Tuple, 'protocol'>): string =>
  `${printAddress(source)} ${printAddress(destination)} ${sourcePort} ${destinationPort}`;

/** The words of a line with `=`, in order; what is asked for and is of another form throws. */
function fieldsOf(line: string) {
  const values = new Map<string, string[]>();
  for (const word of line.split(/\s+/)) {
    const at = word.indexOf('=');
    if (at > 0) values.set(word.slice(0, at), [...(values.get(word.slice(0, at)) ?? []), word.slice(at + 1)]);
  }
  const wrong = (): TypeError => new TypeError(`conntrack -L: a line of another form: ${line.slice(0, 200)}`);
  const number = (name: string, index: number): number | undefined => {
    const value = values.get(name)?.[index];
    if (value === undefined) return undefined;
    if (!/^(?:[0-9]+|0x[0-9a-f]+)$/.test(value)) throw wrong();
    return Number(value);
  };
  const address = (name: string, index: number, family?: Family): Address => {
    const read = parseAddress(values.get(name)?.[index] ?? '');
    if (read === undefined || (family !== undefined && read.family !== family)) throw wrong();
    return read;
  };
  return { wrong, number, address };
}

/** They begin with the seconds that are left, or with `proto` where no time was set. */
const isExpectation = (line: string): boolean => /^(?:[0-9]+ )?proto=/.test(line);

/**
 * `299 proto=6 src=… dst=… sport=0 dport=5432 mask-src=… mask-dst=… sport=0 dport=65535 master-src=… master-dst=… sport=… dport=… class=0`:
 * of
 * ports the first is the one that is expected, the second its mask, the third that of the connection which made it known.
 */
function readExpectation(line: string): Omit<Expectation, 'master'> & { readonly master: Omit<Tuple, 'protocol'> } {
  const { wrong, number, address } = fieldsOf(line);
  const port = (name: string, index: number): number => {
    const value = number(name, index);
    if (value === undefined || value > 0xffff) throw wrong();
    return value;
  };
  const protocol = number('proto', 0);
  // The last word of each: a line without it was cut off.
  if (protocol === undefined || number('class', 0) === undefined) throw wrong();
  const source = address('src', 0);
  const { family } = source;
  const destination = address('dst', 0, family);
  return {
    ...{ source, sourceMask: address('mask-src', 0, family).value, destination, protocol },
    ...(port('sport', 1) !== 0 && { sourcePort: port('sport', 0) }),
    ...{ destinationPort: port('dport', 0), text: line },
    master: {
      ...{ source: address('master-src', 0), destination: address('master-dst', 0) },
      ...{ sourcePort: port('sport', 2), destinationPort: port('dport', 2) },
    },
  };
}

function readEntry(line: string): ConntrackEntry {
  const words = line.split(/\s+/);
  const [layer = '', , , protocol = ''] = words;
  const family = FAMILIES[layer];
  const { wrong, number, address: addressIn } = fieldsOf(line);
  // The last word of each: a line without it was cut off.
  if (family === undefined || number('use', 0) === undefined) throw wrong();
  const address = (name: string, index: number): Address => addressIn(name, index, family);
  /** An echo's id stands for both ports. */
  const port = (name: string, index: number): number => {
    const value = number(name, index) ?? number('id', index) ?? 0;
    if (value > 0xffff) throw wrong();
    return value;
  };
  const tuple = (index: 0 | 1): Tuple => ({
    ...{ source: address('src', index), destination: address('dst', index), protocol: Number(protocol) },
    ...{ sourcePort: port('sport', index), destinationPort: port('dport', index) },
  });
  if (!/^[0-9]+$/.test(protocol)) throw wrong();
  const [original, reply] = [tuple(0), tuple(1)];
  const zone = number('zone', 0) ?? 0;
  const [, , , , timeout, state] = words;
  const tcpState = [timeout, state].find((word = '') => /^[A-Z][A-Z0-9_]*$/.test(word));
  const icmpType = number('type', 0);
  return {
    ...{ original, reply, text: words.join(' '), mark: number('mark', 0) ?? 0 },
    zone: { original: number('zone-orig', 0) ?? zone, reply: number('zone-reply', 0) ?? zone },
    status:
      CONNTRACK_STATUS.confirmed |
      (words.includes('[UNREPLIED]') ? 0 : CONNTRACK_STATUS.seenReply) |
      (words.includes('[ASSURED]') || words.includes('[OFFLOAD]') ? CONNTRACK_STATUS.assured : 0) |
      (isSameEnd(reply, 'destination', original, 'source') ? 0 : CONNTRACK_STATUS.sourceNat) |
      (isSameEnd(reply, 'source', original, 'destination') ? 0 : CONNTRACK_STATUS.destinationNat),
    ...(tcpState !== undefined && { tcpState }),
    ...(icmpType !== undefined && { icmpType }),
    ...((words.includes('[OFFLOAD]') || words.includes('[HW_OFFLOAD]')) && { offloaded: true }),
  };
}

type End = 'source' | 'destination';

const isSameEnd = (left: Tuple, one: End, right: Tuple, other: End): boolean =>
  sameAddress(left[one], right[other]) && left[`${one}Port`] === right[`${other}Port`];
