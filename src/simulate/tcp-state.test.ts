import { expect, test } from 'vitest';
import { parseAddress } from '../net/index.ts';
import { type ConnectionTable, confirm, type Direction, track } from './connections.ts';
import { inverseOf, PROTOCOLS } from './packet.ts';

const FLAGS = { syn: 2, synAck: 18, ack: 16 } as const;
type Segment = `${Direction} ${keyof typeof FLAGS}`;

const at = (text: string) => {
  const read = parseAddress(text);
  if (read === undefined) throw new Error(`not an address: ${text}`);
  return read;
};
const tuple = {
  ...{ source: at('192.0.2.7'), destination: at('198.51.100.10'), protocol: PROTOCOLS.tcp },
  ...{ sourcePort: 40_000, destinationPort: 80 },
};

/** Which of the segments are INVALID to a host that knows nothing before the first. */
function invalid(segments: readonly Segment[], takesUp: boolean): readonly number[] {
  const table: ConnectionTable = new Map();
  return segments.flatMap((segment, index) => {
    const [direction, name] = segment.split(' ') as [Direction, keyof typeof FLAGS];
    const way = direction === 'original' ? tuple : inverseOf(tuple);
    const tracked = track(table, { ...way, tcpFlags: FLAGS[name] }, { original: 0, reply: 0 }, { takesUp });
    if (tracked === undefined) return [index];
    confirm(table, tracked.connection);
    return [];
  });
}

// The kernel says so too: fuzz/ (docs/verification.md).
const cases: readonly (readonly [string, readonly Segment[], readonly number[], boolean?])[] = [
  ['a handshake', ['original syn', 'reply synAck', 'original ack', 'reply ack'], []],
  ['an answer whose question went by elsewhere', ['reply synAck', 'original ack'], [0]],
  ['an ACK after an answer that went by elsewhere', ['original syn', 'original ack'], [1]],
  ['a connection taken up in its midst', ['original ack', 'reply ack'], []],
  ['the same where nf_conntrack_tcp_loose is 0', ['original ack', 'reply ack'], [0, 1], false],
  ['a handshake where it is 0', ['original syn', 'reply synAck', 'original ack'], [], false],
  ['a SYN against the direction of what is established', ['original ack', 'reply syn'], [1]],
  [
    'a SYN anew, and its answer',
    ['original syn', 'reply synAck', 'original ack', 'original syn', 'reply synAck', 'original ack'],
    [],
  ],
];
for (const [name, segments, wanted, takesUp = true] of cases)
  test(`${name}: INVALID are ${wanted.length === 0 ? 'none' : `those at ${wanted.join(', ')}`}`, () =>
    expect(invalid(segments, takesUp)).toEqual(wanted));
