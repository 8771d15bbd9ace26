/** What plain documents hold: the data model of JSON. */
export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

/** Thrown inside this file alone: something here is beyond the plain subset. One object, as its stack is never read. */
const BEYOND = new Error('beyond the plain subset of YAML');

const NEWLINE = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const HASH = 0x23;
const APOSTROPHE = 0x27;
const COMMA = 0x2c;
const HYPHEN = 0x2d;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;

/** Deeper documents are left to the `yaml` package. */
const MOST_DEPTH = 48;
/** An implicit key may be 1,024 characters long (YAML 1.2, 7.4.2); longer ones than this are left to the `yaml` package. */
const MOST_KEY = 256;

/** Control characters, tabs, other line breaks and byte order marks each have rules of their own. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it looks for
const RARE = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]/;

/**
 * Reads one YAML document of the plain subset: block and flow maps and lists, plain and quoted scalars on one line, comments.
 * Gives undefined for all else, and for all that is wrong or that YAML 1.1 reads otherwise: the `yaml` package then decides.
 * What it does answer is what the `yaml` package answers (fast-yaml.test.ts). It is some ten times as fast.
 */
export function readFastYaml(text: string): { readonly data: Plain } | undefined {
  if (RARE.test(text)) return undefined;
  try {
    return { data: readDocument(text) };
  } catch (error) {
    if (error === BEYOND) return undefined;
    throw error;
  }
}

function beyond(): never {
  throw BEYOND;
}

