/** Which client goes to which target under `policy: Balance`: rendezvous hashing, a bucket of clients at a time. */
import { fnv1a } from './names.ts';

/** Clients are hashed into so many buckets: of two equal targets each gets half of them, give or take one in thirty. */
export const BUCKETS = 1_024;

/** The hash's seed of a forward, the same on every edge: a client finds its target again by each of them. */
export const spreadSeed = (forward: string): number => fnv1a(forward) || 1;

/**
 * The target of each bucket, by its place in the list. Every target has a score for every bucket, which depends on nothing but the two of
 * them, and the highest has the bucket (weights after Schindelhauer and Schomaker, Weighted distributed hash tables, 2005): when one
 * leaves, its buckets alone find another.
 */
export function spread(targets: readonly { readonly id: string; readonly weight: number }[]): readonly number[] {
  return Array.from({ length: BUCKETS }, (_, bucket) => {
    let best = 0;
    let most = Number.NEGATIVE_INFINITY;
    for (const [index, { id, weight }] of targets.entries()) {
      const score = -weight / Math.log(share(`${id} ${bucket}`));
      if (score <= most) continue;
      best = index;
      most = score;
    }
    return best;
  });
}

/** Evenly between 0 and 1, neither of them. */
const share = (text: string): number => (mixed(fnv1a(text)) + 0.5) / 2 ** 32;

/** FNV leaves the last letters in the low bits: mixed once more (MurmurHash3's finalizer). */
function mixed(hash: number): number {
  let bits = hash;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
