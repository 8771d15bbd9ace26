import type { Plain } from './fast-yaml.ts';
import type { Path } from './path.ts';

/** One JSON value of a text and where its parts begin. */
export interface JsonValue {
  readonly data: Plain;
  readonly start: number;
}

/** What is wrong with a text as JSON, and the offset. */
export class JsonError extends Error {
  readonly offset: number;
  readonly duplicate: boolean;
  constructor(what: string, offset: number, duplicate = false) {
    super(what);
    this.offset = offset;
    this.duplicate = duplicate;
  }
}

/** Told the offsets of each member: `key` is the same as `value` in a list. */
export type JsonListener = (path: Path, key: number, value: number) => void;

const MOST_DEPTH = 200;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON refuses those
const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\r\n]*/y;
const LITERALS = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const;

/**
 * Reads JSON values that follow each other, as `jq -c` prints them. JSON.parse would take the last of duplicate keys without
 * a word and tells no positions. Throws JsonError.
 */
export function readJson(text: string, listener?: JsonListener): readonly JsonValue[] {
  const values: JsonValue[] = [];
  let at = 0;
  let depth = 0;

  const skipSpace = (): void => {
    SPACE.lastIndex = at;
    SPACE.test(text);
    at = SPACE.lastIndex;
  };

  function fail(expected: string): never {
    const found = at < text.length ? `found ${JSON.stringify(text.slice(at, at + 1))}` : 'the text ends';
    throw new JsonError(`expected ${expected}, ${found}`, at);
  }

  function readToken(token: RegExp): string | undefined {
    token.lastIndex = at;
    const [found] = token.exec(text) ?? [];
    if (found !== undefined) at += found.length;
    return found;
  }

  function readString(): string {
    const token = readToken(STRING);
    if (token === undefined) fail('a string');
    const read: unknown = token.includes('\\') ? JSON.parse(token) : token.slice(1, -1);
    return String(read);
  }

  function readValue(path: Path): Plain {
    const first = text[at];
    if (first === '{' || first === '[') {
      if (++depth > MOST_DEPTH) throw new JsonError('is nested too deeply', at);
      const value = first === '{' ? readMembers(path) : readItems(path);
      depth--;
      return value;
    }
    if (first === '"') return readString();
    for (const [word, value] of LITERALS) {
      if (!text.startsWith(word, at)) continue;
      at += word.length;
      return value;
    }
    const number = readToken(NUMBER);
    return number === undefined ? fail('a value') : Number(number);
  }

  function readItems(path: Path): Plain {
    const list: Plain[] = [];
    at++;
    skipSpace();
    if (text[at] === ']') {
      at++;
      return list;
    }
    for (;;) {
      const inner = listener === undefined ? path : [...path, list.length];
      listener?.(inner, at, at);
      list.push(readValue(inner));
      if (!goesOn(']')) return list;
    }
  }

  function readMembers(path: Path): Plain {
    const map: Record<string, Plain> = {};
    at++;
    skipSpace();
    if (text[at] === '}') {
      at++;
      return map;
    }
    for (;;) {
      const keyAt = at;
      const key = readString();
      if (Object.hasOwn(map, key)) throw new JsonError(`the key "${key}" stands here twice`, keyAt, true);
      skipSpace();
      if (text[at] !== ':') fail('":"');
      at++;
      skipSpace();
      const inner = listener === undefined ? path : [...path, key];
      listener?.(inner, keyAt, at);
      const value = readValue(inner);
      // Assigned, `__proto__` would change the object's prototype.
      if (key === '__proto__')
        Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
      else map[key] = value;
      if (!goesOn('}')) return map;
    }
  }

  /** Over a comma to the next member, or over the closing bracket. */
  function goesOn(close: string): boolean {
    skipSpace();
    const found = text[at];
    if (found !== ',' && found !== close) fail(`"," or "${close}"`);
    at++;
    skipSpace();
    return found === ',';
  }

  for (skipSpace(); at < text.length; skipSpace()) {
    const start = at;
    values.push({ data: readValue([values.length]), start });
  }
  return values;
}
