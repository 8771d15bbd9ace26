/** Where others would stop us, and what is chosen to stand among their rules. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HostFacts, placeKey, printAccept, printPlace, readAccepts, withAccepts } from '../host/index.ts';
import { readIptablesSave } from '../iptables/index.ts';
import { parseAddress } from '../net/index.ts';
import {
  accept,
  baseChain,
  ct,
  drop,
  evaluate,
  flags,
  jump,
  match,
  meta,
  type PacketContext,
  prepareRuleset,
  regularChain,
  reject,
  rule,
  type Statement,
  type Table,
  text,
} from '../nftables/index.ts';
import { loadResources, printProblem } from '../resources/index.ts';
import { type Compiled, compile } from './index.ts';
import { edge, node } from './testdata/facts.ts';

const host = (name: string, more = ''): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } }${more} }\n---\n`;
const WIREGUARD =
  'type: WireGuard, ends: [{ host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "198.51.100.10:51820" }, { host: node, addresses: [10.90.0.2/30, "fd90::2/64"] }]';
const overPrivate = (type: string): string =>
  `type: ${type}, ends: [{ host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "172.31.0.1" }, { host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "172.31.0.2" }]`;
const DIRECT =
  'type: Direct, ends: [{ host: edge, addresses: [172.31.0.1, "fd31::1"] }, { host: node, addresses: [172.31.0.2, "fd31::2"] }]';
const tunnel = (spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: Tunnel\nmetadata: { name: t }\nspec: { ${spec} }\n---\n`;
const FORWARD = `apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec: { at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 80, targetPort: 8080 }], to: [{ host: node }] }
`;

interface Given {
  readonly onEdge?: readonly Table[];
  readonly onNode?: readonly Table[];
  readonly spec?: string;
  readonly forward?: string;
  readonly more?: string;
  readonly facts?: { readonly edge: HostFacts; readonly node: HostFacts };
}

const PRIVATE = {
  edge: edge({
    interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24', 'fd31::1/64'] },
  }),
  node: node({
    interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], priv0: ['172.31.0.2/24', 'fd31::2/64'] },
  }),
};

const withTables = (facts: HostFacts, tables: readonly Table[] = []): HostFacts => ({
  ...facts,
  state: { ...facts.state, tables, accepts: readAccepts(tables) },
});

function compiled({ onEdge, onNode, spec = WIREGUARD, forward = FORWARD, more = '', facts }: Given): Compiled {
  const documents = host('edge', more) + host('node') + tunnel(spec) + forward;
  const { set, problems } = loadResources([{ name: 'test.yaml', text: documents }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  const hosts = new Map([
    ['edge', withTables(facts?.edge ?? edge(), onEdge)],
    ['node', withTables(facts?.node ?? node(), onNode)],
  ]);
  return compile(set, hosts, { setName: 'default', version: '0.0.0' });
}

/** `HOST PLACE: what`, a line each. */
const chosen = (given: Given): readonly string[] => {
  const { hosts, problems } = compiled(given);
  expect(problems).toEqual([]);
  return [...hosts.values()].flatMap(({ name, state }) =>
    state.accepts.map((each) => `${name} ${printPlace(each.place)}: ${printAccept(each)}`),
  );
};

const iptables = (rules: string, family: 4 | 6 = 4, origin: Table['origin'] = 'iptables-nft'): readonly Table[] => {
  const { tables, problems } = readIptablesSave(
    `*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n${rules}\nCOMMIT\n`,
    {
      ...{ family, origin: origin ?? 'iptables-nft' },
    },
  );
  expect(problems).toEqual([]);
  return tables;
};

const nft = (...chains: Table['chains']): Table => ({
  ...{ family: 'inet', name: 'fw', sets: [], maps: [], chains, opaque: [] },
});
const forward = { type: 'filter', hook: 'forward', priority: 0 } as const;
const input = { type: 'filter', hook: 'input', priority: 0 } as const;
const answers = rule(match(ct('state'), 'in', flags('established', 'related')), accept);

