import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { concat, number, symbol } from './build.ts';
import { printStatement } from './print-statement.ts';
import { RulesetReadError, readRuleset } from './read.ts';
import { readStatement } from './read-statement.ts';
import type { Statement, Table } from './ruleset.ts';

const metainfo = { metainfo: { version: '1.0.6', release_name: 'x', json_schema_version: 1 } };
const table = { table: { family: 'inet', name: 't', handle: 1 } };
const chain = { chain: { family: 'inet', table: 't', name: 'c', handle: 2 } };
const listing = (...objects: readonly unknown[]): string => JSON.stringify({ nftables: [metainfo, ...objects] });
const rule = (...expr: readonly unknown[]) => ({ rule: { family: 'inet', table: 't', chain: 'c', handle: 3, expr } });

describe('a text that is no ruleset is an error that says what and where', () => {
  for (const [what, text, message] of [
    ['nothing', '', 'nft -j: not JSON: '],
    ['half a listing', listing(table, chain).slice(0, -20), 'nft -j: not JSON: '],
    ['an array', '[]', 'nft -j: nftables: missing, or no array'],
    ['no list', '{"nftables": 5}', 'nft -j: nftables: missing, or no array'],
    ['another schema', '{"nftables": [{"metainfo": {"json_schema_version": 2}}]}', 'json_schema_version: 2 is not 1'],
    ['an object of two', listing({ table: {}, chain: {} }), 'nft -j: nftables[1]: not an object with one field'],
    ['a table without name', listing({ table: { family: 'ip' } }), 'nftables[1].table.name: undefined is no text'],
    ['an unknown family', listing({ table: { family: 'x', name: 't' } }), 'nftables[1].table.family: x is no family'],
    ['a chain of no table', listing(chain), 'nftables[1].chain: its table inet t is not listed before it'],
    ['a rule of no chain', listing(table, rule()), 'nftables[2].rule.chain: chain c is not listed before it'],
    [
      'elements that are no list',
      listing(table, { set: { family: 'inet', table: 't', name: 's', type: 'mark', elem: 5 } }),
      'nftables[2].set.elem: no array',
    ],
    [
      'a map element without data',
      listing(table, { map: { family: 'inet', table: 't', name: 'm', type: 'mark', map: 'verdict', elem: [[1]] } }),
      'nftables[2].map.elem[0]: not a pair',
    ],
  ] as const) {
    test(what, () => {
      expect(() => readRuleset(text)).toThrow(RulesetReadError);
      expect(() => readRuleset(text)).toThrow(message);
    });
  }
});

const statementsOf = (tables: readonly Table[]): readonly Statement[] =>
  tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules.flatMap(({ statements }) => statements)));

