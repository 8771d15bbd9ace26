import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type HostFacts, renderState } from '../host/index.ts';
import { loadResources, printProblem } from '../resources/index.ts';
import { type Compiled, compile } from './index.ts';
import { edge, node, sketch } from './testdata/facts.ts';

const SLIM_EDGE = readFileSync(new URL('testdata/slim-edge.yaml', import.meta.url), 'utf8');

function compiled(text: string, facts: Readonly<Record<string, HostFacts>>): Compiled {
  const { set, problems } = loadResources([{ name: 'test.yaml', text }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  return compile(set, new Map(Object.entries(facts)), { setName: 'default', version: '0.0.0' });
}

const rendered = (result: Compiled, host: string): string => {
  expect(result.problems.map(printProblem)).toEqual([]);
  const of = result.hosts.get(host);
  if (of === undefined) throw new Error(`${host} is not compiled`);
  return `${renderState(of.state)}\n# notes\n${of.notes.join('\n')}\n`;
};

/** Everything of the slim edge by another tunnel. */
const over = (tunnel: string): string => SLIM_EDGE.replace(/ {2}type: WireGuard[\s\S]*?---/, `${tunnel}\n---`);

describe('the text a host is given', () => {
  for (const [name, text, facts] of [
    ['wireguard', SLIM_EDGE, { edge: edge(), node: node() }],
    [
      'vxlan',
      over(`  type: VXLAN
  ends:
    - { host: edge, addresses: [10.90.0.1/30, fd90::1/64], endpoint: "172.31.0.1:4789" }
    - { host: node, addresses: [10.90.0.2/30, fd90::2/64], endpoint: "172.31.0.2:4789" }`),
      {
        edge: edge({ interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24'] } }),
        node: node({ interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], priv0: ['172.31.0.2/24'] } }),
      },
    ],
    ...(
      [
        ['ipip', 'IPIP', '172.31.0.'],
        ['gre6', 'GRE', 'fd31::'],
      ] as const
    ).map(
      ([name, type, network]) =>
        [
          name,
          over(`  type: ${type}
  ends:
    - { host: edge, addresses: [10.90.0.1/30, fd90::1/64], endpoint: "${network}1" }
    - { host: node, addresses: [10.90.0.2/30, fd90::2/64], endpoint: "${network}2" }`),
          {
            edge: edge({
              interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24', 'fd31::1/64'] },
            }),
            node: node({
              interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], priv0: ['172.31.0.2/24', 'fd31::2/64'] },
            }),
          },
        ] as const,
    ),
    [
      'direct',
      over(`  type: Direct
  ends:
    - { host: edge, addresses: [172.31.0.1, "fd31::1"] }
    - { host: node, addresses: [172.31.0.2, "fd31::2"] }`),
      {
        edge: edge({
          interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24', 'fd31::1/64'] },
        }),
        node: node({
          interfaces: { priv0: ['172.31.0.2/24', 'fd31::2/64'] },
          routes: [],
          sysctls: { 'net/ipv4/conf/all/rp_filter': '1' },
        }),
      },
    ],
    [
      'masquerade',
      SLIM_EDGE.replace('  to:\n', '  clientAddress: Masquerade\n  to:\n'),
      { edge: edge(), node: node() },
    ],
    [
      'allow',
      SLIM_EDGE.replace(
        '  to:\n',
        '  allow: [203.0.113.0/24, 203.0.113.64/26]\n  limits: { newConnectionsPerSecond: 50, connections: 200 }\n  to:\n',
      ),
      { edge: edge(), node: node() },
    ],
    ...(
      [
        ['fast', ''],
        [
          'fast-off',
          '---\napiVersion: sallyport.dev/v1alpha1\nkind: PortForward\nmetadata: { name: slow }\nspec:\n  at: { hosts: [edge] }\n  fastPath: "Off"\n  ports: [{ protocol: TCP, port: 22022 }, { protocol: UDP, port: 40000-40100 }]\n  to: [{ host: node, via: edge-node }]\n',
        ],
      ] as const
    ).map(
      ([name, more]) =>
        [
          name,
          SLIM_EDGE + more,
          {
            edge: edge({ flowtables: 'kernel' }),
            node: node({ flowtables: 'kernel' }),
          },
        ] as const,
    ),
    [
      'balance',
      SLIM_EDGE.replace(
        / {2}to:\n[\s\S]*?(?=---|$)/,
        '  policy: Balance\n  to:\n    - { host: node, via: edge-node, weight: 2 }\n    - { host: node, via: edge-node, address: 10.42.0.10 }\n    - { address: 172.31.0.9 }\n',
      ),
      {
        edge: edge({ interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24'] } }),
        node: node({ interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], pod0: ['10.42.0.1/24'] } }),
      },
    ],
    ['outside-only', SLIM_EDGE.replace('  to:\n', '  hairpin: false\n  to:\n'), { edge: edge(), node: node() }],
    [
      'stateless',
      SLIM_EDGE.replace('  to:\n', '  tracking: Stateless\n  allow: [203.0.113.0/24, "::/0"]\n  to:\n').replace(
        '  ports:\n',
        '  ports:\n    - { protocol: UDP, port: 2000-2002, targetPort: 3000-3002 }\n',
      ),
      { edge: edge(), node: node() },
    ],
    [
      'lease',
      SLIM_EDGE,
      { edge: edge({ interfaces: { eth0: ['198.51.100.10/24 dynamic', '2001:db8:e::10/64 dynamic'] } }), node: node() },
    ],
    [
      'node-ipv4',
      SLIM_EDGE,
      {
        edge: edge(),
        node: sketch({ interfaces: { eth0: ['192.168.1.20/24'] }, routes: [['default', '192.168.1.1', 'eth0']] }),
      },
    ],
  ] as const) {
    test(name, async () => {
      const result = compiled(text, facts);
      for (const host of ['edge', 'node'])
        await expect(rendered(result, host)).toMatchFileSnapshot(`testdata/${name}.${host}.txt`);
    });
  }
});
