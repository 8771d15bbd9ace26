import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as nft from './build.ts';
import { diffTable } from './diff.ts';
import { evaluate, prepareRuleset } from './evaluate.ts';
import type { PacketContext } from './evaluate-packet.ts';
import { fastPathOf, withFlowtables } from './flowtable.ts';
import { normalTable } from './normal.ts';
import { printTable } from './print.ts';
import { readRuleset } from './read.ts';
import type { Flowtable, Table } from './ruleset.ts';
import { printTransaction } from './transaction.ts';

// What Linux 6.1 and nft 1.0.6 listed of a table that was loaded there; the kernel of the other tests has no flowtables.
const listing = readFileSync(new URL('testdata/flowtable-6.1.json', import.meta.url), 'utf8');

const fast = (devices: readonly string[], more: Partial<Flowtable> = {}): Flowtable => ({
  name: 'f',
  priority: 0,
  devices,
  properties: ['counter'],
  ...more,
});
const adds = nft.rule(nft.match(nft.ct('status'), 'in', nft.symbol('assured')), nft.flowAdd('f'));
const stays = nft.rule(nft.counter);
const tableOf = (...flowtables: readonly Flowtable[]): Table => ({
  family: 'inet',
  name: 't',
  sets: [],
  maps: [],
  chains: [
    nft.baseChain('w', { type: 'filter', hook: 'forward', priority: 0 }, stays),
    ...(flowtables.length === 0 ? [] : [nft.baseChain('x', { type: 'filter', hook: 'forward', priority: 500 }, adds)]),
  ],
  ...(flowtables.length > 0 && { flowtables }),
  opaque: [],
});

test('the kernel lists what was written: devices, priority and the rule that adds to it', () => {
  const [read] = readRuleset(listing);
  expect(read?.flowtables).toEqual([fast(['ec', 'en'], { properties: [] })]);
  const statements = read?.chains.flatMap(({ rules }) => rules.flatMap((each) => each.statements));
  expect(statements).toContainEqual({ kind: 'flow', flowtable: 'f' });
  expect(statements?.filter(({ kind }) => kind === 'opaque')).toEqual([]);
  expect(read?.opaque).toEqual([]);
});

describe('each shape of nft -j', () => {
  const of = (json: object): string =>
    JSON.stringify({
      nftables: [
        { metainfo: { version: '1.1.3', release_name: 'x', json_schema_version: 1 } },
        { table: { family: 'inet', name: 't', handle: 1 } },
        { flowtable: { family: 'inet', table: 't', name: 'f', handle: 2, hook: 'ingress', prio: -5, ...json } },
      ],
    });
  for (const [what, json, devices] of [
    ['one device', { dev: 'eth0' }, ['eth0']],
    ['several', { dev: ['eth0', 'eth1'] }, ['eth0', 'eth1']],
    ['none', {}, []],
  ] as const)
    test(what, () =>
      expect(readRuleset(of(json))[0]?.flowtables).toEqual([{ name: 'f', priority: -5, devices, properties: [] }]),
    );
  for (const json of [{ hook: 'egress' }, { prio: 'filter' }, { flags: 5 }, { dev: [5] }])
    test(`not modelled: ${JSON.stringify(json)}`, () => {
      const [read] = readRuleset(of(json));
      expect(read?.flowtables).toBeUndefined();
      expect(read?.opaque).toHaveLength(1);
    });
});

test('it is printed before the rules that add to it', () => {
  expect(printTable(tableOf(fast(['eth0', 'sp-wg51820'])))).toBe(`table inet t {
  flowtable f {
    hook ingress priority 0;
    devices = { "eth0", "sp-wg51820" };
    counter;
  }

  chain w {
    type filter hook forward priority 0; policy accept;
    counter
  }

  chain x {
    type filter hook forward priority 500; policy accept;
    ct status assured flow add @f
  }
}
`);
});

test('the normal form knows neither the order of devices nor what nft does not list', () => {
  const [one, other] = [tableOf(fast(['b', 'a'])), tableOf(fast(['a', 'b'], { properties: ['offload'] }))].map(
    normalTable,
  );
  expect(one).toEqual(other);
});

