import { addressBits, firstAddress, networkOf, parseAddress, parseMac, sameAddress } from '../net/index.ts';
import { normalProtocol, textTypes } from './datatype.ts';
import { arrayOf, hasOnly, isObject, type JsonObject, onlyField, readAll } from './json.ts';
import { isWord } from './name.ts';
import type { DataType, MapElement, SetElement, Value, Verdict } from './ruleset.ts';

const addressTypes: ReadonlySet<string> = new Set(['ipv4_addr', 'ipv6_addr']);

/** The constant in nft's JSON, read as `type` (one name per part of a concatenation); undefined if it is not modelled. */
export function readValue(json: unknown, type?: DataType): Value | undefined {
  if (typeof json === 'string') return readSharedText(json, type?.[0]);
  if (typeof json === 'number') return readNumber(json);
  // `fib saddr oif missing` is the one place where nft writes a truth value.
  if (typeof json === 'boolean') return { kind: 'symbol', name: json ? 'exists' : 'missing' };
  const [name, content] = onlyField(json) ?? [];
  switch (name) {
    case 'concat': {
      const parts = readAll(arrayOf(content) ?? [], (part, index) => readPart(part, type, index));
      return parts === undefined || parts.length < 2 ? undefined : { kind: 'concat', parts };
    }
    case 'range': {
      const [first, last, ...others] = readAll(arrayOf(content) ?? [], (end) => readValue(end, type)) ?? [];
      return first === undefined || last === undefined || others.length > 0
        ? undefined
        : { kind: 'range', first, last };
    }
    case 'prefix':
      return isObject(content) ? readPrefix(content) : undefined;
    default:
      return undefined;
  }
}

function readPart(json: unknown, type: DataType | undefined, index: number): Value | undefined {
  const part = type?.[index];
  return readValue(json, part === undefined ? undefined : [part]);
}

/** JSON numbers beyond 2^53 have lost digits. */
const readNumber = (json: number): Value | undefined =>
  Number.isSafeInteger(json) && json >= 0 ? { kind: 'number', value: json } : undefined;

/**
 * Texts that were read, by type: fifty thousand elements share an address or two and two protocols, which are one object each so.
 * Emptied before it holds many: addresses may all differ.
 */
const shared = new Map<string | undefined, Map<string, Value | undefined>>();
const MOST_SHARED = 1_000;

function readSharedText(json: string, type: string | undefined): Value | undefined {
  let known = shared.get(type);
  if (known === undefined || known.size >= MOST_SHARED) {
    known = new Map();
    shared.set(type, known);
  }
  let value = known.get(json);
  if (value === undefined) {
    value = readText(json, type);
    known.set(json, value);
  }
  return value;
}

function readText(json: string, type: string | undefined): Value | undefined {
  if (json === '*') return { kind: 'wildcard' };
  // An interface that is gone stands by its number, and `fib ... oif 0` as "0".
  if (type === 'iface_index' && /^\d{1,10}$/.test(json)) return readNumber(Number(json));
  if (type !== undefined && textTypes.has(type)) return { kind: 'string', text: json };
  if (type === 'inet_proto') return readProtocol(json);
  const address = parseAddress(json);
  if (address !== undefined) return { kind: 'address', address };
  if (type !== undefined && addressTypes.has(type)) return undefined;
  return isWord(json) || parseMac(json) === json ? { kind: 'symbol', name: json } : undefined;
}

/** nft writes protocols by the host's own names, and by number where that has none. */
function readProtocol(json: string): Value | undefined {
  const protocol = normalProtocol(json);
  if (typeof protocol === 'number') return readNumber(protocol);
  return isWord(protocol) ? { kind: 'symbol', name: protocol } : undefined;
}

function readPrefix(json: JsonObject): Value | undefined {
  const { addr, len } = json;
  const address = typeof addr === 'string' ? parseAddress(addr) : undefined;
  if (address === undefined || typeof len !== 'number' || !hasOnly(json, 'addr', 'len')) return undefined;
  if (!Number.isInteger(len) || len < 0 || len > addressBits(address.family)) return undefined;
  if (!sameAddress(firstAddress(networkOf({ address, length: len })), address)) return undefined;
  return { kind: 'prefix', prefix: { address, length: len } };
}

/** The verdict in nft's JSON, `{"jump": {"target": "sp_1"}}`; undefined for anything else. */
export function readVerdict(json: unknown): Verdict | undefined {
  const [kind, content] = onlyField(json) ?? [];
  switch (kind) {
    case 'accept':
    case 'drop':
    case 'return':
    case 'continue':
      return content === null ? { kind } : undefined;
    case 'jump':
    case 'goto':
      return isObject(content) && typeof content.target === 'string' && hasOnly(content, 'target')
        ? { kind, chain: content.target }
        : undefined;
    default:
      return undefined;
  }
}

/** An element of a set; a key that is not modelled is opaque. */
export function readSetElement(json: unknown, type: DataType | undefined): SetElement {
  const wrapped = isObject(json) && isObject(json.elem) && 'val' in json.elem ? json.elem : undefined;
  if (wrapped === undefined) return { key: readValue(json, type) ?? { kind: 'opaque', json } };
  const { val, comment, ...extra } = wrapped;
  return {
    key: readValue(val, type) ?? { kind: 'opaque', json: val },
    ...(typeof comment === 'string' ? { comment } : {}),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** An element of a map, `[key, data]`; undefined if it is no pair. Data that are not modelled are opaque. */
export function readMapElement(
  json: unknown,
  type: DataType | undefined,
  data: DataType | undefined,
): MapElement | undefined {
  const pair = arrayOf(json);
  if (pair?.length !== 2) return undefined;
  const [key, value] = pair;
  const read = readVerdict(value) ?? readValue(value, data);
  return { ...readSetElement(key, type), data: read ?? { kind: 'opaque', json: value } };
}
