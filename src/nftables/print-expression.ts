import { addressBits, printAddress, printPrefix, sameAddress } from '../net/index.ts';
import { typeOf } from './datatype.ts';
import { printName, printNumber, printText, printWord, printWords } from './name.ts';
import type { DataType, Expression, MapElement, SetElement, Value, Verdict } from './ruleset.ts';

/** Thrown for what was seen on a host and is not modelled: it cannot be written back. */
export const cannotWrite = (json: unknown): TypeError =>
  new TypeError(`only observed, cannot be written: ${JSON.stringify(json)}`);

/** A constant as nft reads it; marks are hexadecimal where `type` says so. Throws TypeError for opaque and for unsafe text. */
export function printValue(value: Value, type?: DataType): string {
  switch (value.kind) {
    case 'number':
      return type?.[0] === 'mark' ? printMark(value.value) : printNumber(value.value);
    case 'symbol':
      return printSymbol(value.name);
    case 'string':
      return printText(value.text);
    case 'address':
      return printAddress(value.address);
    case 'prefix':
      return value.prefix.length === addressBits(value.prefix.address.family)
        ? printAddress(value.prefix.address)
        : printPrefix(value.prefix);
    case 'range':
      return `${printValue(value.first, type)}-${printValue(value.last, type)}`;
    case 'concat':
      return value.parts.map((part, index) => printValue(part, partType(type, index))).join(' . ');
    case 'wildcard':
      return '*';
    case 'opaque':
      throw cannotWrite(value.json);
  }
}

/** As printValue, for one value after the other: of joined ones that differ in the last part alone the others are printed once. */
export function neighbourPrinter(type?: DataType): (value: Value) => string {
  let last: readonly Value[] = [];
  let lead = '';
  return (value) => {
    if (value.kind !== 'concat' || value.parts.length < 2) return printValue(value, type);
    const { parts } = value;
    const end = parts.length - 1;
    if (last.length !== parts.length || !parts.every((part, index) => index === end || isSame(part, last[index]))) {
      lead = parts
        .slice(0, -1)
        .reduce((text, part, index) => `${text}${printValue(part, partType(type, index))} . `, '');
    }
    last = parts;
    const tail = parts[end];
    return tail === undefined ? lead : `${lead}${printValue(tail, partType(type, end))}`;
  };
}

/** Whether they are printed alike, as far as that is quickly told. */
const isSame = (one: Value, other: Value | undefined): boolean =>
  one === other ||
  (one.kind === 'address' && other?.kind === 'address' && sameAddress(one.address, other.address)) ||
  (one.kind === 'symbol' && other?.kind === 'symbol' && one.name === other.name);

const partType = (type: DataType | undefined, index: number): DataType | undefined => {
  if (type === undefined) return undefined;
  const part = type[index];
  return part === undefined ? undefined : [part];
};

/** As the kernel lists marks: eight hexadecimal digits. */
function printMark(value: number): string {
  printNumber(value);
  return `0x${value.toString(16).padStart(8, '0')}`;
}

const macPattern = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;
const printSymbol = (name: string): string => (macPattern.test(name) ? name : printWord(name));

/** `accept`, `jump sp_1`. */
export const printVerdict = (verdict: Verdict): string =>
  'chain' in verdict ? `${verdict.kind} ${printName(verdict.chain)}` : verdict.kind;

const verdictKinds: Readonly<Record<Verdict['kind'], true>> = {
  accept: true,
  drop: true,
  return: true,
  continue: true,
  jump: true,
  goto: true,
};
/** Tells the two kinds of map data apart. */
export const isVerdict = (data: Value | Verdict): data is Verdict => data.kind in verdictKinds;

/** A constant or a verdict: what stands right of the colon in a map. */
export const printData = (data: Value | Verdict, type?: DataType): string =>
  isVerdict(data) ? printVerdict(data) : printValue(data, type);

/** The types of an anonymous set's keys and of an anonymous map's data, from where it stands. */
interface Types {
  readonly key?: DataType | undefined;
  readonly data?: DataType | undefined;
}

const printKeys = (elements: readonly SetElement[], type?: DataType): string =>
  braced(elements.map(({ key }) => printValue(key, type)));
