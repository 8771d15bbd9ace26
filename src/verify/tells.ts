/** What tells one client from another on a host: its routes, and every test of an address or a port in the rules of others. */
import { type HostState, isOwnTable } from '../host/index.ts';
import { type Family, type Interval, type Prefix, prefixInterval } from '../net/index.ts';
import {
  type Expression,
  type MapElement,
  printReference,
  type Rule,
  type SetElement,
  type Statement,
  type Table,
  type Value,
} from '../nftables/index.ts';
import type { Route } from '../routing/index.ts';
import type { Block } from './pieces.ts';
import type { Ground } from './promise.ts';

export interface Tells {
  /** Of a client's address, by family. */
  readonly addresses: Readonly<Record<Family, readonly Block[]>>;
  /** Of a public port, or a target's. */
  readonly ports: readonly Block[];
  /** Of the port that a client asks from: as rules ask for it, and as they meet it in answers. */
  readonly sourcePorts: readonly Block[];
  readonly answeredPorts: readonly Block[];
  /** A rule that asks for some bits of an address or a port: those that it tells apart are in no order. */
  readonly unclear?: string;
}

/** What a number is that a rule asks for. */
type Role = 'address' | 'port' | 'sourcePort' | 'answeredPort';

interface Finds {
  readonly addresses: Readonly<Record<Family, Block[]>>;
  readonly ports: Readonly<Record<Exclude<Role, 'address'>, Block[]>>;
  /** Names of elements that are asked for in several places. */
  readonly names: Map<unknown, string>;
  readonly taken: Set<string>;
  unclear: string | undefined;
}

/** Our own table is left out: what it says of clients is `allow`, which is asked at its bounds. */
function tellsOf(state: HostState): Tells {
  const found: Finds = {
    addresses: { 4: [], 6: [] },
    ports: { port: [], sourcePort: [], answeredPort: [] },
    ...{ names: new Map(), taken: new Set(), unclear: undefined },
  };
  for (const table of state.tables) if (!isOwnTable(table)) collectTable(found, table);
  for (const route of state.routes) addPrefix(found, route.destination, routeKind(route));
  for (const [at, { from, to, opaque = {} }] of state.rules.entries()) {
    for (const prefix of [from, to]) if (prefix !== undefined) addPrefix(found, prefix, `routing rule ${at}`);
    addRulePorts(found, opaque, `routing rule ${at}`);
  }
  for (const { link, peers } of state.devices)
    for (const [at, { allowedIps }] of peers.entries())
      for (const prefix of allowedIps) addPrefix(found, prefix, `${link} ${at} /${prefix.length}`);
  const { addresses, ports, unclear } = found;
  return {
    addresses,
    ...{ ports: ports.port, sourcePorts: ports.sourcePort, answeredPorts: ports.answeredPort },
    ...(unclear !== undefined && { unclear }),
  };
}

function addPrefix({ addresses }: Finds, prefix: Prefix, by: string): void {
  if (prefix.length > 0) addresses[prefix.address.family].push({ ...prefixInterval(prefix), by });
}

/** A rule asks with the ports as they are: of an answer they have changed places. */
function addRulePorts({ ports }: Finds, opaque: Readonly<Record<string, unknown>>, by: string): void {
  for (const [name, roles] of [
    ['sport', ['sourcePort', 'port']],
    ['dport', ['port', 'answeredPort']],
  ] as const) {
    const [first, last] = [opaque[name] ?? opaque[`${name}_start`], opaque[name] ?? opaque[`${name}_end`]];
    if (typeof first !== 'number' || typeof last !== 'number') continue;
    for (const role of roles) ports[role].push({ first: BigInt(first), last: BigInt(last), by });
  }
}

/** All of a route but the address: of two that are alike in it either may decide, and the longest of several does. */
const routeKind = ({ destination, ...route }: Route): string => `route /${destination.length} ${textOf(route)}`;

const textOf = (data: unknown): string =>
  JSON.stringify(data, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));

/** The same of several hosts at once. */
export function tellsAt(ground: Ground, names: readonly string[]): Tells {
  const all = names.flatMap((name) => {
    const known = ground.tells.get(name);
    const state = ground.network.hosts.get(name)?.state;
    if (known !== undefined || state === undefined) return known ?? [];
    const found = tellsOf(state);
    ground.tells.set(name, found);
    return [found];
  });
  const named = (list: readonly Block[], host: number): readonly Block[] =>
    list.map((block) => ({ ...block, by: `${host} ${block.by}` }));
  const of = (part: (tells: Tells) => readonly Block[]): readonly Block[] =>
    all.flatMap((tells, host) => named(part(tells), host));
  const unclear = all.find((each) => each.unclear !== undefined)?.unclear;
  return {
    addresses: { 4: of(({ addresses }) => addresses[4]), 6: of(({ addresses }) => addresses[6]) },
    ports: of(({ ports }) => ports),
    sourcePorts: of(({ sourcePorts }) => sourcePorts),
    answeredPorts: of(({ answeredPorts }) => answeredPorts),
    ...(unclear !== undefined && { unclear }),
  };
}

