import { describe, expect, test } from 'vitest';
import type { HostFacts } from '../host/index.ts';
import { accept, and, assign, baseChain, ct, match, meta, number, or, type Rule, rule } from '../nftables/index.ts';
import type { RoutingRule } from '../routing/index.ts';
import { bitsOf, foreignMarks } from './foreign-marks.ts';
import { chooseNumbers, markRoom } from './numbers.ts';
import { node } from './testdata/facts.ts';

const lookup = (priority: number, table: number, mark?: { value: number; mask: number }): RoutingRule => ({
  family: 4,
  priority,
  protocol: 3,
  action: { kind: 'lookup', table },
  ...(mark && { mark }),
});

const withTable = (...rules: readonly Rule[]): HostFacts => {
  const facts = node();
  const table = {
    family: 'inet',
    name: 'theirs',
    sets: [],
    maps: [],
    chains: [baseChain('c', { type: 'filter', hook: 'input', priority: 0 }, ...rules)],
    opaque: [],
  } as const;
  return { ...facts, state: { ...facts.state, tables: [table] } };
};

describe('mark bits that others use', () => {
  for (const [who, facts, bits] of [
    ['nobody', node(), 0],
    ['Tailscale, by its rules', node({ rules: [lookup(5210, 52, { value: 0x80000, mask: 0xff0000 })] }), 0xff0000],
    ['wg-quick, by a whole mark', node({ rules: [lookup(32764, 51820, { value: 0xca6c, mask: 0xffffffff })] }), 0xca6c],
    ['a hand-written rule on a packet mark', withTable(rule(match(meta('mark'), '==', number(1)), accept)), 1],
    [
      'kube-proxy, keeping the other bits',
      withTable(rule(assign(meta('mark'), or(and(meta('mark'), number(0xffffbfff)), number(0x4000))))),
      0x4000,
    ],
    ['a connection mark', withTable(rule(match(and(ct('mark'), number(0xf0)), '!=', number(0)), accept)), 0xf0],
    ['a number that is no mark', withTable(rule(match(meta('length'), '==', number(0xff)), accept)), 0],
  ] as const)
    test(who, () => expect(bitsOf(foreignMarks(facts)).toString(16)).toBe(bits.toString(16)));
});

describe('numbers for tunnels', () => {
  const choose = (
    facts: HostFacts,
    wanted: Parameters<typeof chooseNumbers>[1] = {},
    tunnels = ['default/a', 'default/b'],
  ) => chooseNumbers(facts, wanted, tunnels);

  test('are the first free ones, in order', () => {
    const { numbers, clashes } = choose(node());
    expect(clashes).toEqual([]);
    expect(numbers).toEqual({
      mark: { value: 1, mask: 0xff },
      suppressPriority: 5000,
      tunnels: new Map([
        ['default/a', { index: 1, table: 5000, priority: 5001 }],
        ['default/b', { index: 2, table: 5001, priority: 5002 }],
      ]),
    });
  });

  test('pass over what others have', () => {
    const facts = node({ rules: [lookup(5000, 5001, { value: 1, mask: 0xffffffff }), lookup(5002, 5003)] });
    const { numbers } = choose(facts);
    expect(numbers.mark).toEqual({ value: 0x100, mask: 0x3f00 });
    expect(numbers.suppressPriority).toBe(5001);
    expect([...numbers.tunnels.values()].map(({ table, priority }) => [table, priority])).toEqual([
      [5000, 5003],
      [5002, 5004],
    ]);
  });

  test('are kept while others come and go', () => {
    const first = choose(node()).numbers;
    const facts: HostFacts = {
      ...node({ rules: [lookup(100, 100, { value: 1, mask: 0xff })] }),
      record: { format: 1, version: '0', sets: new Map(), numbers: first, sysctlsBefore: new Map() },
    };
    const next = chooseNumbers(facts, {}, ['default/c', 'default/b']).numbers;
    expect(next.mark).toEqual(first.mark);
    expect(next.tunnels.get('default/b')).toEqual(first.tunnels.get('default/b'));
    expect(next.tunnels.get('default/c')).toEqual({ index: 1, table: 5000, priority: 5001 });
  });

  test('are those the Host names, and a clash is said', () => {
    const { numbers, clashes } = choose(node({ rules: [lookup(10, 10, { value: 0x100, mask: 0xf00 })] }), {
      tables: { first: 200, last: 210 },
      priorities: { first: 90, last: 99 },
      mark: { value: 0x100, mask: 0xf00 },
    });
    expect(numbers.suppressPriority).toBe(90);
    expect(numbers.tunnels.get('default/a')).toEqual({ index: 1, table: 200, priority: 91 });
    expect(clashes).toEqual([
      {
        path: 'spec.forwarding.mark.mask',
        what: '0xf00 overlaps the mark bits 0xf00 that others use: ip rule 10: from all fwmark 0x100/0xf00 lookup 10 proto boot',
      },
    ]);
  });

  test('that run out are said', () => {
    const { clashes } = choose(node(), { priorities: { first: 90, last: 91 } });
    expect(clashes.map(({ path }) => path)).toEqual(['spec.forwarding.priorities']);
  });
});

test('a mask has room for its values', () => {
  expect([0xff, 0xff0000, 0x3000, 0xf0000000].map(markRoom)).toEqual([255, 255, 3, 15]);
});
