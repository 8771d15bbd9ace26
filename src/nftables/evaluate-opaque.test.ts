/** What the types do not cover, as nft 1.0.6 lists it: it decides where its JSON tells enough. */
import { describe, expect, test } from 'vitest';
import { type Address, parseAddress } from '../net/index.ts';
import { type ConnectionContext, evaluate, type PacketContext, prepareRuleset, printReference } from './index.ts';
import { readRuleset } from './read.ts';

const at = (text: string): Address => {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
};
const PACKET: PacketContext = {
  ...{ family: 4, source: at('192.0.2.7'), destination: at('10.0.0.2'), protocol: 6, tcpFlags: 2 },
  ...{ sourcePort: 40_000, destinationPort: 80, mark: 0, iif: 'eth0', oif: 'eth1', unbridged: true },
  addressType: () => 'unicast',
};
const PACKET6: PacketContext = { ...PACKET, family: 6, source: at('2001:db8::7'), destination: at('fd00::2') };

const head = { family: 'inet', table: 't' } as const;
/** The statements, then a drop, in a chain that accepts otherwise; `objects` stand in its table. */
function fate(statements: readonly unknown[], objects: readonly unknown[] = [], packet = PACKET): string {
  const listing = [
    { table: { family: 'inet', name: 't' } },
    ...objects,
    { chain: { ...head, name: 'c', type: 'filter', hook: 'forward', prio: 0, policy: 'accept' } },
    { rule: { ...head, chain: 'c', expr: [...statements, { drop: null }] } },
  ];
  const evaluation = evaluate(
    prepareRuleset(readRuleset(JSON.stringify({ nftables: listing }))),
    { hook: 'forward', type: 'filter' },
    packet,
  );
  return evaluation.verdict;
}

const ip = (field: string) => ({ payload: { protocol: 'ip', field } });
const limit = (inv?: true) => ({ limit: { rate: 10, burst: 5, per: 'second', ...(inv && { inv }) } });
const bytes = { rate: 10, per: 'second', rate_unit: 'mbytes', burst: 0, burst_unit: 'bytes' };
const quotas = (used: number, inv: boolean) => [
  { quota: { ...head, name: 'q', handle: 1, bytes: 10_485_760, used, inv } },
];
const exthdr = (op: string, right: boolean) => ({ match: { op, left: { exthdr: { name: 'frag' } }, right } });
const physdev = (unbridged: boolean) => ({ xt: { type: 'match', name: 'physdev', words: '', unbridged } });

describe('a rule of it and a drop', () => {
  for (const [what, statements, objects, verdict] of [
    ['a rate of bytes that is not reached', [{ limit: bytes }], [], 'drop'],
    ['a rate of bytes that is not passed', [{ limit: { ...bytes, inv: true } }], [], 'accept'],
    [
      'a named limit',
      [{ limit: 'l' }],
      [{ limit: { ...head, name: 'l', handle: 1, rate: 10, per: 'second' } }],
      'drop',
    ],
    ['a named limit that is not listed', [{ limit: 'l' }], [], 'undecided'],
    ['a quota with much left', [{ quota: { val: 10, val_unit: 'mbytes' } }], [], 'drop'],
    ['over a quota with much left', [{ quota: { val: 10, val_unit: 'mbytes', inv: true } }], [], 'accept'],
    ['over a quota that is used up', [{ quota: 'q' }], quotas(10_485_760, true), 'drop'],
    ['over a quota of which little is left', [{ quota: 'q' }], quotas(10_485_000, true), 'undecided'],
    ['over a quota of which much is left', [{ quota: 'q' }], quotas(1_000, true), 'accept'],
    ['a unit that nobody knows', [{ quota: { val: 10, val_unit: 'gbytes' } }], [], 'undecided'],
    ['a meter', [{ meter: { key: ip('saddr'), stmt: limit(), size: 65_535, name: 'm' } }], [], 'drop'],
    ['over a meter', [{ meter: { key: ip('saddr'), stmt: limit(true), size: 65_535, name: 'm' } }], [], 'accept'],
    [
      'a meter of what the packet lacks',
      [{ meter: { key: { payload: { protocol: 'ip6', field: 'saddr' } }, stmt: limit(), name: 'm' } }],
      [],
      'accept',
    ],
    [
      'an element with a quota',
      [
        {
          set: {
            op: 'add',
            elem: ip('saddr'),
            set: '@s',
            stmt: [{ quota: { val: 5, val_unit: 'mbytes', inv: true } }],
          },
        },
      ],
      [],
      'accept',
    ],
    ['an element of a map, as text', ['update @m { ip saddr : tcp sport }'], [], 'drop'],
    ['an element of a map with a limit, as text', ['update @m { ip saddr limit rate 1/second : 5 }'], [], 'undecided'],
    ['another text', ['something new'], [], 'undecided'],
    ['no connection beside its own', [{ 'ct count': { val: 0, inv: true } }], [], 'drop'],
    ['twenty connections', [{ 'ct count': { val: 20, inv: true } }], [], 'accept'],
    ['a named counter', [{ counter: 'c' }], [], 'drop'],
    ['a copy of the packet', [{ dup: { addr: '10.0.0.1', dev: 'lo' } }], [], 'drop'],
    ['a queue to a program', [{ queue: { num: 1, flags: 'bypass' } }], [], 'undecided'],
    ['synproxy', [{ synproxy: { mss: 1460, wscale: 7 } }], [], 'undecided'],
    ['fwd', [{ fwd: { dev: 'lo' } }], [], 'undecided'],
    ['no port of a bridge is asked, and there is none', [physdev(true)], [], 'drop'],
    ['a port of a bridge is asked, and there is none', [physdev(false)], [], 'accept'],
  ] as const)
    test(what, () => expect(fate(statements, objects)).toBe(verdict));

  test('what came by a bridge may have come by a port of it', () => {
    const { unbridged: _, ...bridged } = PACKET;
    expect(fate([physdev(false)], [], bridged)).toBe('undecided');
  });

  test.each([
    [exthdr('==', true), PACKET6, 'accept'],
    [exthdr('!=', true), PACKET6, 'drop'],
    [exthdr('==', false), PACKET6, 'drop'],
    [exthdr('==', false), PACKET, 'accept'],
  ])('IPv6 packets carry no header between: %j', (statement, packet, verdict) =>
    expect(fate([statement], [], packet)).toBe(verdict),
  );
});

