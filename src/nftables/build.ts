/** Constructors that let a ruleset be written down almost as nft reads it. They check nothing: the printer does. */
import { type Address, addressBits, type Prefix } from '../net/index.ts';
import type {
  BaseChain,
  CompareOperator,
  Expression,
  MapElement,
  RegularChain,
  Rule,
  SetElement,
  Statement,
  Value,
  Verdict,
} from './ruleset.ts';

type StatementOf<Kind extends Statement['kind']> = Extract<Statement, { readonly kind: Kind }>;
type ExpressionOf<Kind extends Expression['kind']> = Extract<Expression, { readonly kind: Kind }>;

/** A count, a port, a mark. */
export const number = (value: number): Value => ({ kind: 'number', value });
/** A name that nft knows by itself: `tcp`, `established`. */
export const symbol = (name: string): Value => ({ kind: 'symbol', name });
/** Free text, printed in quotes: an interface name, where a last `*` stands for any ending. */
export const text = (content: string): Value => ({ kind: 'string', text: content });
/** One address. */
export const address = (value: Address): Value => ({ kind: 'address', address: value });
/** A block of addresses; one that holds a single address is that address, as the kernel lists it. */
export const prefix = (value: Prefix): Value =>
  value.length === addressBits(value.address.family) ? address(value.address) : { kind: 'prefix', prefix: value };
/** From `first` to `last`, both included. Numbers are taken as `number`. */
export const range = (first: Value | number, last: Value | number): Value => ({
  kind: 'range',
  first: typeof first === 'number' ? number(first) : first,
  last: typeof last === 'number' ? number(last) : last,
});
/** Constants joined by ` . `: one key of a concatenated type. */
export const concat = (...parts: readonly Value[]): Value => ({ kind: 'concat', parts });
/** `*`: everything, in an interval set or map. */
export const wildcard: Value = { kind: 'wildcard' };

/** A header field: `payload('ip', 'daddr')`, `payload('th', 'dport')`. */
export const payload = (protocol: string, field: string): ExpressionOf<'payload'> => ({
  kind: 'payload',
  protocol,
  field,
});
/** `meta('l4proto')`, `meta('mark')`, `meta('iifname')`. */
export const meta = (key: string): ExpressionOf<'meta'> => ({ kind: 'meta', key });
/** `ct('mark')`, `ct('zone', 'original')`, `ct('ip daddr', 'original')`. */
export const ct = (key: string, direction?: 'original' | 'reply'): ExpressionOf<'ct'> =>
  direction === undefined ? { kind: 'ct', key } : { kind: 'ct', key, direction };
/** A route lookup: `fib('type', 'daddr')`, `fib('oif', 'saddr', 'iif')`. */
export const fib = (result: 'oif' | 'oifname' | 'type', ...flags: readonly string[]): ExpressionOf<'fib'> => ({
  kind: 'fib',
  result,
  flags,
});
/** The route a packet takes: `rt('mtu')`. */
export const rt = (key: string): ExpressionOf<'rt'> => ({ kind: 'rt', key });
/** `tcpOption('maxseg', 'size')`. */
export const tcpOption = (option: string, field: string): ExpressionOf<'tcpOption'> => ({
  kind: 'tcpOption',
  option,
  field,
});
const binary = (
  operator: ExpressionOf<'binary'>['operator'],
  left: Expression,
  right: Expression | number,
): ExpressionOf<'binary'> => ({
  kind: 'binary',
  operator,
  left,
  right: typeof right === 'number' ? number(right) : right,
});
/** `left & mask`. */
export const and = (left: Expression, mask: Expression | number): ExpressionOf<'binary'> => binary('&', left, mask);
/** `left | bits`. */
export const or = (left: Expression, bits: Expression | number): ExpressionOf<'binary'> => binary('|', left, bits);
/** `left ^ bits`. */
export const xor = (left: Expression, bits: Expression | number): ExpressionOf<'binary'> => binary('^', left, bits);
/** Symbols of one field of flags, any of which is meant: `ct state established,related`. */
export const flags = (first: string, ...others: readonly string[]): Expression =>
  others.reduce<Expression>((all, name) => or(all, symbol(name)), symbol(first));
/** `jhash of mod modulus`: 0 up to before `modulus`, the same for the same value (linux/jhash.h); without a seed by one that only the kernel knows. */
export const hash = (of: Expression, modulus: number, seed?: number): ExpressionOf<'hash'> => ({
  kind: 'hash',
  of,
  modulus,
  ...(seed !== undefined && { seed }),
});
/** Expressions joined by ` . `, not all of them constant. */
export const join = (...parts: readonly Expression[]): ExpressionOf<'join'> => ({ kind: 'join', parts });
/** `@name`. */
export const setReference = (name: string): ExpressionOf<'setReference'> => ({ kind: 'setReference', name });
/** `{ a, b }`. */
export const anonymousSet = (...keys: readonly Value[]): ExpressionOf<'anonymousSet'> => ({
  kind: 'anonymousSet',
  elements: keys.map((key) => ({ key })),
});
/** `{ key : data, ... }`. */
export const anonymousMap = (...elements: readonly MapElement[]): ExpressionOf<'anonymousMap'> => ({
  kind: 'anonymousMap',
  elements,
});
/** `key map { ... }` or `key map @name`: the data that stands at the key. */
export const lookup = (key: Expression, map: Expression): ExpressionOf<'lookup'> => ({ kind: 'lookup', key, map });

/** Goes on only if it holds. `==` unless another operator is named; `in` asks a field of flags for any of them. */
export const match = (left: Expression, op: CompareOperator, right: Expression | number): StatementOf<'match'> => ({
  kind: 'match',
  left,
  op,
  right: typeof right === 'number' ? number(right) : right,
});

