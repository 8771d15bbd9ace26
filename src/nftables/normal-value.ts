import { addressBits, type Interval, intervals, type Prefix, prefixesOf, prefixInterval } from '../net/index.ts';
import { normalProtocol, textTypes } from './datatype.ts';
import { isVerdict, printData, printValue } from './print-expression.ts';
import type { DataType, MapElement, SetElement, Value, Verdict } from './ruleset.ts';

/**
 * A constant as the kernel lists it: a range that is a prefix or one value stands as that, a transport protocol by nft's own word,
 * an interface as text. `type` is what it is a constant of.
 */
export function normalValue(value: Value, type?: DataType): Value {
  switch (value.kind) {
    case 'number':
    case 'symbol':
      return normalName(value, type?.[0]);
    case 'prefix':
      return value.prefix.length === addressBits(value.prefix.address.family)
        ? { kind: 'address', address: value.prefix.address }
        : value;
    case 'range':
      return normalRange(normalValue(value.first, type), normalValue(value.last, type));
    case 'concat':
      return { kind: 'concat', parts: value.parts.map((part, index) => normalValue(part, partType(type, index))) };
    case 'string':
    case 'address':
    case 'wildcard':
    case 'opaque':
      return value;
  }
}

const partType = (type: DataType | undefined, index: number): DataType | undefined => {
  const part = type?.[index];
  return part === undefined ? undefined : [part];
};

function normalName(value: Extract<Value, { readonly kind: 'number' | 'symbol' }>, type: string | undefined): Value {
  if (type === 'inet_proto') {
    const protocol = normalProtocol(value.kind === 'number' ? value.value : value.name);
    return typeof protocol === 'number' ? { kind: 'number', value: protocol } : { kind: 'symbol', name: protocol };
  }
  if (value.kind === 'number') return value;
  if (type === 'pkt_type' && value.name === 'unicast') return { kind: 'symbol', name: 'host' };
  return type !== undefined && textTypes.has(type) && value.name !== 'exists' && value.name !== 'missing'
    ? { kind: 'string', text: value.name }
    : value;
}

function normalRange(first: Value, last: Value): Value {
  if (first.kind === 'number' && last.kind === 'number' && first.value === last.value) return first;
  if (first.kind === 'address' && last.kind === 'address' && first.address.family === last.address.family) {
    return addressRange({ first: first.address.value, last: last.address.value }, first.address.family);
  }
  return { kind: 'range', first, last };
}

/** As the kernel lists an interval of addresses: one address, one prefix, or first and last. */
function addressRange({ first, last }: Interval, family: Prefix['address']['family']): Value {
  if (first === last) return { kind: 'address', address: { family, value: first } };
  const [prefix, ...others] = first < last ? prefixesOf({ first, last }, family) : [];
  if (prefix !== undefined && others.length === 0) return { kind: 'prefix', prefix };
  return {
    kind: 'range',
    first: { kind: 'address', address: { family, value: first } },
    last: { kind: 'address', address: { family, value: last } },
  };
}

/** What a map gives. nft keeps ranges there as they were written. */
export function normalData(data: Value | Verdict, type?: DataType): Value | Verdict {
  if (isVerdict(data) || data.kind === 'range') return data;
  return data.kind === 'concat'
    ? {
        kind: 'concat',
        parts: data.parts.map((part, index) =>
          part.kind === 'range' ? part : normalValue(part, partType(type, index)),
        ),
      }
    : normalValue(data, type);
}

/** A text that equal keys share and different keys do not; also of keys that cannot be written. */
export const keyOf = (key: Value, type?: DataType): string =>
  key.kind === 'opaque' || (key.kind === 'concat' && key.parts.some((part) => part.kind === 'opaque'))
    ? `opaque ${JSON.stringify(key)}`
    : printValueSafely(key, type);

/** Text of a foreign interface may hold what we would not write; as a key it is quoted the way JSON does. */
function printValueSafely(key: Value, type: DataType | undefined): string {
  switch (key.kind) {
    case 'string':
      return JSON.stringify(key.text);
    case 'symbol':
      return key.name;
    case 'concat':
      return key.parts.map((part, index) => printValueSafely(part, partType(type, index))).join(' . ');
    default:
      return printValue(key, type);
  }
}

const byKey = (left: readonly [string, unknown], right: readonly [string, unknown]): number =>
  left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;

/** Elements sorted by key; of equal keys the last stays. */
export function sortElements<Element extends SetElement | MapElement>(
  elements: readonly Element[],
  type?: DataType,
): readonly Element[] {
  const keyed = new Map(elements.map((element) => [keyOf(element.key, type), element] as const));
  return [...keyed].sort(byKey).map(([, element]) => element);
}

/** What stays of an element's `extra`: its own time limit. Counter values and the time left are the kernel's. */
const normalExtra = ({ extra }: SetElement | MapElement): Pick<SetElement, 'extra'> =>
  extra?.timeout === undefined ? {} : { extra: { timeout: extra.timeout } };
const commentOf = ({ comment }: SetElement | MapElement): Pick<SetElement, 'comment'> =>
  comment === undefined ? {} : { comment };

export const normalSetElement = (element: SetElement, type?: DataType): SetElement => ({
  key: normalValue(element.key, type),
  ...commentOf(element),
  ...normalExtra(element),
});
export const normalMapElement = (element: MapElement, type?: DataType, data?: DataType): MapElement => ({
  key: normalValue(element.key, type),
  data: normalData(element.data, data),
  ...commentOf(element),
  ...normalExtra(element),
});

/**
 * Elements of an interval set whose neighbours the kernel merges (`auto-merge`, and any anonymous set with an interval), merged.
 * Elements with comments, and those that are neither numbers nor addresses, stay apart.
 */
export function mergeNeighbours(elements: readonly SetElement[]): readonly SetElement[] {
  const numbers: Interval[] = [];
  const addresses = new Map<4 | 6, Interval[]>();
  const others: SetElement[] = [];
  for (const element of elements) {
    const [first, last] =
      element.key.kind === 'range' ? [element.key.first, element.key.last] : [element.key, element.key];
    if (element.comment !== undefined) others.push(element);
    else if (first.kind === 'number' && last.kind === 'number') {
      numbers.push({ first: BigInt(first.value), last: BigInt(last.value) });
    } else if (first.kind === 'prefix') {
      group(addresses, first.prefix.address.family).push(prefixInterval(first.prefix));
    } else if (first.kind === 'address' && last.kind === 'address') {
      group(addresses, first.address.family).push({ first: first.address.value, last: last.address.value });
    } else others.push(element);
  }
  return [
    ...intervals(numbers).intervals.map(({ first, last }): SetElement => ({ key: numberRange(first, last) })),
    ...[...addresses].flatMap(([family, of]) =>
      intervals(of).intervals.map((interval): SetElement => ({ key: addressRange(interval, family) })),
    ),
    ...others,
  ];
}

const numberRange = (first: bigint, last: bigint): Value =>
  normalRange({ kind: 'number', value: Number(first) }, { kind: 'number', value: Number(last) });

function group(groups: Map<4 | 6, Interval[]>, family: 4 | 6): Interval[] {
  const existing = groups.get(family);
  if (existing !== undefined) return existing;
  const fresh: Interval[] = [];
  groups.set(family, fresh);
  return fresh;
}

/** A text that equal data share. */
export const dataKeyOf = (data: Value | Verdict, type?: DataType): string =>
  isVerdict(data) ? printData(data) : keyOf(data, type);
