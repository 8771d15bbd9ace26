/** One rule of iptables-save as rules of nft's type. */
import type { Family } from '../net/index.ts';
import type { Rule, Statement } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';
import { all, always, both, type Condition, equality, type Match, type RuleContext } from './condition.ts';
import { connectionMatches } from './match-connection.ts';
import { packetMatches } from './match-packet.ts';
import { rateMatches, recentWritten } from './match-rate.ts';
import { transportMatches } from './match-transport.ts';
import { type Arity, type Option, type Part, type RuleLine, sortWords } from './rule-line.ts';
import { opaquePart, targets } from './target.ts';
import { addressField, readMaskedAddress } from './value.ts';
import type { Word } from './words.ts';

const matches: Readonly<Record<string, Match>> = {
  ...transportMatches,
  ...connectionMatches,
  ...packetMatches,
  ...rateMatches,
};

const arityOf: Arity = ({ kind, name }, option) => (kind === 'match' ? matches[name] : targets[name])?.values[option];

/** What the whole table tells of a rule. */
export interface RulePlace extends Omit<RuleContext, 'protocol' | 'remembers'> {
  readonly chains: ReadonlySet<string>;
  /** The lists of `recent` that the rules of each chain write to. */
  readonly remembered: ReadonlyMap<string, ReadonlySet<string>>;
}

/** The lists of `recent` that a rule writes to. */
export function listsWritten(words: readonly Word[]): readonly string[] {
  if (!words.some(({ text }) => text === 'recent')) return [];
  const line = sortWords(words, arityOf);
  if (typeof line === 'string') return [];
  return line.matches.flatMap(({ name, options }) => (name === 'recent' ? (recentWritten(options) ?? []) : []));
}

/**
 * The rules that together do what the words after `-A CHAIN` say: one, or two where it takes two to say "this or that" (condition.ts);
 * none of a rule that never holds. A text says what cannot be read.
 */
export function readRule(words: readonly Word[], place: RulePlace): readonly Omit<Rule, 'text'>[] | string {
  const line = sortWords(words, arityOf);
  if (typeof line === 'string') return line;
  const basics = readBasics(line.basics, place);
  if (typeof basics === 'string') return basics;
  const { condition, protocol } = basics;
  const written = place.remembered.get(line.target?.name ?? '');
  const context: RuleContext = {
    ...place,
    ...(protocol !== undefined && { protocol }),
    ...(written !== undefined && { remembers: (list: string) => written.has(list) }),
  };
  const held = line.matches.reduce((before, part) => both(before, readMatch(part, context)), condition);
  const action = readAction(line, place, context);
  const comments = line.matches.filter(({ name }) => name === 'comment').flatMap(({ options }) => options);
  const comment = comments.map(({ values }) => values.join(' ')).join(' ');
  return held.map((statements) => ({
    statements: [...statements, ...action],
    ...(comment !== '' && { comment }),
  }));
}

const readMatch = (part: Part, context: RuleContext): Condition =>
  matches[part.name]?.read(part.options, context) ?? all(opaquePart('match', part));

function readAction({ target }: RuleLine, place: RulePlace, context: RuleContext): readonly Statement[] {
  if (target === undefined) return [];
  if (place.chains.has(target.name)) return [target.goes === 'goto' ? nft.goTo(target.name) : nft.jump(target.name)];
  return targets[target.name]?.read(target.options, context) ?? [opaquePart('target', target)];
}

/** As iptables-save orders them: all of them hold together. */
const basicOrder = ['--source', '--destination', '--in-interface', '--out-interface', '--protocol', '--fragment'];

function readBasics(
  options: readonly Option[],
  { family }: RulePlace,
): { readonly condition: Condition; readonly protocol?: string } | string {
  let condition = always;
  let protocol: string | undefined;
  const ordered = options.toSorted((left, right) => basicOrder.indexOf(left.name) - basicOrder.indexOf(right.name));
  for (const option of ordered) {
    const read = readBasic(option, family);
    if (typeof read === 'string') return read;
    if (option.name === '--protocol' && !option.negated) protocol = option.values[0]?.toLowerCase();
    condition = both(condition, read);
  }
  return { condition, ...(protocol !== undefined && { protocol }) };
}

function readBasic(option: Option, family: Family): Condition | string {
  const [value = ''] = option.values;
  switch (option.name) {
    case '--source':
    case '--destination':
      return readAddresses(option, family);
    case '--in-interface':
    case '--out-interface': {
      const of = nft.meta(option.name === '--in-interface' ? 'iifname' : 'oifname');
      // A last `+` stands for any ending; alone, for any link and for none.
      const name = value.endsWith('+') ? `${value.slice(0, -1)}*` : value;
      if (name === '*') return option.negated ? [] : always;
      return name === '' ? `"${option.name}" lacks its link` : all(nft.match(of, equality(option), nft.text(name)));
    }
    case '--protocol': {
      const named = value.toLowerCase();
      if (named === 'all' || named === '0') return option.negated ? [] : always;
      const protocol = nft.normalProtocol(/^[0-9]{1,3}$/.test(named) ? Number(named) : named);
      const wanted = typeof protocol === 'number' ? nft.number(protocol) : nft.symbol(protocol);
      return all(nft.match(nft.meta('l4proto'), equality(option), wanted));
    }
    default: {
      // All fragments but the first.
      const offset = nft.and(nft.payload('ip', 'frag-off'), 0x1fff);
      return all(nft.match(offset, option.negated ? '==' : '!=', 0));
    }
  }
}

/** Of several addresses iptables makes a rule each, one after the other; with a `!` it refuses them. */
function readAddresses(option: Option, family: Family): Condition | string {
  const field = addressField(family, option.name === '--source' ? 'saddr' : 'daddr');
  const ways: Statement[][] = [];
  for (const text of (option.values[0] ?? '').split(',')) {
    const masked = readMaskedAddress(text, family);
    if (masked === undefined) return `"${text}" is no IPv${family} address or block`;
    const { address, mask, length } = masked;
    if (length === 0) {
      if (!option.negated) ways.push([]);
      continue;
    }
    const wanted = length === undefined ? nft.address(address) : nft.prefix({ address, length });
    ways.push([nft.match(length === undefined ? nft.and(field, nft.address(mask)) : field, equality(option), wanted)]);
  }
  return ways;
}
