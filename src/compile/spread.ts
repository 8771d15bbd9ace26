/** Which client goes to which target under `policy: Balance`: rendezvous hashing, a bucket of clients at a time. */
import { type ForwardShare, type ForwardTarget, targetsOf } from '../host/index.ts';
import type { Address } from '../net/index.ts';
import { jhash, reciprocalScale } from '../nftables/index.ts';
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

/** Lists of targets are asked again for each client. */
const spreads = new WeakMap<readonly ForwardTarget[], readonly number[]>();

/** Where a forward sends a client of this address, as the kernel reckons it. */
export function targetFor(forward: ForwardShare, client: Address): ForwardTarget {
  const { balance, name } = forward;
  const targets = targetsOf(forward);
  const [first] = targets;
  if (first === undefined) throw new TypeError(`PortForward ${name} leads to no target`);
  if (balance === undefined) return first;
  const buckets = spreads.get(balance) ?? spread(balance);
  spreads.set(balance, buckets);
  return targets[buckets[bucketOf(client, spreadSeed(name))] ?? 0] ?? first;
}

/** The bucket of a client: `jhash` of its address in network order, of IPv6 with the lower 64 bits cleared (`clientOf`). */
export function bucketOf({ family, value }: Address, seed: number): number {
  const hashed = family === 4 ? value : (value >> 64n) << 64n;
  const width = family === 4 ? 4 : 16;
  const bytes = Uint8Array.from({ length: width }, (_, at) => Number((hashed >> BigInt((width - 1 - at) * 8)) & 0xffn));
  return reciprocalScale(jhash(bytes, seed), BUCKETS);
}
