import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as nft from './build.ts';
import { diffTable } from './diff.ts';
import { prepareElements, unmatched } from './element-lines.ts';
import { compareElements } from './elements.ts';
import type { DataType, MapElement, NamedMap, Table, Value } from './ruleset.ts';
import { ip } from './sample-table.ts';

const KEY: DataType = ['ipv4_addr', 'inet_proto', 'inet_service'];
const DATA: DataType = ['ipv4_addr', 'inet_service'];
const TYPES = { key: KEY, data: DATA };

const map = (elements: readonly MapElement[]): NamedMap => ({ name: 'to', type: KEY, data: DATA, flags: [], elements });
const table = (...maps: readonly NamedMap[]): Table => ({
  ...{ family: 'inet', name: 'test', sets: [], maps, chains: [], opaque: [] },
});
const prepare = (elements: readonly MapElement[]): readonly MapElement[] => {
  prepareElements(table(map(elements)));
  return elements;
};

/** Enough of them that they are compared by lines. */
const many = Array.from(
  { length: 600 },
  (_, index): MapElement => ({
    key: nft.concat(
      nft.address(ip('192.0.2.9')),
      nft.symbol(index % 2 === 0 ? 'tcp' : 'udp'),
      nft.number(1_000 + (index >> 1)),
    ),
    data: nft.concat(nft.address(ip('10.0.0.1')), nft.number(20_000 + index)),
  }),
);

/** Few values in all their spellings: so keys meet, within one list too. */
const address = fc.constantFrom<Value>(
  nft.address(ip('192.0.2.9')),
  nft.address(ip('192.0.2.1')),
  nft.prefix({ address: ip('192.0.2.9'), length: 32 }),
  nft.prefix({ address: ip('192.0.2.0'), length: 24 }),
  { kind: 'wildcard' },
  { kind: 'opaque', json: { strange: '\n' } },
);
const protocol = fc.constantFrom<Value>(nft.symbol('tcp'), nft.number(6), nft.symbol('udp'), nft.number(200));
const port = fc.constantFrom<Value>(
  nft.number(1_003),
  nft.range(1_003, 1_003),
  nft.range(80, 90),
  nft.number(7),
  nft.symbol('7'),
  nft.symbol('a\tb'),
  nft.number(2 ** 32 + 7),
);
const element = fc
  .record({
    ...{ address, protocol, port, to: address },
    data: fc.constantFrom<'values' | 'jump' | 'accept'>('values', 'jump', 'accept'),
    comment: fc.constantFrom(undefined, 'one', 'two\n'),
    timeout: fc.constantFrom(undefined, 5, 6, 'odd'),
  })
  .map(({ address, protocol, port, to, data, comment, timeout }): MapElement => {
    const verdict = data === 'jump' ? ({ kind: 'jump', chain: 'there' } as const) : ({ kind: 'accept' } as const);
    return {
      key: nft.concat(address, protocol, port),
      data: data === 'values' ? nft.concat(to, port) : verdict,
      ...(comment !== undefined && { comment }),
      ...(timeout !== undefined && { extra: { timeout } }),
    };
  });
/** A few elements of one's own among the many, of which some are left out or lead elsewhere, in another order. */
const plan = fc.record({
  extras: fc.array(element, { maxLength: 4 }),
  without: fc.array(fc.nat(many.length), { maxLength: 4 }),
  moved: fc.array(fc.nat(many.length - 1), { maxLength: 4 }),
  turn: fc.nat(many.length),
});
function listOf({ extras, without, moved, turn }: typeof plan extends fc.Arbitrary<infer P> ? P : never) {
  const kept = many
    .map((each, place) => (moved.includes(place) ? { ...each, data: nft.concat(nft.number(1), nft.number(2)) } : each))
    .filter((_, place) => !without.includes(place));
  return [...kept.slice(turn), ...extras, ...kept.slice(0, turn)];
}

