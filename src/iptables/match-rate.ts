/** Matches on chance and on rates. */
import type { Expression } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';
import { all, always, type Match, type ReadOptions } from './condition.ts';
import type { Option } from './rule-line.ts';
import { readNumber } from './value.ts';

const wordOf = (options: readonly Option[], name: string): string | undefined =>
  options.find((option) => option.name === name)?.values[0];

/** The kernel compares 31 random bits with the probability, rounded (xt_statistic.c, libxt_statistic.c). */
const RANDOM = 2 ** 31;
const readStatistic: ReadOptions = (options) => {
  const isNot = options.some(({ name, negated }) => negated && (name === '--probability' || name === '--every'));
  const draw = (mode: 'random' | 'inc', modulus: number): Expression => ({ kind: 'numgen', mode, modulus });
  if (wordOf(options, '--mode') === 'random') {
    const text = wordOf(options, '--probability') ?? '';
    const probability = /^[01](?:\.\d+)?$/.test(text) ? Number(text) : 2;
    if (probability > 1) return undefined;
    return all(nft.match(draw('random', RANDOM), isNot ? '>=' : '<', Math.round(probability * RANDOM)));
  }
  const every = readNumber(wordOf(options, '--every'));
  const packet = readNumber(wordOf(options, '--packet') ?? '0');
  if (every === undefined || every === 0 || packet === undefined || packet >= every) return undefined;
  return all(nft.match(draw('inc', every), isNot ? '!=' : '==', packet));
};

/** `3/min`, `10/sec`: with iptables' own burst of 5 where none is named, as nft's. */
const readLimit: ReadOptions = (options) => {
  const [, rateText, unit = ''] = /^(\d+)(?:\/([a-z]+))?$/.exec(wordOf(options, '--limit') ?? '3/hour') ?? [];
  const per = (['second', 'minute', 'hour', 'day'] as const).find((each) => each.startsWith(unit === '' ? 's' : unit));
  const rate = readNumber(rateText);
  const burstText = wordOf(options, '--limit-burst');
  const burst = burstText === undefined ? 5 : readNumber(burstText);
  if (per === undefined || rate === undefined || rate === 0 || burst === undefined) return undefined;
  return options.some(({ negated }) => negated) ? undefined : all({ kind: 'limit', over: false, rate, per, burst });
};

/**
 * `5/sec`, `1mb/s` for each source, port or both: kept as a limit of all, since what is asked of it is whether a packet before which
 * nothing came meets it.
 */
const readHashLimit: ReadOptions = (options) => {
  const [limit, ...others] = options.filter(({ name }) => /^--hashlimit(?:-upto|-above)?$/.test(name));
  const [, rate] = /^(\d+)[kmg]?b?(?:\/[a-z]+)?$/.exec(limit?.values[0] ?? '') ?? [];
  const number = readNumber(rate);
  if (limit === undefined || others.length > 0 || number === undefined || number === 0) return undefined;
  const over = (limit.name === '--hashlimit-above') !== limit.negated;
  return all({ kind: 'limit', over, rate: number, per: 'second' });
};

/** Of one address or block, the packet's own connection counted in. */
const readConnectionLimit: ReadOptions = (options) => {
  const [limit, ...others] = options.filter(({ name }) => /^--connlimit-(?:upto|above)$/.test(name));
  const count = readNumber(limit?.values[0]);
  if (limit === undefined || others.length > 0 || count === undefined) return undefined;
  return all({ kind: 'connectionLimit', over: (limit.name === '--connlimit-above') !== limit.negated, count });
};

/**
 * `--set` always holds. Several hits in a time are a rate; whether an address is in a list at all, the list alone knows: where that decides on
 * the target of a client that a balancer remembers, either is a way.
 */
const readRecent: ReadOptions = (options, { remembers }) => {
  if (options.some(({ negated }) => negated)) return undefined;
  if (options.some(({ name }) => name === '--set')) return always;
  const hits = readNumber(wordOf(options, '--hitcount'));
  if (options.some(({ name }) => name === '--remove')) return undefined;
  if ((hits ?? 1) < 2) return remembers?.(recentList(options)) === true ? all(nft.SEEN_BEFORE) : undefined;
  if (hits === undefined) return undefined;
  return all({ kind: 'limit', over: true, rate: hits, per: 'minute' });
};

/** xt_recent.c: unless named. */
const recentList = (options: readonly Option[]): string => wordOf(options, '--name') ?? 'DEFAULT';

/** The list into which `-m recent --set` writes; undefined where it does not. */
export const recentWritten = (options: readonly Option[]): string | undefined =>
  options.some(({ name, negated }) => name === '--set' && !negated) ? recentList(options) : undefined;

const hashLimitValues = {
  ...{ '--hashlimit': 1, '--hashlimit-upto': 1, '--hashlimit-above': 1, '--hashlimit-burst': 1, '--hashlimit-mode': 1 },
  ...{ '--hashlimit-name': 1, '--hashlimit-srcmask': 1, '--hashlimit-dstmask': 1, '--hashlimit-htable-size': 1 },
  ...{ '--hashlimit-htable-max': 1, '--hashlimit-htable-expire': 1, '--hashlimit-htable-gcinterval': 1 },
  ...{ '--hashlimit-rate-match': 0, '--hashlimit-rate-interval': 1 },
};
const recentValues = {
  ...{ '--set': 0, '--rcheck': 0, '--update': 0, '--remove': 0, '--seconds': 1, '--reap': 0, '--hitcount': 1 },
  ...{ '--rttl': 0, '--name': 1, '--rsource': 0, '--rdest': 0, '--mask': 1 },
};

/** By the name after `-m`. */
export const rateMatches: Readonly<Record<string, Match>> = {
  hashlimit: { values: hashLimitValues, read: readHashLimit },
  connlimit: {
    values: {
      ...{ '--connlimit-upto': 1, '--connlimit-above': 1, '--connlimit-mask': 1 },
      ...{ '--connlimit-saddr': 0, '--connlimit-daddr': 0 },
    },
    read: readConnectionLimit,
  },
  recent: { values: recentValues, read: readRecent },
  statistic: { values: { '--mode': 1, '--probability': 1, '--every': 1, '--packet': 1 }, read: readStatistic },
  limit: { values: { '--limit': 1, '--limit-burst': 1 }, read: readLimit },
};
