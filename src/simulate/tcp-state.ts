/** TCP as conntrack follows it (nf_conntrack_proto_tcp.c, tcp_conntracks), the numbers of its segments excepted. */

export type TcpState =
  | 'none'
  | 'synSent'
  | 'synReceived'
  | 'established'
  | 'finWait'
  | 'closeWait'
  | 'lastAck'
  | 'timeWait'
  | 'close'
  /** Both sides sent a SYN. */
  | 'synSent2';

/** `anew`: the connection is forgotten, and the packet begins another; `unsure`: so it is if the same side ended it. */
type Next = TcpState | 'invalid' | 'ignored' | 'anew' | 'unsure';

const row = (
  ...[none, synSent, synReceived, established, finWait, closeWait, lastAck, timeWait, close, synSent2]: readonly [
    ...[Next, Next, Next, Next, Next],
    ...[Next, Next, Next, Next, Next],
  ]
): Readonly<Record<TcpState, Next>> => ({
  ...{ none, synSent, synReceived, established, finWait },
  ...{ closeWait, lastAck, timeWait, close, synSent2 },
});

const [invalid, ignored, established, close] = ['invalid', 'ignored', 'established', 'close'] as const;
const [synSent, synSent2, synReceived] = ['synSent', 'synSent2', 'synReceived'] as const;
const [finWait, closeWait, lastAck, timeWait] = ['finWait', 'closeWait', 'lastAck', 'timeWait'] as const;

const END = {
  fin: row(invalid, invalid, finWait, finWait, lastAck, lastAck, lastAck, timeWait, close, invalid),
  rst: row(invalid, close, close, close, close, close, close, close, close, close),
} as const;
/** An ACK alone may begin: where tcp_loose forbids it, who asks has to refuse it. */
const ORIGINAL = {
  ...END,
  syn: row(synSent, synSent, ignored, ignored, ignored, ignored, ignored, 'anew', 'unsure', synSent2),
  synAck: row(invalid, invalid, synReceived, invalid, invalid, invalid, invalid, invalid, invalid, synReceived),
  ack: row(established, invalid, established, established, closeWait, closeWait, timeWait, timeWait, close, invalid),
} as const;
const REPLY = {
  ...END,
  syn: row(invalid, synSent2, invalid, invalid, invalid, invalid, invalid, 'anew', invalid, synSent2),
  synAck: row(invalid, synReceived, ignored, ignored, ignored, ignored, ignored, ignored, ignored, synReceived),
  ack: row(invalid, ignored, synReceived, established, closeWait, closeWait, timeWait, timeWait, close, ignored),
} as const;

/** As conntrack prints it; undefined: another word. */
export const tcpStateOf = (printed: string): TcpState | undefined => PRINTED.get(printed);

const PRINTED: ReadonlyMap<string, TcpState> = new Map([
  ['NONE', 'none'],
  ['SYN_SENT', synSent],
  ['SYN_RECV', synReceived],
  ['ESTABLISHED', established],
  ['FIN_WAIT', finWait],
  ['CLOSE_WAIT', closeWait],
  ['LAST_ACK', lastAck],
  ['TIME_WAIT', timeWait],
  ['CLOSE', close],
  ['SYN_SENT2', synSent2],
]);

/** What a connection remembers; it changes with its packets. */
export interface TcpTrack {
  state: TcpState;
  /** Who sent the last SYN, if it was ignored: its answer begins the connection anew. */
  ignored?: 'original' | 'reply';
}

const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

function kindOf(flags: number): keyof typeof ORIGINAL | undefined {
  if ((flags & RST) !== 0) return 'rst';
  if ((flags & SYN) !== 0) return (flags & ACK) !== 0 ? 'synAck' : 'syn';
  if ((flags & FIN) !== 0) return 'fin';
  return (flags & ACK) !== 0 ? 'ack' : undefined;
}

/** Takes a packet into account; only where it is `taken` anything changes. */
export function advance(
  track: TcpTrack,
  direction: 'original' | 'reply',
  flags: number,
): 'taken' | 'invalid' | 'anew' | 'unsure' {
  const kind = kindOf(flags);
  if (kind === undefined) return 'invalid';
  const next = (direction === 'original' ? ORIGINAL : REPLY)[kind][track.state];
  if (next === 'invalid' || next === 'anew' || next === 'unsure') return next;
  if (next !== 'ignored') {
    track.state = next;
    delete track.ignored;
  } else if (kind === 'syn') track.ignored = direction;
  else if (kind === 'synAck' && track.ignored !== undefined && track.ignored !== direction) {
    track.state = 'synReceived';
    delete track.ignored;
  }
  return 'taken';
}