const verdict = (of: Verdict): StatementOf<'verdict'> => ({ kind: 'verdict', verdict: of });
export const accept = verdict({ kind: 'accept' });
export const drop = verdict({ kind: 'drop' });
/** `return` is a word of JavaScript. */
export const returnVerdict = verdict({ kind: 'return' });
/** Runs the chain and comes back. */
export const jump = (chain: string): StatementOf<'verdict'> => verdict({ kind: 'jump', chain });
/** Runs the chain and does not come back. */
export const goTo = (chain: string): StatementOf<'verdict'> => verdict({ kind: 'goto', chain });
/** `key vmap { ... }` or `key vmap @name`: the verdict that stands at the key. */
export const verdictMap = (key: Expression, map: Expression): StatementOf<'verdictMap'> => ({
  kind: 'verdictMap',
  key,
  map,
});
/** `target set value`. */
export const assign = (target: Expression, value: Expression | number): StatementOf<'set'> => ({
  kind: 'set',
  target,
  value: typeof value === 'number' ? number(value) : value,
});
export const counter: StatementOf<'counter'> = { kind: 'counter' };
export const notrack: StatementOf<'notrack'> = { kind: 'notrack' };
/** What an administratively closed port answers with: ICMP port-unreachable, or what `type` and `answer` name. */
export const reject = (type?: string, answer?: Value): StatementOf<'reject'> => ({
  kind: 'reject',
  ...(type === undefined ? {} : { type }),
  ...(answer === undefined ? {} : { with: answer }),
});

/** Where a translation sends to: an address, a port, or a lookup that gives both. */
interface Translation {
  readonly address?: Expression;
  readonly port?: Expression | number;
  readonly flags?: readonly string[];
}
const port = (of: Expression | number | undefined): { readonly port?: Expression } =>
  of === undefined ? {} : { port: typeof of === 'number' ? number(of) : of };
const translate = (
  kind: 'dnat' | 'snat',
  family: 'ip' | 'ip6',
  to: Expression,
  more: Omit<Translation, 'address'>,
): StatementOf<'dnat' | 'snat'> => ({ kind, family, address: to, ...port(more.port), flags: more.flags ?? [] });
/** `dnat ip to address[:port]`. */
export const dnat = (
  family: 'ip' | 'ip6',
  to: Expression,
  more: Omit<Translation, 'address'> = {},
): StatementOf<'dnat' | 'snat'> => translate('dnat', family, to, more);
/** `snat ip to address[:port]`. */
export const snat = (
  family: 'ip' | 'ip6',
  to: Expression,
  more: Omit<Translation, 'address'> = {},
): StatementOf<'dnat' | 'snat'> => translate('snat', family, to, more);
/** Source NAT to the address of the interface the packet leaves by. */
export const masquerade = (more: Omit<Translation, 'address'> = {}): StatementOf<'masquerade'> => ({
  kind: 'masquerade',
  ...port(more.port),
  flags: more.flags ?? [],
});
/** Destination NAT to this host. */
export const redirect = (more: Omit<Translation, 'address'> = {}): StatementOf<'redirect'> => ({
  kind: 'redirect',
  ...port(more.port),
  flags: more.flags ?? [],
});

/** More packets than that: `limit rate over RATE/second burst BURST packets`. */
export const rateOver = (rate: number, burst: number): StatementOf<'limit'> => ({
  kind: 'limit',
  over: true,
  rate,
  per: 'second',
  burst,
});
/** More connections alive than that: `ct count over COUNT`. */
export const connectionsOver = (count: number): StatementOf<'connectionLimit'> => ({
  kind: 'connectionLimit',
  over: true,
  count,
});
/** `update @set { key statements }`: the packet's own element, made or made young again. */
export const update = (set: string, key: Expression, ...statements: readonly Statement[]): StatementOf<'update'> => ({
  kind: 'update',
  operation: 'update',
  set,
  key,
  statements,
});
/** `update @map { key : data }`: what the packet's own key leads to, and for how long is the map's to say. */
export const updateMap = (map: string, key: Expression, data: Expression): StatementOf<'update'> => ({
  ...update(map, key),
  data,
});
/** `add @set { key statements }`: made where it is not there. */
export const addTo = (set: string, key: Expression, ...statements: readonly Statement[]): StatementOf<'update'> => ({
  kind: 'update',
  operation: 'add',
  set,
  key,
  statements,
});

/** `flow add @flowtable`. */
export const flowAdd = (flowtable: string): StatementOf<'flow'> => ({ kind: 'flow', flowtable });

/** A rule of these statements; a text before them is its comment. */
export function rule(...parts: readonly (string | Statement)[]): Rule {
  const statements = parts.filter((part): part is Statement => typeof part !== 'string');
  const comment = parts.find((part): part is string => typeof part === 'string');
  return comment === undefined ? { statements } : { statements, comment };
}
/** A chain that runs only when another jumps to it. */
export const regularChain = (name: string, ...rules: readonly Rule[]): RegularChain => ({
  kind: 'regular',
  name,
  rules,
});
/** A chain that the kernel calls; its policy is accept unless named. */
export const baseChain = (
  name: string,
  at: Pick<BaseChain, 'type' | 'hook' | 'priority'> & Partial<Pick<BaseChain, 'policy' | 'devices'>>,
  ...rules: readonly Rule[]
): BaseChain => ({ kind: 'base', name, policy: 'accept', ...at, rules });
/** An element of a set; `comment` at most 127 bytes. */
export const setElement = (key: Value, comment?: string): SetElement =>
  comment === undefined ? { key } : { key, comment };
/** An element of a map; `comment` at most 127 bytes. */
export const mapElement = (key: Value, data: Value | Verdict, comment?: string): MapElement =>
  comment === undefined ? { key, data } : { key, data, comment };
