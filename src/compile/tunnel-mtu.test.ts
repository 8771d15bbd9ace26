import { describe, expect, test } from 'vitest';
import type { HostFacts } from '../host/index.ts';
import { printRule } from '../nftables/index.ts';
import { loadResources, printProblem } from '../resources/index.ts';
import { type Compiled, compile } from './index.ts';
import { edge, node } from './testdata/facts.ts';

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`;
const HOSTS = ['edge', 'node'].map((name) => document('Host', name, `access: { netns: { name: ${name} } }`));
const tunnel = (type: string, [left, right]: readonly [string, string?], more = '', net = 0, name = 't'): string => {
  const end = (host: string, number: number, endpoint: string | undefined): string =>
    `{ host: ${host}, addresses: [10.9${net}.0.${number}/30, "fd9${net}::${number}/64"]${endpoint === undefined ? '' : `, endpoint: "${endpoint}"`} }`;
  return document('Tunnel', name, `type: ${type}, ends: [${end('edge', 1, left)}, ${end('node', 2, right)}]${more}`);
};

const BOTH = { priv0: ['172.31.0.1/24', 'fd31::1/64'] };
const atEdge = edge({ interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], ...BOTH } });
const atNode = node({
  interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], priv0: ['172.31.0.2/24', 'fd31::2/64'] },
});
const withLink = (facts: HostFacts, name: string, mtu: number): HostFacts => ({
  ...facts,
  state: { ...facts.state, links: facts.state.links.map((link) => (link.name === name ? { ...link, mtu } : link)) },
});
/** Every route by the link has the attribute. */
const withRoutes = (facts: HostFacts, name: string, mtu: number): HostFacts => ({
  ...facts,
  state: {
    ...facts.state,
    routes: facts.state.routes.map((route) => (route.link === name ? { ...route, mtu } : route)),
  },
});

function run(documents: readonly string[], atEdgeNow = atEdge, atNodeNow = atNode): Compiled {
  const { set, problems } = loadResources([{ name: 'f.yaml', text: [...HOSTS, ...documents].join('---\n') }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  const facts = new Map([
    ['edge', atEdgeNow],
    ['node', atNodeNow],
  ]);
  return compile(set, facts, { setName: 'default', version: '0' });
}
const mtusOf = ({ problems, hosts }: Compiled): unknown => {
  expect(problems.map(printProblem)).toEqual([]);
  const [one, other] = [...hosts.values()].map(({ state }) =>
    Object.fromEntries(state.links.map(({ name, mtu }) => [name.replace('sp-wg51820', 'sp-t'), mtu])),
  );
  expect(other, 'both ends alike').toEqual(one);
  return one;
};

const V4 = ['172.31.0.1', '172.31.0.2'] as const;
const V6 = ['fd31::1', 'fd31::2'] as const;
describe('what a path of 1500 bytes leaves', () => {
  for (const [type, ends, mtu] of [
    ['WireGuard', ['198.51.100.10:51820'], 1440],
    ['WireGuard', ['[2001:db8:e::10]:51820'], 1420],
    ['WireGuard', ['edge.example.test:51820'], 1420],
    ['VXLAN', V4, 1450],
    ['VXLAN', V6, 1430],
    ['IPIP', V4, 1480],
    ['IPIP', V6, 1460],
    ['GRE', V4, 1476],
    ['GRE', V6, 1456],
  ] as const)
    test(`${type} to ${ends[0]}`, () => expect(mtusOf(run([tunnel(type, ends)]))).toEqual({ 'sp-t': mtu }));
});

describe("the path is the narrower of both ends' ways", () => {
  const wireguard = [tunnel('WireGuard', ['198.51.100.10:51820'])];
  const named = [tunnel('WireGuard', ['edge.example.test:51820'])];
  for (const [what, documents, atEdgeNow, atNodeNow, mtu] of [
    ['PPPoE at the node', wireguard, atEdge, withLink(atNode, 'eth0', 1492), 1432],
    ['and at the edge', wireguard, withLink(atEdge, 'eth0', 1492), atNode, 1432],
    ['an underlay that is itself a tunnel', wireguard, atEdge, withLink(atNode, 'eth0', 1420), 1360],
    ['a route with an MTU of its own', wireguard, atEdge, withRoutes(atNode, 'eth0', 1400), 1340],
    [
      'where the link has less, that',
      wireguard,
      atEdge,
      withLink(withRoutes(atNode, 'eth0', 1490), 'eth0', 1400),
      1340,
    ],
    [
      'the default route of the edge, which does not know where the node is',
      wireguard,
      withRoutes(atEdge, 'eth0', 1400),
      atNode,
      1340,
    ],
    ['the default route to a name', named, atEdge, withRoutes(atNode, 'eth0', 1400), 1320],
    ['not what another link has', [tunnel('VXLAN', V4)], withLink(atEdge, 'eth0', 1400), atNode, 1450],
    [
      'jumbo frames at both',
      [tunnel('VXLAN', V6)],
      withLink(atEdge, 'priv0', 9000),
      withLink(atNode, 'priv0', 9000),
      8930,
    ],
  ] as const)
    test(what, () => expect(mtusOf(run(documents, atEdgeNow, atNodeNow))).toEqual({ 'sp-t': mtu }));

  test('what was learnt of it is said, with what would fit, and not followed', () => {
    const learnt = { ...atNode, learntMtus: new Map([['198.51.100.10', 1400]]) };
    const notesOf = (document: string): readonly string[] | undefined =>
      run([document], atEdge, learnt).hosts.get('node')?.notes;
    expect(mtusOf(run(wireguard, atEdge, learnt))).toEqual({ 'sp-t': 1440 });
    expect(notesOf(tunnel('WireGuard', ['198.51.100.10:51820']))).toEqual([
      'tunnel t counts on more than reaches 198.51.100.10, 1400 bytes as was found a short while ago: "mtu: 1340" in the Tunnel would fit',
    ]);
    expect(notesOf(tunnel('WireGuard', ['198.51.100.10:51820'], ', mtu: 1340'))).toEqual([]);
  });

  test('a tunnel in a tunnel of the same set, before either stands', () => {
    const outer = tunnel('WireGuard', ['198.51.100.10:51820'], '', 1, 'o');
    const found = run([tunnel('VXLAN', ['10.91.0.1', '10.91.0.2']), outer]);
    expect(found.problems).toEqual([]);
    expect(found.hosts.get('node')?.state.links.map(({ name, mtu }) => [name, mtu])).toEqual([
      ['sp-o', 1440],
      ['sp-t', 1390],
    ]);
    // Only its packets may come out of the one below, and from that one's far end alone.
    const below = (host: string, link: string): readonly string[] => {
      const chains = found.hosts.get(host)?.state.tables[0]?.chains ?? [];
      return (chains.find(({ name }) => name === `sp_from_${link}`)?.rules ?? []).slice(-3).map(printRule);
    };
    const passes = (from: string): readonly string[] => [
      `ip saddr ${from} udp dport 4789 return`,
      `ip6 saddr ${from.replace('10.91.0.', 'fd91::')} udp dport 4789 return`,
      'counter drop',
    ];
    expect(below('edge', 'wg51820')).toEqual(passes('10.91.0.2'));
    expect(below('node', 'o')).toEqual(passes('10.91.0.1'));
  });

  test('two that would each go by the other are refused', () => {
    const [left, right] = [
      tunnel('GRE', ['10.91.0.1', '10.91.0.2'], '', 0, 'a'),
      tunnel('GRE', ['10.90.0.1', '10.90.0.2'], '', 1, 'b'),
    ];
    expect(run([left, right]).problems.map(printProblem)).toEqual([
      expect.stringMatching(/^f\.yaml:\d+:\d+: spec\.ends: its packets would go by itself: a by b by a$/),
    ]);
  });
});

describe('one that is too large, or leaves too little for IPv6, is refused with the sum', () => {
  for (const [documents, atNodeNow, says] of [
    [
      tunnel('GRE', V6, ', mtu: 1460'),
      atNode,
      'spec.mtu: 1460 is too large: the path carries 1500 bytes (priv0 at edge), GRE over IPv6 takes 44, which leaves 1500 - 44 = 1456',
    ],
    [
      tunnel('WireGuard', ['edge.example.test:51820'], ', mtu: 1440'),
      atNode,
      'spec.mtu: 1440 is too large: the path carries 1500 bytes (eth0 at edge), WireGuard over IPv6, which the name may mean, takes 80, which leaves 1500 - 80 = 1420',
    ],
    [
      tunnel('VXLAN', V4, ', mtu: 1400'),
      withRoutes(atNode, 'priv0', 1400),
      'spec.mtu: 1400 is too large: the path carries 1400 bytes (the route to 172.31.0.1 at node), VXLAN over IPv4 takes 50, which leaves 1400 - 50 = 1350',
    ],
    [
      tunnel('WireGuard', ['198.51.100.10:51820']),
      withLink(atNode, 'eth0', 1330),
      'spec.ends: IPv6 inside needs 1280 bytes (RFC 8200): the path carries 1330 bytes (eth0 at node), WireGuard over IPv4 takes 60, which leaves 1330 - 60 = 1270',
    ],
  ] as const)
    test(says, () =>
      expect(run([documents], atEdge, atNodeNow).problems.map(printProblem)).toEqual([
        expect.stringMatching(new RegExp(`^f\\.yaml:\\d+:\\d+: ${says.replaceAll(/[()+]/g, '\\$&')}$`)),
      ]),
    );

  test('a smaller one is taken', () =>
    expect(mtusOf(run([tunnel('VXLAN', V4, ', mtu: 1300')]))).toEqual({ 'sp-t': 1300 }));
});
