import { type Address, compareAddresses } from './address.ts';
import { comparePrefixes, containsAddress, containsPrefix, type Prefix, samePrefix } from './prefix.ts';

/** A prefix and what belongs to it. */
export interface PrefixEntry<T> {
  readonly prefix: Prefix;
  readonly value: T;
}

interface Node<T> {
  readonly entry: PrefixEntry<T>;
  /** The longest other prefix of the table that contains this one. */
  readonly parent: Node<T> | undefined;
}

/**
 * Prefixes of both families, ready for longest-prefix match: sorted, each knowing the next one around it.
 * Not a Map per length: V8 hashes a bigint by its low 64 bits alone, so the /128s of many networks would all collide.
 */
export interface PrefixTable<T> {
  readonly nodes: readonly Node<T>[];
}

/** Makes a table. Of entries with the same prefix the last one stands, as in a Map. */
export function buildPrefixTable<T>(entries: readonly PrefixEntry<T>[]): PrefixTable<T> {
  const sorted = entries.toSorted((left, right) => comparePrefixes(left.prefix, right.prefix));
  const nodes: Node<T>[] = [];
  for (const entry of sorted) {
    const before = nodes.at(-1);
    if (before !== undefined && samePrefix(before.entry.prefix, entry.prefix)) {
      nodes[nodes.length - 1] = { entry, parent: before.parent };
      continue;
    }
    let parent = before;
    while (parent !== undefined && !containsPrefix(parent.entry.prefix, entry.prefix)) parent = parent.parent;
    nodes.push({ entry, parent });
  }
  return { nodes };
}

/** The entry with the longest prefix that contains the address. */
export const lookupPrefix = <T>(table: PrefixTable<T>, address: Address): PrefixEntry<T> | undefined =>
  innermost(table, address)?.entry;

/** Every entry whose prefix contains the address, longest first. */
export function lookupPrefixes<T>(table: PrefixTable<T>, address: Address): readonly PrefixEntry<T>[] {
  const matches: PrefixEntry<T>[] = [];
  for (let node = innermost(table, address); node !== undefined; node = node.parent) matches.push(node.entry);
  return matches;
}

/**
 * Prefixes nest or are apart, so whatever contains the address is the last prefix that begins at or before it, or lies
 * around that one: one binary search, then at most 128 steps outwards.
 */
function innermost<T>({ nodes }: PrefixTable<T>, address: Address): Node<T> | undefined {
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const node = nodes[middle];
    if (node !== undefined && compareAddresses(node.entry.prefix.address, address) <= 0) low = middle + 1;
    else high = middle;
  }
  let node = nodes[low - 1];
  while (node !== undefined && !containsAddress(node.entry.prefix, address)) node = node.parent;
  return node;
}
