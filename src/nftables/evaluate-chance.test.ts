import { describe, expect, test } from 'vitest';
import { parseAddress } from '../net/index.ts';
import {
  accept,
  anonymousMap,
  assign,
  type BaseChain,
  baseChain,
  drop,
  type Expression,
  evaluate,
  mapElement,
  match,
  meta,
  number,
  type PacketContext,
  prepareRuleset,
  type Rule,
  regularChain,
  rule,
  type Table,
  verdictMap,
} from './index.ts';

const source = parseAddress('192.0.2.7') ?? { family: 4, value: 0n };
const packet: PacketContext = {
  ...{ family: 4, source, destination: source, protocol: 6, mark: 0 },
  addressType: () => 'unicast',
};
const forward = (priority: number, ...rules: readonly Rule[]): BaseChain =>
  baseChain('f', { type: 'filter', hook: 'forward', priority }, ...rules);
const table = (chains: Table['chains'], more: Partial<Table> = {}): Table => ({
  ...{ family: 'ip', name: 't', sets: [], maps: [], opaque: [] },
  chains,
  ...more,
});
const run = (tables: readonly Table[], draw?: (count: number) => number): string => {
  const of = draw === undefined ? packet : { ...packet, draw: (_: unknown, count: number) => draw(count) };
  const result = evaluate(prepareRuleset(tables), { hook: 'forward', type: 'filter' }, of);
  return result.verdict === 'accept' ? `accept ${result.changes.mark ?? 0}` : result.verdict;
};

const numgen = (modulus: number, offset?: number): Expression => ({
  ...{ kind: 'numgen', mode: 'random', modulus },
  ...(offset !== undefined && { offset }),
});

describe('what chance decides is what was drawn, and else not known', () => {
  for (const [what, test1, ways] of [
    ['a comparison', match(numgen(10), '<', 3), ['accept 0', 'drop']],
    ['a value', match(numgen(10, 5), '==', 7), ['accept 0', 'drop']],
    ['a symmetric hash', match({ kind: 'symhash', modulus: 2 }, '==', 1), ['accept 0', 'drop']],
  ] as const)
    test(what, () => {
      const tables = [table([forward(0, rule(test1, drop))])];
      expect(run(tables)).toBe('undecided');
      expect([0, 1].map((way) => run(tables, () => way))).toEqual(ways);
    });

  test('a verdict map', () => {
    const to = (chain: string) => ({ kind: 'goto', chain }) as const;
    const vmap = verdictMap(
      numgen(3),
      anonymousMap(...[0, 1, 2].map((index) => mapElement(number(index), to(`c${index}`)))),
    );
    const chains = [0, 1, 2].map((index) => regularChain(`c${index}`, rule(assign(meta('mark'), index + 1))));
    const tables = [table([forward(0, rule(vmap)), ...chains])];
    expect(run(tables)).toBe('undecided');
    const counts: number[] = [];
    const drawn = [0, 1, 2].map((way) =>
      run(tables, (count) => {
        counts.push(count);
        return way;
      }),
    );
    expect(drawn).toEqual(['accept 1', 'accept 2', 'accept 3']);
    expect(counts).toEqual([3, 3, 3]);
  });

  for (const [what, test1, fate] of [
    ['all numbers are below the modulus', match(numgen(10), '<', 10), 'drop'],
    ['none is below zero', match(numgen(10), '<', 0), 'accept 0'],
    ['none is beyond the offset', match(numgen(10, 20), '<=', 19), 'accept 0'],
    ['all are at the offset or above', match(numgen(10, 20), '>=', 20), 'drop'],
    ['all differ from one that is not among them', match(numgen(10), '!=', 10), 'drop'],
  ] as const)
    test(`${what}: nothing is drawn`, () => expect(run([table([forward(0, rule(test1, drop))])])).toBe(fate));
});

describe("iptables' older kind beside nft at one priority", () => {
  const legacy = (priority: number, ...rules: readonly Rule[]): Table =>
    table([forward(priority, ...rules)], { name: 'old', origin: 'iptables-legacy' });
  const nft = (priority: number, ...rules: readonly Rule[]): Table => table([forward(priority, ...rules)]);
  const mark = (value: number): Rule => rule(assign(meta('mark'), value));
  const marked = (value: number): Rule => rule(match(meta('mark'), '==', value), drop);
  for (const [what, tables, fate] of [
    ['either drops', [legacy(0, rule(accept)), nft(0, rule(drop))], 'drop'],
    ['both accept', [legacy(0, rule(accept)), nft(0, rule(accept))], 'accept 0'],
    ['one marks, the other does not ask', [legacy(0, mark(1)), nft(0)], 'accept 1'],
    ['one marks, the other drops by it', [legacy(0, mark(1)), nft(0, marked(1))], 'undecided'],
    ['the same the other way round', [nft(0, mark(1)), legacy(0, marked(1))], 'undecided'],
    ['both mark', [legacy(0, mark(1)), nft(0, mark(2))], 'undecided'],
    ['at different priorities the earlier one is known', [nft(0, marked(1)), legacy(-1, mark(1))], 'drop'],
    ['and so is the later one', [legacy(1, marked(1)), nft(0, mark(1))], 'drop'],
  ] as const)
    test(what, () => {
      expect(run(tables)).toBe(fate);
      expect(run(tables.toReversed())).toBe(fate);
    });
});
