/** Matches on the tracked connection and on marks. */

import type { Expression, Statement } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';
import {
  all,
  both,
  type Condition,
  eachOption,
  equality,
  type Match,
  never,
  type ReadOption,
  type ReadOptions,
} from './condition.ts';
import type { Option } from './rule-line.ts';
import { readMasked, readMaskedAddress, readRange } from './value.ts';

const tracked = ['NEW', 'ESTABLISHED', 'RELATED'] as const;
/** Without a connection these two are all that can hold (conntrack_mt of xt_conntrack.c). */
const untracked = ['INVALID', 'UNTRACKED'] as const;
const translated = ['SNAT', 'DNAT'] as const;

const stateIs = (names: readonly string[]): readonly Statement[] | undefined => {
  const [first, ...others] = names.map((name) => name.toLowerCase());
  return first === undefined ? undefined : [nft.match(nft.ct('state'), 'in', nft.flags(first, ...others))];
};
const statusIs = (names: readonly string[]): Expression | undefined => {
  const [first, ...others] = names.map((name) => name.toLowerCase());
  return first === undefined ? undefined : nft.flags(first, ...others);
};

/** The names of a list, or undefined if one of them is unknown. */
function namesIn(option: Option, known: readonly string[]): readonly string[] | undefined {
  const names = (option.values[0] ?? '').toUpperCase().split(',');
  return names.every((name) => known.includes(name)) ? names : undefined;
}

const allStates = [...tracked, ...untracked, ...translated];

/**
 * `ctstate` asks for any of states and translations at once, and what else is asked holds by itself where there is no connection:
 * so the ways without a connection and those with one are told apart.
 */
const readConntrack: ReadOptions = (options, context) => {
  const states = options.filter(({ name }) => name === '--ctstate' || name === '--state');
  const others = options.filter((option) => !states.includes(option));
  const [state, second] = states;
  const rest = connectionOptions(others, context);
  if (rest === undefined || second !== undefined) return undefined;
  if (state === undefined) return rest;
  const names = namesIn(state, allStates);
  if (names === undefined) return undefined;
  const wanted = (name: string): boolean => names.includes(name) !== state.negated;
  const translations = translated.filter((name) => names.includes(name));
  const isPlain = translations.length === 0;
  if (isPlain && others.length === 0) {
    const held = stateIs([...tracked, ...untracked].filter(wanted));
    return held === undefined ? never : all(...held);
  }
  const without = stateIs(untracked.filter(wanted));
  return [...(without === undefined ? [] : [without]), ...both(connected(), rest)];

  function connected(): Condition {
    const held = stateIs(tracked.filter(wanted));
    const status = statusIs(translations);
    if (status === undefined) return held === undefined ? never : all(...held);
    const isNot = nft.match(nft.and(nft.ct('status'), status), '==', 0);
    if (state?.negated) return held === undefined ? never : all(...held, isNot);
    const unheld = stateIs(tracked.filter((name) => !wanted(name)));
    const translatedAlone = [...(unheld ?? []), nft.match(nft.ct('status'), 'in', status)];
    return [...(held === undefined ? [] : [held]), ...(unheld === undefined ? [] : [translatedAlone])];
  }
};

const protocolIs: ReadOption = (option) => {
  const protocol = nft.normalProtocol(numberOr(option.values[0] ?? ''));
  const value = typeof protocol === 'number' ? nft.number(protocol) : nft.symbol(protocol);
  return all(nft.match(nft.ct('protocol', 'original'), equality(option), value));
};
const numberOr = (text: string): string | number => (/^[0-9]{1,3}$/.test(text) ? Number(text) : text.toLowerCase());

const tupleAddressIs =
  (direction: 'original' | 'reply', field: 'saddr' | 'daddr'): ReadOption =>
  (option, { family }) => {
    const wanted = readMaskedAddress(option.values[0] ?? '', family);
    if (wanted?.length === undefined) return undefined;
    const { address, length } = wanted;
    const of = nft.ct(`${family === 4 ? 'ip' : 'ip6'} ${field}`, direction);
    return all(nft.match(of, equality(option), nft.prefix({ address, length })));
  };

const tuplePortIs =
  (direction: 'original' | 'reply', field: 'proto-src' | 'proto-dst'): ReadOption =>
  (option) => {
    const wanted = readRange(option.values[0], 0xffff);
    return wanted && all(nft.match(nft.ct(field, direction), equality(option), wanted));
  };