/** The reading of one text: its functions share the place `at` and, after `toContent`, the column `indent` of what stands there. */
function readDocument(text: string): Plain {
  const { length } = text;
  let at = 0;
  let indent = 0;
  let depth = 0;

  /** From the beginning of a line to the next content; false at the end. */
  function toContent(): boolean {
    for (;;) {
      const start = at;
      while (text.charCodeAt(at) === SPACE) at++;
      if (at >= length) {
        indent = -1;
        return false;
      }
      const code = text.charCodeAt(at);
      if (code === HASH) at = endOfLine(at);
      else if (code !== NEWLINE) {
        indent = at - start;
        return true;
      }
      at++;
    }
  }

  function endOfLine(from: number): number {
    const end = text.indexOf('\n', from);
    return end === -1 ? length : end;
  }

  const skipSpaces = (): void => {
    while (text.charCodeAt(at) === SPACE) at++;
  };

  /** Whether nothing but a comment is left on the line; if so, moves to the next line. */
  function restIsEmpty(): boolean {
    const start = at;
    skipSpaces();
    if (at < length) {
      const code = text.charCodeAt(at);
      if (code === HASH && (at > start || text.charCodeAt(at - 1) === SPACE)) at = endOfLine(at);
      else if (code !== NEWLINE) return false;
    }
    at++;
    return true;
  }

  const endsWord = (index: number): boolean => {
    const code = text.charCodeAt(index);
    return code === SPACE || code === NEWLINE || index >= length;
  };

  const isListItem = (): boolean => text.charCodeAt(at) === HYPHEN && endsWord(at + 1);

  /** A list or map at content of column `column`; leaves `at` at the next content, its column in `indent`. */
  function readBlock(column: number): Plain {
    if (++depth > MOST_DEPTH) beyond();
    const value = isListItem() ? readList(column) : readMap(column);
    depth--;
    return value;
  }

  function readList(column: number): Plain {
    const list: Plain[] = [];
    do {
      at++;
      list.push(readItem(column));
      if (indent > column) beyond();
    } while (indent === column && isListItem());
    return list;
  }

  /** After the hyphen of a list in `column`. */
  function readItem(column: number): Plain {
    const afterHyphen = at;
    if (restIsEmpty()) {
      toContent();
      return indent > column ? readBlockOrScalar(column) : null;
    }
    const inner = column + 1 + (at - afterHyphen);
    if (isListItem() || keyEnd() !== -1) {
      indent = inner;
      return readBlock(inner);
    }
    return readInline(column);
  }

  /** A value on lines of its own, below a parent in column `parent`. */
  function readBlockOrScalar(parent: number): Plain {
    return isListItem() || keyEnd() !== -1 ? readBlock(indent) : readInline(parent);
  }

  function readMap(column: number): Plain {
    const map: Record<string, Plain> = {};
    do {
      const end = keyEnd();
      if (end === -1) beyond();
      const key = readKey(end);
      if (Object.hasOwn(map, key)) beyond();
      at = end + 1;
      map[key] = readMapValue(column);
      if (indent > column) beyond();
    } while (indent === column && !isListItem());
    return map;
  }

  /** After the colon of a key in `column`. A list may stand in the key's own column. */
  function readMapValue(column: number): Plain {
    if (!restIsEmpty()) return readInline(column);
    toContent();
    if (indent > column) return readBlockOrScalar(column);
    if (indent === column && isListItem()) return readBlock(column);
    return null;
  }

  /** Where the colon stands that makes the text at `at` a key of a block map, or -1. */
  function keyEnd(): number {
    const first = text.charCodeAt(at);
    let index = at;
    if (first === QUOTE || first === APOSTROPHE) {
      index = quotedEnd(at);
      while (text.charCodeAt(index) === SPACE) index++;
      return text.charCodeAt(index) === COLON && endsWord(index + 1) ? index : -1;
    }
    if (first === OPEN_LIST || first === OPEN_MAP) return -1;
    for (; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code === NEWLINE) return -1;
      if (code === COLON && endsWord(index + 1)) return index;
      if (code === HASH && text.charCodeAt(index - 1) === SPACE) return -1;
    }
    return -1;
  }

  function readKey(end: number): string {
    if (end - at > MOST_KEY) beyond();
    const first = text.charCodeAt(at);
    const key = first === QUOTE || first === APOSTROPHE ? readQuoted() : resolve(plain(text.slice(at, end).trimEnd()));
    // `<<` merges, and `__proto__` is no ordinary property of an object.
    if (typeof key !== 'string' || key === '<<' || key === '__proto__') beyond();
    return key;
  }

  /** A scalar or flow collection on this line, below a parent in column `parent`; then to the next content. */
  function readInline(parent: number): Plain {
    const first = text.charCodeAt(at);
    let value: Plain;
    if (first === QUOTE || first === APOSTROPHE) {
      value = readQuoted();
      if (!restIsEmpty()) beyond();
      toContent();
    } else if (first === OPEN_LIST || first === OPEN_MAP) {
      value = readFlow(parent);
      if (!restIsEmpty()) beyond();
      toContent();
    } else {
      value = resolve(readPlainLine());
      toContent();
      // More text further in would continue this scalar.
      if (indent > parent) beyond();
    }
    return value;
  }

  /** A plain scalar up to the end of its line or a comment; moves to the next line. */
  function readPlainLine(): string {
    const line = endOfLine(at);
    let end = line;
    for (let index = at; index < line; index++) {
      const code = text.charCodeAt(index);
      if (code === COLON && endsWord(index + 1)) beyond();
      if (code === HASH && text.charCodeAt(index - 1) === SPACE) {
        end = index;
        break;
      }
    }
    const scalar = plain(text.slice(at, end).trimEnd());
    at = line + 1;
    return scalar;
  }

  /** The index after a quoted scalar that begins at `from` and ends on its line. */
  function quotedEnd(from: number): number {
    const quote = text.charCodeAt(from);
    for (let index = from + 1; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code === NEWLINE || (code === 0x5c && quote === QUOTE)) beyond();
      if (code !== quote) continue;
      if (quote === QUOTE || text.charCodeAt(index + 1) !== APOSTROPHE) return index + 1;
      index++;
    }
    return beyond();
  }

  function readQuoted(): string {
    const end = quotedEnd(at);
    const inner = text.slice(at + 1, end - 1);
    const value = text.charCodeAt(at) === QUOTE ? inner : inner.replaceAll("''", "'");
    at = end;
    return value;
  }

  /** Spaces, line breaks and comments between the tokens of a flow collection. Its lines stand further in than its parent. */
  function skipFlowSpace(parent: number): void {
    for (;;) {
      const start = at;
      skipSpaces();
      const code = text.charCodeAt(at);
      if (code === HASH) {
        if (at === start && text.charCodeAt(at - 1) !== NEWLINE) beyond();
        at = endOfLine(at);
      } else if (code === NEWLINE) {
        at++;
        if (!toContent()) beyond();
        if (indent <= parent) beyond();
        return;
      } else {
        if (at >= length) beyond();
        return;
      }
    }
  }

  function readFlow(parent: number): Plain {
    if (++depth > MOST_DEPTH) beyond();
    const value = text.charCodeAt(at) === OPEN_LIST ? readFlowList(parent) : readFlowMap(parent);
    depth--;
    return value;
  }

  function readFlowList(parent: number): Plain {
    const list: Plain[] = [];
    at++;
    skipFlowSpace(parent);
    while (text.charCodeAt(at) !== CLOSE_LIST) {
      list.push(readFlowValue(parent));
      nextInFlow(parent, CLOSE_LIST);
    }
    at++;
    return list;
  }

  function readFlowMap(parent: number): Plain {
    const map: Record<string, Plain> = {};
    at++;
    skipFlowSpace(parent);
    while (text.charCodeAt(at) !== CLOSE_MAP) {
      const first = text.charCodeAt(at);
      const quoted = first === QUOTE || first === APOSTROPHE;
      const end = quoted ? quotedEnd(at) : flowPlainEnd();
      const key = readKey(end);
      at = end;
      skipSpaces();
      // A plain key needs a space after its colon; after a quoted one it may be left out.
      if (text.charCodeAt(at) !== COLON) beyond();
      at++;
      if (!quoted && !endsWord(at)) beyond();
      skipFlowSpace(parent);
      if (Object.hasOwn(map, key)) beyond();
      map[key] = readFlowValue(parent);
      nextInFlow(parent, CLOSE_MAP);
    }
    at++;
    return map;
  }

  /** Over the comma, or up to the closing bracket. */
  function nextInFlow(parent: number, close: number): void {
    skipFlowSpace(parent);
    const code = text.charCodeAt(at);
    if (code === close) return;
    if (code !== COMMA) beyond();
    at++;
    skipFlowSpace(parent);
  }

  function readFlowValue(parent: number): Plain {
    const first = text.charCodeAt(at);
    if (first === OPEN_LIST || first === OPEN_MAP) return readFlow(parent);
    if (first === QUOTE || first === APOSTROPHE) return readQuoted();
    const end = flowPlainEnd();
    if (text.charCodeAt(end) === COLON) beyond();
    const value = resolve(plain(text.slice(at, end).trimEnd()));
    at = end;
    return value;
  }

  /** Where a plain scalar inside a flow collection ends: before an indicator, a comment, or the colon of a key. */
  function flowPlainEnd(): number {
    for (let index = at; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code === COMMA || code === CLOSE_LIST || code === CLOSE_MAP || code === NEWLINE) return index;
      if (code === OPEN_LIST || code === OPEN_MAP) beyond();
      if (code === HASH && text.charCodeAt(index - 1) === SPACE) return index;
      if (code === COLON) {
        const next = text.charCodeAt(index + 1);
        const ends =
          next === COMMA || next === CLOSE_LIST || next === CLOSE_MAP || next === OPEN_LIST || next === OPEN_MAP;
        if (ends || endsWord(index + 1)) return index;
      }
    }
    return beyond();
  }

  if (text.startsWith('---')) {
    at = 3;
    if (!restIsEmpty()) beyond();
  }
  if (!toContent()) return null;
  const first = text.charCodeAt(at);
  const value = first === OPEN_LIST || first === OPEN_MAP ? readInline(-1) : readBlock(indent);
  if (at < length) beyond();
  return value;
}

