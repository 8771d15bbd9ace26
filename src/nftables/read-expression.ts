import { typeOf } from './datatype.ts';
import { arrayOf, hasOnly, isObject, type JsonObject, onlyField, readAll, textsOf } from './json.ts';
import { isWord } from './name.ts';
import { readMapElement, readSetElement, readValue } from './read-value.ts';
import type { DataType, Expression, MapElement, SetElement } from './ruleset.ts';

/** The expression in nft's JSON; `type` is what its constants are, where the place tells. Undefined if any of it is not modelled. */
export function readExpression(json: unknown, type?: DataType): Expression | undefined {
  if (typeof json === 'string' && json.startsWith('@')) return { kind: 'setReference', name: json.slice(1) };
  const list = arrayOf(json);
  if (list !== undefined) return foldFlags(list, type);
  const value = readValue(json, type);
  if (value !== undefined) return value;
  const [name, content] = onlyField(json) ?? [];
  switch (name) {
    case 'payload':
      return isObject(content) ? readPayload(content) : undefined;
    case 'meta':
      return isObject(content) && isWordIn(content, 'key') && hasOnly(content, 'key')
        ? { kind: 'meta', key: content.key }
        : undefined;
    case 'ct':
      return isObject(content) ? readConntrack(content) : undefined;
    case 'fib':
      return isObject(content) ? readFib(content) : undefined;
    case 'rt': {
      if (!isObject(content) || !isWordIn(content, 'key') || !hasOnly(content, 'key', 'family')) return undefined;
      const { key, family } = content;
      return { kind: 'rt', key: typeof family === 'string' ? `${family} ${key}` : key };
    }
    case 'tcp option':
      return isObject(content) &&
        isWordIn(content, 'name') &&
        isWordIn(content, 'field') &&
        hasOnly(content, 'name', 'field')
        ? { kind: 'tcpOption', option: content.name, field: content.field }
        : undefined;
    case '&':
    case '|':
    case '^':
    case '<<':
    case '>>':
      return readBinary(name, arrayOf(content) ?? [], type);
    case 'jhash':
      return isObject(content) ? readHash(content) : undefined;
    case 'symhash':
      return isObject(content) && hasOnly(content, 'mod', 'offset') ? readModulus('symhash', content) : undefined;
    case 'numgen':
      return isObject(content) ? readNumgen(content) : undefined;
    case 'concat': {
      const parts = readAll(arrayOf(content) ?? [], (part) => readExpression(part));
      return parts === undefined || parts.length < 2 ? undefined : { kind: 'join', parts };
    }
    case 'set':
      return readAnonymousSet(content, type);
    case 'map':
      return isObject(content) ? readLookup(content, type) : undefined;
    default:
      return undefined;
  }
}

const isWordIn = <Field extends string>(
  json: JsonObject,
  field: Field,
): json is JsonObject & Readonly<Record<Field, string>> => {
  const word = json[field];
  return typeof word === 'string' && isWord(word);
};

/** nft lists flags as an array; here they are joined by `|`, as in its text. */
function foldFlags(list: readonly unknown[], type: DataType | undefined): Expression | undefined {
  const read = readAll(list, (member) => readValue(member, type));
  const [first, ...others] = read ?? [];
  return others.reduce<Expression | undefined>(
    (left, right) => (left === undefined ? undefined : { kind: 'binary', operator: '|', left, right }),
    first,
  );
}

function readPayload(json: JsonObject): Expression | undefined {
  if (isWordIn(json, 'protocol') && typeof json.field === 'string' && hasOnly(json, 'protocol', 'field')) {
    return { kind: 'payload', protocol: json.protocol, field: json.field };
  }
  const { base, offset, len } = json;
  if (typeof offset !== 'number' || typeof len !== 'number' || !hasOnly(json, 'base', 'offset', 'len'))
    return undefined;
  return base === 'll' || base === 'nh' || base === 'th'
    ? { kind: 'rawPayload', base, offsetBits: offset, lengthBits: len }
    : undefined;
}

