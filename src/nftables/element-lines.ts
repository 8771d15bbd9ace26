/**
 * The elements of a large set or map as one text, a line for each, in one order. Two of fifty thousand elements are compared by it in a
 * millisecond, and only what differs is looked at: to visit the elements themselves takes fifty times as long. It is made where they are
 * made or read, while the processor has them at hand.
 */
import { type Atom, atoms } from './element-atoms.ts';
import { isVerdict } from './print-expression.ts';
import type { DataType, MapElement, NamedMap, NamedSet, SetElement, Table, Value, Verdict } from './ruleset.ts';
import { signatureOf } from './signature.ts';

export interface ElementTypes {
  readonly key: DataType;
  readonly data?: DataType;
}

/** Lines that are equal are of elements that are equal in their normal forms, and no two of one text are of one key. */
interface ElementLines {
  readonly types: ElementTypes;
  /** Each line with its end, sorted by key. */
  readonly text: string;
  /** Where each line begins, and where the last one ends. */
  readonly starts: Uint32Array;
  /** The place of each line's element in its list. */
  readonly places: Uint32Array;
}

/** By list: none is ever changed. */
const prepared = new WeakMap<readonly SetElement[], ElementLines>();

/** Fewer are compared one by one as fast. */
const WORTH_IT = 500;

/** Makes the lines of all large sets and maps of a table that will be compared with another one. The table stays as it is. */
export function prepareElements({ sets, maps }: Table): void {
  for (const set of sets) prepare(set, { key: set.type });
  for (const map of maps) prepare(map, { key: map.type, data: map.data });
}

function prepare({ flags, elements }: NamedSet | NamedMap, types: ElementTypes): void {
  if (elements.length < WORTH_IT || flags.includes('dynamic') || prepared.has(elements)) return;
  const lines = makeLines(elements, types);
  if (lines !== undefined) prepared.set(elements, lines);
}

/** Whether a list has its lines: then none of its elements was made by a packet. */
export const isPrepared = (elements: readonly SetElement[]): boolean => prepared.has(elements);

/**
 * Those elements of two lists that have no equal in the other one, each in its order; undefined where the lists are not both prepared, or
 * where so many differ that it is no shorter way.
 */
export function unmatched<Element extends SetElement>(
  from: readonly Element[],
  to: readonly Element[],
): { readonly from: readonly Element[]; readonly to: readonly Element[] } | undefined {
  const left = prepared.get(from);
  const right = prepared.get(to);
  if (left === undefined || right === undefined || !sameTypes(left.types, right.types)) return undefined;
  const [leftOrder, rightOrder] = [orderOf(left.types.key), orderOf(right.types.key)];
  const most = Math.max(from.length, to.length) / MANY;
  const only = { from: new Set<number>(), to: new Set<number>() };
  let i = 0;
  let j = 0;
  while (i < left.places.length || j < right.places.length) {
    const alike = commonLines(left, i, right, j);
    i += alike;
    j += alike;
    const [one, other] = [left.places[i], right.places[j]];
    const [gone, come] = [one === undefined ? undefined : from[one], other === undefined ? undefined : to[other]];
    const order = gone && come && compareOrders(leftOrder(gone.key), rightOrder(come.key));
    if (one !== undefined && (order ?? -1) <= 0) {
      only.from.add(one);
      i += 1;
    }
    if (other !== undefined && (order ?? 1) >= 0) {
      only.to.add(other);
      j += 1;
    }
    if (only.from.size + only.to.size > most) return undefined;
  }
  const pick = (list: readonly Element[], places: ReadonlySet<number>): readonly Element[] =>
    [...places].sort((a, b) => a - b).flatMap((place) => list[place] ?? []);
  return { from: pick(from, only.from), to: pick(to, only.to) };
}

/** One in so many, and a comparison of them all is as quick. */
const MANY = 16;

const sameTypes = (left: ElementTypes, right: ElementTypes): boolean =>
  left.key.join() === right.key.join() && left.data?.join() === right.data?.join();

/** How many lines are the same from there on in both. */
function commonLines(left: ElementLines, i: number, right: ElementLines, j: number): number {
  const most = Math.min(left.places.length - i, right.places.length - j);
  const [begin, other] = [left.starts[i] ?? 0, right.starts[j] ?? 0];
  const areAlike = (from: number, count: number): boolean => {
    const [start, end] = [left.starts[i + from] ?? 0, left.starts[i + from + count] ?? 0];
    return left.text.slice(start, end) === right.text.slice(start - begin + other, end - begin + other);
  };
  let alike = 0;
  let step = 1;
  // In leaps that double while all is the same, and halve where something is not.
  while (alike < most && areAlike(alike, Math.min(step, most - alike))) {
    alike += Math.min(step, most - alike);
    step *= 2;
  }
  for (step = Math.min(step, most - alike); step > 1; ) {
    step = Math.ceil(step / 2);
    if (alike + step <= most && areAlike(alike, step)) alike += step;
  }
  return alike;
}

// ---- making them

/** What lines are sorted by: all but the last part of the key, as text, and the last part. */
interface Order {
  readonly branch: string;
  readonly last: Atom;
}

function compareOrders(one: Order, other: Order): number {
  if (one.branch !== other.branch) return one.branch < other.branch ? -1 : 1;
  return compareAtoms(one.last, other.last);
}

function compareAtoms(one: Atom, other: Atom): number {
  if (typeof one !== typeof other) return typeof one === 'number' ? -1 : 1;
  return one < other ? -1 : one > other ? 1 : 0;
}