// ---- rules

function collectTable(found: Finds, table: Table): void {
  const seesAnswers = filterChains(table);
  for (const { name, rules } of table.chains)
    for (const rule of rules)
      for (const statement of rule.statements)
        for (const test of testsOf(statement, table))
          collectTest(found, test, { table, chain: name, rule, seesAnswers });
}

/** Chains that run for every packet: those of nat chains alone run for the first of a connection, which is no answer. */
function filterChains({ chains, maps }: Table): ReadonlySet<string> {
  const reached = new Set<string>();
  const rulesOf = new Map(chains.map(({ name, rules }) => [name, rules]));
  const pending = chains.filter((chain) => chain.kind === 'base' && chain.type !== 'nat').map(({ name }) => name);
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (reached.has(name)) continue;
    reached.add(name);
    pending.push(...chainsNamed([rulesOf.get(name), maps.filter(({ data }) => data.includes('verdict'))]));
  }
  return reached;
}

const chainsNamed = (data: unknown): readonly string[] => {
  if (typeof data !== 'object' || data === null) return [];
  if ('chain' in data && typeof data.chain === 'string') return [data.chain];
  return Object.values(data).flatMap(chainsNamed);
};

/** A key that is held against constants. */
interface Test {
  readonly key: Expression;
  readonly op: string;
  /** `tag`: what is said of it besides that it is there. */
  readonly elements: readonly { readonly key: Value; readonly tag: string }[];
  /** Of elements that stand somewhere by themselves: equal for the same. */
  readonly identity: unknown;
}

function testsOf(statement: Statement, table: Table): readonly Test[] {
  switch (statement.kind) {
    case 'match': {
      const { left, op, right } = statement;
      const named = right.kind === 'setReference' ? setOf(table, right.name) : undefined;
      const elements =
        named ?? (right.kind === 'anonymousSet' ? right.elements : isValue(right) ? [{ key: right }] : []);
      return [{ key: left, op, elements: elements.map(({ key }) => ({ key, tag: '' })), identity: named ?? right }];
    }
    case 'verdictMap':
      return [mapTest(statement.key, statement.map, table)];
    case 'set':
      return lookupsIn(statement.value, table);
    case 'dnat':
    case 'snat':
      return [statement.address, statement.port].flatMap((each) => (each === undefined ? [] : lookupsIn(each, table)));
    default:
      return [];
  }
}

const lookupsIn = (expression: Expression, table: Table): readonly Test[] => {
  switch (expression.kind) {
    case 'lookup':
      return [mapTest(expression.key, expression.map, table), ...lookupsIn(expression.key, table)];
    case 'join':
      return expression.parts.flatMap((each) => lookupsIn(each, table));
    case 'binary':
      return [...lookupsIn(expression.left, table), ...lookupsIn(expression.right, table)];
    default:
      return isValue(expression) ? [] : [{ key: expression, op: '==', elements: [], identity: expression }];
  }
};

function mapTest(key: Expression, map: Expression, { maps }: Table): Test {
  const named = map.kind === 'setReference' ? maps.find(({ name }) => name === map.name) : undefined;
  const elements: readonly MapElement[] =
    named?.flags.includes('dynamic') === true
      ? []
      : (named?.elements ?? (map.kind === 'anonymousMap' ? map.elements : []));
  return {
    ...{ key, op: '==', identity: named ?? map },
    elements: elements.map((each) => ({ key: each.key, tag: textOf(each.data) })),
  };
}

/** What is added to while packets pass is not known, and the same for all. */
function setOf({ sets }: Table, name: string): readonly SetElement[] {
  const set = sets.find((each) => each.name === name);
  return set === undefined || set.flags.includes('dynamic') ? [] : set.elements;
}

const VALUES: ReadonlySet<string> = new Set(['number', 'symbol', 'string', 'address', 'prefix', 'range', 'concat']);
const isValue = (expression: Expression): expression is Value => VALUES.has(expression.kind);

interface Place {
  readonly table: Table;
  readonly chain: string;
  readonly rule: Rule;
  readonly seesAnswers: ReadonlySet<string>;
}

