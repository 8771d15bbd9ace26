/** Which packets a rule that iptables made decides on, as far as its conditions are of the plain kind that people write. */
import { type Address, hostPrefix, type PortRange, type Prefix } from '../../net/index.ts';
import type { Expression, Rule, Statement, Value } from '../../nftables/index.ts';

export interface Asks {
  readonly does: 'dnat' | 'source' | 'accept';
  readonly protocol?: 'tcp' | 'udp';
  readonly source?: Prefix;
  readonly destination?: Prefix;
  /** Destination ports; absent: all. */
  readonly ports?: readonly PortRange[];
  readonly iif?: string;
  readonly oif?: string;
  /** New connections are not among them. */
  readonly isReplyOnly?: true;
}

type Mutable = { -readonly [Key in keyof Asks]?: Asks[Key] };

/** Undefined where the rule asks or does something else: nothing is claimed of that. */
export function asksOf({ statements }: Rule): Asks | undefined {
  const asks: Mutable = {};
  for (const statement of statements) if (!take(statement, asks)) return undefined;
  const { does, ...rest } = asks;
  return does === undefined ? undefined : { ...rest, does };
}

function take(statement: Statement, asks: Mutable): boolean {
  switch (statement.kind) {
    case 'match':
      return statement.op === '!=' ? false : takeMatch(statement.left, statement.right, asks);
    case 'verdict':
      if (statement.verdict.kind !== 'accept') return false;
      asks.does = 'accept';
      return true;
    case 'dnat':
      asks.does = 'dnat';
      return true;
    case 'snat':
    case 'masquerade':
      asks.does = 'source';
      return true;
    default:
      return statement.kind === 'counter';
  }
}

function takeMatch(left: Expression, right: Expression, asks: Mutable): boolean {
  if (left.kind === 'meta') {
    if (left.key === 'iifname' && right.kind === 'string') asks.iif = right.text;
    else if (left.key === 'oifname' && right.kind === 'string') asks.oif = right.text;
    else if (left.key === 'l4proto' && right.kind === 'symbol' && (right.name === 'tcp' || right.name === 'udp'))
      asks.protocol = right.name;
    else return left.key === 'nfproto';
    return true;
  }
  if (left.kind === 'ct' && (left.key === 'state' || left.key === 'status')) {
    const names = namesIn(right);
    if (names === undefined) return false;
    if (left.key === 'state' && !names.includes('new')) asks.isReplyOnly = true;
    return true;
  }
  if (left.kind !== 'payload') return false;
  if (left.protocol === 'ip' || left.protocol === 'ip6') {
    const prefix = prefixIn(right);
    if (prefix === undefined) return false;
    if (left.field === 'saddr') asks.source = prefix;
    else if (left.field === 'daddr') asks.destination = prefix;
    else return false;
    return true;
  }
  if (left.field !== 'dport') return false;
  const ports = portsIn(right);
  if (ports === undefined) return false;
  asks.ports = ports;
  return true;
}

/** Of `established | related` and of sets of such. */
function namesIn(of: Expression): readonly string[] | undefined {
  if (of.kind === 'symbol') return [of.name];
  if (of.kind === 'anonymousSet') {
    const names = of.elements.flatMap(({ key }) => namesIn(key) ?? []);
    return names.length === of.elements.length ? names : undefined;
  }
  if (of.kind !== 'binary' || of.operator !== '|') return undefined;
  const [left, right] = [namesIn(of.left), namesIn(of.right)];
  return left === undefined || right === undefined ? undefined : [...left, ...right];
}

const prefixIn = (of: Expression): Prefix | undefined =>
  of.kind === 'address' ? hostPrefix(of.address satisfies Address) : of.kind === 'prefix' ? of.prefix : undefined;

function portsIn(of: Expression): readonly PortRange[] | undefined {
  if (of.kind === 'anonymousSet') {
    const found = of.elements.map(({ key }) => rangeIn(key));
    return found.some((each) => each === undefined) ? undefined : found.flatMap((each) => each ?? []);
  }
  const range = of.kind === 'number' || of.kind === 'range' ? rangeIn(of) : undefined;
  return range && [range];
}

function rangeIn(value: Value): PortRange | undefined {
  if (value.kind === 'number') return { first: value.value, last: value.value };
  if (value.kind !== 'range' || value.first.kind !== 'number' || value.last.kind !== 'number') return undefined;
  return { first: value.first.value, last: value.last.value };
}
