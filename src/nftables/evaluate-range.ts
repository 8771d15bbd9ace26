/** Translations to a range of addresses or ports, of which the kernel takes one (nf_nat_core.c): each it may take is a way. */
import { drawWay } from './evaluate-chance.ts';
import type { PortRange, Registers } from './evaluate-packet.ts';
import { patternOf, type Scalar } from './evaluate-value.ts';
import type { Expression } from './ruleset.ts';

export interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** The ends of a range that is written out, which nft lists as a prefix where it is one; undefined of anything else. */
export function rangeOf(expression: Expression | undefined): Range | undefined {
  if (expression?.kind !== 'range' && expression?.kind !== 'prefix') return undefined;
  const pattern = patternOf(expression, undefined);
  if (pattern.kind !== 'between' || typeof pattern.first === 'string' || typeof pattern.last === 'string')
    return undefined;
  return { first: BigInt(pattern.first), last: BigInt(pattern.last) };
}

const holds = ({ first, last }: Range, value: bigint): boolean => value >= first && value <= last;

/** More are not told one by one. */
const MOST_CHOICES = 16n;

export interface Ranges {
  readonly addresses?: Range | undefined;
  readonly ports?: Range | undefined;
  /** The one port that the rule names. */
  readonly port?: Scalar | undefined;
}

export interface Chosen {
  readonly address?: readonly [bigint];
  /** Of a source that keeps its own address, unless it is taken. */
  readonly addresses?: Range;
  readonly port?: readonly [number];
  /** Of a source, or where the packet's own will do: whichever is free. */
  readonly ports?: PortRange;
}

/**
 * One address and port of each range: the address by a hash of the packet's own with a seed that nobody knows (find_best_ips_proto), the port
 * as it is where it will do (get_unique_tuple), else the first of the range or any, which depends on the kernel (nf_nat_l4proto_unique_tuple).
 * A source keeps its address too where both will do, and are free. Undefined where they are too many.
 */
export function choose(registers: Registers, half: 'source' | 'destination', ranges: Ranges): Chosen | undefined {
  const { packet } = registers;
  const own = half === 'source' ? packet.sourcePort : packet.destinationPort;
  const isOpenPort = own !== undefined && ranges.ports !== undefined && !holds(ranges.ports, BigInt(own));
  const isOther = ranges.port !== undefined && ranges.port !== own;
  const keeps =
    half === 'source' &&
    !isOpenPort &&
    !isOther &&
    ranges.addresses !== undefined &&
    holds(ranges.addresses, packet.source.value);
  const addresses = keeps ? undefined : ranges.addresses;
  const ports = isOpenPort && half === 'destination' ? ranges.ports : undefined;
  const sizeOf = (range: Range | undefined): bigint => (range === undefined ? 1n : range.last - range.first + 1n);
  const [of, by] = [sizeOf(addresses), sizeOf(ports)];
  if (of * by > MOST_CHOICES) return undefined;
  const free =
    (half === 'source' || !isOpenPort) && ranges.ports !== undefined && own !== undefined
      ? { ports: { first: Number(ranges.ports.first), last: Number(ranges.ports.last) } }
      : {};
  const way = drawWay(registers, Number(of * by));
  if (way === undefined) return undefined;
  return {
    ...free,
    ...(addresses !== undefined && { address: [addresses.first + (BigInt(way) % of)] as const }),
    ...(keeps && { address: [packet.source.value] as const, addresses: ranges.addresses }),
    ...(ports !== undefined && { port: [Number(ports.first + BigInt(way) / of)] as const }),
  };
}