describe('from one to another', () => {
  const rule = 'add rule inet t x ct status assured flow add @f\n';
  const chain = 'add chain inet t x { type filter hook forward priority 500; policy accept; }\n';
  for (const [what, before, after, transaction] of [
    ['the same in another order', tableOf(fast(['a', 'b'])), tableOf(fast(['b', 'a'])), ''],
    ['one that nft lists without its flags', tableOf(fast(['a'], { properties: [] })), tableOf(fast(['a'])), ''],
    [
      'new',
      tableOf(),
      tableOf(fast(['a', 'b'])),
      `${chain}add flowtable inet t f { hook ingress priority 0; devices = { "a", "b" }; counter; }\n${rule}`,
    ],
    [
      'gone: after the rule that adds to it',
      tableOf(fast(['a'])),
      tableOf(),
      'flush chain inet t x\ndelete chain inet t x\ndelete flowtable inet t f\n',
    ],
    [
      'a device more',
      tableOf(fast(['a'])),
      tableOf(fast(['a', 'b'])),
      'add flowtable inet t f { hook ingress priority 0; devices = { "b" }; counter; }\n',
    ],
    [
      'a device less',
      tableOf(fast(['a', 'b'])),
      tableOf(fast(['a'])),
      'delete flowtable inet t f { hook ingress priority 0; devices = { "b" }; }\n',
    ],
    [
      'another device',
      tableOf(fast(['a'])),
      tableOf(fast(['b'])),
      'delete flowtable inet t f { hook ingress priority 0; devices = { "a" }; }\n' +
        'add flowtable inet t f { hook ingress priority 0; devices = { "b" }; counter; }\n',
    ],
    [
      'another priority: its rule lets go meanwhile',
      tableOf(fast(['a'])),
      tableOf(fast(['a'], { priority: 10 })),
      `flush chain inet t x\ndelete flowtable inet t f\nadd flowtable inet t f { hook ingress priority 10; devices = { "a" }; counter; }\n${rule}`,
    ],
  ] as const)
    test(what, () => expect(printTransaction(diffTable(before, after))).toBe(transaction));
});

test('a packet that a rule brings into the fast path goes its way as it would without', () => {
  const packet: PacketContext = {
    family: 4,
    protocol: 6,
    mark: 0,
    source: { family: 4, value: 1n },
    destination: { family: 4, value: 2n },
    addressType: () => 'unicast',
  };
  const at = { hook: 'forward', type: 'filter' } as const;
  const of = (table: Table) => evaluate(prepareRuleset([table]), at, packet);
  const drops = (table: Table): Table => ({
    ...table,
    chains: [
      ...table.chains,
      nft.baseChain('d', { type: 'filter', hook: 'forward', priority: 600 }, nft.rule(nft.drop)),
    ],
  });
  const always = {
    ...tableOf(fast(['a'])),
    chains: [nft.baseChain('x', { type: 'filter', hook: 'forward', priority: 0 }, nft.rule(nft.flowAdd('f')))],
  };
  expect(of(always)).toMatchObject({ verdict: 'accept', changes: {} });
  const after = nft.baseChain(
    'x',
    { type: 'filter', hook: 'forward', priority: 0 },
    nft.rule(nft.flowAdd('f'), nft.drop),
  );
  expect(of({ ...always, chains: [after] })).toMatchObject({ verdict: 'drop' });
  expect(of(drops(always))).toMatchObject({ verdict: 'drop' });
});

test('a table is split into what stands without its devices, and the rest', () => {
  const table = tableOf(fast(['a']));
  expect(withFlowtables(table, []).chains.map(({ name }) => name)).toEqual(['w']);
  expect(withFlowtables(table, [])).not.toHaveProperty('flowtables');
  expect(fastPathOf(table)).toMatchObject({ flowtables: [{ name: 'f' }], chains: [{ name: 'x' }] });
  expect(fastPathOf(tableOf())).toBeUndefined();
});
