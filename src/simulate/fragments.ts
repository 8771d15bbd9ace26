/** A packet that travels in fragments: who puts it together, and what the rules of others make of the parts. */
import { type ChainSelection, type Evaluation, evaluate, type PacketContext } from '../nftables/index.ts';
import { contextOf } from './context.ts';
import { familyOf } from './packet.ts';
import type { Passage } from './passage.ts';

/**
 * A host that tracks connections puts it together before its rules see it (nf_defrag_ipv4, nf_defrag_ipv6), and lets it go in parts that
 * are no larger than those that came (frag_max_size).
 */
export function joinTracked(passage: Passage): void {
  const { host, packet, record } = passage;
  if (packet.fragment === undefined || passage.untracked === true || !host.tracks[familyOf(packet)]) return;
  record(host.name, 'mtu', () => ({ detail: 'put together again from its fragments, for conntrack' }));
  passage.joined = packet.fragment;
  join(passage);
}

/** As every host does with what is for itself (ip_local_deliver). */
export function join(passage: Passage): void {
  const { fragment: _, ...whole } = passage.packet;
  passage.packet = whole;
}

/** What the chains say of the packet; of one in fragments, of its first and of the others, which bear no ports. */
export function evaluateWhole(passage: Passage, selection: ChainSelection): Evaluation {
  const { ruleset } = passage.host;
  const context = contextOf(passage);
  const first = evaluate(ruleset, selection, context);
  if (passage.packet.fragment === undefined || first.verdict !== 'accept') return first;
  const later = evaluate(ruleset, selection, laterFragment(context));
  if (later.verdict === 'accept' && changesOf(later) !== changesOf(first)) {
    return { verdict: 'undecided', why: `${selection.hook}: its fragments do not fare alike, and go on apart` };
  }
  // Of a later fragment nobody is told that it was rejected (nf_send_unreach).
  return later.verdict === 'accept' ? first : later.verdict === 'reject' ? { ...later, verdict: 'drop' } : later;
}

const changesOf = (evaluation: Evaluation): string =>
  JSON.stringify('changes' in evaluation ? evaluation.changes : {}, (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  );

function laterFragment({
  sourcePort: _source,
  destinationPort: _destination,
  tcpFlags: _flags,
  icmpType: _type,
  icmpCode: _code,
  maxseg: _maxseg,
  ...rest
}: PacketContext): PacketContext {
  return { ...rest, fragment: 'later' };
}