describe('one accept in each chain that would stop us, and none where we come through', () => {
  for (const [name, given, expected] of [
    ['nothing of others', {}, []],
    [
      'chains that let all through',
      { onEdge: [nft(baseChain('f', forward, rule(accept)), baseChain('i', input))] },
      [],
    ],
    [
      'bans, of the networks for documentation too: whom they mean is refused, and nobody else',
      {
        onEdge: iptables(
          ['203.0.113.0/24', '198.51.100.64/26', '192.0.2.0/24', '100.64.0.0/10']
            .map((banned) => `-A FORWARD -s ${banned} -j DROP`)
            .join('\n'),
        ),
      },
      [],
    ],
    [
      'policy drop',
      { onEdge: [nft(baseChain('f', { ...forward, policy: 'drop' }))] },
      ['edge inet fw f: iifname "sp-wg51820"; oifname "sp-wg51820" (behind 0)'],
    ],
    [
      'policy drop but for answers: the way in alone is missing, and is opened behind what stands there',
      { onEdge: [nft(baseChain('f', { ...forward, policy: 'drop' }, answers))] },
      ['edge inet fw f: oifname "sp-wg51820" (behind 1)'],
    ],
    [
      'a rule that refuses in a chain that is called',
      {
        onEdge: [
          nft(baseChain('f', forward, answers, rule(jump('r')), rule(accept)), regularChain('r', rule(reject()))),
        ],
      },
      ['edge inet fw f: oifname "sp-wg51820" (behind 1)'],
    ],
    [
      'two base chains at one hook: one says nothing for the other',
      {
        onEdge: [
          nft(
            baseChain('f', { ...forward, policy: 'drop' }, answers),
            baseChain('g', { ...forward, priority: 5 }, answers, rule(drop)),
          ),
        ],
      },
      ['edge inet fw f: oifname "sp-wg51820" (behind 1)', 'edge inet fw g: oifname "sp-wg51820" (behind 1)'],
    ],
    [
      'the tunnel is let in where it is dialled, in the family of its endpoint',
      {
        onEdge: [...iptables('-A INPUT -j DROP'), ...iptables('-A INPUT -j DROP', 6)],
      },
      [
        'edge iptables -t filter INPUT: -i sp-wg51820; -p udp -m udp --dport 51820 (behind 0)',
        'edge ip6tables -t filter INPUT: -i sp-wg51820 (behind 0)',
      ],
    ],
    [
      'what a tunnel brings to the node is let in, whatever port it is',
      { onNode: [...iptables('-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -j REJECT')] },
      ['node iptables -t filter INPUT: -i sp-t (behind 1)'],
    ],
    [
      'where it lets in the declared port by itself, nothing is added',
      {
        onNode: [
          ...iptables(
            '-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p tcp --dport 8080 -j ACCEPT\n-A INPUT -j REJECT',
          ),
        ],
      },
      [],
    ],
    [
      'an output that is shut: who dials, and the answers of what came in',
      { onNode: [nft(baseChain('o', { type: 'filter', hook: 'output', priority: 0, policy: 'drop' }))] },
      ['node inet fw o: ct mark & 0x000000ff != 0x00000000; ip daddr 198.51.100.10 udp dport 51820 (behind 0)'],
    ],
    [
      'VXLAN: from the far end alone, and neighbour discovery',
      { spec: overPrivate('VXLAN'), facts: PRIVATE, onNode: [nft(baseChain('i', { ...input, policy: 'drop' }))] },
      ['node inet fw i: iifname "sp-t"; ip saddr 172.31.0.1 udp dport 4789 (behind 0)'],
    ],
    [
      'IPIP: both protocols that it is made of',
      {
        spec: overPrivate('IPIP'),
        facts: PRIVATE,
        onEdge: iptables('-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -j DROP'),
      },
      ['edge iptables -t filter INPUT: -s 172.31.0.2 -p 4; -s 172.31.0.2 -p 41 (behind 1)'],
    ],
    [
      'GRE, by the older kind of iptables',
      {
        spec: overPrivate('GRE'),
        facts: PRIVATE,
        onEdge: iptables(
          '-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -j DROP',
          4,
          'iptables-legacy',
        ),
      },
      ['edge iptables-legacy -t filter INPUT: -s 172.31.0.2 -p 47 (behind 1)'],
    ],
    [
      'over a private network there is no link of ours: the connections are told by their mark',
      {
        spec: DIRECT,
        facts: PRIVATE,
        onEdge: iptables('-A FORWARD -j DROP'),
        onNode: iptables('-A INPUT -j DROP'),
      },
      [
        'edge iptables -t filter FORWARD: -m connmark ! --mark 0x0/0xff (behind 0)',
        'node iptables -t filter INPUT: -m connmark ! --mark 0x0/0xff (behind 0)',
      ],
    ],
    [
      'a chain before our own table has marked anything is left alone where only the mark would tell',
      {
        onEdge: [
          nft(
            baseChain(
              'p',
              { type: 'filter', hook: 'prerouting', priority: -300 },
              rule(match(meta('iifname'), '==', text('eth0')), drop),
            ),
          ),
        ],
      },
      ['edge inet fw p: udp dport 51820 (behind 0)'],
    ],
  ] as readonly (readonly [string, Given, readonly string[]])[])
    test(name, () => expect(chosen(given)).toEqual(expected));
});

