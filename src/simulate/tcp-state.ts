/** TCP as conntrack follows it (nf_conntrack_proto_tcp.c, tcp_conntracks), as far as the opening of a connection goes. */

/** None, a SYN was sent, it was answered, established; or both sides sent a SYN. */
export type TcpState = 'none' | 'synSent' | 'synReceived' | 'established' | 'synSent2';
type Next = TcpState | 'invalid' | 'ignored';

const row = (...next: readonly [Next, Next, Next, Next, Next]): Readonly<Record<TcpState, Next>> => ({
  ...{ none: next[0], synSent: next[1], synReceived: next[2], established: next[3], synSent2: next[4] },
});

/** An ACK alone may begin: where tcp_loose forbids it, who asks has to refuse it. */
const ORIGINAL = {
  syn: row('synSent', 'synSent', 'ignored', 'ignored', 'synSent2'),
  synAck: row('invalid', 'invalid', 'synReceived', 'invalid', 'synReceived'),
  ack: row('established', 'invalid', 'established', 'established', 'invalid'),
} as const;
const REPLY = {
  syn: row('invalid', 'synSent2', 'invalid', 'invalid', 'synSent2'),
  synAck: row('invalid', 'synReceived', 'ignored', 'ignored', 'synReceived'),
  ack: row('invalid', 'ignored', 'synReceived', 'established', 'ignored'),
} as const;

/** What a connection remembers; it changes with its packets. */
export interface TcpTrack {
  state: TcpState;
  /** Who sent the last SYN, if it was ignored: its answer begins the connection anew. */
  ignored?: 'original' | 'reply';
}

const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

/** Takes a packet into account; false where it is INVALID, and changes nothing. Ends of connections are not followed: they are taken as they come. */
export function advance(track: TcpTrack, direction: 'original' | 'reply', flags: number): boolean {
  if ((flags & (FIN | RST)) !== 0) return track.state !== 'none';
  const kind = (flags & SYN) !== 0 ? ((flags & ACK) !== 0 ? 'synAck' : 'syn') : (flags & ACK) !== 0 ? 'ack' : undefined;
  if (kind === undefined) return false;
  const next = (direction === 'original' ? ORIGINAL : REPLY)[kind][track.state];
  if (next === 'invalid') return false;
  if (next !== 'ignored') {
    track.state = next;
    delete track.ignored;
  } else if (kind === 'syn') track.ignored = direction;
  else if (kind === 'synAck' && track.ignored !== undefined && track.ignored !== direction) {
    track.state = 'synReceived';
    delete track.ignored;
  }
  return true;
}
