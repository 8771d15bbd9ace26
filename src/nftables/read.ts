import { isNestedTooDeep } from '../net/index.ts';
import { noteElements } from './elements-by-port.ts';
import { arrayOf, hasOnly, isObject, type JsonObject, onlyField, textsOf } from './json.ts';
import { readStatement } from './read-statement.ts';
import { readMapElement, readSetElement } from './read-value.ts';
import type {
  BaseChain,
  Chain,
  Flowtable,
  Hook,
  NamedMap,
  NamedSet,
  Rule,
  SetFlag,
  Table,
  TableFamily,
} from './ruleset.ts';

/** What nft printed is no ruleset of its JSON schema 1. `path` tells where, as in `nftables[12].rule.chain`. */
export class RulesetReadError extends Error {
  readonly path: string;
  constructor(path: string, what: string, options?: ErrorOptions) {
    super(`nft -j: ${path === '' ? '' : `${path}: `}${what}`, options);
    this.name = 'RulesetReadError';
    this.path = path;
  }
}

/** A table while its parts are gathered. */
interface OpenTable {
  readonly family: TableFamily;
  readonly name: string;
  readonly sets: NamedSet[];
  readonly maps: NamedMap[];
  readonly flowtables: Flowtable[];
  readonly chains: Map<string, { readonly chain: Chain; readonly rules: Rule[] }>;
  /** Chains that are not modelled: their rules are kept beside them. */
  readonly unmodelledChains: Set<string>;
  /** Sets that rules add to. nft 1.0.6 leaves the flag `dynamic` out of its JSON. */
  readonly dynamic: Set<string>;
  readonly opaque: unknown[];
}

/**
 * Reads what `nft -j list ruleset` or `nft -j list table` printed, rules in their order.
 * What is not modelled is opaque; a text that is no such listing throws RulesetReadError, which says what and where.
 */
export function readRuleset(jsonText: string): readonly Table[] {
  const tables = new Map<string, OpenTable>();
  const rules: { readonly json: JsonObject; readonly path: string }[] = [];
  for (const [index, entry] of entriesOf(jsonText).entries()) {
    const [type, content] = onlyField(entry) ?? [];
    const path = `nftables[${index}]`;
    if (type === undefined || !isObject(content)) throw new RulesetReadError(path, 'not an object with one field');
    if (type === 'metainfo') checkVersion(content, path);
    else if (type === 'table') openTable(content, tables, path);
    else if (type === 'rule') rules.push({ json: content, path: `${path}.rule` });
    else readObject(type, content, tableOf(content, tables, `${path}.${type}`), `${path}.${type}`);
  }
  for (const { json, path } of rules) readRule(json, tableOf(json, tables, path), path);
  return [...tables.values()].map(closeTable);
}

