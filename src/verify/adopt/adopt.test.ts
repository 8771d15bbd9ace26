import { describe, expect, test } from 'vitest';
import { compile } from '../../compile/index.ts';
import type { HandMade, HostFacts } from '../../host/index.ts';
import { readIptablesSave } from '../../iptables/index.ts';
import { parsePrefix, wholeFamily } from '../../net/index.ts';
import { loadResources } from '../../resources/index.ts';
import type { Route, RoutingRule } from '../../routing/index.ts';
import { at, edge, hostText, node, tunnelText } from '../testdata/sketch.ts';
import { adopt } from './adopt.ts';

const ROUTERS = {
  'net/ipv4/ip_forward': '1',
  'net/ipv4/conf/all/forwarding': '1',
  'net/ipv4/conf/eth0/forwarding': '1',
  'net/ipv4/conf/priv0/forwarding': '1',
};
const FROM: RoutingRule = {
  ...{ family: 4, priority: 100, protocol: 3, action: { kind: 'lookup', table: 123 } },
  ...{ from: parsePrefix('172.31.0.2/32') ?? wholeFamily(4) },
};
const BACK: Route = {
  ...{ table: 123, destination: wholeFamily(4), type: 'unicast', metric: 0, protocol: 3 },
  ...{ gateway: at('172.31.0.1'), link: 'priv0' },
};

const documents = (forward: string): string =>
  hostText('edge') +
  hostText('node') +
  tunnelText('t', 'Direct', '{ host: edge, addresses: [172.31.0.1] }', '{ host: node, addresses: [172.31.0.2] }') +
  `apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec:
  at: { hosts: [edge], addresses: [198.51.100.10] }
  to: [{ host: node, via: t, address: 172.31.0.2 }]
  ${forward}
`;

interface Case {
  readonly nat?: readonly string[];
  readonly forward?: readonly string[];
  readonly policy?: 'ACCEPT' | 'DROP';
  readonly asks?: string;
  readonly rule?: boolean;
  readonly noFlows?: string;
}

/** Which of these rules are taken over, and which stay, each in its own words. */
function judged({
  nat = [],
  forward = [],
  policy = 'DROP',
  asks = 'ports: [{ protocol: TCP, port: 80 }]',
  rule = false,
  noFlows,
}: Case) {
  const { set, problems } = loadResources([{ name: 'test.yaml', text: documents(asks) }]);
  if (set === undefined) throw new Error(problems.map(({ what }) => what).join('\n'));
  const save = `*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n${nat.join('\n')}\nCOMMIT\n*filter\n:FORWARD ${policy} [0:0]\n${forward.join('\n')}\nCOMMIT\n`;
  const reading = readIptablesSave(save, { family: 4, origin: 'iptables-nft' });
  expect(reading.problems).toEqual([]);
  const interfaces = (own: string, last: number) => ({ eth0: [own], priv0: [`172.31.0.${last}/24`] });
  const [bareEdge, bareNode] = [
    edge({
      interfaces: interfaces('198.51.100.10/24', 1),
      sysctls: ROUTERS,
      routes: [['default', '198.51.100.1', 'eth0']],
    }),
    node({ interfaces: interfaces('192.168.1.20/24', 2), routes: [['default', '192.168.1.1', 'eth0']] }),
  ];
  const facts = new Map<string, HostFacts>([
    [
      'edge',
      { ...bareEdge, state: { ...bareEdge.state, tables: reading.tables }, ...(noFlows !== undefined && { noFlows }) },
    ],
    [
      'node',
      rule
        ? {
            ...bareNode,
            state: {
              ...bareNode.state,
              rules: [...bareNode.state.rules, FROM],
              routes: [...bareNode.state.routes, BACK],
            },
          }
        : bareNode,
    ],
  ]);
  const compileFor = (known: ReadonlyMap<string, HostFacts>) =>
    compile(set, known, { setName: 'default', version: '0' });
  const { taken, left } = adopt(set, facts, compileFor, new Map([['edge', []]]));
  const text = (made: HandMade): string => (made.kind === 'rule' ? 'ip rule' : made.text);
  return {
    taken: [...taken.values()].flat().map(text).sort(),
    left: [...left.values()]
      .flat()
      .map(({ made }) => text(made))
      .sort(),
    why: [...left.values()]
      .flat()
      .map(({ why }) => why)
      .join('\n'),
  };
}

