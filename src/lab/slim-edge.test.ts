import { expect, test } from 'vitest';
import { type SlimEdgeOptions, showNetwork, slimEdge, startLab } from './index.ts';

/** from, to, the address and the client's address seen; undefined: no answer may come. */
type Way = readonly [from: string, host: string, to: string, seen: string | undefined];

const tables: readonly (readonly [string, SlimEdgeOptions, readonly Way[]])[] = [
  [
    'as it is',
    {},
    [
      ['client', 'edge', '198.51.100.10', '192.0.2.10'],
      ['client', 'edge', '2001:db8:e::10', '2001:db8:c::10'],
      ['node', 'edge', '198.51.100.10', '192.0.2.130'],
      ['node', 'edge', '2001:db8:e::10', '2001:db8:1::20'],
      ['neighbour', 'edge', '198.51.100.10', '198.51.100.99'],
      ['client', 'node', '2001:db8:1::20', undefined],
      ['edge', 'node', '192.168.1.20', undefined],
    ],
  ],
  [
    'IPv6 alone',
    { families: 'IPv6' },
    [
      ['node', 'edge', '2001:db8:e::10', '2001:db8:1::20'],
      ['client', 'edge', '198.51.100.10', undefined],
    ],
  ],
  [
    'IPv4 alone',
    { families: 'IPv4' },
    [
      ['client', 'edge', '198.51.100.10', '192.0.2.10'],
      ['client', 'edge', '2001:db8:e::10', undefined],
    ],
  ],
  [
    'a node without IPv6',
    { nodeIPv6: false },
    [
      ['node', 'edge', '198.51.100.10', '192.0.2.130'],
      ['node', 'edge', '2001:db8:e::10', undefined],
    ],
  ],
  [
    'a node without a default route',
    { nodeDefaultRoute: false },
    [
      ['edge', 'node', '172.31.0.2', '172.31.0.1'],
      ['edge', 'node', 'fd31::2', 'fd31::1'],
      ['node', 'edge', '198.51.100.10', undefined],
    ],
  ],
  [
    'an edge behind 1:1 NAT',
    { edgeBehindNat: true },
    [
      ['client', 'edge', '203.0.113.9', '192.0.2.10'],
      ['client', 'edge', '2001:db8:e::10', '2001:db8:c::10'],
      ['edge', 'client', '192.0.2.10', '203.0.113.9'],
    ],
  ],
  [
    'several public addresses and no neighbour',
    { edgeAddresses: 3, neighbour: false },
    [
      ['client', 'edge', '198.51.100.12', '192.0.2.10'],
      ['client', 'edge', '2001:db8:e::12', '2001:db8:c::10'],
    ],
  ],
  [
    'a pod and a nas behind the node',
    { pod: true, nas: true },
    [
      ['node', 'pod', '10.42.0.10', '10.42.0.1'],
      ['nas', 'node', '192.168.1.20', '192.168.1.30'],
      ['nas', 'edge', '2001:db8:e::10', '2001:db8:1::30'],
    ],
  ],
  [
    'a node on the Internet itself',
    { home: false },
    [
      ['edge', 'node', '192.0.2.140', '198.51.100.10'],
      ['edge', 'node', '2001:db8:f::20', '2001:db8:e::10'],
    ],
  ],
];

for (const [name, options, ways] of tables) {
  test(`the slim edge's network: ${name}`, async () => {
    await using lab = await startLab(slimEdge(options));
    const served = new Set<string>();
    for (const [from, host, to, seen] of ways) {
      if (!served.has(host)) await lab.serve(host, { protocol: 'tcp', port: 7 });
      served.add(host);
      const timeoutMs = seen === undefined ? 200 : 2_000;
      const result = await lab.connect(from, { protocol: 'tcp', to, port: 7, timeoutMs });
      expect(result.ok ? result.saw?.client.address : undefined, `${from} to ${to}`).toBe(seen);
    }
  });
}

test('a leased address is one to ip', async () => {
  await using lab = await startLab(slimEdge({ edgeDynamic: true }));
  const { stdout } = await lab.host('edge').run(['ip', '-j', 'addr', 'show', 'dev', 'eth0', 'scope', 'global']);
  const [link] = JSON.parse(stdout);
  const found = link.addr_info.filter((info: { local?: string }) => info.local !== undefined);
  expect(found).toMatchObject([
    { local: '198.51.100.10', dynamic: true },
    { local: '2001:db8:e::10', dynamic: true },
  ]);
});

test('the drawing names every host with its addresses, and fits in 78 columns', () => {
  for (const [name, options] of [
    ...tables,
    ['all', { pod: true, nas: true, privateLink: true, edgeBehindNat: true }, []] as const,
  ]) {
    const topology = slimEdge(options);
    const drawn = showNetwork(topology);
    for (const host of topology.hosts) expect(drawn, name).toContain(host.name);
    expect(Math.max(...drawn.split('\n').map((line) => line.length)), drawn).toBeLessThanOrEqual(78);
  }
  expect(showNetwork(slimEdge())).toMatchInlineSnapshot(`
    "client: someone on the Internet
    │    eth0  192.0.2.10/25  2001:db8:c::10/64
    ╰─ internet: routes
       │    client0  192.0.2.1/25  2001:db8:c::1/64
       ├─ rack: a switch in the data centre
       │  ├─ edge: the small VPS
       │  │       eth0  198.51.100.10/24  2001:db8:e::10/64
       │  ╰─ neighbour: the edge's neighbour
       │          eth0  198.51.100.99/24  2001:db8:e::99/64
       ╰─ home: the home router, masquerades
          │    wan0  192.0.2.130/25  2001:db8:f::2/64
          ╰─ node: the strong machine at home
                  eth0  192.168.1.20/24  2001:db8:1::20/64
    "
  `);
});
