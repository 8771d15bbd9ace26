/** Sets and maps made ready for many lookups: exact keys in a hash, one interval a key by binary search, the rest in a list. */
import { fits, type Pattern, patternOf, type Scalar, UNKNOWN, type Unknown } from './evaluate-value.ts';
import { isVerdict } from './print-expression.ts';
import type { DataType, SetElement, Value, Verdict } from './ruleset.ts';

/**
 * Finds the element whose key holds the value (one scalar a part of a concatenation); undefined where none does, and where none can
 * whatever the parts are that are not known.
 */
export type Find<Element> = (parts: readonly (Scalar | Unknown)[]) => Element | undefined | Unknown;

interface Interval<Element> {
  readonly first: Scalar;
  readonly last: Scalar;
  readonly element: Element;
}

interface Listed<Element> {
  readonly patterns: readonly Pattern[];
  readonly element: Element;
}

/** Elements that are exact in all parts but the one at `at`, by their exact parts. */
interface IntervalPart<Element> {
  readonly at: number;
  readonly byExact: Map<string, Interval<Element>[]>;
}

const keyOf = (parts: readonly Scalar[]): string => {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? String(only) : parts.join('|');
};

/** As keyOf has it, of a key that is exact in every part. */
function exactKey(key: Value, type: DataType | undefined): string | undefined {
  let text = '';
  for (const [index, part] of partsOf(key).entries()) {
    const pattern = patternOf(part, type?.[index]);
    if (pattern.kind !== 'exact') return undefined;
    text = index === 0 ? String(pattern.value) : `${text}|${String(pattern.value)}`;
  }
  return text;
}

/**
 * Makes the lookup of a set or map. The kernel refuses intervals that overlap, so among those with the same exact parts the last
 * to begin at or before the value is the only one that can hold it.
 */
export function indexElements<Element extends SetElement>(
  elements: readonly Element[],
  type: DataType | undefined,
): Find<Element> {
  // Most sets of a ruleset are never asked by the packets of one trace.
  let find: ((parts: readonly Scalar[]) => Element | undefined | Unknown) | undefined;
  return (parts) => {
    if (!isKnown(parts))
      return findListed(
        elements.map((element) => listed(element, type)),
        parts,
      );
    find ??= indexNow(elements, type);
    return find(parts);
  };
}

const isKnown = (parts: readonly (Scalar | Unknown)[]): parts is readonly Scalar[] => !parts.includes(UNKNOWN);

const listed = <Element extends SetElement>(element: Element, type: DataType | undefined): Listed<Element> => ({
  patterns: partsOf(element.key).map((part, index) => patternOf(part, type?.[index])),
  element,
});

function indexNow<Element extends SetElement>(
  elements: readonly Element[],
  type: DataType | undefined,
): (parts: readonly Scalar[]) => Element | undefined | Unknown {
  const exact = new Map<string, Element>();
  const intervals = new Map<number, IntervalPart<Element>>();
  const rest: Listed<Element>[] = [];
  for (const element of elements) {
    const key = exactKey(element.key, type);
    if (key !== undefined) {
      exact.set(key, element);
      continue;
    }
    const { patterns } = listed(element, type);
    const wide = patterns.findIndex(({ kind }) => kind !== 'exact');
    const pattern = patterns[wide];
    const others = patterns.flatMap((each) => (each.kind === 'exact' ? [each.value] : []));
    if (pattern?.kind !== 'between' || others.length !== patterns.length - 1) {
      rest.push({ patterns, element });
      continue;
    }
    const group = intervals.get(wide) ?? { at: wide, byExact: new Map<string, Interval<Element>[]>() };
    intervals.set(wide, group);
    const beside = keyOf(others);
    const members = group.byExact.get(beside);
    const member = { first: pattern.first, last: pattern.last, element };
    if (members === undefined) group.byExact.set(beside, [member]);
    else members.push(member);
  }
  const groups = [...intervals.values()];
  for (const { byExact } of groups) for (const members of byExact.values()) members.sort(byFirst);
  return (parts) => {
    const found = exact.size === 0 ? undefined : exact.get(keyOf(parts));
    if (found !== undefined) return found;
    for (const { at, byExact } of groups) {
      const value = parts[at];
      const members = byExact.get(keyOf(parts.length === 1 ? [] : parts.filter((_, index) => index !== at)));
      const inside = value === undefined || members === undefined ? undefined : findInterval(members, value);
      if (inside !== undefined) return inside;
    }
    return rest.length === 0 ? undefined : findListed(rest, parts);
  };
}

const partsOf = (key: Value): readonly Value[] => (key.kind === 'concat' ? key.parts : [key]);

const byFirst = (left: Interval<unknown>, right: Interval<unknown>): number =>
  left.first < right.first ? -1 : left.first > right.first ? 1 : 0;

function findInterval<Element>(sorted: readonly Interval<Element>[], value: Scalar): Element | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const interval = sorted[middle];
    if (interval !== undefined && interval.first <= value) low = middle + 1;
    else high = middle;
  }
  const candidate = sorted[low - 1];
  return candidate !== undefined && value <= candidate.last ? candidate.element : undefined;
}

/** A surer element before an unknown one: only where none is sure to hold the value does an unknown key matter. */
function findListed<Element>(
  elements: readonly Listed<Element>[],
  parts: readonly (Scalar | Unknown)[],
): Element | undefined | Unknown {
  let doubtful = false;
  for (const { patterns, element } of elements) {
    if (patterns.length !== parts.length) {
      doubtful ||= patterns.some(({ kind }) => kind === 'unknown');
      if (patterns.every(({ kind }) => kind === 'any')) return element;
      continue;
    }
    const held = patterns.map((pattern, index) => {
      const part = parts[index];
      if (part === UNKNOWN) return pattern.kind === 'any' ? true : UNKNOWN;
      return part === undefined ? false : fits(pattern, part);
    });
    if (held.every((each) => each === true)) return element;
    doubtful ||= held.every((each) => each !== false);
  }
  return doubtful ? UNKNOWN : undefined;
}

/** What a map has for a key, a part each; undefined for a verdict and for what is no single value. */
export function dataOf(data: Value | Verdict, type: DataType | undefined): readonly Scalar[] | undefined {
  if (isVerdict(data)) return undefined;
  const parts: Scalar[] = [];
  for (const [index, part] of (data.kind === 'concat' ? data.parts : [data]).entries()) {
    const pattern = patternOf(part, type?.[index]);
    if (pattern.kind !== 'exact') return undefined;
    parts.push(pattern.value);
  }
  return parts;
}
