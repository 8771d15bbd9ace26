/** Looking at more names than this for one misspelt word costs more than the hint is worth. */
const MOST_CANDIDATES = 1_000;

/**
 * The candidate nearest to a misspelt word, or undefined where none is near: one edit in three letters, at least one, at most
 * three. Another case is no edit. Of equally near ones the first.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bound = Math.min(3, Math.max(1, Math.floor(word.length / 3)));
  let seen = 0;
  for (const candidate of candidates) {
    if (++seen > MOST_CANDIDATES) break;
    if (Math.abs(candidate.length - word.length) > bound) continue;
    const edits = editDistance(lower, candidate.toLowerCase(), bound);
    if (edits > bound) continue;
    best = candidate;
    bound = edits - 1;
    if (bound < 0) break;
  }
  return best;
}

/** Letters put in, taken out, replaced, or two neighbours swapped (Damerau, optimal string alignment); above `bound` any number above it. */
export function editDistance(left: string, right: string, bound: number): number {
  let beforeLast: readonly number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    let least = row;
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      let edits = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (swapped) edits = Math.min(edits, (beforeLast[column - 2] ?? 0) + 1);
      current.push(edits);
      least = Math.min(least, edits);
    }
    if (least > bound) return bound + 1;
    beforeLast = last;
    last = current;
  }
  return last[right.length] ?? 0;
}
