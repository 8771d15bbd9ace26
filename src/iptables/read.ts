import type { Family } from '../net/index.ts';
import type { BaseChain, NamedSet, Rule, Statement, Table } from '../nftables/index.ts';
import { listedRules, withListed } from './beside.ts';
import { placeOf } from './chains.ts';
import { listsWritten, readRule } from './read-rule.ts';
import { type Word, wordsOf } from './words.ts';

/** A line that iptables-restore would not take, or that says what is not known here. Lines count from 1. */
export interface IptablesProblem {
  readonly line: number;
  readonly what: string;
}

/** How a listing is to be read. */
export interface IptablesListing {
  /** iptables-save lists IPv4, ip6tables-save IPv6: the text does not say. */
  readonly family: Family;
  readonly origin: NonNullable<Table['origin']>;
  /** The sets of ipset that rules ask (readIpsets); a rule that asks another is not modelled. */
  readonly sets?: ReadonlyMap<string, NamedSet>;
  /** The same tables as nft lists them: handles come from there, and the rules that nft shows in full. */
  readonly beside?: readonly Table[];
}

export interface IptablesReading {
  readonly tables: readonly Table[];
  /** Tables that iptables-save could not list: "incompatible, use 'nft' tool". */
  readonly incompatible: readonly string[];
  readonly problems: readonly IptablesProblem[];
}

interface OpenChain {
  readonly name: string;
  /** `-` for a chain of the user's. */
  readonly policy: string;
  readonly rules: Rule[];
  /** How many `-A` lines it has. */
  lines: number;
}

/** A rule as it stands; it is read when all chains of its table are known. */
interface RuleText {
  readonly line: number;
  readonly chain: OpenChain;
  /** Which of its chain's lines, from 0. */
  readonly at: number;
  /** Undefined where a quote is not closed. */
  readonly words: readonly Word[] | undefined;
  readonly text: string;
  readonly counts?: { readonly packets: number; readonly bytes: number };
}

interface OpenTable {
  readonly line: number;
  readonly name: string;
  readonly chains: Map<string, OpenChain>;
  readonly rules: RuleText[];
}

/**
 * Reads what iptables-save or ip6tables-save printed, with or without counters, as nft's tables (iptables-save(8),
 * iptables-restore(8)). A match or target that nft's type has no equal of is opaque, in its own words. A line that cannot be read is
 * a problem, and where it is a rule an opaque one stands in its place.
 */
export function readIptablesSave(text: string, listing: IptablesListing): IptablesReading {
  const tables: Table[] = [];
  const incompatible: string[] = [];
  const problems: IptablesProblem[] = [];
  const written = writtenSets(text);
  let open: OpenTable | undefined;
  const close = (): void => {
    if (open !== undefined) tables.push(closeTable(open, listing, written, problems));
    open = undefined;
  };
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    const problem = (what: string): void => void problems.push({ line, what });
    const content = raw.replace(/\r$/, '').trim();
    if (content === '') continue;
    if (content.startsWith('#')) {
      const name = /^# Table `([^']+)' is incompatible/.exec(content)?.[1];
      if (name !== undefined) incompatible.push(name);
    } else if (content.startsWith('*')) {
      if (open !== undefined) problem(`table ${open.name} has no COMMIT before this table begins`);
      close();
      open = { line, name: content.slice(1).trim(), chains: new Map(), rules: [] };
    } else if (open === undefined) problem(`stands outside of a table: "${content}"`);
    else if (content === 'COMMIT') close();
    else if (content.startsWith(':')) openChain(content, open, problem);
    else openRule(content, line, open, problem);
  }
  if (open !== undefined) problems.push({ line: open.line, what: `table ${open.name} has no COMMIT` });
  close();
  return { tables, incompatible, problems: problems.sort((left, right) => left.line - right.line) };
}

const COUNTS = /^\[(\d+):(\d+)\]\s*/;

/** `:FORWARD DROP [3:180]`, `:KUBE-SERVICES - [0:0]`. */
function openChain(content: string, table: OpenTable, problem: (what: string) => void): void {
  const [, name, policy] = /^:\s*(\S+)\s+(-|[A-Z]+)(?:\s+\[\d+:\d+\])?$/.exec(content) ?? [];
  if (name === undefined || policy === undefined) problem(`no chain with a policy: "${content}"`);
  else if (policy !== '-' && policy !== 'ACCEPT' && policy !== 'DROP') problem(`"${policy}" is no policy`);
  else if (table.chains.has(name)) problem(`chain ${name} is declared twice`);
  else table.chains.set(name, { name, policy, rules: [], lines: 0 });
}

