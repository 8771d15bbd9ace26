import { addressBits } from '../net/index.ts';
import { isLabel, typeOf } from './datatype.ts';
import { arrayOf, hasOnly, isObject, type JsonObject, onlyField, textsOf } from './json.ts';
import { isWord } from './name.ts';
import { readExpression, readMapOf } from './read-expression.ts';
import { readValue, readVerdict } from './read-value.ts';
import type { CompareOperator, Expression, Statement } from './ruleset.ts';

/** One statement of a rule in nft's JSON. What is not modelled, wholly or in a part, is opaque. */
export const readStatement = (json: unknown): Statement => readModelled(json) ?? { kind: 'opaque', json };

function readModelled(json: unknown): Statement | undefined {
  const verdict = readVerdict(json);
  if (verdict !== undefined) return { kind: 'verdict', verdict };
  const [name, content] = onlyField(json) ?? [];
  switch (name) {
    case 'match':
      return isObject(content) ? readMatch(content) : undefined;
    case 'vmap': {
      if (!isObject(content) || !hasOnly(content, 'key', 'data')) return undefined;
      const key = readExpression(content.key);
      const map = key === undefined ? undefined : readMapOf(content.data, key);
      return key === undefined || map === undefined ? undefined : { kind: 'verdictMap', key, map };
    }
    case 'mangle': {
      if (!isObject(content) || !hasOnly(content, 'key', 'value')) return undefined;
      const target = readExpression(content.key);
      const value = target === undefined ? undefined : readExpression(content.value, typeOf(target));
      return target === undefined || value === undefined ? undefined : { kind: 'set', target, value };
    }
    case 'counter':
      return readCounter(content);
    case 'dnat':
    case 'snat':
      return isObject(content) ? readTranslation(name, content) : undefined;
    case 'masquerade':
    case 'redirect':
      return readLocalTranslation(name, content);
    case 'reject':
      return readReject(content);
    case 'notrack':
      return content === null ? { kind: 'notrack' } : undefined;
    case 'flow':
      return isObject(content) ? readFlow(content) : undefined;
    case 'limit':
      return isObject(content) ? readLimit(content) : undefined;
    case 'ct count':
      return isObject(content) ? readConnectionLimit(content) : undefined;
    case 'set':
      return isObject(content) ? readUpdate(content) : undefined;
    default:
      return undefined;
  }
}

const operators: Readonly<Record<CompareOperator, true>> = {
  '==': true,
  '!=': true,
  '<': true,
  '>': true,
  '<=': true,
  '>=': true,
  in: true,
};
const isOperator = (op: unknown): op is CompareOperator => typeof op === 'string' && Object.hasOwn(operators, op);

function readMatch(json: JsonObject): Statement | undefined {
  const left = readExpression(json.left);
  if (left === undefined || !hasOnly(json, 'op', 'left', 'right')) return undefined;
  const masked = typeOf(left)?.[0] === 'mark' ? readMarkPrefix(json.right) : undefined;
  if (masked !== undefined && isOperator(json.op)) {
    const right: Expression = { kind: 'number', value: masked.mask };
    const tested: Expression = { kind: 'binary', operator: '&', left, right };
    return { kind: 'match', left: tested, op: json.op, right: { kind: 'number', value: masked.value } };
  }
  const right = readExpression(json.right, typeOf(left));
  if (right === undefined) return undefined;
  // `tcp flags ! syn`: none of them is set.
  if (json.op === '!') {
    // A label of 0 is the first of them, and no number of nft's stands for none.
    if (isLabel(left))
      return right.kind === 'number'
        ? { kind: 'match', left: { kind: 'binary', operator: '&', left, right }, op: '!=', right }
        : undefined;
    const tested: Expression = { kind: 'binary', operator: '&', left, right };
    return { kind: 'match', left: tested, op: '==', right: { kind: 'number', value: 0 } };
  }
  return isOperator(json.op) ? { kind: 'match', left, op: json.op, right } : undefined;
}

/** `mark & 0xffff0000 == 0x10000` is listed as a prefix of 16 bits, as any mask that begins at the highest bit. */
function readMarkPrefix(json: unknown): { readonly value: number; readonly mask: number } | undefined {
  const [name, content] = onlyField(json) ?? [];
  if (name !== 'prefix' || !isObject(content) || !hasOnly(content, 'addr', 'len')) return undefined;
  const { addr, len } = content;
  if (typeof addr !== 'number' || typeof len !== 'number' || !(len > 0 && len < 32)) return undefined;
  return { value: addr, mask: (0xffffffff << (32 - len)) >>> 0 };
}

/** A text names a counter of the table, which is another statement. */
function readCounter(json: unknown): Statement | undefined {
  if (json === null) return { kind: 'counter' };
  if (!isObject(json) || !hasOnly(json, 'packets', 'bytes')) return undefined;
  const { packets, bytes } = json;
  return {
    kind: 'counter',
    ...(typeof packets === 'number' ? { packets } : {}),
    ...(typeof bytes === 'number' ? { bytes } : {}),
  };
}

function readFlow(json: JsonObject): Statement | undefined {
  const { op, flowtable } = json;
  if (op !== 'add' || typeof flowtable !== 'string' || !hasOnly(json, 'op', 'flowtable')) return undefined;
  return { kind: 'flow', flowtable: flowtable.replace(/^@/, '') };
}

const periods = ['second', 'minute', 'hour', 'day', 'week'] as const;

