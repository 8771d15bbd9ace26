/**
 * Long lists of like things in a record. What neighbours in the list share stands once, as an object, before what each has of its own, a
 * row of texts: fifty thousand forwards are 2 MB so, and not 10, which every apply writes to the host and every look reads from it.
 */
import { fields, JsonError, type Reader } from './json.ts';

/** An item's own part, as the texts of a row. */
export type Row = readonly string[];

/**
 * The objects and rows of `items`, a line of JSON each. `columns` are the fields that are in the row; an object is made of the first of
 * those that are alike in all the others.
 */
export function encodeRows<Item extends object>(
  items: readonly Item[],
  columns: readonly string[],
  shared: (item: Item) => unknown,
  row: (item: Item) => Row,
): readonly string[] {
  const own = new Set(columns);
  const lines: string[] = [];
  let first: readonly (readonly [string, unknown])[] | undefined;
  for (const item of items) {
    if (first === undefined || !isAlike(item, first, own)) {
      first = Object.entries(item).filter(([name]) => !own.has(name));
      lines.push(JSON.stringify(shared(item)));
    }
    lines.push(rowText(row(item)));
  }
  return lines;
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

/** Whether an item has these fields beside its `own`, and no others. */
function isAlike(item: object, fields: readonly (readonly [string, unknown])[], own: ReadonlySet<string>): boolean {
  let others = 0;
  for (const name in item) if (!own.has(name)) others += 1;
  return others === fields.length && fields.every(([name, value]) => same(value, Reflect.get(item, name)));
}

/** Equal plain data. */
function same(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
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
