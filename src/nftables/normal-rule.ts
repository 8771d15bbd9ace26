import { normalStatement, tableFamily } from './normal-statement.ts';
import type { Expression, Rule, Statement, TableFamily } from './ruleset.ts';
import { signatureOf } from './signature.ts';

/** A rule as the kernel lists it, without handle and counter values. `family` is its table's. */
export function normalRule(rule: Rule, family: TableFamily): Rule {
  const split = rule.statements.flatMap(splitPorts);
  const statements = namedTransports(split.map((statement) => normalStatement(statement, family)));
  const settled = statements.map((statement, index) => settleReject(statement, statements.slice(0, index), family));
  return {
    statements: sortMatches(withoutImplied(settled)),
    ...(rule.comment === undefined ? {} : { comment: rule.comment }),
  };
}

/** nft asks for `th sport 5 th dport 80` as one, and lists it as `@th,0,32`. */
function splitPorts(statement: Statement): readonly Statement[] {
  if (statement.kind !== 'match' || statement.op !== '==' || statement.left.kind !== 'rawPayload') return [statement];
  const { base, offsetBits, lengthBits } = statement.left;
  if (base !== 'th' || offsetBits !== 0 || lengthBits !== 32 || statement.right.kind !== 'number') return [statement];
  const { value } = statement.right;
  return [portMatch('sport', value >>> 16), portMatch('dport', value & 0xffff)];
}

const portMatch = (field: string, port: number): Statement => ({
  kind: 'match',
  left: { kind: 'payload', protocol: 'th', field },
  op: '==',
  right: { kind: 'number', value: port },
});

/** Where a rule asks for one transport, first or last, nft lists every `th dport` of it by that transport's name. */
function namedTransports(statements: readonly Statement[]): readonly Statement[] {
  const transport = statements.map(transportIn).find((known) => known !== undefined);
  return transport === undefined ? statements : statements.map((statement) => inStatement(statement, transport));
}

/** The transports whose header begins with two ports. */
const portTransports: ReadonlySet<string> = new Set(['tcp', 'udp', 'udplite', 'sctp', 'dccp']);

/** The transport that holds for what follows the statement. */
function transportIn(statement: Statement): string | undefined {
  const asked = [...askedBy(statement), ...askedInHeader(statement), ...impliedBy(statement)];
  return asked
    .filter((condition) => condition.startsWith('l4proto '))
    .map((condition) => condition.slice('l4proto '.length))
    .find((transport) => portTransports.has(transport));
}

function inStatement(statement: Statement, transport: string): Statement {
  switch (statement.kind) {
    case 'match':
      return { ...statement, left: inExpression(statement.left, transport) };
    case 'verdictMap':
      return { ...statement, key: inExpression(statement.key, transport) };
    case 'set': {
      const { target, value } = statement;
      return { ...statement, target: inExpression(target, transport), value: inExpression(value, transport) };
    }
    case 'dnat':
    case 'snat': {
      const { address, port } = statement;
      return {
        ...statement,
        ...(address === undefined ? {} : { address: inExpression(address, transport) }),
        ...(port === undefined ? {} : { port: inExpression(port, transport) }),
      };
    }
    case 'masquerade':
    case 'redirect':
      return statement.port === undefined ? statement : { ...statement, port: inExpression(statement.port, transport) };
    case 'update':
      return { ...statement, key: inExpression(statement.key, transport) };
    case 'verdict':
    case 'counter':
    case 'limit':
    case 'connectionLimit':
    case 'reject':
    case 'notrack':
    case 'flow':
    case 'opaque':
      return statement;
  }
}

function inExpression(expression: Expression, transport: string): Expression {
  switch (expression.kind) {
    case 'payload':
      return expression.protocol === 'th' ? { ...expression, protocol: transport } : expression;
    case 'join':
      return { kind: 'join', parts: expression.parts.map((part) => inExpression(part, transport)) };
    case 'binary':
      return { ...expression, left: inExpression(expression.left, transport) };
    case 'lookup':
      return { ...expression, key: inExpression(expression.key, transport) };
    case 'hash':
      return { ...expression, of: inExpression(expression.of, transport) };
    default:
      return expression;
  }
}

/** A plain `reject` answers by the family that the rule has asked for before it. */
function settleReject(statement: Statement, before: readonly Statement[], family: TableFamily): Statement {
  if (statement.kind !== 'reject' || statement.type !== undefined) return statement;
  const asked = new Set([...before.flatMap(impliedBy), ...before.flatMap(askedBy)]);
  const of = tableFamily(family) ?? (asked.has('nfproto ipv4') ? 'ip' : asked.has('nfproto ipv6') ? 'ip6' : undefined);
  const type = of === undefined ? 'icmpx' : of === 'ip' ? 'icmp' : 'icmpv6';
  return { kind: 'reject', type, with: { kind: 'symbol', name: 'port-unreachable' } };
}

/** `ip protocol tcp` and `ip6 nexthdr tcp` settle the transport too. */
function askedInHeader(statement: Statement): readonly string[] {
  if (statement.kind !== 'match' || statement.op !== '==' || statement.left.kind !== 'payload') return [];
  const { left, right } = statement;
  return (left.field === 'protocol' || left.field === 'nexthdr') && right.kind === 'symbol'
    ? [`l4proto ${right.name}`]
    : [];
}