/** nft leaves an offset of 0 out. */
function readModulus<Kind extends 'hash' | 'symhash' | 'numgen'>(
  kind: Kind,
  { mod, offset }: JsonObject,
): { readonly kind: Kind; readonly modulus: number; readonly offset?: number } | undefined {
  if (typeof mod !== 'number' || (offset !== undefined && typeof offset !== 'number')) return undefined;
  return { kind, modulus: mod, ...(offset === undefined || offset === 0 ? {} : { offset }) };
}

function readHash(json: JsonObject): Expression | undefined {
  const of = readExpression(json.expr);
  const head = readModulus('hash', json);
  const { seed } = json;
  if (of === undefined || head === undefined || !hasOnly(json, 'mod', 'seed', 'offset', 'expr')) return undefined;
  if (seed !== undefined && typeof seed !== 'number') return undefined;
  return { ...head, of, ...(seed === undefined ? {} : { seed }) };
}

function readNumgen(json: JsonObject): Expression | undefined {
  const head = readModulus('numgen', json);
  const { mode } = json;
  if (head === undefined || (mode !== 'inc' && mode !== 'random')) return undefined;
  return hasOnly(json, 'mode', 'mod', 'offset') ? { ...head, mode } : undefined;
}

function readConntrack(json: JsonObject): Expression | undefined {
  const { key, dir, family } = json;
  if (typeof key !== 'string' || !hasOnly(json, 'key', 'dir', 'family')) return undefined;
  const full = typeof family === 'string' ? `${family} ${key}` : key;
  if (dir === undefined) return { kind: 'ct', key: full };
  return dir === 'original' || dir === 'reply' ? { kind: 'ct', key: full, direction: dir } : undefined;
}

function readFib(json: JsonObject): Expression | undefined {
  const { result } = json;
  const flags = textsOf(json.flags);
  if (flags === undefined || !hasOnly(json, 'result', 'flags')) return undefined;
  return result === 'oif' || result === 'oifname' || result === 'type' ? { kind: 'fib', result, flags } : undefined;
}

function readBinary(
  operator: '&' | '|' | '^' | '<<' | '>>',
  operands: readonly unknown[],
  type: DataType | undefined,
): Expression | undefined {
  const [first, ...others] = operands;
  const left = readExpression(first, type);
  if (left === undefined || others.length === 0) return undefined;
  const rightType = operator === '<<' || operator === '>>' ? undefined : (typeOf(left) ?? type);
  const rights = readAll(others, (operand) => readExpression(operand, rightType));
  return rights?.reduce<Expression>((all, right) => ({ kind: 'binary', operator, left: all, right }), left);
}

/** Newer nft leaves the array out around one element. */
function readAnonymousSet(json: unknown, type: DataType | undefined): Expression | undefined {
  const elements = (arrayOf(json) ?? [json]).map((element) => readSetElement(element, type));
  return elements.some(isUnread) ? undefined : { kind: 'anonymousSet', elements };
}

const isUnread = (element: SetElement | MapElement): boolean =>
  element.key.kind === 'opaque' || element.extra !== undefined || ('data' in element && element.data.kind === 'opaque');

/** `KEY map MAP`; `data` is the type of what it gives. */
function readLookup(json: JsonObject, data: DataType | undefined): Expression | undefined {
  const key = readExpression(json.key);
  const map = key === undefined ? undefined : readMapOf(json.data, key, data);
  return key === undefined || map === undefined || !hasOnly(json, 'key', 'data')
    ? undefined
    : { kind: 'lookup', key, map };
}

/** The map right of `map` or `vmap`: `@name` or an anonymous one. */
export function readMapOf(json: unknown, key: Expression, data?: DataType): Expression | undefined {
  if (typeof json === 'string') return readExpression(json);
  const [name, content] = onlyField(json) ?? [];
  if (name !== 'set') return undefined;
  const elements = readAll(arrayOf(content) ?? [], (element) => readMapElement(element, typeOf(key), data));
  return elements === undefined || elements.some(isUnread) ? undefined : { kind: 'anonymousMap', elements };
}
