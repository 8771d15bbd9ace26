import { describe, expect, test } from 'vitest';
import {
  address,
  baseChain,
  flowAdd,
  match,
  meta,
  type NamedSet,
  payload,
  printTransaction,
  regularChain,
  rule,
  type SetElement,
  setElement,
  setReference,
  symbol,
  type Table,
} from '../nftables/index.ts';
import { tableChanges } from './fast-path.ts';

const at = (value: number): SetElement => setElement(address({ family: 4, value: BigInt(value) }));

/** `inet t` with a fast path over the devices, from which the addresses of the set stay out. */
function table(devices: readonly string[] | undefined, slow: readonly SetElement[] = []): Table {
  const set: NamedSet = { name: 'sp_slow4', type: ['ipv4_addr'], flags: [], elements: slow };
  const out = rule(match(payload('ip', 'daddr'), '==', setReference('sp_slow4')), {
    kind: 'verdict',
    verdict: { kind: 'return' },
  });
  const fast = rule(match(meta('l4proto'), '==', symbol('tcp')), flowAdd('f'));
  return {
    ...{ family: 'inet', name: 't', maps: [], opaque: [] },
    sets: slow.length === 0 ? [] : [set],
    chains: [
      regularChain('c'),
      ...(devices === undefined
        ? []
        : [
            baseChain('x', { type: 'filter', hook: 'forward', priority: 9 }, ...(slow.length === 0 ? [] : [out]), fast),
          ]),
    ],
    ...(devices !== undefined && { flowtables: [{ name: 'f', priority: 0, devices, properties: [] }] }),
  };
}

/** What each part does to objects, the elements left out. */
function told(before: Table | undefined, after: Table | undefined, gone: readonly string[] = []) {
  const { first, main, last } = tableChanges(before, after, new Set(gone));
  const text = (changes: typeof first): readonly string[] =>
    printTransaction(changes)
      .split('\n')
      .filter((line) => /flowtable|chain|table inet|set inet/.test(line))
      .map((line) =>
        line
          .replace(/ inet t/, '')
          .replace(/hook ingress priority 0; ?/, '')
          .replace(/ \{ type .*/, ''),
      );
  return [text(first), text(main), text(last)];
}

describe('a device is named only while it is there', () => {
  for (const [what, before, after, gone, expected] of [
    ['nothing new', table(['a']), table(['a']), [], [[], [], []]],
    [
      'a first apply: once the links are there',
      undefined,
      table(['a', 'sp-x']),
      [],
      [[], ['add table', 'add chain c'], ['add chain x', 'add flowtable f { devices = { "a", "sp-x" }; }']],
    ],
    [
      'destroy: before they go',
      table(['a', 'sp-x']),
      undefined,
      ['sp-x'],
      [['flush chain x', 'delete chain x', 'delete flowtable f'], ['delete table'], []],
    ],
    [
      'a link that comes',
      table(['a']),
      table(['a', 'sp-x']),
      [],
      [[], [], ['add flowtable f { devices = { "sp-x" }; }']],
    ],
    [
      'a link that goes',
      table(['a', 'sp-x']),
      table(['a']),
      ['sp-x'],
      [['delete flowtable f { devices = { "sp-x" }; }'], [], []],
    ],
    [
      'a link that is made anew',
      table(['a', 'sp-x']),
      table(['a', 'sp-x']),
      ['sp-x'],
      [['delete flowtable f { devices = { "sp-x" }; }'], [], ['add flowtable f { devices = { "sp-x" }; }']],
    ],
    [
      'nobody takes it any more: the sets of those that stayed out go after its rules',
      table(['a'], [at(1)]),
      table(undefined),
      [],
      [['flush chain x', 'delete chain x', 'delete flowtable f'], ['delete set sp_slow4'], []],
    ],
  ] as const)
    test(what, () => expect(told(before, after, gone)).toEqual(expected));
});

describe('who is to stay out leaves it', () => {
  const renewed = ['delete flowtable f', 'add flowtable f { devices = { "a" }; }'];
  test('the first of them', () =>
    expect(told(table(['a']), table(['a'], [at(1)]))).toEqual([
      [],
      ['flush chain x', renewed[0], 'add set sp_slow4', renewed[1]],
      [],
    ]));
  test('another', () =>
    expect(told(table(['a'], [at(1)]), table(['a'], [at(1), at(2)]))).toEqual([[], ['flush chain x', ...renewed], []]));
  test('one that may come back: nothing leaves', () =>
    expect(told(table(['a'], [at(1), at(2)]), table(['a'], [at(1)]))).toEqual([[], [], []]));
});
