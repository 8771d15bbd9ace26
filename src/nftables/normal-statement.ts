import { isBitmask, isLabel, typeOf } from './datatype.ts';
import { normalExpression, normalMapping } from './normal-expression.ts';
import { normalData } from './normal-value.ts';
import type { Expression, Statement, TableFamily } from './ruleset.ts';

/** nft's own, in packets (nft(8), LIMIT STATEMENT). */
const DEFAULT_BURST = 5;

type Match = Extract<Statement, { readonly kind: 'match' }>;

/** One statement as the kernel lists it by itself; `family` is its table's. */
export function normalStatement(statement: Statement, family: TableFamily): Statement {
  switch (statement.kind) {
    case 'match':
      return normalMatch(statement);
    case 'verdictMap': {
      const map = normalMapping(statement.map, typeOf(statement.key));
      return { kind: 'verdictMap', key: normalExpression(statement.key), map };
    }
    case 'set': {
      const value = normalExpression(statement.value, typeOf(statement.target));
      return { kind: 'set', target: normalExpression(statement.target), value };
    }
    case 'counter':
      return { kind: 'counter' };
    case 'dnat':
    case 'snat': {
      const { address, port } = statement;
      const of =
        statement.family ?? (address === undefined ? undefined : addressFamily(address)) ?? tableFamily(family);
      return {
        kind: statement.kind,
        ...(of === undefined ? {} : { family: of }),
        ...(address === undefined ? {} : { address: normalDestination(address) }),
        ...(port === undefined ? {} : { port: normalDestination(port) }),
        flags: [...statement.flags].sort(),
      };
    }
    case 'masquerade':
    case 'redirect': {
      const { kind, port, flags } = statement;
      return { kind, ...(port === undefined ? {} : { port: normalDestination(port) }), flags: [...flags].sort() };
    }
    case 'limit':
      return { ...statement, burst: statement.burst ?? DEFAULT_BURST };
    case 'update': {
      const statements = statement.statements.map((each) => normalStatement(each, family));
      return { ...statement, key: normalExpression(statement.key), statements };
    }
    case 'verdict':
    case 'connectionLimit':
    case 'reject':
    case 'notrack':
    case 'flow':
    case 'opaque':
      return statement;
  }
}

/** nft keeps the ranges of a translation as they were written. */
function normalDestination(destination: Expression): Expression {
  if (destination.kind === 'range') return destination;
  if (destination.kind !== 'lookup') return normalExpression(destination);
  const { key, map } = destination;
  const normal = normalMapping(map, typeOf(key));
  return normal.kind !== 'anonymousMap'
    ? { kind: 'lookup', key: normalExpression(key), map: normal }
    : {
        kind: 'lookup',
        key: normalExpression(key),
        map: { ...normal, elements: normal.elements.map((each) => ({ ...each, data: normalData(each.data) })) },
      };
}

function addressFamily(address: Expression): 'ip' | 'ip6' | undefined {
  if (address.kind === 'address') return address.address.family === 4 ? 'ip' : 'ip6';
  return address.kind === 'range' ? addressFamily(address.first) : undefined;
}
/** The one family of addresses that a table of this family sees. */
export const tableFamily = (family: TableFamily): 'ip' | 'ip6' | undefined =>
  family === 'ip' || family === 'ip6' ? family : undefined;

function normalMatch({ left: written, op: writtenOp, right: writtenRight }: Match): Statement {
  const left = normalExpression(written);
  const asked = normalExpression(writtenRight, typeOf(written));
  const only = onlyElement(asked);
  const right = only ?? asked;
  const isSet = right.kind === 'anonymousSet' || right.kind === 'setReference';
  // nft turns `ct state { new }` into `ct state new`, which asks for the bit.
  const op = only !== undefined && writtenOp === '==' && isBitmask(left) ? 'in' : writtenOp;
  if (op === 'in' && (isSet || !isBitmask(left))) return { kind: 'match', left, op: '==', right };
  // `ct state & (new | established) != 0` is listed as `ct state established,new`.
  if (op === '!=' && right.kind === 'number' && right.value === 0 && isFlagTest(left)) {
    return { kind: 'match', left: left.left, op: 'in', right: left.right };
  }
  return { kind: 'match', left, op, right };
}

/** The one element of a set that nft lists without braces; a concatenation keeps them. */
function onlyElement(expression: Expression): Expression | undefined {
  if (expression.kind !== 'anonymousSet' || expression.elements.length !== 1) return undefined;
  const [element] = expression.elements;
  return element === undefined || element.comment !== undefined || element.key.kind === 'concat'
    ? undefined
    : element.key;
}

const isFlagTest = (expression: Expression): expression is Extract<Expression, { readonly kind: 'binary' }> =>
  expression.kind === 'binary' &&
  expression.operator === '&' &&
  isBitmask(expression.left) &&
  // Their 0 is no number but the first of them.
  !isLabel(expression.left);