test('a program that decides is named', () => {
  const listing = [
    { table: { family: 'inet', name: 't' } },
    { chain: { ...head, name: 'c', type: 'filter', hook: 'forward', prio: 0, policy: 'accept' } },
    { rule: { ...head, chain: 'c', expr: [{ queue: { num: 1 } }] } },
  ];
  const ruleset = prepareRuleset(readRuleset(JSON.stringify({ nftables: listing })));
  const evaluation = evaluate(ruleset, { hook: 'forward', type: 'filter' }, PACKET);
  expect(evaluation).toMatchObject({ verdict: 'undecided', why: expect.stringContaining('a program decides') });
  if ('decidedBy' in evaluation && evaluation.decidedBy !== undefined)
    expect(printReference(evaluation.decidedBy)).toBe('inet t c: {"queue":{"num":1}}');
});

test('a map that a rule writes is not known, though nft 1.0 prints its text alone', () => {
  const map = { ...head, name: 'm', type: 'ipv4_addr', map: 'inet_service', handle: 9 };
  const seen = { map: { key: ip('saddr'), data: '@m' } };
  const write = 'update @m { ip saddr : tcp sport }';
  const test = { match: { op: '==', left: { meta: { key: 'mark' } }, right: 5 } };
  const set = { mangle: { key: { meta: { key: 'mark' } }, value: seen } };
  expect(fate([write, set, test], [{ map }])).toBe('undecided');
  expect(fate([set, test], [{ map }])).toBe('accept');
});

describe('sockets', () => {
  const wildcard = { wildcard: true } as const;
  const socket = (key: string, right: number) => ({ match: { op: '==', left: { socket: { key } }, right } });
  const tproxy = { tproxy: { family: 'ip', addr: '127.0.0.1', port: 15_001 } };
  const match = (words: string) => ({ xt: { type: 'match', name: 'socket', words } });
  const target = { xt: { type: 'target', name: 'TPROXY', words: '', on: { port: 15_001, mark: 1, mask: 1 } } };
  for (const [what, statements, seen, verdict] of [
    ['none waits there', [socket('transparent', 1)], 'none', 'accept'],
    ['a transparent one is asked', [socket('transparent', 1)], { ...wildcard, transparent: true }, 'drop'],
    ['another is there', [socket('transparent', 1)], { ...wildcard, transparent: false }, 'accept'],
    ['what it is is not known', [socket('transparent', 1)], wildcard, 'undecided'],
    ['nobody looked', [socket('transparent', 1)], undefined, 'undecided'],
    ['one of all addresses is asked', [socket('wildcard', 1)], wildcard, 'drop'],
    ['-m socket, and none is there', [match('')], 'none', 'accept'],
    [
      '-m socket, and it is one of all addresses',
      [match('--transparent')],
      { ...wildcard, transparent: true },
      'accept',
    ],
    ['-m socket of any', [match('--transparent --nowildcard')], { ...wildcard, transparent: true }, 'drop'],
    ['tproxy to a socket', [tproxy], { wildcard: false, transparent: true }, 'drop'],
    ['tproxy to none ends the rule', [tproxy], 'none', 'accept'],
    ['tproxy to one that may not take it', [tproxy], { wildcard: false, transparent: false }, 'accept'],
    ['TPROXY to none drops', [target], 'none', 'drop'],
    ['TPROXY accepts', [target], { ...wildcard, transparent: true }, 'accept'],
  ] as const)
    test(what, () => expect(fate(statements, [], { ...PACKET, socketAt: () => seen })).toBe(verdict));

  test('a packet of a connection may be for the socket of it', () => {
    const tuple = { ...PACKET, sourcePort: 1, destinationPort: 2 };
    const connection: ConnectionContext = {
      state: 'established',
      direction: 'original',
      ...{ mark: 0, status: 0, zone: { original: 0, reply: 0 }, original: tuple, reply: tuple },
    };
    const packet: PacketContext = { ...PACKET, connection, socketAt: () => 'none' };
    expect(fate([socket('transparent', 1)], [], packet)).toBe('undecided');
  });
});