const DNAT = '-A PREROUTING -d 198.51.100.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.31.0.2';
const ACCEPT = '-A FORWARD -i eth0 -o priv0 -p tcp -m tcp --dport 80 -j ACCEPT';
const REPLIES = '-A FORWARD -i priv0 -o eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT';
const CLASSIC: Case = { nat: [DNAT], forward: [ACCEPT, REPLIES], rule: true };

describe('taken over whole', () => {
  for (const [what, given] of [
    ['the classic set', CLASSIC],
    ['a rule that stands there twice', { ...CLASSIC, nat: [DNAT, DNAT] }],
    [
      'what only some were allowed, where the documents allow all',
      { ...CLASSIC, nat: [DNAT.replace('-p', '-s 203.0.113.0/24 -p')] },
    ],
    [
      'a source translated to the address that we give it too',
      {
        nat: [DNAT, '-A POSTROUTING -o priv0 -p tcp -m tcp --dport 80 -j SNAT --to-source 172.31.0.1'],
        forward: [ACCEPT, REPLIES],
        asks: 'ports: [{ protocol: TCP, port: 80 }]\n  clientAddress: Masquerade',
      },
    ],
  ] as const satisfies readonly (readonly [string, Case])[])
    test(what, () => {
      const { nat = [], forward = [], rule } = given as Case;
      const all = [...nat, ...forward, ...(rule === true ? ['ip rule'] : [])].sort();
      expect(judged(given)).toEqual({ taken: all, left: [], why: '' });
    });
});

describe('left alone, with the packet that shows why', () => {
  for (const [what, given, left, why] of [
    [
      'it leads to another port',
      { ...CLASSIC, nat: [`${DNAT}:8080`], forward: [REPLIES, ACCEPT.replace('80 -j', '8080 -j')] },
      `${DNAT}:8080`,
      /→ 172\.31\.0\.2:8080\/tcp.*without it it reaches node as .* → 172\.31\.0\.2:80\/tcp/,
    ],
    [
      'the documents allow fewer',
      { ...CLASSIC, asks: 'ports: [{ protocol: TCP, port: 80 }]\n  allow: [203.0.113.0/25]' },
      DNAT,
      /without it it is not answered/,
    ],
    [
      'the client is hidden by it, and not by the documents',
      { ...CLASSIC, nat: [DNAT, '-A POSTROUTING -o priv0 -j MASQUERADE'] },
      '-A POSTROUTING -o priv0 -j MASQUERADE',
      /now it reaches node as 172\.31\.0\.1/,
    ],
    [
      'it lets the node out to the Internet too',
      {
        ...CLASSIC,
        nat: [DNAT, '-A POSTROUTING -s 172.31.0.2/32 -o eth0 -j MASQUERADE'],
        forward: [ACCEPT, '-A FORWARD -i priv0 -j ACCEPT'],
      },
      'ip rule',
      /172\.31\.0\.2:40000 → .*: now it leaves edge by eth0 as 198\.51\.100\.10/,
    ],
    [
      'its connections cannot be handed over',
      { ...CLASSIC, noFlows: 'there is no conntrack' },
      DNAT,
      /cannot be handed over: there is no conntrack/,
    ],
  ] as const)
    test(what, () => {
      const found = judged(given);
      expect(found.left).toContain(left);
      expect(found.taken).not.toContain(left);
      expect(found.why).toMatch(why);
    });
});

test('what speaks of nothing that the documents ask, is not understood, or has an owner is nobody’s affair', () => {
  const others = [
    '-A PREROUTING -p tcp -m tcp --dport 9999 -j DNAT --to-destination 10.1.1.1',
    '-A DOCKER -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2',
    '-A PREROUTING -d 198.51.100.10/32 -p tcp -m tcp --dport 80 -m limit --limit 5/sec -j DNAT --to-destination 172.31.0.2',
  ];
  expect(judged({ nat: others, policy: 'ACCEPT' })).toEqual({ taken: [], left: [], why: '' });
});
