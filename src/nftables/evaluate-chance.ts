/** Where chance decides (numgen, symhash, a hash whose seed nobody knows): the ways there are, one of which the asker draws. */
import type { Registers } from './evaluate-packet.ts';
import type { CompareOperator, Expression, MapElement } from './ruleset.ts';

type Chance = Extract<Expression, { readonly kind: 'numgen' | 'symhash' | 'hash' }>;

export const isChance = (expression: Expression): expression is Chance =>
  expression.kind === 'numgen' ||
  expression.kind === 'symhash' ||
  (expression.kind === 'hash' && expression.seed === undefined);

/** One of `count` ways, from 0; undefined where the asker draws none: then it is not known. */
export function drawWay(registers: Registers, count: number): number | undefined {
  if (count === 1) return 0;
  const { at, packet } = registers;
  return at === undefined ? undefined : packet.draw?.(at, count);
}

/** Draws whether a comparison holds; where all numbers do, or none does, there is nothing to draw. */
export function drawMatch(
  { modulus, offset = 0 }: Chance,
  op: CompareOperator,
  right: Expression,
): (registers: Registers) => boolean | undefined {
  const holding = right.kind === 'number' ? holdingOf(right.value - offset, modulus, op) : undefined;
  if (holding === 0 || holding === modulus) return () => holding === modulus;
  return (registers) => {
    const way = drawWay(registers, 2);
    return way === undefined ? undefined : way === 1;
  };
}

/** How many of the numbers from 0 up to before `modulus` hold against `value`. */
function holdingOf(value: number, modulus: number, op: CompareOperator): number | undefined {
  const isInside = value >= 0 && value < modulus;
  const below = Math.min(Math.max(value, 0), modulus);
  switch (op) {
    case '==':
      return isInside ? 1 : 0;
    case '!=':
      return isInside ? modulus - 1 : modulus;
    case '<':
      return below;
    case '<=':
      return Math.min(Math.max(value + 1, 0), modulus);
    case '>':
      return modulus - Math.min(Math.max(value + 1, 0), modulus);
    case '>=':
      return modulus - below;
    case 'in':
      return undefined;
  }
}

/** The elements of an anonymous map by which chance goes on; undefined where its key is no chance, or the map is not at hand. */
export function chancesIn(key: Expression, map: Expression): readonly MapElement[] | undefined {
  return isChance(key) && map.kind === 'anonymousMap' && map.elements.length > 0 ? map.elements : undefined;
}
