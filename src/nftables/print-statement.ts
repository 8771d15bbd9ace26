import { isBitmask, isLabel, typeOf } from './datatype.ts';
import { printComment, printName, printNumber, printWord, printWords } from './name.ts';
import { cannotWrite, printExpression, printValue, printVerdict } from './print-expression.ts';
import type { Expression, Rule, Statement } from './ruleset.ts';

/** A rule as nft reads it, without its handle. Throws TypeError for opaque statements and unsafe text. */
export function printRule(rule: Rule): string {
  if (rule.statements.length === 0) throw new TypeError('nft has no rule without a statement');
  const statements = rule.statements.map(printStatement).join(' ');
  return rule.comment === undefined ? statements : `${statements} comment ${printComment(rule.comment)}`;
}

/** One statement as nft reads it; the values of counters are left out. Throws TypeError for opaque and for unsafe words. */
export function printStatement(statement: Statement): string {
  switch (statement.kind) {
    case 'match':
      return printMatch(statement);
    case 'verdict':
      return printVerdict(statement.verdict);
    case 'verdictMap':
      return `${printExpression(statement.key)} vmap ${printExpression(statement.map, { key: typeOf(statement.key) })}`;
    case 'set':
      return `${printExpression(statement.target)} set ${printExpression(statement.value, { key: typeOf(statement.target) })}`;
    case 'counter':
      return 'counter';
    case 'dnat':
    case 'snat': {
      const family = statement.family === undefined ? '' : ` ${statement.family}`;
      const to = printDestination(statement.address, statement.port);
      return `${statement.kind}${family}${to}${printFlags(statement.flags)}`;
    }
    case 'masquerade':
    case 'redirect':
      return `${statement.kind}${printDestination(undefined, statement.port)}${printFlags(statement.flags)}`;
    case 'reject':
      return printReject(statement);
    case 'notrack':
      return 'notrack';
    case 'flow':
      return `flow add @${printName(statement.flowtable)}`;
    case 'limit': {
      const burst = statement.burst === undefined ? '' : ` burst ${printNumber(statement.burst)} packets`;
      return `limit rate ${over(statement)}${printNumber(statement.rate)}/${statement.per}${burst}`;
    }
    case 'connectionLimit':
      return `ct count ${over(statement)}${printNumber(statement.count)}`;
    case 'update': {
      const timeout =
        statement.timeoutSeconds === undefined ? [] : [`timeout ${printNumber(statement.timeoutSeconds)}s`];
      const element = [printExpression(statement.key), ...timeout, ...statement.statements.map(printStatement)];
      const data = statement.data === undefined ? [] : [':', printExpression(statement.data)];
      return `${statement.operation} @${printName(statement.set)} { ${[...element, ...data].join(' ')} }`;
    }
    case 'opaque':
      throw cannotWrite(statement.json);
  }
}

const over = ({ over: isOver }: { readonly over: boolean }): string => (isOver ? 'over ' : '');

/**
 * nft without an operator means equality, but "any of these" for a field of flags, and that is our `in`.
 * There an equality has to be written out.
 */
function printMatch({ left, op, right }: Extract<Statement, { readonly kind: 'match' }>): string {
  const isSet = right.kind === 'anonymousSet' || right.kind === 'setReference';
  const flags = op === 'in' && isBitmask(left) ? flagNames(right) : undefined;
  const tested = printExpression(left);
  if (flags !== undefined) return `${tested} ${flags.map(printWord).join(',')}`;
  // A label is asked for by its number.
  if (op === 'in' && right.kind === 'number' && isLabel(left)) return `${tested} ${right.value}`;
  const needsEquals = !isSet && (isBitmask(left) || left.kind === 'binary');
  const operator = op === 'in' || op === '==' ? (needsEquals ? '== ' : '') : `${op} `;
  const printed = printExpression(right, { key: typeOf(left) });
  return `${tested} ${operator}${right.kind === 'binary' ? `(${printed})` : printed}`;
}

/** The names in `established | related`; undefined for anything else. */
export function flagNames(expression: Expression): readonly string[] | undefined {
  if (expression.kind === 'symbol') return [expression.name];
  if (expression.kind !== 'binary' || expression.operator !== '|') return undefined;
  const left = flagNames(expression.left);
  const right = flagNames(expression.right);
  return left === undefined || right === undefined ? undefined : [...left, ...right];
}

/** ` to 10.0.0.1:80`, ` to [fd00::1]:80`, ` to :80`, or nothing. */
function printDestination(address: Expression | undefined, port: Expression | undefined): string {
  if (address === undefined && port === undefined) return '';
  const printedPort = port === undefined ? '' : `:${printExpression(port, { key: ['inet_service'] })}`;
  if (address === undefined) return ` to ${printedPort}`;
  const printed = printExpression(address);
  const bracketed = port !== undefined && isIpv6(address) ? printed.replaceAll(/[^-]+/g, '[$&]') : printed;
  return ` to ${bracketed}${printedPort}`;
}

const isIpv6 = (expression: Expression): boolean =>
  expression.kind === 'address'
    ? expression.address.family === 6
    : expression.kind === 'range' && isIpv6(expression.first);

const printFlags = (flags: readonly string[]): string =>
  flags.length === 0 ? '' : ` ${flags.map(printWord).join(',')}`;

/** With `type` between: nft 1.0.2 wants it, later ones take it. */
function printReject({ type, with: answer }: Extract<Statement, { readonly kind: 'reject' }>): string {
  if (type === undefined) return 'reject';
  return answer === undefined
    ? `reject with ${printWords(type)}`
    : `reject with ${printWord(type)} type ${printValue(answer)}`;
}