function entriesOf(jsonText: string): readonly unknown[] {
  if (isNestedTooDeep(jsonText)) throw new RulesetReadError('', 'nested too deep');
  let parsed: unknown;
  try {
    parsed = JSON.parse(jsonText);
  } catch (cause) {
    throw new RulesetReadError('', `not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const entries = isObject(parsed) ? arrayOf(parsed.nftables) : undefined;
  if (entries === undefined) throw new RulesetReadError('nftables', 'missing, or no array');
  return entries;
}

function checkVersion({ json_schema_version: version }: JsonObject, path: string): void {
  if (version !== 1)
    throw new RulesetReadError(`${path}.metainfo.json_schema_version`, `${JSON.stringify(version)} is not 1`);
}

const families: Readonly<Record<TableFamily, true>> = {
  ip: true,
  ip6: true,
  inet: true,
  arp: true,
  bridge: true,
  netdev: true,
};
const isFamily = (family: string): family is TableFamily => Object.hasOwn(families, family);

function textAt(json: JsonObject, field: string, path: string): string {
  const text = json[field];
  if (typeof text !== 'string') throw new RulesetReadError(`${path}.${field}`, `${JSON.stringify(text)} is no text`);
  return text;
}

function openTable(json: JsonObject, tables: Map<string, OpenTable>, path: string): void {
  const family = textAt(json, 'family', `${path}.table`);
  const name = textAt(json, 'name', `${path}.table`);
  if (!isFamily(family)) throw new RulesetReadError(`${path}.table.family`, `${family} is no family of tables`);
  // Flags change what a table does (dormant: nothing), and nft 1.0.6 garbles them in its JSON.
  const opaque = json.flags === undefined ? [] : [{ table: json }];
  tables.set(`${family} ${name}`, {
    family,
    name,
    sets: [],
    maps: [],
    flowtables: [],
    chains: new Map(),
    unmodelledChains: new Set(),
    dynamic: new Set(),
    opaque,
  });
}

function tableOf(json: JsonObject, tables: ReadonlyMap<string, OpenTable>, path: string): OpenTable {
  const key = `${textAt(json, 'family', path)} ${textAt(json, 'table', path)}`;
  const table = tables.get(key);
  if (table === undefined) throw new RulesetReadError(path, `its table ${key} is not listed before it`);
  return table;
}

function readObject(type: string, json: JsonObject, table: OpenTable, path: string): void {
  if (type === 'chain') {
    const chain = readChain(json, path);
    if (chain !== undefined) {
      const rules: Rule[] = [];
      table.chains.set(chain.name, { chain: { ...chain, rules }, rules });
      return;
    }
    table.unmodelledChains.add(textAt(json, 'name', path));
  } else if (type === 'set') {
    const set = readSet(json, path);
    if (set !== undefined) {
      table.sets.push(set);
      return;
    }
  } else if (type === 'map') {
    const map = readMap(json, path);
    if (map !== undefined) {
      table.maps.push(map);
      return;
    }
  } else if (type === 'flowtable') {
    const flowtable = readFlowtable(json, path);
    if (flowtable !== undefined) {
      table.flowtables.push(flowtable);
      return;
    }
  }
  table.opaque.push({ [type]: json });
}

const hooks: Readonly<Record<Hook, true>> = {
  prerouting: true,
  input: true,
  forward: true,
  output: true,
  postrouting: true,
  ingress: true,
  egress: true,
};
const isHook = (hook: unknown): hook is Hook => typeof hook === 'string' && Object.hasOwn(hooks, hook);
const isChainType = (type: unknown): type is BaseChain['type'] =>
  type === 'filter' || type === 'nat' || type === 'route';

/** Undefined for a base chain of a type, hook or policy that is not modelled. */
function readChain(json: JsonObject, path: string): Chain | undefined {
  const name = textAt(json, 'name', path);
  const { type, hook, prio, policy } = json;
  if (type === undefined && hook === undefined) return { kind: 'regular', name, rules: [] };
  const devices = json.dev === undefined ? [] : textsOf(json.dev);
  if (!isChainType(type) || !isHook(hook) || typeof prio !== 'number' || devices === undefined) return undefined;
  if (policy !== 'accept' && policy !== 'drop') return undefined;
  const base: BaseChain = { kind: 'base', name, type, hook, priority: prio, policy, rules: [] };
  return devices.length === 0 ? base : { ...base, devices };
}

/** One device stands without its array, none is left out. Undefined where it says more than nft up to 1.1 tells. */
function readFlowtable(json: JsonObject, path: string): Flowtable | undefined {
  const name = textAt(json, 'name', path);
  const devices = json.dev === undefined ? [] : textsOf(json.dev);
  if (!hasOnly(json, 'family', 'table', 'name', 'handle', 'hook', 'prio', 'dev')) return undefined;
  if (json.hook !== 'ingress' || typeof json.prio !== 'number' || devices === undefined) return undefined;
  return { name, priority: json.prio, devices, properties: [] };
}

function readSet(json: JsonObject, path: string): NamedSet | undefined {
  const head = readSetHead(json, path);
  if (head === undefined) return undefined;
  const elements = elementsAt(json, path).map((element) => readSetElement(element, head.type));
  return { ...head, elements };
}

function readMap(json: JsonObject, path: string): NamedMap | undefined {
  const { map, ...rest } = json;
  const data = typeof map === 'string' ? map.split(' . ') : textsOf(map);
  const head = readSetHead(rest, path);
  if (head === undefined || data === undefined) return undefined;
  const elements = elementsAt(json, path).map((element, index) => {
    const read = readMapElement(element, head.type, data);
    if (read === undefined) throw new RulesetReadError(`${path}.elem[${index}]`, 'not a pair of key and data');
    return read;
  });
  noteElements(elements, head.type);
  return { ...head, data, elements };
}

function elementsAt(json: JsonObject, path: string): readonly unknown[] {
  const elements = json.elem === undefined ? [] : arrayOf(json.elem);
  if (elements === undefined) throw new RulesetReadError(`${path}.elem`, 'no array');
  return elements;
}

const isSetFlag = (flag: string): flag is SetFlag =>
  flag === 'constant' || flag === 'interval' || flag === 'timeout' || flag === 'dynamic';

/** What sets and maps share; undefined for a type or flag that is not modelled. */
function readSetHead(json: JsonObject, path: string): Omit<NamedSet, 'elements'> | undefined {
  const { family, table, handle, elem, name: _, type: typeJson, flags: flagsJson = [], comment, ...extra } = json;
  const name = textAt(json, 'name', path);
  const type = textsOf(typeJson);
  const texts = textsOf(flagsJson);
  const flags = texts?.filter(isSetFlag);
  if (type === undefined || flags === undefined || flags.length !== texts?.length) return undefined;
  return {
    name,
    type,
    flags,
    ...(typeof comment === 'string' ? { comment } : {}),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function readRule(json: JsonObject, table: OpenTable, path: string): void {
  const name = textAt(json, 'chain', path);
  const expressions = json.expr === undefined ? [] : arrayOf(json.expr);
  if (expressions === undefined) throw new RulesetReadError(`${path}.expr`, 'no array');
  for (const expression of expressions) noteDynamic(expression, table);
  const open = table.chains.get(name);
  if (open === undefined && table.unmodelledChains.has(name)) {
    table.opaque.push({ rule: json });
    return;
  }
  if (open === undefined) throw new RulesetReadError(`${path}.chain`, `chain ${name} is not listed before it`);
  const { handle, comment } = json;
  open.rules.push({
    statements: expressions.map(readStatement),
    ...(typeof comment === 'string' ? { comment } : {}),
    ...(typeof handle === 'number' ? { handle } : {}),
  });
}

/** `add @name { ... }` in a rule; of a map nft 1.0 has no JSON and prints its text. */
function noteDynamic(json: unknown, table: OpenTable): void {
  const written = typeof json === 'string' ? /^(?:add|update|delete) @(\S+)/.exec(json)?.[1] : undefined;
  if (written !== undefined) table.dynamic.add(written);
  const [statement, content] = onlyField(json) ?? [];
  if ((statement !== 'set' && statement !== 'map') || !isObject(content)) return;
  const name = content[statement];
  if (typeof name === 'string' && name.startsWith('@')) table.dynamic.add(name.slice(1));
}

function closeTable({ family, name, sets, maps, flowtables, chains, dynamic, opaque }: OpenTable): Table {
  const withDynamic = <Set extends NamedSet | NamedMap>(set: Set): Set =>
    dynamic.has(set.name) && !set.flags.includes('dynamic') ? { ...set, flags: [...set.flags, 'dynamic'] } : set;
  return {
    family,
    name,
    sets: sets.map(withDynamic),
    maps: maps.map(withDynamic),
    chains: [...chains.values()].map(({ chain }) => chain),
    ...(flowtables.length > 0 && { flowtables }),
    opaque,
  };
}