/** What a plain scalar may begin with here. Indicators mean other things; what YAML allows of them beyond this is rare. */
const PLAIN_START = /^(?:[A-Za-z0-9_/+~$(<\\^;=]|\.(?!\.\.)|-[A-Za-z0-9])/;

function plain(scalar: string): string {
  if (!PLAIN_START.test(scalar)) beyond();
  return scalar;
}

/** Plain words that are no strings, in YAML 1.2 or in the 1.1 that kubectl reads. */
const WORDS: ReadonlyMap<string, boolean | null | undefined> = new Map([
  ...['null', 'Null', 'NULL', '~'].map((word) => [word, null] as const),
  ...['true', 'True', 'TRUE'].map((word) => [word, true] as const),
  ...['false', 'False', 'FALSE'].map((word) => [word, false] as const),
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'n', 'N', 'no', 'No', 'NO'].map((word) => [word, undefined] as const),
  ...['on', 'On', 'ON', 'off', 'Off', 'OFF'].map((word) => [word, undefined] as const),
]);

/** Decimal numbers that every reader takes alike, up to what a double holds exactly. */
const PLAIN_NUMBER = /^(?:0|[1-9][0-9]{0,14})$/;
/** All else that some version of YAML takes for a number; wider than need be. */
const MAY_BE_NUMBER = /^[-+]?\.?[0-9][0-9a-fA-FxXoO_.eE+-]*$|^[-+]?\.(?:inf|nan)$/i;

function resolve(scalar: string): Plain {
  if (scalar.length <= 5 && WORDS.has(scalar)) {
    const value = WORDS.get(scalar);
    return value === undefined ? beyond() : value;
  }
  const first = scalar.charCodeAt(0);
  if (first > 0x39) return scalar;
  if (PLAIN_NUMBER.test(scalar)) return Number(scalar);
  // Addresses look like numbers at first: 10.0.0.1 has three dots, no number has two.
  if (MAY_BE_NUMBER.test(scalar) && !/\..*\.|-.*\d-|\d-\d/.test(scalar)) beyond();
  return scalar;
}
