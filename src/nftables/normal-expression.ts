import { typeOf } from './datatype.ts';
import { mergeNeighbours, normalMapElement, normalSetElement, normalValue, sortElements } from './normal-value.ts';
import { flagNames } from './print-statement.ts';
import type { DataType, Expression, SetElement } from './ruleset.ts';

/** An expression as the kernel lists it; `type` is what its constants are, where the place tells. */
export function normalExpression(expression: Expression, type?: DataType): Expression {
  switch (expression.kind) {
    case 'binary':
      return normalBinary(expression, type);
    case 'join':
      return {
        kind: 'join',
        parts: expression.parts.map((part, index) => {
          const one = type?.[index];
          return normalExpression(part, one === undefined ? undefined : [one]);
        }),
      };
    case 'anonymousSet': {
      const elements = expression.elements.map((element) => normalSetElement(element, type));
      const merged = elements.some(({ key }) => key.kind === 'range' || key.kind === 'prefix')
        ? mergeNeighbours(elements)
        : elements;
      return { kind: 'anonymousSet', elements: sortElements(withoutCovered(merged), type) };
    }
    case 'anonymousMap':
      return { kind: 'anonymousMap', elements: expression.elements.map((element) => normalMapElement(element, type)) };
    case 'lookup': {
      const { key, map } = expression;
      return { kind: 'lookup', key: normalExpression(key), map: normalMapping(map, typeOf(key), type) };
    }
    case 'fib':
      return { ...expression, flags: [...expression.flags].sort() };
    case 'hash':
      return { ...expression, of: normalExpression(expression.of) };
    case 'symhash':
    case 'numgen':
    case 'payload':
    case 'rawPayload':
    case 'meta':
    case 'ct':
    case 'rt':
    case 'tcpOption':
    case 'setReference':
      return expression;
    case 'number':
    case 'symbol':
    case 'string':
    case 'address':
    case 'prefix':
    case 'range':
    case 'concat':
    case 'wildcard':
    case 'opaque':
      return normalValue(expression, type);
  }
}

/** Names that a pattern of the same set covers are merged into it: `{ "sp-*", "sp-e1" }` is `"sp-*"`. */
function withoutCovered(elements: readonly SetElement[]): readonly SetElement[] {
  const prefixes = elements.flatMap(({ key }) =>
    key.kind === 'string' && key.text.endsWith('*') ? [key.text.slice(0, -1)] : [],
  );
  if (prefixes.length === 0) return elements;
  return elements.filter(({ key }) => {
    if (key.kind !== 'string') return true;
    const start = key.text.endsWith('*') ? key.text.slice(0, -1) : key.text;
    return !prefixes.some((prefix) => start.startsWith(prefix) && (start !== prefix || start === key.text));
  });
}

/** The map of a lookup, its elements sorted by key. */
export function normalMapping(map: Expression, key: DataType | undefined, data?: DataType): Expression {
  if (map.kind !== 'anonymousMap') return normalExpression(map);
  const elements = map.elements.map((element) => normalMapElement(element, key, data));
  return { kind: 'anonymousMap', elements: sortElements(elements, key) };
}

type Binary = Extract<Expression, { readonly kind: 'binary' }>;

function normalBinary(expression: Binary, type: DataType | undefined): Expression {
  const names = flagNames(expression);
  if (names !== undefined) return flagsOf(names);
  const bits = bitsOf(expression);
  if (bits !== undefined) return withBits(bits);
  const left = normalExpression(expression.left, type);
  return { ...expression, left, right: normalExpression(expression.right, typeOf(left) ?? type) };
}

/** Flags in the order of their names; nft lists them in the order of their bits. */
function flagsOf(names: readonly string[]): Expression {
  const [first = '', ...others] = [...new Set(names)].sort();
  return others.reduce<Expression>(
    (left, name) => ({ kind: 'binary', operator: '|', left, right: { kind: 'symbol', name } }),
    { kind: 'symbol', name: first },
  );
}

/** `of & mask ^ flip`: what the kernel keeps of any chain of `&`, `|` and `^` with constants (nft_bitwise). */
interface Bits {
  readonly of: Expression;
  /** -1 keeps all bits. */
  readonly mask: bigint;
  readonly flip: bigint;
}

/** Undefined where a part is no constant or a shift stands between. */
function bitsOf(expression: Expression): Bits | undefined {
  if (expression.kind !== 'binary') return { of: expression, mask: -1n, flip: 0n };
  const { operator, left, right } = expression;
  if (operator === '<<' || operator === '>>' || right.kind !== 'number') return undefined;
  const inner = bitsOf(left);
  if (inner === undefined) return undefined;
  const constant = BigInt(right.value);
  switch (operator) {
    case '&':
      return { ...inner, mask: inner.mask & constant, flip: inner.flip & constant };
    case '^':
      return { ...inner, flip: inner.flip ^ constant };
    case '|':
      return { ...inner, mask: inner.mask & ~constant, flip: inner.flip | constant };
  }
}

/**
 * One spelling of `of & mask ^ flip`: `of & kept ^ turned | set`, each left out where it does nothing.
 * nft spells the mask with the bits that are set anyway (`& 0xff01ffff | 0x00010000`); ours leaves them out, as people write it.
 */
function withBits({ of, mask: rawMask, flip }: Bits): Expression {
  const width = typeOf(of)?.[0] === 'mark' ? 0xffff_ffffn : undefined;
  const mask = width === undefined ? rawMask : rawMask & width;
  const all = width ?? -1n;
  const set = flip & ~mask;
  const turned = flip & mask;
  const parts: readonly (readonly [Binary['operator'], bigint])[] = [
    ...((mask | set) === all ? [] : [['&', mask] as const]),
    ...(turned === 0n ? [] : [['^', turned] as const]),
    ...(set === 0n ? [] : [['|', set] as const]),
  ];
  return parts.reduce<Expression>(
    (left, [operator, constant]) => ({
      kind: 'binary',
      operator,
      left,
      right: { kind: 'number', value: Number(constant) },
    }),
    of,
  );
}
