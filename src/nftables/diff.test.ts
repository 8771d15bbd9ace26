import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import * as nft from './build.ts';
import { diffTable } from './diff.ts';
import { normalTable } from './normal.ts';
import { printTable } from './print.ts';
import { readRuleset } from './read.ts';
import type { Chain, NamedMap, NamedSet, RulesetChange, Table, Value } from './ruleset.ts';
import { edgeTable, ip, nodeTable } from './sample-table.ts';
import { printTransaction } from './transaction.ts';

const load = (kernel: Namespace, stdin: string) => kernel.run(['nft', '-f', '-'], { stdin });
async function listed(kernel: Namespace): Promise<Table | undefined> {
  return readRuleset((await kernel.run(['nft', '-j', 'list', 'ruleset'])).stdout)[0];
}
const normal = (table: Table | undefined) => (table === undefined ? '' : printTable(normalTable(table)));
const told = (changes: readonly RulesetChange[]) =>
  changes.map((change) => `${change.action} ${change.action === 'add' ? change.after.kind : change.before.kind}`);

const withMap = (table: Table, name: string, change: (map: NamedMap) => NamedMap): Table => ({
  ...table,
  maps: table.maps.map((map) => (map.name === name ? change(map) : map)),
});
const withChain = (table: Table, name: string, change: (chain: Chain) => Chain): Table => ({
  ...table,
  chains: table.chains.map((chain) => (chain.name === name ? change(chain) : chain)),
});
const forward = nft.mapElement(
  nft.concat(nft.address(ip('198.51.100.10')), nft.symbol('tcp'), nft.number(443)),
  nft.concat(nft.address(ip('10.90.0.2')), nft.number(8443)),
);

describe('the transaction says what has to be done and nothing else', () => {
  for (const [what, after, transaction] of [
    [
      'an element added',
      withMap(edgeTable, 'sp_to4', (map) => ({ ...map, elements: [forward, ...map.elements] })),
      'add element inet sallyport sp_to4 { 198.51.100.10 . tcp . 443 : 10.90.0.2 . 8443 }\n',
    ],
    [
      'an element removed',
      withMap(edgeTable, 'sp_to4', (map) => ({ ...map, elements: map.elements.slice(1) })),
      'delete element inet sallyport sp_to4 { 198.51.100.10 . tcp . 80 }\n',
    ],
    [
      'an element that leads elsewhere',
      withMap(edgeTable, 'sp_to4r', (map) => ({
        ...map,
        elements: map.elements.map((element) => ({ ...element, data: nft.address(ip('10.90.0.3')) })),
      })),
      'delete element inet sallyport sp_to4r { 198.51.100.10 . udp . 30000-30100 }\n' +
        'add element inet sallyport sp_to4r { 198.51.100.10 . udp . 30000-30100 : 10.90.0.3 }\n',
    ],
    [
      'another rule',
      withChain(edgeTable, 'sp_forward', (chain) => ({ ...chain, rules: [nft.rule(nft.drop)] })),
      'flush chain inet sallyport sp_forward\nadd rule inet sallyport sp_forward drop\n',
    ],
    [
      'another policy',
      withChain(edgeTable, 'sp_forward', (chain) => ({ ...chain, policy: 'drop' }) as Chain),
      'add chain inet sallyport sp_forward { type filter hook forward priority 0; policy drop; }\n',
    ],
    [
      'another priority',
      withChain(edgeTable, 'sp_masquerade', (chain) => ({ ...chain, priority: 99 }) as Chain),
      'flush chain inet sallyport sp_masquerade\ndelete chain inet sallyport sp_masquerade\n' +
        'add chain inet sallyport sp_masquerade { type nat hook postrouting priority 99; policy accept; }\n' +
        'add rule inet sallyport sp_masquerade ct mark & 0x00ff0000 == 0x00010000 masquerade random\n',
    ],
    [
      'a set of another type, in use: its users let go meanwhile',
      withMap(edgeTable, 'sp_to4r', (map) => ({ ...map, flags: [], elements: [] })),
      'flush chain inet sallyport sp_dnat\ndelete map inet sallyport sp_to4r\n' +
        'add map inet sallyport sp_to4r { type ipv4_addr . inet_proto . inet_service : ipv4_addr; }\n' +
        'add rule inet sallyport sp_dnat meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @sp_to4 comment "exact ports"\n' +
        'add rule inet sallyport sp_dnat meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @sp_to4r comment "ranges"\n',
    ],
    ['no table any more', undefined, 'delete table inet sallyport\n'],
  ] as const satisfies readonly (readonly [string, Table | undefined, string])[]) {
    test(what, async () => {
      expect(printTransaction(diffTable(edgeTable, after))).toBe(transaction);
      await using kernel = await startNamespace();
      await load(kernel, printTable(edgeTable));
      await load(kernel, transaction);
      expect(normal(await listed(kernel))).toBe(normal(after));
      expect(diffTable(await listed(kernel), after)).toEqual([]);
    });
  }
});

