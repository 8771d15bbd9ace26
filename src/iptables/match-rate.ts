/** Matches on chance and on rates. */
import type { Expression } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';
import { all, type Match, type ReadOptions } from './condition.ts';
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

/** By the name after `-m`. */
export const rateMatches: Readonly<Record<string, Match>> = {
  statistic: { values: { '--mode': 1, '--probability': 1, '--every': 1, '--packet': 1 }, read: readStatistic },
  limit: { values: { '--limit': 1, '--limit-burst': 1 }, read: readLimit },
};
