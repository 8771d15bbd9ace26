/** Tells which connections meet the same fate, so that one of a hundred thousand is traced for all of its kind. */
import { type Address, type Family, lastAddress } from '../net/index.ts';
import type { ConntrackEntry, Tuple } from '../nftables/index.ts';
import type { Network } from '../simulate/index.ts';

/** A text that is the same for entries of a host that no rule, route, address or key of these networks tells apart. */
export type KindOf = (host: string, entry: ConntrackEntry) => string;

/** What rules cut addresses and ports at: two of them between the same cuts lie in the same prefixes, ranges and elements. */
interface Cuts {
  readonly addresses: Readonly<Record<Family, Set<bigint>>>;
  readonly ports: Set<bigint>;
}

/** Where, in order, another kind of address or port begins. */
export interface SortedCuts {
  readonly addresses: Readonly<Record<Family, readonly bigint[]>>;
  readonly ports: readonly bigint[];
}

/** All places at which the rules, routes, addresses and keys of these networks cut addresses and ports. */
export function cutsOf(networks: readonly Network[]): SortedCuts {
  const cuts: Cuts = { addresses: { 4: new Set(), 6: new Set() }, ports: new Set() };
  for (const network of networks)
    for (const { state } of network.hosts.values()) collect({ ...state, files: undefined, sysctls: undefined }, cuts);
  return {
    addresses: { 4: sorted(cuts.addresses[4]), 6: sorted(cuts.addresses[6]) },
    ports: sorted(cuts.ports),
  };
}

export function kindsOf(networks: readonly Network[]): KindOf {
  const { addresses, ports } = cutsOf(networks);
  // A masked address (`ip saddr & 0.0.0.1`) is told apart by no cut.
  const isMasked = networks.some(({ hosts }) => [...hosts.values()].some(({ state }) => masksAddresses(state.tables)));
  const where = ({ family, value }: Address): bigint | number =>
    isMasked ? value : positionOf(addresses[family], value);
  const end = (tuple: Tuple): string =>
    [
      ...[tuple.source.family, where(tuple.source), where(tuple.destination), tuple.protocol],
      ...[positionOf(ports, BigInt(tuple.sourcePort)), positionOf(ports, BigInt(tuple.destinationPort))],
    ].join(' ');
  return (host, { original, reply, mark, zone, status, tcpState = '' }) =>
    [host, end(original), end(reply), mark, zone.original, zone.reply, status, tcpState].join('|');
}

/** Walks plain data: addresses and prefixes of whatever is in it, and all small numbers, one of which a port may be held against. */
function collect(data: unknown, cuts: Cuts): void {
  if (typeof data === 'number') {
    if (data >= 0 && data <= 0xffff) cut(cuts.ports, BigInt(data), BigInt(data));
    return;
  }
  if (typeof data !== 'object' || data === null) return;
  if (isAddress(data)) {
    cut(cuts.addresses[data.family], data.value, data.value);
    return;
  }
  if ('address' in data && 'length' in data && isAddress(data.address) && typeof data.length === 'number') {
    const { address, length } = data;
    const last = lastAddress({ address, length });
    const first = (address.value >> hostBits(address, length)) << hostBits(address, length);
    cut(cuts.addresses[address.family], first, last.value);
  }
  for (const each of Object.values(data)) collect(each, cuts);
}

const hostBits = ({ family }: Address, length: number): bigint => BigInt((family === 4 ? 32 : 128) - length);

function cut(at: Set<bigint>, first: bigint, last: bigint): void {
  at.add(first);
  at.add(last + 1n);
}

const isAddress = (data: unknown): data is Address =>
  typeof data === 'object' &&
  data !== null &&
  'family' in data &&
  (data.family === 4 || data.family === 6) &&
  'value' in data &&
  typeof data.value === 'bigint';

const sorted = (values: ReadonlySet<bigint>): readonly bigint[] =>
  [...values].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0));

/** How many cuts lie at it or before it. */
function positionOf(cuts: readonly bigint[], value: bigint): number {
  let [low, high] = [0, cuts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cuts[middle] ?? 0n) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether some rule looks at a part of the bits of an address. */
const masksAddresses = (data: unknown, within = false): boolean => {
  if (typeof data !== 'object' || data === null) return within && (data === 'saddr' || data === 'daddr');
  const isMask = 'kind' in data && (data.kind === 'binary' || data.kind === 'opaque');
  return Object.values(data).some((each) => masksAddresses(each, within || isMask));
};