for (const [name, table] of [
  ['node', nodeTable],
  ['edge', edgeTable],
] as const) {
  test(`the ruleset of the ${name} comes about from nothing, and to nothing it goes`, async () => {
    await using kernel = await startNamespace();
    await load(kernel, printTransaction(diffTable(undefined, table)));
    const there = await listed(kernel);
    expect(normal(there)).toBe(normal(table));
    expect(diffTable(there, table)).toEqual([]);
    await load(kernel, printTransaction(diffTable(there, undefined)));
    expect(await listed(kernel)).toBeUndefined();
  });
}

test('the node becomes the edge in one transaction, and an empty one writes nothing', async () => {
  await using kernel = await startNamespace();
  await load(kernel, printTable(nodeTable));
  await using monitor = await kernel.spawn(['nft', 'monitor']);
  let heard = '';
  monitor.stdout.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
  });
  const mark = async (name: string) => {
    while (!heard.includes(name)) {
      await load(kernel, `add table ip ${name}\ndelete table ip ${name}\n`);
      await Promise.race([once(monitor.stdout, 'data'), new Promise((resolve) => setTimeout(resolve, 100))]);
    }
  };
  await mark('began');
  heard = '';
  expect(diffTable(await listed(kernel), nodeTable)).toEqual([]);
  await load(kernel, printTransaction([]));
  await mark('ended');
  expect(heard).not.toContain('sallyport');
  await load(kernel, printTransaction(diffTable(nodeTable, edgeTable)));
  expect(normal(await listed(kernel))).toBe(normal(edgeTable));
});

test('nothing between is nothing, and a table does not change its name', () => {
  expect(diffTable(undefined, undefined)).toEqual([]);
  expect(diffTable(edgeTable, edgeTable)).toEqual([]);
  expect(printTransaction([])).toBe('');
  expect(() => diffTable(edgeTable, { ...edgeTable, name: 'other' })).toThrow(TypeError);
});

test('what others put into the table goes, what packets put there stays', async () => {
  await using kernel = await startNamespace();
  const limited: NamedSet = {
    name: 'sp_seen',
    type: ['ipv4_addr'],
    flags: ['dynamic', 'timeout'],
    elements: [],
    extra: { timeout: 60 },
  };
  const table: Table = { ...edgeTable, sets: [...edgeTable.sets, limited] };
  await load(kernel, printTransaction(diffTable(undefined, table)));
  await load(
    kernel,
    `add element inet sallyport sp_seen { 192.0.2.1 timeout 1h }
    add counter inet sallyport strange
    add quota inet sallyport more { 5 mbytes }
    add set inet sallyport sp_strange { type ipv4_addr; elements = { 192.0.2.1 }; }
    add chain inet sallyport sp_strange { type filter hook forward priority 5; }
    add rule inet sallyport sp_strange limit rate 5/second counter name strange
    insert rule inet sallyport sp_forward limit rate 5/second quota name more accept\n`,
  );
  const changes = diffTable(await listed(kernel), table);
  expect(told(changes).sort()).toEqual([
    'change chain',
    'remove chain',
    'remove object',
    'remove object',
    'remove set',
    'remove setElement',
  ]);
  await load(kernel, printTransaction(changes));
  expect(diffTable(await listed(kernel), table)).toEqual([]);
  const seen = await kernel.run(['nft', 'list', 'set', 'inet', 'sallyport', 'sp_seen']);
  expect(seen.stdout).toContain('192.0.2.1');
  expect(() => printTransaction(diffTable(table, { ...table, opaque: [{ counter: { name: 'strange' } }] }))).toThrow(
    /cannot be written/,
  );
});