describe('DOCKER-USER', () => {
  const DOCKER = `:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -j DROP`;
  test('is where it is meant to be, before it goes back', () => {
    expect(
      chosen({ onEdge: iptables(`${DOCKER}\n-A DOCKER-USER -s 192.0.2.66/32 -j DROP\n-A DOCKER-USER -j RETURN`) }),
    ).toEqual(['edge iptables -t filter DOCKER-USER: -o sp-wg51820 (behind 1)']);
  });
  test('is not where nothing calls it', () => {
    expect(chosen({ onEdge: iptables(DOCKER.replace('-A FORWARD -j DOCKER-USER\n', '')) })).toEqual([
      'edge iptables -t filter FORWARD: -o sp-wg51820 (behind 1)',
    ]);
  });
  test('is not where it is called too late', () => {
    const late = DOCKER.replace('-A FORWARD -j DOCKER-USER\n', '').replace(
      '-j DROP',
      '-j DROP\n-A FORWARD -j DOCKER-USER',
    );
    expect(chosen({ onEdge: iptables(late) })).toEqual(['edge iptables -t filter FORWARD: -o sp-wg51820 (behind 1)']);
  });
});

describe('what programs write, as iptables-save shows it', () => {
  for (const [owner, expected] of [
    ['docker', ['edge iptables -t filter DOCKER-USER: -i sp-wg51820; -o sp-wg51820 (behind 0)']],
    ['tailscale', []],
    ['cilium', []],
    ['istio', []],
    ['wg-quick', []],
  ] as const)
    test(owner, () => {
      const path = new URL(`testdata/foreign/${owner}.iptables-save`, import.meta.url);
      const { tables } = readIptablesSave(readFileSync(path, 'utf8'), { family: 4, origin: 'iptables-nft' });
      expect(chosen({ onEdge: tables, onNode: tables }).filter((line) => line.startsWith('edge'))).toEqual(expected);
    });
});

describe('who may dial', () => {
  const shut = '-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -j DROP';
  test('an owner who opened the port for somebody knows who dials: nobody else is let in', () => {
    expect(chosen({ onEdge: iptables(`-A INPUT -s 192.0.2.0/24 -p udp --dport 51820 -j ACCEPT\n${shut}`) })).toEqual(
      [],
    );
  });
  test('one who trusts somebody in everything says nothing of the tunnel', () => {
    const trusting = iptables(`-A INPUT -s 192.0.2.0/24 -j ACCEPT\n${shut}`);
    expect(chosen({ onEdge: trusting })).toEqual([
      'edge iptables -t filter INPUT: -p udp -m udp --dport 51820 (behind 2)',
    ]);
    expect(compiled({ onEdge: trusting, more: ', foreignFirewall: Refuse' }).problems).toEqual([]);
  });
});

describe('Refuse', () => {
  const shut: Table = nft({
    ...baseChain('f', forward),
    rules: [
      { ...answers, handle: 4 },
      { ...rule(match(meta('iifname'), '==', text('eth0')), drop), handle: 7 },
    ],
  });
  test('names the rule with its table, chain and handle', () => {
    const { problems } = compiled({ onEdge: [shut], more: ', foreignFirewall: Refuse' });
    expect(problems.map(printProblem)).toEqual([
      'test.yaml:4:61: spec.foreignFirewall: edge: inet fw f: iifname "eth0" drop (handle 7) stops what leaves by sp-wg51820, and foreignFirewall is Refuse',
    ]);
  });
  test('Accommodate tells the same in the plan', () => {
    expect(compiled({ onEdge: [shut] }).hosts.get('edge')?.notes).toContain(
      'inet fw f: iifname "eth0" drop (handle 7) stops what leaves by sp-wg51820: let through in inet fw f',
    );
  });
});

describe('what stands already', () => {
  const CHAIN =
    '-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A FORWARD -s 192.0.2.66/32 -j DROP\n-A FORWARD -j DROP';
  const OURS = '-A FORWARD -o sp-wg51820 -m comment --comment sallyport -j ACCEPT';
  const place = 'edge iptables -t filter FORWARD: -o sp-wg51820';
  const [established = '', banned = '', all = ''] = CHAIN.split('\n');
  for (const [name, rules, expected] of [
    ['stays where it does its work', [OURS, established, banned, all], `${place} (behind 0)`],
    ['counts for nothing where it does not', [established, banned, all, OURS], `${place} (behind 2)`],
    ['is put together again', [established, OURS, banned, OURS, all], `${place} (behind 2)`],
    ["and is not taken for its owner's", [established, banned, OURS, all], `${place} (behind 2)`],
  ] as const)
    test(name, () => expect(chosen({ onEdge: iptables(rules.join('\n')) })).toEqual([expected]));
});

