/** Numbers (addresses, ports) that nothing tells apart: whatever holds of one of them holds of all. */
import type { Interval } from '../net/index.ts';

/** Numbers of which something says the same: the elements of one set in one rule, a route's prefix. */
export interface Block extends Interval {
  /** What says it. */
  readonly by: string;
}

/** Numbers next to each other that nothing tells apart; pieces with one `kind` are told apart by nothing either. */
export interface Piece extends Interval {
  readonly kind: number;
}

/** The whole range in pieces, in order: where other blocks begin or end, another begins. */
export function piecesOf(blocks: readonly Block[], whole: Interval): readonly Piece[] {
  const events = blocks
    .flatMap(({ first, last, by }) => [
      { at: larger(first, whole.first), by, more: 1 },
      { at: last + 1n, by, more: -1 },
    ])
    .filter(({ at }) => at <= whole.last)
    .sort((left, right) => (left.at < right.at ? -1 : left.at > right.at ? 1 : 0));
  const active = new Map<string, number>();
  const kinds = new Map<string, number>();
  const pieces: { first: bigint; last: bigint; kind: number }[] = [];
  const open = (first: bigint): void => {
    const key = [...active.keys()].sort().join('\n');
    const kind = kinds.get(key) ?? kinds.size;
    kinds.set(key, kind);
    const before = pieces.at(-1);
    if (before?.kind === kind) return;
    if (before !== undefined) before.last = first - 1n;
    pieces.push({ first, last: whole.last, kind });
  };
  let next = 0;
  for (let at = whole.first; ; ) {
    for (let event = events[next]; event?.at === at; event = events[next]) {
      const count = (active.get(event.by) ?? 0) + event.more;
      if (count === 0) active.delete(event.by);
      else active.set(event.by, count);
      next += 1;
    }
    open(at);
    const following = events[next];
    if (following === undefined) return pieces;
    at = following.at;
  }
}

/** Math.max of what Math does not know. */
export const larger = (left: bigint, right: bigint): bigint => (left > right ? left : right);
export const smaller = (left: bigint, right: bigint): bigint => (left < right ? left : right);

/** The index of the piece that holds a number. */
export function pieceAt(pieces: readonly Piece[], value: bigint): number {
  let [low, high] = [0, pieces.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const piece = pieces[middle];
    if (piece !== undefined && piece.first <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