/** Of packets; a limit of bytes names its units. */
function readLimit(json: JsonObject): Statement | undefined {
  const { rate, burst, per, inv } = json;
  const period = periods.find((each) => each === per);
  if (typeof rate !== 'number' || period === undefined || !hasOnly(json, 'rate', 'burst', 'per', 'inv'))
    return undefined;
  if (burst !== undefined && typeof burst !== 'number') return undefined;
  return { kind: 'limit', over: inv === true, rate, per: period, ...(burst === undefined ? {} : { burst }) };
}

function readConnectionLimit(json: JsonObject): Statement | undefined {
  const { val, inv } = json;
  return typeof val === 'number' && hasOnly(json, 'val', 'inv')
    ? { kind: 'connectionLimit', over: inv === true, count: val }
    : undefined;
}

/** `add @name { ... }`; its element stands bare, or wrapped where it has a timeout. */
function readUpdate(json: JsonObject): Statement | undefined {
  const { op, set, elem, stmt } = json;
  if (!hasOnly(json, 'op', 'set', 'elem', 'stmt')) return undefined;
  if ((op !== 'add' && op !== 'update' && op !== 'delete') || typeof set !== 'string' || !set.startsWith('@'))
    return undefined;
  const wrapped = isObject(elem) && isObject(elem.elem) ? elem.elem : { val: elem };
  const key = hasOnly(wrapped, 'val', 'timeout') ? readExpression(wrapped.val) : undefined;
  const { timeout } = wrapped;
  if (key === undefined || (timeout !== undefined && typeof timeout !== 'number')) return undefined;
  const statements = (stmt === undefined ? [] : (arrayOf(stmt) ?? [stmt])).map(readModelled);
  const read = statements.filter((each) => each !== undefined);
  if (read.length !== statements.length) return undefined;
  return {
    kind: 'update',
    operation: op,
    set: set.slice(1),
    key,
    ...(timeout === undefined ? {} : { timeoutSeconds: timeout }),
    statements: read,
  };
}

/**
 * `snat ip prefix to 10.9.0.0/16`: the bits of the network are written, those of the host stay (NF_NAT_RANGE_NETMAP,
 * nft_nat_setup_netmap).
 */
function readNetmap(kind: 'dnat' | 'snat', { family, addr }: JsonObject): Statement | undefined {
  const block = readValue(addr);
  if (block?.kind !== 'prefix' || (family !== 'ip' && family !== 'ip6')) return undefined;
  const { address, length } = block.prefix;
  const ones = (1n << BigInt(addressBits(address.family))) - 1n;
  const hostBits = { family: address.family, value: ones >> BigInt(length) };
  const field: Expression = { kind: 'payload', protocol: family, field: kind === 'snat' ? 'saddr' : 'daddr' };
  const kept: Expression = {
    ...{ kind: 'binary', operator: '&', left: field },
    right: { kind: 'address', address: hostBits },
  };
  const to: Expression = { kind: 'binary', operator: '|', left: kept, right: { kind: 'address', address } };
  return { kind, family, address: to, flags: [] };
}

function readTranslation(kind: 'dnat' | 'snat', json: JsonObject): Statement | undefined {
  const { family, addr, port } = json;
  if (json.type_flags === 'prefix' && json.flags === 'netmap' && hasOnly(json, 'family', 'addr', 'flags', 'type_flags'))
    return readNetmap(kind, json);
  const flags = readFlags(json.flags);
  if (flags === undefined || !hasOnly(json, 'family', 'addr', 'port', 'flags')) return undefined;
  if (family !== undefined && family !== 'ip' && family !== 'ip6') return undefined;
  const address = addr === undefined ? undefined : readExpression(addr, addressType(family));
  const readPort = port === undefined ? undefined : readExpression(port, ['inet_service']);
  if ((addr !== undefined && address === undefined) || (port !== undefined && readPort === undefined)) return undefined;
  return {
    kind,
    ...(family === undefined ? {} : { family }),
    ...(address === undefined ? {} : { address }),
    ...(readPort === undefined ? {} : { port: readPort }),
    flags,
  };
}

const addressType = (family: 'ip' | 'ip6' | undefined): readonly string[] | undefined =>
  family === undefined ? undefined : [family === 'ip' ? 'ipv4_addr' : 'ipv6_addr', 'inet_service'];

const readFlags = (json: unknown): readonly string[] | undefined => (json === undefined ? [] : textsOf(json));

function readLocalTranslation(kind: 'masquerade' | 'redirect', json: unknown): Statement | undefined {
  if (json === null) return { kind, flags: [] };
  if (!isObject(json) || !hasOnly(json, 'port', 'flags')) return undefined;
  const flags = readFlags(json.flags);
  const port = json.port === undefined ? undefined : readExpression(json.port, ['inet_service']);
  if (flags === undefined || (json.port !== undefined && port === undefined)) return undefined;
  return { kind, ...(port === undefined ? {} : { port }), flags };
}

function readReject(json: unknown): Statement | undefined {
  if (json === null) return { kind: 'reject' };
  if (!isObject(json) || !hasOnly(json, 'type', 'expr')) return undefined;
  const { type, expr } = json;
  if (typeof type !== 'string' || !type.split(' ').every(isWord)) return undefined;
  if (expr === undefined) return { kind: 'reject', type };
  const answer = readValue(expr);
  return answer === undefined ? undefined : { kind: 'reject', type, with: answer };
}
