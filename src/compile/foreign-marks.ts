/** Which bits of the packet and connection marks others on a host use, and by which rule. */
import { type HostFacts, isOwnTable, withoutAccepts } from '../host/index.ts';
import { type Expression, printReference, type Rule, type Statement, type Table } from '../nftables/index.ts';
import { printRule, SALLYPORT_PROTOCOL } from '../routing/index.ts';

export interface MarkUse {
  readonly bits: number;
  /** The rule in its owner's words. */
  readonly by: string;
}

/** The uses in routing rules (`fwmark`) and in tables that are not ours, each rule by itself. */
export function foreignMarks({ state }: HostFacts): readonly MarkUse[] {
  const uses: MarkUse[] = [];
  const use = (bits: number, by: () => string): void => {
    if (bits !== 0) uses.push({ bits: bits >>> 0, by: by() });
  };
  for (const rule of state.rules) {
    const { mark, protocol } = rule;
    if (mark === undefined || protocol === SALLYPORT_PROTOCOL) continue;
    use(comparedBits(mark.value, mark.mask), () => `ip rule ${printRule(rule)}`);
  }
  for (const table of withoutAccepts(state.tables)) {
    if (isOwnTable(table)) continue;
    for (const chain of table.chains)
      for (const rule of chain.rules) use(bitsOfRule(rule), () => printOwner(table, chain.name, rule));
  }
  return uses;
}

/** All bits that others use. */
export const bitsOf = (uses: readonly MarkUse[]): number => uses.reduce((all, { bits }) => all | bits, 0) >>> 0;

const printOwner = (table: Table, chain: string, rule: Rule): string =>
  rule.text === undefined
    ? printReference({ table, chain, rule })
    : `${table.family === 'ip6' ? 'ip6tables' : 'iptables'} -t ${table.name} ${rule.text}`;

const bitsOfRule = ({ statements }: Rule): number => statements.reduce((all, each) => all | bitsOfStatement(each), 0);

function bitsOfStatement(statement: Statement): number {
  switch (statement.kind) {
    case 'match':
      return bitsOfMatch(statement.left, statement.right);
    case 'set':
      if (isMark(statement.target)) return writtenBits(statement.value, statement.target);
      return asksMark(statement.value) ? constants(statement.value) : 0;
    case 'verdictMap':
      return bitsOfMatch(statement.key, statement.map);
    case 'opaque':
      return bitsOfOpaque(statement.json);
    default:
      return 0;
  }
}

type Mark = Extract<Expression, { readonly kind: 'meta' | 'ct' }>;
const isMark = (of: Expression): of is Mark => (of.kind === 'meta' || of.kind === 'ct') && of.key === 'mark';

const asksMark = (of: Expression): boolean => {
  if (isMark(of)) return true;
  if (of.kind === 'binary') return asksMark(of.left) || asksMark(of.right);
  if (of.kind === 'join') return of.parts.some(asksMark);
  return of.kind === 'lookup' && asksMark(of.key);
};

/** Comparing most of the mark is comparing the whole of it: the bits that are meant are those of the value. */
const comparedBits = (value: number, mask: number): number => (countBits(mask) > 16 ? value : mask | value);

function bitsOfMatch(left: Expression, right: Expression): number {
  if (!asksMark(left)) return 0;
  if (left.kind !== 'binary' || left.operator !== '&' || left.right.kind !== 'number') {
    return constants(left) | constants(right);
  }
  return comparedBits(constants(right), left.right.value);
}

/**
 * What becomes of a mark by `value`: bits that it clears, sets or flips; those it takes over from the other mark, where they stand
 * there too. A mark taken over whole says nothing of which bits are meant.
 */
function writtenBits(value: Expression, target: Mark): number {
  if (value.kind !== 'binary') return isMark(value) ? 0 : constants(value);
  const { operator, left, right } = value;
  const constant = right.kind === 'number' ? right.value : undefined;
  switch (operator) {
    case '&':
      if (constant === undefined) return writtenBits(left, target) | writtenBits(right, target);
      if (isMark(left)) return left.kind === target.kind ? ~constant : constant;
      return writtenBits(left, target) | ~constant;
    case '|':
    case '^':
      return writtenBits(left, target) | (constant ?? writtenBits(right, target));
    case '<<':
    case '>>': {
      const taken = writtenBits(left, target) >>> 0;
      return taken | (operator === '<<' ? taken << (constant ?? 0) : taken >>> (constant ?? 0));
    }
  }
}

/** All numbers in it: of a set its elements, of a map keys and data. */
function constants(of: unknown): number {
  if (typeof of === 'number') return of;
  if (typeof of !== 'object' || of === null) return 0;
  return Object.values(of).reduce<number>((all, each) => all | constants(each), 0);
}

/** What is not modelled: the constants beside a mark in nft's JSON, the numbers after iptables' options on marks. */
function bitsOfOpaque(json: unknown): number {
  const text = JSON.stringify(json);
  if (text.includes('"key":"mark"')) return keptAside(json);
  const words = /"words":"(.*)"/.exec(text)?.[1] ?? '';
  let bits = 0;
  for (const [, value, mask] of words.matchAll(/--[a-z-]*mark[a-z-]* (0x[0-9a-f]+|\d+)(?:\/(0x[0-9a-f]+|\d+))?/gi))
    bits |= comparedBits(Number(value), mask === undefined ? 0xffffffff : Number(mask));
  return bits;
}

/** A complement keeps the bits it names; those it clears are the ones in use. */
function keptAside(json: unknown): number {
  if (typeof json === 'number') return countBits(json) > 16 ? ~json : json;
  if (typeof json !== 'object' || json === null) return 0;
  return Object.entries(json).reduce((all, [name, each]) => (name === 'handle' ? all : all | keptAside(each)), 0);
}

function countBits(value: number): number {
  let count = 0;
  for (let rest = value >>> 0; rest !== 0; rest &= rest - 1) count++;
  return count;
}