test('a table that was put to sleep is woken', async () => {
  await using kernel = await startNamespace();
  await load(kernel, printTable(nodeTable));
  await load(kernel, 'add table inet sallyport { flags dormant; }\n');
  const changes = diffTable(await listed(kernel), nodeTable);
  expect(told(changes)).toEqual(['remove object']);
  await load(kernel, printTransaction(changes));
  expect(diffTable(await listed(kernel), nodeTable)).toEqual([]);
});

test('a map that leads to chains is there after them and gone before them', async () => {
  await using kernel = await startNamespace();
  const map: NamedMap = {
    name: 'sp_by_port',
    type: ['inet_service'],
    data: ['verdict'],
    flags: ['interval'],
    elements: [
      nft.mapElement(nft.number(80), { kind: 'jump', chain: 'sp_a' }),
      nft.mapElement(nft.range(90, 99), { kind: 'goto', chain: 'sp_b' }),
    ],
  };
  const lookup = nft.rule(nft.verdictMap(nft.payload('tcp', 'dport'), nft.setReference('sp_by_port')));
  const at = { type: 'filter', hook: 'input', priority: 0 } as const;
  const before: Table = {
    ...{ family: 'inet', name: 'sallyport', sets: [], opaque: [] },
    maps: [map],
    chains: [nft.baseChain('sp_in', at, lookup), nft.regularChain('sp_a'), nft.regularChain('sp_b')],
  };
  const after: Table = { ...before, maps: [], chains: [nft.baseChain('sp_a', at, nft.rule(nft.counter))] };
  for (const [from, to] of [
    [undefined, before],
    [before, after],
    [after, before],
  ] as const) {
    await load(kernel, printTransaction(diffTable(from, to)));
    expect(normal(await listed(kernel))).toBe(normal(to));
  }
});

test('a set that holds everything else comes and goes whole, and a plain one takes * by itself', async () => {
  await using kernel = await startNamespace();
  const table = (flags: NamedSet['flags'], ...keys: readonly Value[]): Table => ({
    ...{ family: 'inet', name: 'sallyport', maps: [], chains: [], opaque: [] },
    sets: [{ name: 'sp_all', type: ['ipv4_addr'], flags, elements: keys.map((key) => ({ key })) }],
  });
  const address = nft.address(ip('192.0.2.1'));
  let stands: Table | undefined;
  for (const wanted of [
    table(['interval'], address),
    table(['interval'], address, nft.wildcard),
    table(['interval'], nft.wildcard),
    table([], address),
    table([], address, nft.wildcard),
    table([], nft.wildcard),
  ]) {
    await load(kernel, printTransaction(diffTable(stands, wanted)));
    stands = await listed(kernel);
    expect(normal(stands)).toBe(normal(wanted));
  }
});

test('50,000 elements are loaded, compared and taken away', async () => {
  await using kernel = await startNamespace();
  const elements = Array.from({ length: 50_000 }, (_, index) =>
    nft.mapElement(
      nft.concat(
        nft.address({ family: 4, value: 0x0a00_0000n + BigInt(index >> 1) }),
        nft.symbol(index % 2 === 0 ? 'tcp' : 'udp'),
        nft.number((index % 60_000) + 1),
      ),
      nft.concat(nft.address(ip('10.90.0.2')), nft.number(80)),
    ),
  );
  const many = withMap(edgeTable, 'sp_to4', (map) => ({ ...map, elements }));
  await load(kernel, printTransaction(diffTable(undefined, many)));
  const there = await listed(kernel);
  expect(diffTable(there, many)).toEqual([]);
  const one = withMap(many, 'sp_to4', (map) => ({ ...map, elements: [...elements.slice(1), forward] }));
  expect(printTransaction(diffTable(there, one)).split('\n')).toHaveLength(3);
  await load(kernel, printTransaction(diffTable(there, edgeTable)));
  expect(diffTable(await listed(kernel), edgeTable)).toEqual([]);
});
