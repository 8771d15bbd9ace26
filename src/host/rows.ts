/**
 * Long lists of like things in a record. What neighbours in the list share stands once, as an object, before what each has of its own, a
 * row of texts: fifty thousand forwards are 2 MB so, and not 10, which every apply writes to the host and every look reads from it.
 */
import { fields, JsonError, type Reader } from './json.ts';

/** An item's own part, as the texts of a row. */
export type Row = readonly string[];

/** Between two lines of a list. */
export const BETWEEN = ',\n      ';

/**
 * The objects and rows of `items`, a line of JSON each, some of them already together with BETWEEN. `columns` are the fields that are in
 * the row; an object is made of the first of those that are alike in all the others. What also stands in `before`, the very object,
 * is taken over from the text that was read from, where noteRows found it.
 */
export function encodeRows<Item extends object>(
  items: readonly Item[],
  columns: readonly string[],
  shared: (item: Item) => unknown,
  row: (item: Item) => Row,
  before: readonly Item[] = [],
): readonly string[] {
  const own = new Set(columns);
  const lines: string[] = [];
  const source = sources.get(before);
  let first: Fields | undefined;
  let next = 0;
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    if (item === undefined) continue;
    if (first === undefined || !isAlike(item, first, own)) {
      first = sharedFields(item, own);
      lines.push(JSON.stringify(shared(item)));
    }
    const at = source === undefined ? -1 : placeOf(item, before, next);
    if (source === undefined || at === -1) {
      lines.push(rowText(row(item)));
      continue;
    }
    // Between its rows a run has the objects that it needs: they depend on neighbours alone.
    let count = 1;
    while (index + count < items.length && items[index + count] === before[at + count]) count += 1;
    next = at + count;
    lines.push(source.text.slice(source.starts[at], source.ends[next - 1]));
    if (count > 1) first = sharedFields(before[next - 1] ?? item, own);
    index += count - 1;
  }
  return lines;
}

/** The fields of an item, and which of them are not its own. */
interface Fields {
  readonly names: readonly string[];
  readonly values: readonly unknown[];
  readonly shared: readonly number[];
}

function sharedFields(item: object, own: ReadonlySet<string>): Fields {
  const names = Object.keys(item);
  const shared = names.flatMap((name, index) => (own.has(name) ? [] : [index]));
  return { names, values: Object.values(item), shared };
}

/** Where an item stands in a list: there or a little later, as after one that changed or went. */
function placeOf(item: object, list: readonly object[], from: number): number {
  for (let at = from; at < Math.min(from + FAR, list.length); at++) if (list[at] === item) return at;
  return -1;
}

const FAR = 8;

/** The text a list was read from, and where in it the row of each item begins and ends. */
interface Source {
  readonly text: string;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/** By list: none is ever changed. */
const sources = new WeakMap<readonly object[], Source>();

/** Fewer are encoded again as fast. */
const WORTH_IT = 500;

/**
 * Notes where the rows of `items` stand in the text they were read from, if encodeRows wrote it: from `at` on a line for each object and each
 * row, and each row begins with its item's name.
 */
export function noteRows(items: readonly { readonly name: string }[], text: string, at: number): void {
  if (items.length < WORTH_IT) return;
  const starts = new Uint32Array(items.length);
  const ends = new Uint32Array(items.length);
  let index = 0;
  let start = at;
  while (index < items.length) {
    const lineEnd = text.indexOf('\n', start);
    const isLast = lineEnd === -1 || text[lineEnd - 1] !== ',';
    const end = isLast ? lineEnd : lineEnd - 1;
    if (text.startsWith(`["${items[index]?.name}","`, start) && text.startsWith('"]', end - 2)) {
      starts[index] = start;
      ends[index] = end;
      index += 1;
    } else if (text[start] !== '{' || text[end - 1] !== '}') return;
    if (index < items.length && (isLast || !text.startsWith(BETWEEN, end))) return;
    start = end + BETWEEN.length;
  }
  sources.set(items, { text, starts, ends });
}

/** Reads what encodeRows made. `columns` are the fields of a row: in format 1 each item was an object that has these too. */
export function readRows<Shared extends object, Own extends object>(
  readShared: Reader<Shared>,
  readOwn: (row: readonly unknown[], path: string) => Own,
  columns: readonly string[],
): Reader<readonly (Shared & Own)[]> {
  return (json, path) => {
    if (!Array.isArray(json)) throw new JsonError(path, 'a list', json);
    const items: (Shared & Own)[] = [];
    let shared: Shared | undefined;
    for (const [index, line] of json.entries()) {
      const at = `${path}[${index}]`;
      if (!isRow(line)) {
        shared = readShared(line, at);
        const whole = fields(line, at);
        if (columns.some((name) => name in whole))
          items.push({
            ...shared,
            ...readOwn(
              columns.map((name) => whole[name]),
              at,
            ),
          });
      } else if (shared === undefined) throw new JsonError(at, 'what the rows share', line);
      else items.push({ ...shared, ...readOwn(line, at) });
    }
    return items;
  };
}

const isRow = (line: unknown): line is readonly unknown[] => Array.isArray(line);

/** Whether an item has these fields beside its `own`, and no others. Those of one list mostly have them in one order. */
function isAlike(item: object, { names, values, shared }: Fields, own: ReadonlySet<string>): boolean {
  const has = Object.keys(item);
  if (has.length === names.length && has.every((name, index) => name === names[index])) {
    const those: readonly unknown[] = Object.values(item);
    return shared.every((index) => same(those[index], values[index]));
  }
  const others = has.filter((name) => !own.has(name));
  return (
    others.length === shared.length &&
    shared.every((index) => {
      const name = names[index] ?? '';
      return name in item && same(Reflect.get(item, name), values[index]);
    })
  );
}

/** Equal plain data. */
export function same(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((item, index) => same(item, right[index]));
  let names = 0;
  for (const name in left) {
    if (!same(Reflect.get(left, name), Reflect.get(right, name))) return false;
    names += 1;
  }
  for (const _ in right) names -= 1;
  return names === 0;
}

/** As JSON.stringify, which takes a kilobyte of memory for a word. */
function rowText(row: Row): string {
  const plain = row.join('","');
  return /^[\w.:/",-]*$/.test(plain) && !row.some((text) => text.includes('"')) ? `["${plain}"]` : JSON.stringify(row);
}