describe('large lists', () => {
  test('by lines the very same differs as one by one', () => {
    let quick = 0;
    fc.assert(
      fc.property(plan, plan, (before, after) => {
        const [from, to] = [listOf(before), listOf(after)];
        const slow = compareElements([...from], [...to], TYPES);
        const [left, right] = [prepare(from), prepare(to)];
        if (unmatched(left, right) !== undefined) quick += 1;
        const fast = compareElements(left, right, TYPES);
        expect(fast.removed.length).toBe(slow.removed.length);
        for (const [index, each] of slow.removed.entries()) expect(fast.removed[index]).toBe(each);
        expect(fast.set.length).toBe(slow.set.length);
        for (const [index, { before, after }] of slow.set.entries()) {
          expect(fast.set[index]?.before).toBe(before);
          expect(fast.set[index]?.after).toBe(after);
        }
      }),
      { numRuns: 200 },
    );
    expect(quick).toBeGreaterThan(50);
  });

  test('of one that differs nothing else is looked at', () => {
    const other: MapElement = {
      ...(many[300] ?? expect.fail()),
      data: nft.concat(nft.address(ip('10.0.0.9')), nft.number(1)),
    };
    const to = prepare(many.map((each, place) => (place === 300 ? other : each)).reverse());
    expect(unmatched(prepare(many), to)).toEqual({ from: [many[300]], to: [other] });
  });

  const key = nft.concat(nft.address(ip('192.0.2.9')), nft.symbol('tcp'), nft.number(9));
  const data = nft.concat(nft.address(ip('10.0.0.1')), nft.number(9));
  for (const [what, one, other] of [
    ['a comment', { key, data }, { key, data, comment: '' }],
    ['a time limit', { key, data, extra: { timeout: 5 } }, { key, data, extra: { timeout: 6 } }],
    ['a port of the data', { key, data }, { key, data: nft.concat(nft.address(ip('10.0.0.1')), nft.number(8)) }],
    [
      'a prefix in the data',
      { key, data: nft.concat(nft.prefix({ address: ip('10.0.0.0'), length: 8 }), nft.number(9)) },
      { key, data: nft.concat(nft.prefix({ address: ip('10.0.0.0'), length: 9 }), nft.number(9)) },
    ],
    [
      'a range of one port in the data',
      { key, data },
      { key, data: nft.concat(nft.address(ip('10.0.0.1')), nft.range(9, 9)) },
    ],
    ['a verdict', { key, data: { kind: 'accept' } }, { key, data: { kind: 'drop' } }],
    ['a chain', { key, data: { kind: 'jump', chain: 'a' } }, { key, data: { kind: 'jump', chain: 'b' } }],
    ['a number that is a text', { key, data: nft.number(7) }, { key, data: nft.symbol('7') }],
  ] as const satisfies readonly (readonly [string, MapElement, MapElement])[])
    test(`told apart by ${what}`, () => {
      expect(unmatched(prepare([...many, one]), prepare([...many, other]))).toEqual({ from: [one], to: [other] });
    });

  test('equal lists have nothing unmatched, whatever their order and spelling', () => {
    const spelt = many.map(
      ({ key, data }): MapElement => ({
        key:
          key.kind === 'concat' && key.parts[1]?.kind === 'symbol' && key.parts[1].name === 'tcp'
            ? nft.concat(...key.parts.toSpliced(1, 1, nft.number(6)))
            : key,
        data,
      }),
    );
    expect(unmatched(prepare(many), prepare(spelt.reverse()))).toEqual({ from: [], to: [] });
  });

  for (const [what, odd] of [
    ['a key stands twice', { ...many[0] }],
    [
      'an element expires',
      { key: nft.concat(nft.address(ip('1.1.1.1')), nft.number(6), nft.number(1)), extra: { expires: 9 } },
    ],
  ] as const)
    test(`one by one where ${what}`, () => {
      const from = prepare([...many, { ...(many[0] ?? expect.fail()), ...odd }]);
      expect(unmatched(from, prepare([...many]))).toBeUndefined();
      expect(diffTable(table(map(from)), table(map(prepare([...many]))))).toEqual([]);
    });

  test('one by one where most differ', () => {
    const to = many.map(
      ({ key }): MapElement => ({ key, data: nft.concat(nft.address(ip('10.0.0.9')), nft.number(1)) }),
    );
    expect(unmatched(prepare(many), prepare(to))).toBeUndefined();
    expect(compareElements(many, to, TYPES).set).toHaveLength(many.length);
  });
});
