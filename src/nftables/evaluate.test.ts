import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, parseAddress, parsePrefix } from '../net/index.ts';
import {
  accept,
  address,
  and,
  anonymousMap,
  anonymousSet,
  assign,
  type BaseChain,
  baseChain,
  type Chain,
  concat,
  counter,
  ct,
  dnat,
  drop,
  type Evaluation,
  evaluate,
  fib,
  flags,
  goTo,
  join,
  jump,
  lookup,
  mapElement,
  masquerade,
  match,
  meta,
  type NamedMap,
  type NamedSet,
  number,
  or,
  type PacketContext,
  payload,
  portAnswers,
  prefix,
  prepareRuleset,
  printReference,
  range,
  regularChain,
  reject,
  returnVerdict,
  rule,
  type Statement,
  setElement,
  setReference,
  symbol,
  type Table,
  text,
  verdictMap,
} from './index.ts';

const at = (written: string): Address => {
  const read = parseAddress(written);
  if (read === undefined) throw new TypeError(written);
  return read;
};
const net = (written: string) => {
  const read = parsePrefix(written);
  if (read === undefined) throw new TypeError(written);
  return prefix(read);
};

const packet: PacketContext = {
  ...{ family: 4, source: at('192.0.2.7'), destination: at('198.51.100.10'), protocol: 6, mark: 0x100 },
  ...{ sourcePort: 40_000, destinationPort: 80, tcpFlags: 2, maxseg: 1460, iif: 'eth0', oif: 'sp-a' },
  connection: {
    ...{ state: 'new', direction: 'original', mark: 0, status: 0, zone: { original: 0, reply: 0 } },
    original: {
      source: at('192.0.2.7'),
      destination: at('203.0.113.9'),
      protocol: 6,
      sourcePort: 40_000,
      destinationPort: 80,
    },
    reply: {
      source: at('203.0.113.9'),
      destination: at('192.0.2.7'),
      protocol: 6,
      sourcePort: 80,
      destinationPort: 40_000,
    },
  },
  // Of eth0.
  addressType: ({ value }, link = 'eth0') =>
    value === at('198.51.100.10').value && link === 'eth0' ? 'local' : 'unicast',
};

const table = (name: string, chains: readonly Chain[], more: Partial<Table> = {}): Table => ({
  ...{ family: 'inet', name, sets: [], maps: [], opaque: [] },
  chains,
  ...more,
});
const forward = (name: string, priority: number, ...rules: BaseChain['rules']): BaseChain =>
  baseChain(name, { type: 'filter', hook: 'forward', priority }, ...rules);

const run = (tables: readonly Table[], of: PacketContext = packet, type: 'filter' | 'nat' = 'filter'): Evaluation =>
  evaluate(prepareRuleset(tables), { hook: type === 'nat' ? 'prerouting' : 'forward', type }, of);
const decided = (evaluation: Evaluation): string =>
  evaluation.verdict === 'undecided'
    ? `undecided: ${evaluation.why}`
    : `${evaluation.verdict}${evaluation.decidedBy === undefined ? '' : ` by ${printReference(evaluation.decidedBy)}`}`;