/** The condition that a match states, where it is one that others imply: `nfproto ipv4`, `l4proto tcp`. */
function askedBy(statement: Statement): readonly string[] {
  if (statement.kind !== 'match' || statement.op !== '==' || statement.left.kind !== 'meta') return [];
  const { key } = statement.left;
  const { right } = statement;
  return (key === 'nfproto' || key === 'l4proto') && right.kind === 'symbol' ? [`${key} ${right.name}`] : [];
}

const transports: ReadonlySet<string> = new Set([
  'tcp',
  'udp',
  'udplite',
  'sctp',
  'dccp',
  'icmp',
  'icmpv6',
  'esp',
  'ah',
]);

/** The conditions that nft adds by itself before a statement that reads a header, and leaves out of its listing. */
function impliedBy(statement: Statement): readonly string[] {
  switch (statement.kind) {
    case 'match':
      return [...impliedByExpression(statement.left), ...impliedByExpression(statement.right)];
    case 'verdictMap':
    case 'update':
      return impliedByExpression(statement.key);
    case 'set':
      // Writing a TCP option asks for nothing: other packets pass by.
      return statement.target.kind === 'tcpOption'
        ? impliedByExpression(statement.value)
        : [...impliedByExpression(statement.target), ...impliedByExpression(statement.value)];
    case 'reject':
      // The kernel keeps an `nfproto` before it, but nft 1.0.6 does not list it.
      if (statement.type === 'tcp reset') return ['l4proto tcp', 'nfproto ipv4', 'nfproto ipv6'];
      if (statement.type === 'icmp') return ['nfproto ipv4'];
      return statement.type === 'icmpv6' ? ['nfproto ipv6'] : [];
    case 'dnat':
    case 'snat':
      return statement.address === undefined ? [] : impliedByExpression(statement.address);
    case 'masquerade':
    case 'redirect':
    case 'verdict':
    case 'counter':
    case 'limit':
    case 'connectionLimit':
    case 'notrack':
    case 'flow':
    case 'opaque':
      return [];
  }
}

function impliedByExpression(expression: Expression): readonly string[] {
  switch (expression.kind) {
    case 'payload': {
      const { protocol } = expression;
      if (protocol === 'ip') return ['nfproto ipv4'];
      if (protocol === 'ip6') return ['nfproto ipv6'];
      if (protocol === 'icmp') return ['nfproto ipv4', 'l4proto icmp'];
      if (protocol === 'icmpv6') return ['nfproto ipv6', 'l4proto icmpv6'];
      return transports.has(protocol) ? [`l4proto ${protocol}`] : [];
    }
    case 'tcpOption':
      return ['l4proto tcp'];
    case 'binary':
      return impliedByExpression(expression.left);
    case 'join':
      return expression.parts.flatMap(impliedByExpression);
    case 'lookup':
      return impliedByExpression(expression.key);
    case 'hash':
      return impliedByExpression(expression.of);
    default:
      return [];
  }
}

/**
 * `ct original ip6 daddr` breaks the rule for a connection of the other family (linux/net/netfilter/nft_ct.c), so it makes sure of the
 * family: nft 1.1 leaves `meta nfproto` before it out of its listing, 1.0 does not. A plain `reject` is settled by headers alone.
 */
function impliedByTracking(statement: Statement): readonly string[] {
  if (statement.kind !== 'match' || statement.left.kind !== 'ct') return [];
  const [family] = statement.left.key.split(' ');
  return family === 'ip' ? ['nfproto ipv4'] : family === 'ip6' ? ['nfproto ipv6'] : [];
}

/**
 * Leaves out a match that an earlier statement has made sure of, and one that a later match implies, as nft's listing does
 * (the later one only while nothing but matches stands between: a counter would count other packets).
 */
function withoutImplied(statements: readonly Statement[]): readonly Statement[] {
  return statements.filter((statement, index) => {
    const [asked] = askedBy(statement);
    if (asked === undefined) return true;
    const sure = statements
      .slice(0, index)
      .flatMap((earlier) => [...askedBy(earlier), ...impliedBy(earlier), ...impliedByTracking(earlier)]);
    if (sure.includes(asked)) return false;
    for (const later of statements.slice(index + 1)) {
      if (impliedBy(later).includes(asked) || impliedByTracking(later).includes(asked)) return false;
      if (later.kind !== 'match') return true;
    }
    return true;
  });
}

/** Matches in a row hold or not whatever their order, and nft changes it: it asks for `tcp sport 5` and `tcp dport 80` as one. */
function sortMatches(statements: readonly Statement[]): readonly Statement[] {
  const sorted: Statement[] = [];
  let run: Statement[] = [];
  const endRun = (): void => {
    const keyed = run.map((statement) => [signatureOf(statement), statement] as const);
    sorted.push(...keyed.sort(([left], [right]) => (left < right ? -1 : 1)).map(([, statement]) => statement));
    run = [];
  };
  for (const statement of statements) {
    if (statement.kind === 'match') run.push(statement);
    else {
      endRun();
      sorted.push(statement);
    }
  }
  endRun();
  return sorted;
}
