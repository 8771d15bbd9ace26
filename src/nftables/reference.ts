import type { Chain, Expression, Statement } from './ruleset.ts';

/** The names of the sets, maps and flowtables that the rules of a chain refer to; what stands in opaque statements is not seen. */
export const referencesOf = (chain: Chain): ReadonlySet<string> =>
  new Set(chain.rules.flatMap(({ statements }) => statements.flatMap(expressionsOf).flatMap(namesIn)));

function expressionsOf(statement: Statement): readonly Expression[] {
  switch (statement.kind) {
    case 'match':
      return [statement.left, statement.right];
    case 'verdictMap':
      return [statement.key, statement.map];
    case 'set':
      return [statement.target, statement.value];
    case 'dnat':
    case 'snat':
      return [statement.address, statement.port].filter((expression) => expression !== undefined);
    case 'update':
      return [{ kind: 'setReference', name: statement.set }, statement.key];
    case 'masquerade':
    case 'redirect':
      return statement.port === undefined ? [] : [statement.port];
    case 'flow':
      return [{ kind: 'setReference', name: statement.flowtable }];
    case 'verdict':
    case 'counter':
    case 'limit':
    case 'connectionLimit':
    case 'reject':
    case 'notrack':
    case 'opaque':
      return [];
  }
}

function namesIn(expression: Expression): readonly string[] {
  switch (expression.kind) {
    case 'setReference':
      return [expression.name];
    case 'lookup':
      return [...namesIn(expression.key), ...namesIn(expression.map)];
    case 'binary':
      return [...namesIn(expression.left), ...namesIn(expression.right)];
    case 'hash':
      return namesIn(expression.of);
    case 'join':
      return expression.parts.flatMap(namesIn);
    default:
      return [];
  }
}