describe('chains', () => {
  for (const [what, tables, fate] of [
    ['nothing stands there', [], 'accept'],
    [
      'what one base chain accepts a later one may drop',
      [table('a', [forward('first', -5, rule(accept))]), table('b', [forward('second', 0, rule(counter, drop))])],
      'drop by inet b second: counter drop',
    ],
    [
      'what is dropped first never comes to the later one',
      [table('a', [forward('late', 5, rule(reject()))]), table('b', [forward('early', 0, rule(drop))])],
      'drop by inet b early: drop',
    ],
    ['a policy decides', [table('a', [{ ...forward('f', 0), policy: 'drop' }])], 'drop by inet a f: policy drop'],
    [
      'what comes back from a jump goes on',
      [
        table('a', [
          forward('f', 0, rule(jump('g')), rule(drop)),
          regularChain('g', rule(returnVerdict), rule(accept)),
        ]),
      ],
      'drop by inet a f: drop',
    ],
    [
      'what goes to a chain does not come back',
      [table('a', [forward('f', 0, rule(goTo('g')), rule(drop)), regularChain('g')])],
      'accept',
    ],
    [
      'what goes from a jumped chain comes back to the one that jumped',
      [
        table('a', [
          forward('f', 0, rule(jump('g')), rule(drop)),
          regularChain('g', rule(goTo('h')), rule(accept)),
          regularChain('h'),
        ]),
      ],
      'drop by inet a f: drop',
    ],
    [
      'return in a base chain is its policy',
      [table('a', [forward('f', 0, rule(returnVerdict), rule(drop))])],
      'accept',
    ],
    ['a table of the other family', [table('a', [forward('f', 0, rule(drop))], { family: 'ip6' })], 'accept'],
    ['a reject', [table('a', [forward('f', 0, rule(reject()))])], 'reject by inet a f: reject'],
    [
      'a reject of the other family, whose test nft does not list',
      [table('a', [forward('f', 0, rule(reject('icmpv6')))])],
      'accept',
    ],
    [
      'a reject of its own family',
      [table('a', [forward('f', 0, rule(reject('icmp')))])],
      'reject by inet a f: reject with icmp',
    ],
    ['a missing chain', [table('a', [forward('f', 0, rule(jump('gone')))])], /^undecided: there is no chain gone/],
    [
      'a ring',
      [table('a', [forward('f', 0, rule(jump('g'))), regularChain('g', rule(jump('g')))])],
      /^undecided: chains nest too deep/,
    ],
    [
      'a table that cannot be listed',
      [table('a', [], { opaque: [{ unlisted: 'Operation not supported' }] })],
      /^undecided: cannot be read/,
    ],
    [
      'a set that is not modelled and nobody asks for',
      [table('a', [forward('f', 0)], { opaque: [{ flowtable: {} }] })],
      'accept',
    ],
  ] as const)
    test(what, () => {
      if (typeof fate === 'string') expect(decided(run(tables))).toBe(fate);
      else expect(decided(run(tables))).toMatch(fate);
    });
});

const named = (
  elements: NamedSet['elements'],
  type: readonly string[],
  more: readonly ('interval' | 'dynamic')[] = [],
): NamedSet => ({
  ...{ name: 's', type, flags: more, elements },
});
const triple = ['ipv4_addr', 'inet_proto', 'inet_service'];
const key = join(payload('ip', 'daddr'), meta('l4proto'), payload('th', 'dport'));

describe('tests', () => {
  for (const [what, statement, matches, set] of [
    ['an address', match(payload('ip', 'saddr'), '==', address(at('192.0.2.7'))), true],
    ['a prefix', match(payload('ip', 'saddr'), '==', net('192.0.2.0/24')), true],
    ['not a prefix', match(payload('ip', 'saddr'), '!=', net('192.0.2.0/24')), false],
    [
      'a masked address',
      match(and(payload('ip', 'saddr'), address(at('255.255.255.0'))), '==', address(at('192.0.2.0'))),
      true,
    ],
    ['a header of the other family', match(payload('ip6', 'saddr'), '!=', address(at('::1'))), false],
    ['a header of another protocol', match(payload('udp', 'dport'), '!=', number(1)), false],
    ['a port range', match(payload('tcp', 'dport'), '==', range(79, 81)), true],
    ['a greater port', match(payload('tcp', 'dport'), '>', number(80)), false],
    ['a name that begins so', match(meta('oifname'), '==', text('sp-*')), true],
    ['no device yet', match(meta('oifname'), '==', text('')), false],
    ['a masked mark', match(and(meta('mark'), number(0xff00)), '==', number(0x100)), true],
    ['any of the states', match(ct('state'), 'in', flags('established', 'new')), true],
    ['a set of states', match(ct('state'), '==', anonymousSet(symbol('established'), symbol('related'))), false],
    ['the original destination', match(ct('ip daddr', 'original'), '==', address(at('203.0.113.9'))), true],
    ['an address of the host', match(fib('type', 'daddr'), '==', symbol('local')), true],
    ['an address of the link it came by', match(fib('type', 'daddr', 'iif'), '==', symbol('local')), true],
    ['an address of the link it leaves by', match(fib('type', 'daddr', 'oif'), '==', symbol('local')), false],
    ['flags of TCP', match(and(payload('tcp', 'flags'), flags('syn', 'rst')), '==', symbol('syn')), true],
    [
      'a key in a set',
      match(key, '==', setReference('s')),
      true,
      named([setElement(concat(address(packet.destination), symbol('tcp'), number(80)))], triple),
    ],
    [
      'a key in an interval',
      match(key, '==', setReference('s')),
      true,
      named([setElement(concat(address(packet.destination), symbol('tcp'), range(70, 90)))], triple, ['interval']),
    ],
    [
      'a key beside the intervals',
      match(key, '==', setReference('s')),
      false,
      named([setElement(concat(address(packet.destination), symbol('tcp'), range(81, 90)))], triple, ['interval']),
    ],
    [
      'an address in a set of prefixes',
      match(payload('ip', 'saddr'), '==', setReference('s')),
      true,
      named([setElement(net('10.0.0.0/8')), setElement(net('192.0.2.0/24'))], ['ipv4_addr'], ['interval']),
    ],
    [
      'a name in a set of names and beginnings',
      match(meta('oifname'), '==', setReference('s')),
      true,
      named([setElement(text('eth*')), setElement(text('sp-*'))], ['ifname'], ['interval']),
    ],
  ] as readonly (readonly [string, Statement, boolean, NamedSet?])[])
    test(what, () => {
      const tables = [table('a', [forward('f', 0, rule(statement, drop))], { sets: set === undefined ? [] : [set] })];
      expect(run(tables).verdict).toBe(matches ? 'drop' : 'accept');
    });
});