describe('what is not modelled is opaque with its JSON, and the rest is read', () => {
  const accept = { accept: null };
  for (const json of [
    { xt: { type: 'match', name: 'comment' } },
    { limit: { rate: 10, burst: 0, per: 'second', rate_unit: 'mbytes', burst_unit: 'bytes' } },
    { set: { op: 'add', elem: { osf: { key: 'name' } }, set: '@seen' } },
    { counter: 'named' },
    { match: { op: '==', left: { socket: { key: 'mark' } }, right: 1 } },
    { match: { op: '==', left: { meta: { key: 'mark' } }, right: '0x50 [invalid type]' } },
    { match: { op: '==', left: { ct: { key: 'bytes' } }, right: 2 ** 60 } },
    { match: { op: '~', left: { meta: { key: 'mark' } }, right: 1 } },
    { match: { op: '==', left: { meta: { key: 'mark', new: 1 } }, right: 1 } },
    { dnat: { addr: { prefix: { addr: '10.0.0.0', len: 8 } }, type_flags: 'prefix' } },
    {
      match: {
        op: '==',
        left: { payload: { protocol: 'ip', field: 'saddr' } },
        right: { prefix: { addr: '10.0.0.1', len: 8 } },
      },
    },
    { vmap: { key: { numgen: { mode: 'other', mod: 2 } }, data: { set: [] } } },
    { jump: { target: 5 } },
    { accept: {} },
    'text',
    null,
  ]) {
    test(JSON.stringify(json), () => {
      const [read] = readRuleset(listing(table, chain, rule(json, accept)));
      expect(read?.chains[0]?.rules[0]?.statements).toEqual([
        { kind: 'opaque', json },
        { kind: 'verdict', verdict: { kind: 'accept' } },
      ]);
    });
  }

  test('objects of the table', () => {
    const objects = [
      { counter: { family: 'inet', table: 't', name: 'n', packets: 0, bytes: 0 } },
      { flowtable: { family: 'inet', table: 't', name: 'f', hook: 'egress', prio: 0, dev: 'lo' } },
      { set: { family: 'inet', table: 't', name: 's', type: { typeof: 1 } } },
      {
        chain: { family: 'inet', table: 't', name: 'new', type: 'tunnel', hook: 'forward', prio: 0, policy: 'accept' },
      },
      { rule: { family: 'inet', table: 't', chain: 'new', expr: [accept] } },
    ];
    const [read] = readRuleset(listing(table, ...objects));
    expect(read?.opaque).toEqual(objects);
    expect(read?.chains).toEqual([]);
  });

  test('the flags of a table, which may be dormant', () => {
    const dormant = { table: { family: 'inet', name: 't', handle: 1, flags: 'dormant' } };
    expect(readRuleset(listing(dormant))[0]?.opaque).toEqual([dormant]);
  });

  test('a key in a set', () => {
    const set = { set: { family: 'inet', table: 't', name: 's', type: 'mark', elem: [5, { new: 1 }] } };
    expect(readRuleset(listing(table, set))[0]?.sets[0]?.elements).toEqual([
      { key: number(5) },
      { key: { kind: 'opaque', json: { new: 1 } } },
    ]);
  });
});

test('a mark under a mask that begins at the highest bit, which nft lists as a prefix', async () => {
  await using kernel = await startNamespace();
  const masks = ['0xffff0000', '0xfff00000', '0x80000000', '0xff0000', '0xfffffffe'];
  const rules = masks.flatMap((mask) => [`meta mark & ${mask} == 0x0 accept`, `ct mark & ${mask} != ${mask} accept`]);
  await kernel.run(['nft', '-f', '-'], {
    stdin: `table inet t {\n chain c {\n${rules.map((each) => `  ${each}\n`).join('')} }\n}\n`,
  });
  const [read] = readRuleset((await kernel.run(['nft', '-j', 'list', 'ruleset'])).stdout);
  const matches = read?.chains[0]?.rules.map(({ statements }) => statements[0]);
  const under = (kind: 'meta' | 'ct', op: string, mask: number, value: number) => ({
    ...{ kind: 'match', op, right: { kind: 'number', value } },
    left: { kind: 'binary', operator: '&', left: { kind, key: 'mark' }, right: { kind: 'number', value: mask } },
  });
  expect(matches).toEqual(
    masks.map(Number).flatMap((mask) => [under('meta', '==', mask, 0), under('ct', '!=', mask, mask)]),
  );
});

test('rules keep their order, handles and comments', () => {
  const rules = [1, 2, 3].map((handle) => ({
    rule: { family: 'inet', table: 't', chain: 'c', handle, comment: `rule ${handle}`, expr: [{ accept: null }] },
  }));
  expect(
    readRuleset(listing(table, chain, ...rules))[0]?.chains[0]?.rules.map((each) => [each.handle, each.comment]),
  ).toEqual([
    [1, 'rule 1'],
    [2, 'rule 2'],
    [3, 'rule 3'],
  ]);
});

test('a set that rules add to is dynamic, which nft 1.0.6 does not say', () => {
  const set = { set: { family: 'inet', table: 't', name: 's', type: 'ipv4_addr', size: 65535 } };
  const add = { set: { op: 'add', elem: { payload: { protocol: 'ip', field: 'saddr' } }, set: '@s' } };
  expect(readRuleset(listing(table, set, chain, rule(add)))[0]?.sets[0]?.flags).toEqual(['dynamic']);
});