/** A number as it is, a text behind a quote, and no tab or end of a line in it: none is taken for another, or for two. */
const atomText = (atom: Atom): string =>
  typeof atom === 'number' ? String(atom) : /[\t\n"]/.test(atom) ? JSON.stringify(atom) : `'${atom}`;

function orderOf(type: DataType): (key: Value) => Order {
  const types = type.map((part): DataType => [part]);
  const atomOf = atoms();
  // Most neighbours differ in the last part alone.
  let before: readonly Value[] = [];
  let branch = '';
  const isSame = (parts: readonly Value[]): boolean => {
    if (parts.length !== before.length) return false;
    for (let index = 0; index < parts.length - 1; index++) if (parts[index] !== before[index]) return false;
    return true;
  };
  return (key) => {
    if (key.kind !== 'concat') return { branch: '', last: atomOf(key, type) };
    const { parts } = key;
    if (!isSame(parts)) {
      before = parts;
      branch = '';
      for (let index = 0; index < parts.length - 1; index++) {
        const part = parts[index];
        if (part !== undefined) branch += `${atomText(atomOf(part, types[index]))}\t`;
      }
    }
    const last = parts.at(-1);
    return { branch, last: last === undefined ? '' : atomOf(last, types[parts.length - 1]) };
  };
}

interface Branch {
  readonly lasts: Atom[];
  readonly places: number[];
  /** Whether they came in their order. */
  ascends: boolean;
}

/** Undefined where a key stands twice, where an element was made by a packet, or where it is better to look at them all. */
function makeLines(elements: readonly (SetElement | MapElement)[], types: ElementTypes): ElementLines | undefined {
  const orderIn = orderOf(types.key);
  const branches = new Map<string, Branch>();
  for (const [place, { key, extra }] of elements.entries()) {
    if (extra?.expires !== undefined) return undefined;
    const { branch: name, last } = orderIn(key);
    let branch = branches.get(name);
    if (branch === undefined) {
      branch = { lasts: [], places: [], ascends: true };
      branches.set(name, branch);
      if (branches.size > elements.length / 4 + 1) return undefined;
    }
    const previous = branch.lasts.at(-1);
    if (previous !== undefined && compareAtoms(previous, last) >= 0) branch.ascends = false;
    branch.lasts.push(last);
    branch.places.push(place);
  }
  const write = lineWriter(types);
  const places = new Uint32Array(elements.length);
  const starts = new Uint32Array(elements.length + 1);
  const lines: string[] = [];
  let at = 0;
  for (const [name, branch] of [...branches].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const order = branch.ascends ? branch.places.keys() : sorted(branch.lasts);
    let previous: Atom | undefined;
    for (const index of order) {
      const last = branch.lasts[index] ?? '';
      const place = branch.places[index] ?? 0;
      const element = elements[place];
      if (last === previous || element === undefined) return undefined;
      previous = last;
      const line = write(name, last, element);
      if (line === undefined) return undefined;
      places[lines.length] = place;
      lines.push(line);
      at += line.length;
      starts[lines.length] = at;
    }
  }
  return { types, text: lines.join(''), starts, places };
}

/** The places of atoms in their order. Numbers go with their places through an array of numbers, which is sorted ten times as fast. */
function sorted(atoms: readonly Atom[]): Iterable<number> {
  const isPacked =
    atoms.length < PLACES && atoms.every((atom) => Number.isInteger(atom) && 0 <= +atom && +atom < 2 ** 31);
  if (!isPacked) return [...atoms.keys()].sort((a, b) => compareAtoms(atoms[a] ?? '', atoms[b] ?? '') || a - b);
  return Float64Array.from(atoms, (atom, place) => Number(atom) * PLACES + place)
    .sort()
    .map((packed) => packed % PLACES);
}

/** 31 bits above it: in all no more than the 53 that a number has. */
const PLACES = 2 ** 22;

/** Writes the line of an element; undefined where a part of it would be taken for two. */
function lineWriter({
  data = [],
}: ElementTypes): (branch: string, last: Atom, element: SetElement | MapElement) => string | undefined {
  const dataOf = dataWriter(data);
  return (branch, last, element) => {
    const { comment, extra } = element;
    let line = branch + atomText(last);
    if ('data' in element) line += `\t${dataOf(element.data)}`;
    if (comment !== undefined) line += `\t#${JSON.stringify(comment)}`;
    if (extra?.timeout !== undefined) {
      if (typeof extra.timeout !== 'number') return undefined;
      line += `\t@${extra.timeout}`;
    }
    return `${line}\n`;
  };
}

/** Writes what a map gives. Where two texts are equal, so are the data in their normal forms; the other way round need not be. It refuses none. */
function dataWriter(type: DataType): (data: Value | Verdict) => string {
  const types = type.map((part): DataType => [part]);
  const atomOf = atoms();
  const plain = (value: Value, of: DataType | undefined): string => atomText(atomOf(value, of));
  return (data) => {
    if (isVerdict(data)) return `${data.kind} ${'chain' in data ? JSON.stringify(data.chain) : ''}`;
    if (isPlain(data)) return plain(data, type);
    if (data.kind === 'concat' && data.parts.every(isPlain))
      return data.parts.map((part, index) => plain(part, types[index])).join(' ');
    return signatureOf(data);
  };
}

const isPlain = ({ kind }: Value): boolean => kind === 'number' || kind === 'symbol' || kind === 'address';