describe('of an echo, whose first bytes are no ports', () => {
  const { sourcePort: _, destinationPort: __, tcpFlags: ___, ...rest } = packet;
  const echo: PacketContext = { ...rest, protocol: 1, icmpType: 8 };
  const triples = named([setElement(concat(address(packet.destination), symbol('tcp'), number(80)))], triple);
  for (const [what, statement, verdict] of [
    ['the type and code stand first', match(payload('th', 'sport'), '==', number(0x800)), 'drop'],
    ['the checksum stands next, and nobody knows it', match(payload('th', 'dport'), '!=', number(80)), 'undecided'],
    ['it is in no set of others, whatever that is', match(key, '==', setReference('s')), 'accept'],
    ['it may be in a set of its own protocol', match(key, '==', setReference('echoes')), 'undecided'],
  ] as const)
    test(what, () => {
      const echoes = {
        ...named([setElement(concat(address(packet.destination), symbol('icmp'), number(80)))], triple),
        name: 'echoes',
      };
      const sets = [triples, echoes];
      expect(run([table('a', [forward('f', 0, rule(statement, drop))], { sets })], echo).verdict).toBe(verdict);
    });
});

const opaque = (json: unknown): Statement => ({ kind: 'opaque', json });
const doubt = opaque({ match: { left: { osf: 'name' } } });

describe('what is not modelled', () => {
  for (const [what, rules, fate] of [
    ['and is not reached', [rule(match(meta('iifname'), '==', text('docker0')), opaque({ xt: null }), drop)], 'accept'],
    ['and changes nothing', [rule(opaque({ log: null }), drop)], 'drop'],
    ['and leads to the same end either way', [rule(doubt, drop), rule(drop)], 'drop'],
    ['and decides', [rule(doubt, drop)], 'undecided'],
    ['a mark that only one way sets', [rule(doubt, assign(meta('mark'), 5))], 'undecided'],
    ['what may do anything', [rule(opaque({ xt: { type: 'target', name: 'TPROXY' } })), rule(drop)], 'undecided'],
    ['a set that rules add to', [rule(match(payload('ip', 'saddr'), '==', setReference('s')), drop)], 'undecided'],
    ['a target of iptables that only logs', [rule(opaque({ xt: { type: 'target', name: 'LOG' } }), drop)], 'drop'],
    ['one that rejects', [rule(opaque({ xt: { type: 'target', name: 'REJECT' } }))], 'reject'],
    ['the time of day', [rule(match(meta('hour'), '>', 8), drop)], 'undecided'],
  ] as const)
    test(what, () => {
      const set = named([], ['ipv4_addr'], ['dynamic']);
      expect(run([table('a', [forward('f', 0, ...rules)], { sets: [set] })]).verdict).toBe(fate);
    });

  test('tells of all rules that may be the one', () => {
    const [maybe, surely] = [rule(doubt, drop), rule(drop)];
    expect(run([table('a', [forward('f', 0, maybe, surely)])])).toMatchObject({
      ...{ verdict: 'drop', decidedBy: { rule: surely } },
      orBy: [{ rule: maybe }],
    });
    expect(run([table('a', [forward('f', 0, surely, maybe)])])).not.toHaveProperty('orBy');
  });

  test('is named with its rule', () =>
    expect(decided(run([table('a', [forward('f', 0, rule(doubt, drop))])]))).toBe(
      'undecided: not modelled, and the fate depends on it: inet a f: {"match":{"left":{"osf":"name"}}} drop',
    ));
});