/** `[12:3456] -A FORWARD -i eth0 -j ACCEPT`. */
function openRule(content: string, line: number, table: OpenTable, problem: (what: string) => void): void {
  const [counted = '', packets, bytes] = COUNTS.exec(content) ?? [];
  const text = content.slice(counted.length);
  const words = wordsOf(text);
  const [command, name, ...rest] = words ?? wordsOf(text.replaceAll('"', '')) ?? [];
  if (command?.text !== '-A' && command?.text !== '--append') {
    problem(`neither a chain, a rule nor COMMIT: "${content}"`);
    return;
  }
  const chain = table.chains.get(name?.text ?? '');
  if (chain === undefined) {
    problem(`table ${table.name} has no chain ${name?.text ?? ''}`);
    return;
  }
  const counts = packets === undefined ? {} : { counts: { packets: Number(packets), bytes: Number(bytes) } };
  table.rules.push({ line, chain, at: chain.lines++, words: words && rest, text, ...counts });
}

/** Stands where a rule could not be read: whatever it does. */
const unread = (text: string): Rule => ({
  statements: [{ kind: 'opaque', json: { xt: { type: 'target', name: 'unread', words: text } } }],
  text,
});

function closeTable(
  open: OpenTable,
  listing: IptablesListing,
  written: ReadonlySet<string>,
  problems: IptablesProblem[],
): Table {
  const { family, origin } = listing;
  const chains = new Set(open.chains.keys());
  const known = listing.sets ?? new Map<string, NamedSet>();
  const sets = new Map([...known].map(([name, set]) => [name, written.has(name) ? { ...set, ...dynamic } : set]));
  const beside = listing.beside?.find(
    ({ family: of, name }) => name === open.name && of === (family === 4 ? 'ip' : 'ip6'),
  );
  const listed = listedRules(open.chains, beside);
  const remembered = rememberedIn(open.rules);
  for (const { line, chain, at, words, text, counts } of open.rules) {
    const hook = chain.policy === '-' ? {} : { hook: chain.name };
    const read =
      words === undefined ? 'a quote is not closed' : readRule(words, { family, chains, remembered, sets, ...hook });
    if (typeof read === 'string') {
      problems.push({ line, what: read });
      chain.rules.push(unread(text));
      continue;
    }
    const rules = read.map((rule, index) => ({
      ...rule,
      statements: index === 0 && counts !== undefined ? counted(rule.statements, counts) : rule.statements,
      text,
      ...(index > 0 && { continued: true as const }),
    }));
    const names = new Set(words?.map((word) => word.text));
    chain.rules.push(...withListed(rules, listed(chain.name, at), names));
  }
  const all = [...open.chains.values()];
  const placed = all.flatMap((chain) => placeChain(open.name, chain) ?? []);
  const names = new Set(placed.map(({ name }) => name));
  const asked = namesOfSets(placed.flatMap(({ rules }) => rules));
  return {
    family: family === 4 ? 'ip' : 'ip6',
    name: open.name,
    sets: [...sets.values()].filter(({ name }) => asked.has(name)),
    maps: [],
    chains: placed,
    // Built-in chains of a table that is not known: something stands at a hook that nobody can name.
    opaque: all.flatMap(({ name, policy, rules }) =>
      names.has(name) ? [] : [{ chain: { table: open.name, name, policy, rules: rules.map((rule) => rule.text) } }],
    ),
    origin,
  };
}

/** By chain. */
function rememberedIn(rules: readonly RuleText[]): ReadonlyMap<string, ReadonlySet<string>> {
  const remembered = new Map<string, Set<string>>();
  for (const { chain, words } of rules)
    for (const list of words === undefined ? [] : listsWritten(words)) {
      const lists = remembered.get(chain.name);
      if (lists === undefined) remembered.set(chain.name, new Set([list]));
      else lists.add(list);
    }
  return remembered;
}

function placeChain(table: string, { name, policy, rules }: OpenChain): Table['chains'][number] | undefined {
  if (policy === '-') return { kind: 'regular', name, rules };
  const place = placeOf(table, name);
  const base: Pick<BaseChain, 'policy'> = { policy: policy === 'DROP' ? 'drop' : 'accept' };
  return place && { kind: 'base', name, ...place, ...base, rules };
}

const dynamic = { flags: ['dynamic'] } as const;

/** `-j SET` adds to a set, or takes from it, while packets pass: in whatever table it stands. A comment that says so does no harm. */
const writtenSets = (text: string): ReadonlySet<string> =>
  new Set([...text.matchAll(/--(?:add|del|map)-set\s+(\S+)/g)].map(([, name = '']) => name));

function namesOfSets(rules: readonly Rule[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { statements } of rules)
    for (const statement of statements) {
      if (statement.kind === 'match' && statement.right.kind === 'setReference') names.add(statement.right.name);
    }
  return names;
}

/** The rule's counter stands where what it counts has matched: before the first statement that acts. */
function counted(
  statements: readonly Statement[],
  counts: { readonly packets: number; readonly bytes: number },
): readonly Statement[] {
  const isTest = (statement: Statement): boolean =>
    statement.kind === 'match' ||
    (statement.kind === 'opaque' && JSON.stringify(statement.json).startsWith('{"xt":{"type":"match"'));
  const at = statements.findLastIndex(isTest) + 1;
  return [...statements.slice(0, at), { kind: 'counter', ...counts }, ...statements.slice(at)];
}