test('what miniupnpd writes is read', async () => {
  await using kernel = await startNamespace();
  const stdin = `table inet filter {
    chain prerouting_miniupnpd {
      iif "lo" @nh,72,8 0x6 th dport 8080 dnat ip to 192.168.1.5
    }
  }\n`;
  await kernel.run(['nft', '-f', '-'], { stdin });
  const read = readRuleset((await kernel.run(['nft', '-j', 'list', 'ruleset'])).stdout);
  const [link, protocol, port, dnat] = statementsOf(read);
  expect(link).toMatchObject({ left: { kind: 'meta', key: 'iif' }, right: { kind: 'string', text: 'lo' } });
  expect(protocol).toMatchObject({
    left: { kind: 'rawPayload', base: 'nh', offsetBits: 72, lengthBits: 8 },
    right: number(6),
  });
  expect(port).toMatchObject({ left: { protocol: 'th', field: 'dport' }, right: number(8080) });
  expect(dnat).toMatchObject({ kind: 'dnat', family: 'ip' });
});

describe('the real kube-proxy', () => {
  const folder = new URL('testdata/kube-proxy-1.36/', import.meta.url);
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.nft.json'))) {
    test(`${name} is read; only what is not modelled is opaque`, () => {
      const tables = readRuleset(readFileSync(new URL(name, folder), 'utf8'));
      const opaque = statementsOf(tables).flatMap((each) =>
        each.kind === 'opaque' ? [JSON.stringify(each.json)] : [],
      );
      expect(tables.length).toBeGreaterThan(1);
      expect(opaque.filter((json) => !/^\{"xt":|"numgen"|^\{"set":\{"op":"update"/.test(json))).toEqual([]);
    });
  }
});

test('50,000 elements are read in well under a second', () => {
  const elem = Array.from({ length: 50_000 }, (_, index) => [
    { concat: [`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, 'tcp', 80] },
    { concat: ['10.90.0.2', index + 1] },
  ]);
  const type = ['ipv4_addr', 'inet_proto', 'inet_service'];
  const map = { map: { family: 'inet', table: 't', name: 'm', type, map: 'ipv4_addr . inet_service', elem } };
  const text = listing(table, map);
  const start = process.cpuUsage(); // the machine may be busy with other tests
  const [read] = readRuleset(text);
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1_000).toBeLessThan(1_000);
  expect(read?.maps[0]?.elements).toHaveLength(50_000);
  expect(read?.maps[0]?.elements[1]?.data).toEqual(
    concat({ kind: 'address', address: { family: 4, value: 0x0a5a_0002n } }, number(2)),
  );
  expect(read?.maps[0]?.elements[1]?.key).toMatchObject({ parts: [{ kind: 'address' }, symbol('tcp'), number(80)] });
});

test('the rules of firewalld lack only which protocol helper a connection gets', () => {
  const text = readFileSync(new URL('testdata/firewalld-1.3.json', import.meta.url), 'utf8');
  const [table] = readRuleset(text);
  expect(table?.opaque.map((json) => Object.keys(json as object))).toEqual([['ct helper']]);
  const rules = (table?.chains ?? []).flatMap((chain) => chain.rules);
  expect(rules.length).toBeGreaterThan(100);
  const opaque = rules.flatMap(({ statements }) => statements.filter(({ kind }) => kind === 'opaque'));
  expect(opaque).toEqual([{ kind: 'opaque', json: { 'ct helper': 'helper-netbios-ns-udp' } }]);
});

test.each([
  ['snat', 'ip', '10.9.0.0', 16, 'snat ip to ip saddr & 0.0.255.255 | 10.9.0.0'],
  ['dnat', 'ip', '10.9.0.0', 24, 'dnat ip to ip daddr & 0.0.0.255 | 10.9.0.0'],
  ['snat', 'ip6', 'fd00:9::', 32, 'snat ip6 to ip6 saddr & ::ffff:ffff:ffff:ffff:ffff:ffff | fd00:9::'],
] as const)('%s of a whole %s network keeps the bits of the host', (kind, family, addr, len, text) => {
  const json = { [kind]: { family, addr: { prefix: { addr, len } }, flags: 'netmap', type_flags: 'prefix' } };
  const statement = readStatement(json);
  expect(printStatement(statement)).toBe(text);
});