const nat = (name: string, priority: number, ...rules: BaseChain['rules']): BaseChain =>
  baseChain(name, { type: 'nat', hook: 'prerouting', priority }, ...rules);
const changes = (evaluation: Evaluation) => (evaluation.verdict === 'undecided' ? evaluation.why : evaluation.changes);

describe('changes', () => {
  const marking = table('a', [
    forward(
      'f',
      0,
      rule(assign(meta('mark'), or(and(meta('mark'), number(0xff00)), number(1))), assign(ct('mark'), 7)),
    ),
  ]);
  test('marks of packet and connection', () =>
    expect(changes(run([marking]))).toEqual({ mark: 0x101, connectionMark: 7 }));

  test('a connection that is not there has no mark', () => {
    const { connection: _, ...untracked } = packet;
    expect(changes(run([marking], untracked))).toEqual({ mark: 0x101 });
  });

  const map: NamedMap = {
    ...{ name: 'm', type: triple, data: ['ipv4_addr', 'inet_service'], flags: [] },
    elements: [
      mapElement(
        concat(address(packet.destination), symbol('tcp'), number(80)),
        concat(address(at('10.0.0.1')), number(8080)),
      ),
    ],
  };
  test('the first nat chain that translates ends it', () => {
    const tables = [
      table('late', [nat('l', -90, rule(dnat('ip', address(at('10.9.9.9')))))]),
      table('a', [nat('p', -110, rule(dnat('ip', lookup(key, setReference('m')))))], { maps: [map] }),
    ];
    expect(changes(run(tables, packet, 'nat'))).toEqual({
      translation: { kind: 'dnat', address: at('10.0.0.1'), port: 8080 },
    });
  });

  test('a key that the map lacks ends the rule alone', () => {
    const chain = nat('p', 0, rule(dnat('ip', lookup(key, setReference('m')))), rule(masquerade()));
    const tables = [table('a', [chain], { maps: [{ ...map, elements: [] }] })];
    expect(changes(run(tables, packet, 'nat'))).toEqual({ translation: { kind: 'masquerade' } });
  });

  test('a mark set in a chain of type route has the way looked up again', () => {
    const out = baseChain('o', { type: 'route', hook: 'output', priority: -150 }, rule(assign(meta('mark'), 1)));
    const result = evaluate(prepareRuleset([table('a', [out])]), { hook: 'output', type: 'filter' }, packet);
    expect(changes(result)).toEqual({ mark: 1, reroute: true });
  });

  test('a verdict map jumps', () => {
    const vmap = verdictMap(
      and(meta('mark'), number(0xff00)),
      anonymousMap(mapElement(number(0x100), { kind: 'jump', chain: 'g' })),
    );
    expect(decided(run([table('a', [forward('f', 0, rule(vmap)), regularChain('g', rule(drop))])]))).toBe(
      'drop by inet a g: drop',
    );
  });
});

test('a map of 50,000 elements answers for each of 10,000 packets', () => {
  const elements = Array.from({ length: 50_000 }, (_, index) =>
    mapElement(
      concat(address({ family: 4, value: BigInt(index) }), symbol('tcp'), number(80)),
      address(at('10.0.0.1')),
    ),
  );
  const map: NamedMap = { name: 'm', type: triple, data: ['ipv4_addr'], flags: [], elements };
  const ruleset = prepareRuleset([
    table('a', [nat('p', 0, rule(dnat('ip', lookup(key, setReference('m')))))], { maps: [map] }),
  ]);
  for (let index = 0; index < 10_000; index++) {
    const result = evaluate(
      ruleset,
      { hook: 'prerouting', type: 'nat' },
      { ...packet, destination: { family: 4, value: BigInt(index) } },
    );
    expect(result.verdict === 'accept' && result.changes.translation !== undefined).toBe(true);
  }
});

