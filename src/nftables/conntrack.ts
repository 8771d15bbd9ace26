/** The connections that a host tracks, as `conntrack -L -o extended` prints them (conntrack-tools). */
import { type Address, type Family, parseAddress, sameAddress } from '../net/index.ts';
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
  /** Its line. */
  readonly text: string;
}

const STATUS = { seenReply: 2, assured: 4, confirmed: 8, sourceNat: 16, destinationNat: 32 } as const;

const FAMILIES: Readonly<Record<string, Family>> = { ipv4: 4, ipv6: 6 };

/** A hundred thousand connections are listed in two seconds; more are not read. */
const FEW_ENOUGH = '[ "$(cat /proc/sys/net/netfilter/nf_conntrack_count)" -le 100000 ] || exit 3';

const listing = (family: Family): readonly string[] => [
  ...['sh', '-c', `${FEW_ENOUGH}; exec conntrack -L -f ipv${family} -o extended`],
];

/** What lists them, by family: readConntrack reads the outputs. Status 3: there are too many; 127: no conntrack. */
export const CONNTRACK_COMMANDS: Readonly<Record<Family, readonly string[]>> = { 4: listing(4), 6: listing(6) };

/** `ipv4 2 udp 17 29 src=… dst=… sport=… dport=… [UNREPLIED] src=… … mark=18 zone-orig=3 use=1`. Throws on a line of another form. */
export const readConntrack = (text: string): readonly ConntrackEntry[] =>
  text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [readEntry(line.trim())]));

function readEntry(line: string): ConntrackEntry {
  const words = line.split(/\s+/);
  const [layer = '', , , protocol = ''] = words;
  const family = FAMILIES[layer];
  const values = new Map<string, string[]>();
  for (const word of words.slice(4)) {
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
  // The last word of each: a line without it was cut off.
  if (family === undefined || number('use', 0) === undefined) throw wrong();
  const address = (name: string, index: number): Address => {
    const read = parseAddress(values.get(name)?.[index] ?? '');
    if (read?.family !== family) throw wrong();
    return read;
  };
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
      STATUS.confirmed |
      (words.includes('[UNREPLIED]') ? 0 : STATUS.seenReply) |
      (words.includes('[ASSURED]') || words.includes('[OFFLOAD]') ? STATUS.assured : 0) |
      (isSameEnd(reply, 'destination', original, 'source') ? 0 : STATUS.sourceNat) |
      (isSameEnd(reply, 'source', original, 'destination') ? 0 : STATUS.destinationNat),
    ...(tcpState !== undefined && { tcpState }),
    ...(icmpType !== undefined && { icmpType }),
    ...((words.includes('[OFFLOAD]') || words.includes('[HW_OFFLOAD]')) && { offloaded: true }),
  };
}

type End = 'source' | 'destination';

const isSameEnd = (left: Tuple, one: End, right: Tuple, other: End): boolean =>
  sameAddress(left[one], right[other]) && left[`${one}Port`] === right[`${other}Port`];
