import {
  type Address,
  comparePrefixes,
  containsPrefix,
  type Family,
  hostPrefix,
  networkOf,
  type Prefix,
  parseAddress,
  parseInterfaceAddress,
} from '../net/index.ts';
import type { DataType, NamedSet, SetElement, Value } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';

/** What each word of a set's type is in nft: `hash:ip,port` is an address, a protocol and a port. */
const typeWords: Readonly<Record<string, (family: Family) => readonly string[]>> = {
  ip: (family) => [family === 4 ? 'ipv4_addr' : 'ipv6_addr'],
  net: (family) => [family === 4 ? 'ipv4_addr' : 'ipv6_addr'],
  port: () => ['inet_proto', 'inet_service'],
  iface: () => ['ifname'],
};

interface OpenSet {
  readonly name: string;
  readonly family: Family;
  readonly words: readonly string[];
  readonly type: DataType;
  /** Undefined once an element is not modelled. */
  elements: (readonly Value[])[] | undefined;
}

/**
 * The sets of `ipset save`, as nft's. One that says more than nft's type can (counters to match, `nomatch`, lists of sets, marks,
 * MAC addresses), or that holds what cannot be read, is left out: a rule that asks it is then not modelled.
 */
export function readIpsets(text: string): ReadonlyMap<string, NamedSet> {
  const open = new Map<string, OpenSet>();
  for (const line of text.split('\n')) {
    const [verb, name = '', ...rest] = line.trim().split(/\s+/);
    if (verb === 'create') {
      const set = openSet(name, rest);
      if (set !== undefined) open.set(name, set);
    } else if (verb === 'add') {
      const set = open.get(name);
      if (set?.elements === undefined) continue;
      const element = rest.includes('nomatch') ? undefined : readElement(rest[0] ?? '', set);
      if (element === undefined) set.elements = undefined;
      else set.elements.push(element);
    }
  }
  return new Map([...open.values()].flatMap((set) => (set.elements === undefined ? [] : [closeSet(set)])));
}

function openSet(name: string, [kind = '', ...options]: readonly string[]): OpenSet | undefined {
  const [storage, list = ''] = kind.split(':');
  const family = options[options.indexOf('family') + 1] === 'inet6' && options.includes('family') ? 6 : 4;
  const words = list.split(',');
  // A set of ports alone knows no protocol.
  if (kind === 'bitmap:port') return { name, family, words, type: ['inet_service'], elements: [] };
  if (storage !== 'hash') return undefined;
  if (!words.every((word) => Object.hasOwn(typeWords, word))) return undefined;
  return { name, family, words, type: words.flatMap((word) => typeWords[word]?.(family) ?? []), elements: [] };
}

function readElement(text: string, { words, type, family }: OpenSet): readonly Value[] | undefined {
  const parts = text.split(',');
  if (parts.length !== words.length) return undefined;
  if (type.length === 1 && type[0] === 'inet_service') {
    const port = readPort(parts[0]);
    return port && [port];
  }
  const values: Value[] = [];
  for (const [index, word] of words.entries()) {
    const part = parts[index] ?? '';
    if (word === 'port') {
      const [protocol = '', port] = part.split(':');
      const number = readPort(port);
      if (number === undefined || !/^(?:tcp|udp|sctp|udplite)$/.test(protocol)) return undefined;
      values.push(nft.symbol(protocol), number);
    } else if (word === 'iface') {
      if (part.includes(':')) return undefined;
      values.push(nft.text(part));
    } else {
      const block = readBlock(part, family);
      if (block === undefined) return undefined;
      values.push(nft.prefix(block));
    }
  }
  return values;
}

function readPort(text: string | undefined): Value | undefined {
  return text !== undefined && /^[0-9]{1,5}$/.test(text) ? nft.number(Number(text)) : undefined;
}

function readBlock(text: string, family: Family): Prefix | undefined {
  const address: Address | undefined = parseAddress(text);
  const block = address === undefined ? parseInterfaceAddress(text) : hostPrefix(address);
  return block === undefined || block.address.family !== family ? undefined : networkOf(block);
}

function closeSet({ name, type, elements = [] }: OpenSet): readonly [string, NamedSet] {
  const isInterval = elements.some((parts) => parts.some(({ kind }) => kind === 'prefix'));
  const keys: SetElement[] = withoutCovered(elements).map((parts) => {
    const [only] = parts;
    return { key: parts.length === 1 && only !== undefined ? only : nft.concat(...parts) };
  });
  return [name, { name, type, flags: isInterval ? ['interval'] : [], elements: keys }];
}

/** ipset takes a block beside one that contains it; nft's sets hold each address once. */
function withoutCovered(elements: readonly (readonly Value[])[]): readonly (readonly Value[])[] {
  const groups = new Map<string, { readonly block: Prefix; readonly parts: readonly Value[] }[]>();
  const others: (readonly Value[])[] = [];
  for (const parts of elements) {
    const at = parts.findIndex(({ kind }) => kind === 'prefix' || kind === 'address');
    const first = parts[at];
    const block =
      first?.kind === 'prefix' ? first.prefix : first?.kind === 'address' ? hostPrefix(first.address) : undefined;
    if (block === undefined) {
      others.push(parts);
      continue;
    }
    const key = JSON.stringify(
      parts.filter((_, index) => index !== at),
      (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value),
    );
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push({ block, parts });
  }
  const kept = [...groups.values()].flatMap((group) => {
    let last: Prefix | undefined;
    return group
      .sort((left, right) => comparePrefixes(left.block, right.block))
      .filter(({ block }) => {
        if (last !== undefined && containsPrefix(last, block)) return false;
        last = block;
        return true;
      });
  });
  return [...kept.map(({ parts }) => parts), ...others];
}