test('ports that no rule tells apart have the same answers, and then the same fate', () => {
  const anyPort = fc.integer({ min: 1, max: 12 });
  const anyTest = fc.oneof(
    anyPort.map((port) => match(payload('tcp', 'dport'), '==', number(port))),
    fc
      .tuple(anyPort, anyPort)
      .map(([a, b]) => match(payload('th', 'dport'), '==', range(Math.min(a, b), Math.max(a, b)))),
    anyPort.map((port) => match(payload('tcp', 'sport'), '<', number(port))),
    anyPort.map((port) =>
      match(join(meta('iifname'), payload('th', 'dport')), '==', anonymousSet(concat(text('eth0'), number(port)))),
    ),
    fc.constant(match(meta('iifname'), '==', text('eth1'))),
  );
  const anyRule = fc.tuple(anyTest, fc.constantFrom(accept, drop, jump('g'))).map((parts) => rule(...parts));
  fc.assert(
    fc.property(
      fc.array(anyRule, { maxLength: 4 }),
      fc.array(anyTest, { maxLength: 3 }),
      anyPort,
      anyPort,
      (rules, inner, one, other) => {
        const chains = [forward('f', 0, ...rules), regularChain('g', ...inner.map((each) => rule(each, drop)))];
        const ruleset = prepareRuleset([table('a', chains)]);
        const [left, right] = [one, other].map((port) => {
          const of = { ...packet, destinationPort: port, sourcePort: port };
          const asked = { packet: of, isAnswer: false, links: ['eth0', 'eth1'], relative: [] };
          return {
            answers: portAnswers(ruleset, asked),
            fate: evaluate(ruleset, { hook: 'forward', type: 'filter' }, of).verdict,
          };
        });
        fc.pre(left?.answers === right?.answers);
        expect(left?.fate).toBe(right?.fate);
      },
    ),
  );
});

test('the first zone counts, and notrack does nothing beside it', () => {
  const zone = (id: number): Statement => assign(ct('zone'), number(id));
  const untracked: Statement = { kind: 'notrack' };
  for (const statements of [
    [zone(1), untracked, zone(2)],
    [untracked, zone(1)],
  ]) {
    const chain = baseChain('raw', { type: 'filter', hook: 'prerouting', priority: -300 }, rule(...statements));
    const ruleset = prepareRuleset([{ family: 'ip', name: 't', sets: [], maps: [], chains: [chain], opaque: [] }]);
    const { connection: _, ...fresh } = packet;
    expect(evaluate(ruleset, { hook: 'prerouting', type: 'filter' }, fresh)).toMatchObject({
      changes: { zone: { id: 1 } },
    });
    expect(evaluate(ruleset, { hook: 'prerouting', type: 'filter' }, fresh)).not.toHaveProperty('changes.notrack');
  }
});

test('what has a zone is new to the rules before conntrack, untracked or not', () => {
  const { connection: _, ...fresh } = packet;
  for (const [statements, seen, expected] of [
    [[], fresh, 'accept'],
    [[assign(ct('zone'), number(1))], fresh, 'drop'],
    [[assign(ct('zone'), number(1))], { ...fresh, untracked: true }, 'drop'],
    [[{ kind: 'notrack' }], fresh, 'accept'],
  ] satisfies readonly (readonly [readonly Statement[], PacketContext, string])[]) {
    const rules = [rule(...statements), rule(match(ct('state'), '==', symbol('new')), drop)];
    const chain = baseChain('raw', { type: 'filter', hook: 'prerouting', priority: -300 }, ...rules);
    const ruleset = prepareRuleset([{ family: 'ip', name: 't', sets: [], maps: [], chains: [chain], opaque: [] }]);
    expect(evaluate(ruleset, { hook: 'prerouting', type: 'filter' }, seen).verdict).toBe(expected);
  }
});