const printPairs = (elements: readonly MapElement[], types: Types): string =>
  braced(elements.map(({ key, data }) => `${printValue(key, types.key)} : ${printData(data, types.data)}`));

function braced(items: readonly string[]): string {
  if (items.length === 0) throw new TypeError('nft has no empty anonymous set or map');
  return `{ ${items.join(', ')} }`;
}

/** How tightly nft's grammar binds an operator: the higher the tighter. */
const bindings = { '<<': 4, '>>': 4, '&': 3, '^': 2, '|': 1 } as const;

function printOperand(operand: Expression, least: number, types: Types): string {
  const printed = printExpression(operand, types);
  return operand.kind === 'binary' && bindings[operand.operator] < least ? `(${printed})` : printed;
}

/** Shift widths are counts, also beside a mark. */
const rightTypes = (operator: keyof typeof bindings, types: Types): Types =>
  operator === '<<' || operator === '>>' ? {} : types;

/** An expression as nft reads it; `types` tell how constants in it are written. Throws TypeError for opaque and for unsafe words. */
export function printExpression(expression: Expression, types: Types = {}): string {
  switch (expression.kind) {
    case 'payload':
      return `${printWord(expression.protocol)} ${printWords(expression.field)}`;
    case 'rawPayload':
      return `@${expression.base},${printNumber(expression.offsetBits)},${printNumber(expression.lengthBits)}`;
    case 'meta':
      return bareMetaKeys.has(expression.key) ? expression.key : `meta ${printWord(expression.key)}`;
    case 'ct':
      return ['ct', expression.direction, printWords(expression.key)].filter(Boolean).join(' ');
    case 'fib':
      return `fib ${expression.flags.map(printWord).join(' . ')} ${expression.result}`;
    case 'rt':
      return `rt ${printWords(expression.key)}`;
    case 'tcpOption':
      return `tcp option ${printWord(expression.option)} ${printWord(expression.field)}`;
    case 'binary': {
      const { operator, left, right } = expression;
      const inner: Types = { key: typeOf(left) ?? types.key };
      const binding = bindings[operator];
      return `${printOperand(left, binding, inner)} ${operator} ${printOperand(right, binding + 1, rightTypes(operator, inner))}`;
    }
    case 'hash': {
      const seed = expression.seed === undefined ? '' : ` seed ${printNumber(expression.seed)}`;
      return `jhash ${printExpression(expression.of)} mod ${printNumber(expression.modulus)}${seed}${printOffset(expression)}`;
    }
    case 'symhash':
      return `symhash mod ${printNumber(expression.modulus)}${printOffset(expression)}`;
    case 'numgen':
      return `numgen ${expression.mode} mod ${printNumber(expression.modulus)}${printOffset(expression)}`;
    case 'join':
      return expression.parts.map((part, index) => printPart(part, partType(types.key, index))).join(' . ');
    case 'setReference':
      return `@${printName(expression.name)}`;
    case 'anonymousSet':
      return printKeys(expression.elements, types.key);
    case 'anonymousMap':
      return printPairs(expression.elements, types);
    case 'lookup': {
      const inner: Types = { key: typeOf(expression.key), data: types.key };
      return `${printExpression(expression.key)} map ${printExpression(expression.map, inner)}`;
    }
    case 'number':
    case 'symbol':
    case 'string':
    case 'address':
    case 'prefix':
    case 'range':
    case 'concat':
    case 'wildcard':
    case 'opaque':
      return printValue(expression, types.key);
  }
}

const printOffset = ({ offset }: { readonly offset?: number }): string =>
  offset === undefined ? '' : ` offset ${printNumber(offset)}`;

/** nft reads `a & b . c` as a join of `a & b` and c; the parentheses are for people. */
const printPart = (part: Expression, key: DataType | undefined): string =>
  part.kind === 'binary' ? `(${printExpression(part, { key })})` : printExpression(part, { key });

/** The keys that stand without `meta`, as `nft list` shows them. */
const bareMetaKeys: ReadonlySet<string> = new Set(['iif', 'oif', 'iifname', 'oifname']);