const statuses = ['EXPECTED', 'SEEN_REPLY', 'ASSURED', 'CONFIRMED'];
const statusOption: ReadOption = (option) => {
  const names = namesIn(option, statuses);
  const wanted = statusIs((names ?? []).map((name) => name.replace('_', '-')));
  if (wanted === undefined) return undefined;
  if (!option.negated) return all(nft.match(nft.ct('status'), 'in', wanted));
  return all(nft.match(nft.and(nft.ct('status'), wanted), '==', 0));
};

const directionIs: ReadOption = (option) => {
  const way = option.values[0]?.toLowerCase();
  if (way !== 'original' && way !== 'reply') return undefined;
  return all(nft.match(nft.ct('direction'), equality(option), nft.symbol(way)));
};

const connectionOptions = eachOption({
  '--ctproto': protocolIs,
  '--ctorigsrc': tupleAddressIs('original', 'saddr'),
  '--ctorigdst': tupleAddressIs('original', 'daddr'),
  '--ctreplsrc': tupleAddressIs('reply', 'saddr'),
  '--ctrepldst': tupleAddressIs('reply', 'daddr'),
  '--ctorigsrcport': tuplePortIs('original', 'proto-src'),
  '--ctorigdstport': tuplePortIs('original', 'proto-dst'),
  '--ctreplsrcport': tuplePortIs('reply', 'proto-src'),
  '--ctrepldstport': tuplePortIs('reply', 'proto-dst'),
  '--ctstatus': statusOption,
  '--ctdir': directionIs,
});

/** `(mark & MASK) == VALUE`. A value beyond the mask never holds. */
const markIs =
  (of: Expression): ReadOption =>
  (option) => {
    const wanted = readMasked(option.values[0]);
    if (wanted === undefined) return undefined;
    const { value, mask } = wanted;
    return all(nft.match(mask === 0xffffffff ? of : nft.and(of, mask), equality(option), value));
  };

const helperIs: ReadOption = (option) => {
  const [name = ''] = option.values;
  // An empty name asks for any helper at all.
  if (name === '') return undefined;
  if (!option.negated) return all(nft.match(nft.ct('helper'), '==', nft.text(name)));
  return all({
    kind: 'opaque',
    json: { xt: { type: 'match', name: 'helper', words: `! --helper ${name}`, negated: true } },
  });
};

/** One of 128, by its number; a name is of a file on the host. nft cannot give a label and ask whether there is a connection at once. */
const readLabel: ReadOptions = (options) => {
  const asked = options.find(({ name }) => name === '--label');
  const label = /^\d{1,3}$/.test(asked?.values[0] ?? '') ? Number(asked?.values[0]) : 128;
  if (asked === undefined || label > 127) return undefined;
  const sets = options.some(({ name }) => name === '--set');
  const words = `${asked.negated ? '! ' : ''}--label ${label}${sets ? ' --set' : ''}`;
  return all({
    kind: 'opaque',
    json: { xt: { type: 'match', name: 'connlabel', words, label, sets, negated: asked.negated } },
  });
};

/** By the name after `-m`. */
export const connectionMatches: Readonly<Record<string, Match>> = {
  conntrack: {
    values: {
      ...{ '--ctstate': 1, '--ctproto': 1, '--ctorigsrc': 1, '--ctorigdst': 1, '--ctreplsrc': 1, '--ctrepldst': 1 },
      ...{ '--ctorigsrcport': 1, '--ctorigdstport': 1, '--ctreplsrcport': 1, '--ctrepldstport': 1 },
      ...{ '--ctstatus': 1, '--ctexpire': 1, '--ctdir': 1 },
    },
    read: readConntrack,
  },
  state: { values: { '--state': 1 }, read: readConntrack },
  mark: { values: { '--mark': 1 }, read: eachOption({ '--mark': markIs(nft.meta('mark')) }) },
  connmark: { values: { '--mark': 1 }, read: eachOption({ '--mark': markIs(nft.ct('mark')) }) },
  connlabel: { values: { '--label': 1, '--set': 0 }, read: readLabel },
  helper: { values: { '--helper': 1 }, read: eachOption({ '--helper': helperIs }) },
};
