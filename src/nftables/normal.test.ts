import { describe, expect, test } from 'vitest';
import * as nft from './build.ts';
import { diffTable } from './diff.ts';
import { normalTable } from './normal.ts';
import { printTable } from './print.ts';
import type { Expression, NamedSet, Rule, SetElement, Statement, Table, Value } from './ruleset.ts';
import { ip } from './sample-table.ts';

const empty: Table = { family: 'inet', name: 't', sets: [], maps: [], chains: [], opaque: [] };
const ruleTable = (rule: Rule): Table => ({ ...empty, chains: [nft.regularChain('c', rule)] });
const ofRule = (...statements: readonly Statement[]): Table => ruleTable(nft.rule(...statements));
const ofSet = (set: Partial<NamedSet>, ...elements: readonly SetElement[]): Table => ({
  ...empty,
  sets: [{ name: 's', type: ['ipv4_addr'], flags: ['interval'], elements, ...set }],
});
const keys = (...values: readonly Value[]): Table => ofSet({}, ...values.map((key) => ({ key })));

const a1 = nft.address(ip('10.0.0.1'));
const a4 = nft.address(ip('10.0.0.4'));
const a7 = nft.address(ip('10.0.0.7'));
const block = nft.prefix({ address: ip('10.0.0.4'), length: 30 });
const dport = nft.payload('tcp', 'dport');
const state = nft.ct('state');
const port = (right: Expression | number) => nft.match(dport, '==', right);
const setMark = (value: Expression) => nft.assign(nft.meta('mark'), value);
const ctMark = nft.ct('mark');

describe('two spellings of one thing have one normal form', () => {
  for (const [what, one, other] of [
    ['a prefix of one address', keys({ kind: 'prefix', prefix: { address: ip('10.0.0.1'), length: 32 } }), keys(a1)],
    ['a range of one address', keys(nft.range(a1, a1)), keys(a1)],
    ['a range that is a prefix', keys(nft.range(a4, a7)), keys(block)],
    ['the order of elements', keys(a1, block), keys(block, a1)],
    ['an element given twice', keys(a1, a1), keys(a1)],
    ['an element that expires', ofSet({}, { key: a1, extra: { timeout: 9, expires: 5 } }), keys()],
    ['elements that packets made', ofSet({ flags: ['dynamic'] }, { key: a1 }), ofSet({ flags: [] })],
    ['the order of flags', ofSet({ flags: ['timeout', 'interval'] }), ofSet({ flags: ['interval', 'timeout'] })],
    ['the size that nft gives by itself', ofSet({ extra: { size: 65_535 } }), ofSet({})],
    [
      'neighbours that are merged',
      ofSet({ extra: { 'auto-merge': true } }, { key: nft.range(a1, nft.address(ip('10.0.0.3'))) }, { key: block }),
      keys(nft.range(a1, a7)),
    ],
    ['a set of one', ofRule(port(nft.anonymousSet(nft.number(80)))), ofRule(port(80))],
    [
      'neighbours beside a range',
      ofRule(port(nft.anonymousSet(nft.number(80), nft.number(81), nft.range(82, 90)))),
      ofRule(port(nft.range(80, 90))),
    ],
    [
      'a name that a pattern covers',
      ofRule(nft.match(nft.meta('iifname'), '==', nft.anonymousSet(nft.text('sp-*'), nft.text('sp-1')))),
      ofRule(nft.match(nft.meta('iifname'), '==', nft.text('sp-*'))),
    ],
    [
      'a protocol by name, by number and by /etc/protocols',
      ofRule(nft.match(nft.meta('l4proto'), '==', nft.anonymousSet(nft.number(58), nft.number(6)))),
      ofRule(nft.match(nft.meta('l4proto'), '==', nft.anonymousSet(nft.symbol('ipv6-icmp'), nft.symbol('tcp')))),
    ],
    [
      'a set of one state',
      ofRule(nft.match(state, '==', nft.anonymousSet(nft.symbol('new')))),
      ofRule(nft.match(state, 'in', nft.symbol('new'))),
    ],
    [
      'any of two states',
      ofRule(nft.match(nft.and(state, nft.flags('new', 'established')), '!=', 0)),
      ofRule(nft.match(state, 'in', nft.flags('established', 'new'))),
    ],
    [
      'the mask as the kernel keeps it',
      ofRule(setMark(nft.or(nft.and(ctMark, 0xff01_ffff), 0x1_0000))),
      ofRule(setMark(nft.or(nft.and(ctMark, 0xff00_ffff), 0x1_0000))),
    ],
    ['a mask of all bits', ofRule(setMark(nft.and(ctMark, 0xffff_ffff))), ofRule(setMark(ctMark))],
    ['two masks', ofRule(setMark(nft.and(nft.and(ctMark, 0xff), 0x0f))), ofRule(setMark(nft.and(ctMark, 0x0f)))],
    [
      'bits set twice',
      ofRule(setMark(nft.xor(nft.or(ctMark, 3), 1))),
      ofRule(setMark(nft.or(nft.and(ctMark, 0xffff_fffe), 2))),
    ],
    [
      'a protocol that the port implies',
      ofRule(nft.match(nft.meta('l4proto'), '==', nft.symbol('tcp')), port(80)),
      ofRule(port(80)),
    ],
    [
      'a family that the address implies',
      ofRule(nft.match(nft.meta('nfproto'), '==', nft.symbol('ipv4')), nft.match(nft.payload('ip', 'saddr'), '==', a1)),
      ofRule(nft.match(nft.payload('ip', 'saddr'), '==', a1)),
    ],
    [
      'a family that the address of the connection implies',
      ofRule(
        nft.match(nft.meta('nfproto'), '==', nft.symbol('ipv4')),
        nft.match(nft.ct('ip daddr', 'original'), '==', a1),
      ),
      ofRule(nft.match(nft.ct('ip daddr', 'original'), '==', a1)),
    ],
    [
      'th beside a protocol',
      ofRule(nft.match(nft.meta('l4proto'), '==', nft.symbol('tcp')), nft.match(nft.payload('th', 'dport'), '==', 80)),
      ofRule(port(80)),
    ],
    [
      'both ports as one field',
      ofRule(nft.match({ kind: 'rawPayload', base: 'th', offsetBits: 0, lengthBits: 32 }, '==', 5 * 0x1_0000 + 80)),
      ofRule(nft.match(nft.payload('th', 'dport'), '==', 80), nft.match(nft.payload('th', 'sport'), '==', 5)),
    ],
    [
      'the order of matches',
      ofRule(port(80), nft.match(ctMark, '==', 1)),
      ofRule(nft.match(ctMark, '==', 1), port(80)),
    ],
    [
      'the order of flags of masquerade',
      ofRule(nft.masquerade({ flags: ['random', 'persistent'] })),
      ofRule(nft.masquerade({ flags: ['persistent', 'random'] })),
    ],
    ['counter values', ofRule({ kind: 'counter', packets: 5, bytes: 9 }), ofRule(nft.counter)],
    ['a handle', ruleTable({ ...nft.rule(nft.accept), handle: 7 }), ofRule(nft.accept)],
    ['a plain reject', ofRule(nft.reject()), ofRule(nft.reject('icmpx', nft.symbol('port-unreachable')))],
    ['the family of dnat', ofRule(nft.dnat('ip', a1)), ofRule({ kind: 'dnat', address: a1, flags: [] })],
  ] as const satisfies readonly (readonly [string, Table, Table])[]) {
    test(what, () => {
      expect(printTable(normalTable(one))).toBe(printTable(normalTable(other)));
      expect(diffTable(one, other)).toEqual([]);
      expect(normalTable(normalTable(one))).toEqual(normalTable(one));
    });
  }
});