test('a table of flags, and one that nft hides, are not written into', () => {
  const flagged: Table = {
    ...nft(baseChain('f', { ...forward, policy: 'drop' })),
    opaque: [{ table: { flags: ['owner'] } }],
  };
  const hidden: Table = {
    ...nft({
      ...baseChain('f', { ...forward, policy: 'drop' }),
      rules: [rule({ kind: 'opaque', json: { xt: { name: 'recent' } } } as Statement)],
    }),
    ...{ family: 'ip', name: 'filter' },
  };
  for (const table of [flagged, hidden]) expect(chosen({ onEdge: [table] })).toEqual([]);
  expect(
    compiled({ onEdge: [flagged] })
      .hosts.get('edge')
      ?.notes.join(),
  ).toContain('no accept of ours can stand there');
});

test("a rule that is not understood is left alone, and what another's mark says is not taken for a mark of ours", () => {
  const unknown = nft(baseChain('f', forward, rule({ kind: 'opaque', json: { quota: 1 } }, drop)));
  expect(chosen({ onEdge: [unknown] })).toEqual([]);
  const own = iptables(
    '-A FORWARD -m connmark ! --mark 0x0/0xff -m comment --comment sallyport -j ACCEPT\n-A FORWARD -j DROP',
  );
  expect(compiled({ onEdge: own }).hosts.get('edge')?.record?.numbers.mark.mask).toBe(0xff);
});

// ---- nobody else

const at = (value: string) => {
  const parsed = parseAddress(value);
  if (parsed === undefined) throw new Error(value);
  return parsed;
};
const LINKS = ['eth0', 'eth1', 'docker0', 'lo'];
const anyPacket: fc.Arbitrary<PacketContext> = fc
  .record({
    source: fc.constantFrom('192.0.2.66', '203.0.113.77', '10.0.0.1', '198.51.100.10').map(at),
    destination: fc.constantFrom('198.51.100.10', '192.168.1.20', '10.90.0.2', '172.17.0.2').map(at),
    protocol: fc.constantFrom(1, 4, 6, 17, 41, 47),
    destinationPort: fc.constantFrom(22, 80, 8080, 4789, 51_821),
    iif: fc.constantFrom(...LINKS),
    oif: fc.constantFrom(...LINKS),
    state: fc.constantFrom('new', 'established', 'related', 'invalid'),
    mark: fc.constantFrom(0, 0x100, 0xff00),
  })
  .map(({ state, mark, ...rest }) => {
    const tuple = { ...rest, sourcePort: 1 };
    const connection = {
      state: state as 'new',
      direction: 'original',
      mark,
      status: 0,
      zone: { original: 0, reply: 0 },
    } as const;
    return {
      ...{ ...tuple, family: 4, mark: 0, addressType: () => 'unicast' as const },
      connection: { ...connection, original: tuple, reply: tuple },
    };
  });

const anyCondition = fc.constantFrom(
  ...[
    '',
    '-i eth0',
    '-o docker0',
    '-s 192.0.2.66/32',
    '-d 192.168.1.20/32',
    '-p tcp --dport 80',
    '-p udp',
    '-m conntrack --ctstate ESTABLISHED,RELATED',
  ],
);
const anyOwner = fc
  .array(
    fc.tuple(
      fc.constantFrom('INPUT', 'FORWARD', 'OUTPUT', 'DOCKER-USER'),
      anyCondition,
      fc.constantFrom('ACCEPT', 'DROP', 'RETURN', 'REJECT'),
    ),
    { maxLength: 6 },
  )
  .map((rules) =>
    iptables(
      [
        ':DOCKER-USER - [0:0]',
        '-A FORWARD -j DOCKER-USER',
        ...rules.map(([chain, condition, target]) => `-A ${chain} ${condition} -j ${target}`),
      ].join('\n'),
    ),
  );

test('whatever its owner wrote: ours comes through, and everybody else fares as before', () => {
  const fate = (tables: readonly Table[], hook: 'input' | 'forward' | 'output', packet: PacketContext): string => {
    const found = evaluate(prepareRuleset(tables), { hook, type: 'filter' }, packet);
    return found.verdict;
  };
  fc.assert(
    fc.property(anyOwner, fc.array(anyPacket, { minLength: 5, maxLength: 10 }), (tables, packets) => {
      const { hosts, problems } = compiled({ onEdge: tables, onNode: tables });
      expect(problems).toEqual([]);
      for (const { name, state, notes } of hosts.values()) {
        const made = withAccepts(tables, state.accepts);
        expect(notes.join()).not.toContain('no accept of ours');
        expect(new Set(state.accepts.map(({ place }) => placeKey(place))).size).toBe(state.accepts.length);
        for (const packet of packets)
          for (const hook of ['input', 'forward', 'output'] as const)
            expect(fate(made, hook, packet)).toBe(fate(tables, hook, packet));
        // Made and looked at again, it is what is wanted.
        const again = compiled(name === 'edge' ? { onEdge: made, onNode: tables } : { onEdge: tables, onNode: made });
        expect(again.hosts.get(name)?.state.accepts).toEqual(state.accepts);
      }
    }),
    { numRuns: 150 },
  );
}, 60_000);
