import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as nft from './build.ts';
import { printTable } from './print.ts';
import { printRule, printStatement } from './print-statement.ts';
import type { Statement, Table } from './ruleset.ts';
import { edgeTable, ip, nodeTable } from './sample-table.ts';

const golden = (name: string) => readFileSync(new URL(`testdata/${name}.nft`, import.meta.url), 'utf8');
test('the ruleset of a node reads as it was tried', () => expect(printTable(nodeTable)).toBe(golden('node')));
test('the ruleset of an edge reads as it was tried', () => expect(printTable(edgeTable)).toBe(golden('edge')));

describe('a statement is printed as nft 1.0.2 reads it', () => {
  const v4 = nft.address(ip('10.0.0.1'));
  const v6 = nft.address(ip('fd00::1'));
  for (const [printed, statement] of [
    ['ct state established,related', nft.match(nft.ct('state'), 'in', nft.flags('established', 'related'))],
    ['ct state == new', nft.match(nft.ct('state'), '==', nft.symbol('new'))],
    ['ct original ip daddr 10.0.0.1', nft.match(nft.ct('ip daddr', 'original'), '==', v4)],
    ['ip saddr != @sp_allow', nft.match(nft.payload('ip', 'saddr'), '!=', nft.setReference('sp_allow'))],
    ['tcp dport 80-90', nft.match(nft.payload('tcp', 'dport'), '==', nft.range(80, 90))],
    ['meta mark { 0x00000001 }', nft.match(nft.meta('mark'), '==', nft.anonymousSet(nft.number(1)))],
    ['fib saddr . iif oif missing', nft.match(nft.fib('oif', 'saddr', 'iif'), '==', nft.symbol('missing'))],
    ['@nh,72,8 6', nft.match({ kind: 'rawPayload', base: 'nh', offsetBits: 72, lengthBits: 8 }, '==', nft.number(6))],
    ['dnat ip6 to [fd00::1]:8080', nft.dnat('ip6', v6, { port: 8080 })],
    ['dnat ip to 10.0.0.1:80-90', nft.dnat('ip', v4, { port: nft.range(80, 90) })],
    ['dnat ip6 to [fd00::1]-[fd00::1]:8080', nft.dnat('ip6', nft.range(v6, v6), { port: 8080 })],
    ['snat ip to 10.0.0.1 random,persistent', nft.snat('ip', v4, { flags: ['random', 'persistent'] })],
    ['redirect to :8080', nft.redirect({ port: 8080 })],
    ['masquerade to :1024-65535 random', nft.masquerade({ port: nft.range(1024, 65_535), flags: ['random'] })],
    ['reject with tcp reset', nft.reject('tcp reset')],
    ['reject with icmpx type admin-prohibited', nft.reject('icmpx', nft.symbol('admin-prohibited'))],
    ['meta mark set ct mark << 8', nft.assign(nft.meta('mark'), shift(nft.ct('mark'), 8))],
    [
      'meta mark set (ct mark | 0x00000001) & 0x000000ff',
      nft.assign(nft.meta('mark'), nft.and(nft.or(nft.ct('mark'), 1), 0xff)),
    ],
    [
      'ct mark set ip saddr map { 10.0.0.1 : 0x00010000 }',
      nft.assign(
        nft.ct('mark'),
        nft.lookup(nft.payload('ip', 'saddr'), nft.anonymousMap(nft.mapElement(v4, nft.number(0x1_0000)))),
      ),
    ],
  ] as const satisfies readonly (readonly [string, Statement])[]) {
    test(printed, () => expect(printStatement(statement)).toBe(printed));
  }
});

function shift(left: ReturnType<typeof nft.ct>, bits: number) {
  return { kind: 'binary', operator: '<<', left, right: nft.number(bits) } as const;
}

test('more than a few elements stand one per line', () => {
  const elements = [1, 2, 3, 4, 5].map((port) => nft.setElement(nft.number(port)));
  const table = { ...empty, sets: [{ name: 'ports', type: ['inet_service'], flags: [], elements }] };
  expect(printTable(table)).toContain('elements = {\n      1,\n      2,\n      3,\n      4,\n      5,\n    }');
});

const empty: Table = { family: 'inet', name: 't', sets: [], maps: [], chains: [], opaque: [] };
const chain = (...statements: readonly Statement[]): Table => ({
  ...empty,
  chains: [nft.regularChain('c', nft.rule(...statements))],
});

describe('what could be read as something else is refused', () => {
  for (const [what, print] of [
    ['a chain name with a brace', () => printTable({ ...empty, chains: [nft.regularChain('x { }; add table y')] })],
    ['a table name with a newline', () => printTable({ ...empty, name: 'x\nflush ruleset' })],
    ['a jump to two words', () => printTable(chain(nft.jump('a b')))],
    [
      'a set name with a semicolon',
      () => printTable(chain(nft.match(nft.meta('mark'), '==', nft.setReference('a;b')))),
    ],
    ['a quote in an interface name', () => printTable(chain(nft.match(nft.meta('iifname'), '==', nft.text('a"b'))))],
    ['a space in an interface name', () => printTable(chain(nft.match(nft.meta('iifname'), '==', nft.text('a b'))))],
    ['an empty interface name', () => printTable(chain(nft.match(nft.meta('iifname'), '==', nft.text(''))))],
    ['a symbol with a brace', () => printTable(chain(nft.match(nft.ct('state'), '==', nft.symbol('new }'))))],
    ['a key with a semicolon', () => printTable(chain(nft.match(nft.meta('mark; x'), '==', 1)))],
    ['a field with a comma', () => printTable(chain(nft.match(nft.payload('ip', 'saddr,'), '==', 1)))],
    ['a negative number', () => printTable(chain(nft.match(nft.payload('tcp', 'dport'), '==', -1)))],
    ['a mark that is no whole number', () => printTable(chain(nft.assign(nft.meta('mark'), 0.5)))],
    ['a flag with a space', () => printTable(chain(nft.masquerade({ flags: ['random to'] })))],
    ['an empty anonymous set', () => printTable(chain(nft.match(nft.meta('mark'), '==', nft.anonymousSet())))],
    ['a rule without statements', () => printRule({ statements: [] })],
    ['a quote in a comment', () => printRule(nft.rule('a" accept', nft.accept))],
    ['a newline in a comment', () => printRule(nft.rule('a\nb', nft.accept))],
    ['a backslash in a comment', () => printRule(nft.rule('a\\', nft.accept))],
    ['a comment of 128 bytes', () => printRule(nft.rule('ä'.repeat(64), nft.accept))],
  ] as const) {
    test(what, () => expect(print).toThrow(TypeError));
  }
});

test('what was only observed cannot be written, and its JSON is named', () => {
  const opaque: Statement = { kind: 'opaque', json: { xt: { type: 'match', name: 'comment' } } };
  expect(() => printTable(chain(opaque))).toThrow(
    new TypeError('only observed, cannot be written: {"xt":{"type":"match","name":"comment"}}'),
  );
  expect(() => printTable({ ...empty, opaque: [{ quota: { name: 'q' } }] })).toThrow(/cannot be written: .*quota/);
});