describe('two things keep two normal forms', () => {
  for (const [what, one, other] of [
    ['another element', keys(a1), keys(a4)],
    ['another comment of an element', ofSet({}, nft.setElement(a1, 'a')), ofSet({}, nft.setElement(a1, 'b'))],
    [
      'neighbours in a named set',
      keys(a4, nft.address(ip('10.0.0.5'))),
      keys(nft.range(a4, nft.address(ip('10.0.0.5')))),
    ],
    ['a set of no interval', ofSet({ flags: [] }), ofSet({})],
    ['another size', ofSet({ extra: { size: 100 } }), ofSet({})],
    [
      'the order of rules',
      chains([nft.rule(nft.accept), nft.rule(nft.drop)]),
      chains([nft.rule(nft.drop), nft.rule(nft.accept)]),
    ],
    ['the order of statements', ofRule(nft.counter, port(80)), ofRule(port(80), nft.counter)],
    [
      'a protocol that is asked before a counter',
      ofRule(nft.match(nft.meta('l4proto'), '==', nft.symbol('tcp')), nft.counter, port(80)),
      ofRule(nft.counter, port(80)),
    ],
    ['another mask', ofRule(setMark(nft.and(ctMark, 0xff))), ofRule(setMark(nft.and(ctMark, 0xfe)))],
    [
      'equal and any of',
      ofRule(nft.match(state, '==', nft.symbol('new'))),
      ofRule(nft.match(state, 'in', nft.symbol('new'))),
    ],
    ['not equal', ofRule(nft.match(dport, '!=', 80)), ofRule(port(80))],
    ['the comment of a rule', ruleTable(nft.rule('a', nft.accept)), ofRule(nft.accept)],
  ] as const satisfies readonly (readonly [string, Table, Table])[]) {
    test(what, () => {
      expect(printTable(normalTable(one))).not.toBe(printTable(normalTable(other)));
      expect(diffTable(one, other)).not.toEqual([]);
    });
  }
});

function chains(rules: readonly Rule[]): Table {
  return { ...empty, chains: [nft.regularChain('c', ...rules)] };
}
