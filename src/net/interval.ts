import { addressBits, type Family, highestValue } from './address.ts';
import type { PortRange } from './port.ts';
import { firstAddress, lastAddress, type Prefix } from './prefix.ts';

/** Whole numbers from `first` to `last`, both included. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/** A set of whole numbers. Its intervals are sorted, apart, and never adjacent: equal sets have equal intervals. */
export interface IntervalSet {
  readonly intervals: readonly Interval[];
}

/** The set of all numbers in any of the intervals, given in any order. Throws RangeError where one ends before it begins. */
export function intervals(members: Iterable<Interval>): IntervalSet {
  const sorted = [...members].sort((left, right) => (left.first < right.first ? -1 : left.first > right.first ? 1 : 0));
  const merged: Interval[] = [];
  for (const next of sorted) {
    if (next.first > next.last)
      throw new RangeError(`the interval ${next.first} to ${next.last} ends before it begins`);
    const open = merged.at(-1);
    if (open === undefined || next.first > open.last + 1n) merged.push({ first: next.first, last: next.last });
    else if (next.last > open.last) merged[merged.length - 1] = { first: open.first, last: next.last };
  }
  return { intervals: merged };
}

/** What lies in either set. */
export const unionOf = (left: IntervalSet, right: IntervalSet): IntervalSet =>
  intervals([...left.intervals, ...right.intervals]);

/** What lies in `from` and not in `taken`. */
export function differenceOf(from: IntervalSet, taken: IntervalSet): IntervalSet {
  const left: Interval[] = [];
  let at = 0;
  for (const { first, last } of from.intervals) {
    let start = first;
    for (let hole = taken.intervals[at]; hole !== undefined && hole.first <= last; hole = taken.intervals[at]) {
      if (start < hole.first) left.push({ first: start, last: hole.first - 1n });
      if (hole.last >= start) start = hole.last + 1n;
      if (hole.last > last) break;
      at++;
    }
    if (start <= last) left.push({ first: start, last });
  }
  return { intervals: left };
}

/** What lies in both sets. */
export const intersectionOf = (left: IntervalSet, right: IntervalSet): IntervalSet =>
  differenceOf(left, differenceOf(left, right));

/** Whether the number lies in the set. */
export function containsValue({ intervals: sorted }: IntervalSet, value: bigint): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const interval = sorted[middle];
    if (interval !== undefined && interval.last < value) low = middle + 1;
    else high = middle;
  }
  const candidate = sorted[low];
  return candidate !== undefined && candidate.first <= value;
}

/** Whether the set has no number at all. */
export const isEmpty = (set: IntervalSet): boolean => set.intervals.length === 0;

/** The address values of a prefix. The family is the caller's to remember: a set has none. */
export const prefixInterval = (prefix: Prefix): Interval => ({
  first: firstAddress(prefix).value,
  last: lastAddress(prefix).value,
});

/** The ports of a range. */
export const portInterval = ({ first, last }: PortRange): Interval => ({ first: BigInt(first), last: BigInt(last) });

/** The fewest prefixes that together hold exactly the interval, in order. Throws RangeError outside the family's addresses. */
export function prefixesOf({ first, last }: Interval, family: Family): readonly Prefix[] {
  if (first < 0n || last > highestValue(family)) {
    throw new RangeError(`${first} to ${last} are not IPv${family} addresses`);
  }
  const prefixes: Prefix[] = [];
  let value = first;
  while (value <= last) {
    // The largest block that may begin here and does not reach beyond the end; greedy is smallest, as blocks nest.
    let length: number = addressBits(family);
    let size = 1n;
    while ((value & ((size << 1n) - 1n)) === 0n && value + (size << 1n) - 1n <= last) {
      size <<= 1n;
      length--;
    }
    prefixes.push({ address: { family, value }, length });
    value += size;
  }
  return prefixes;
}