function collectTest(found: Finds, test: Test, { table, chain, rule, seesAnswers }: Place): void {
  const { key, op, elements, identity } = test;
  const isFirstOnly = !seesAnswers.has(chain);
  if (asksBits(key, isFirstOnly)) found.unclear ??= printReference({ table, chain, rule });
  const parts = key.kind === 'join' ? key.parts : [key];
  const name = found.names.get(identity) ?? `elements ${found.names.size}`;
  found.names.set(identity, name);
  for (const [index, part] of parts.entries())
    for (const role of rolesOf(part, isFirstOnly)) {
      const by = `${name} ${index} ${op}`;
      if (found.taken.has(`${by} ${role}`)) continue;
      found.taken.add(`${by} ${role}`);
      for (const { value, others } of grouped(elements, index)) addValue(found, role, value, op, `${by} ${others}`);
    }
}

/** Each value of a part once, with a name for what stands beside it: elements that are alike in that are one. */
function grouped(
  elements: Test['elements'],
  index: number,
): readonly { readonly value: Value; readonly others: number }[] {
  const values = new Map<string, { readonly value: Value; readonly others: string[] }>();
  for (const { key, tag } of elements) {
    const value = key.kind === 'concat' ? key.parts[index] : key;
    if (value === undefined) continue;
    const others = key.kind === 'concat' ? key.parts.filter((_, at) => at !== index) : [];
    const text = textOf(value);
    const known = values.get(text) ?? { value, others: [] };
    values.set(text, known);
    known.others.push(others.length === 0 ? tag : `${textOf(others)} ${tag}`);
  }
  const kinds = new Map<string, number>();
  return [...values.values()].map(({ value, others }) => {
    const text = others.sort().join();
    const kind = kinds.get(text) ?? kinds.size;
    kinds.set(text, kind);
    return { value, others: kind };
  });
}

function addValue(found: Finds, role: Role, value: Value, op: string, by: string): void {
  const bounds = boundsOf(value);
  if (bounds === undefined || (role === 'address') !== (bounds.family !== undefined)) return;
  const { first, last, family } = bounds;
  const blocks = role === 'address' ? (family === undefined ? [] : found.addresses[family]) : found.ports[role];
  blocks.push({ first, last, by });
  if (/[<>]/.test(op) && first > 0n) blocks.push({ first: 0n, last: first - 1n, by: `${by} below` });
}

function boundsOf(value: Value): (Interval & { readonly family?: Family }) | undefined {
  switch (value.kind) {
    case 'number':
      return Number.isSafeInteger(value.value) ? { first: BigInt(value.value), last: BigInt(value.value) } : undefined;
    case 'address':
      return { first: value.address.value, last: value.address.value, family: value.address.family };
    case 'prefix':
      return { ...prefixInterval(value.prefix), family: value.prefix.address.family };
    case 'range': {
      const [first, last] = [boundsOf(value.first), boundsOf(value.last)];
      return first === undefined || last === undefined ? undefined : { ...first, last: last.last };
    }
    default:
      return undefined;
  }
}

/** What the numbers of a key are; of the first packet of a connection alone, which is the client's. */
function rolesOf(part: Expression, isFirstOnly: boolean): readonly Role[] {
  const field = part.kind === 'payload' ? part.field : part.kind === 'ct' ? part.key.replace(/^ip6? /, '') : undefined;
  switch (field) {
    case 'saddr':
      return ['address'];
    case 'daddr':
      return isFirstOnly && part.kind === 'payload' ? [] : ['address'];
    case 'sport':
      return isFirstOnly ? ['sourcePort'] : ['sourcePort', 'port'];
    case 'dport':
      return isFirstOnly ? ['port'] : ['port', 'answeredPort'];
    case 'proto-src':
    case 'proto-dst':
      return ['sourcePort', 'port'];
    default:
      return [];
  }
}

/** Whether it computes with an address or a port. */
const asksBits = (expression: Expression, isFirstOnly: boolean, within = false): boolean => {
  switch (expression.kind) {
    case 'binary':
      return asksBits(expression.left, isFirstOnly, true) || asksBits(expression.right, isFirstOnly, true);
    case 'hash':
      return asksBits(expression.of, isFirstOnly, true);
    case 'join':
      return expression.parts.some((each) => asksBits(each, isFirstOnly, within));
    case 'lookup':
      return asksBits(expression.key, isFirstOnly, within);
    default:
      return within && rolesOf(expression, isFirstOnly).some((role) => role !== 'port' && role !== 'answeredPort');
  }
};
