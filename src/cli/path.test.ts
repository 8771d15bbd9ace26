/** Issue 2, line 4: the path itself, on real kernels: who sees whom, over every tunnel, from every kind of edge and node. */
import { describe, expect, test } from 'vitest';
import { type SlimEdgeOptions, slimEdge } from '../lab/index.ts';
import {
  DIRECT,
  type Documents,
  documents,
  PORTS,
  type Story,
  startStory,
  VXLAN,
  WIREGUARD,
  waitFor,
} from './testdata/story.ts';

const V4 = '198.51.100.10';
const V6 = '2001:db8:e::10';
const CLIENT = { 4: 'seen from 192.0.2.10', 6: 'seen from 2001:db8:c::10' };

/** Every kind of port the documents forward, and where a server must hear it. */
async function serveAll({ lab }: Story, host: string): Promise<void> {
  for (const port of [8080, 3002]) await lab.serve(host, { protocol: 'tcp', port });
  for (const port of [5353, 30000, 30100]) await lab.serve(host, { protocol: 'udp', port });
}

/** TCP and UDP, single ports and the ends of ranges, target ports other than the public one. */
async function askAll(story: Story, to: string): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  for (const [protocol, port] of [
    ['tcp', 80],
    ['tcp', 2002],
    ['udp', 53],
    ['udp', 30000],
    ['udp', 30100],
  ] as const)
    seen.add(await story.ask('client', { protocol, to, port }));
  return seen;
}

describe('the client is seen by its own address, and answered', () => {
  for (const [name, topology, parts, asked] of [
    ['over WireGuard, dialled from behind a home router', {}, {}, { [V4]: CLIENT[4], [V6]: CLIENT[6] }],
    ['over WireGuard, the node on the Internet itself', { home: false }, {}, { [V4]: CLIENT[4], [V6]: CLIENT[6] }],
    ['over VXLAN', { privateLink: true }, { tunnel: VXLAN }, { [V4]: CLIENT[4], [V6]: CLIENT[6] }],
    ['over a private network', { privateLink: true }, { tunnel: DIRECT }, { [V4]: CLIENT[4], [V6]: CLIENT[6] }],
    [
      'by a node without a default route',
      { nodeDefaultRoute: false },
      { tunnel: VXLAN },
      { [V4]: CLIENT[4], [V6]: CLIENT[6] },
    ],
    [
      'by a node without a default route, directly',
      { nodeDefaultRoute: false },
      { tunnel: DIRECT },
      { [V4]: CLIENT[4], [V6]: CLIENT[6] },
    ],
    ['by an IPv4-only node behind a dual-stack edge', { nodeIPv6: false }, {}, { [V4]: CLIENT[4] }],
    [
      'by an IPv6-only pair',
      { families: 'IPv6' },
      { tunnel: WIREGUARD.replace('198.51.100.10:', '[2001:db8:e::10]:').replaceAll(/10\.90\.0\.[12]\/30, /g, '') },
      { [V6]: CLIENT[6] },
    ],
    [
      'by an edge behind 1:1 NAT',
      { edgeBehindNat: true },
      {
        tunnel: WIREGUARD.replace('198.51.100.10:', '203.0.113.9:'),
        edge: '\n  interfaces:\n    - { name: eth0, zone: public, outside: { 10.0.0.5: 203.0.113.9 } }',
      },
      { '203.0.113.9': CLIENT[4], [V6]: CLIENT[6] },
    ],
    [
      'at each of several public addresses',
      { edgeAddresses: 3 },
      {},
      {
        [V4]: CLIENT[4],
        '198.51.100.11': CLIENT[4],
        '198.51.100.12': CLIENT[4],
        [V6]: CLIENT[6],
        '2001:db8:e::11': CLIENT[6],
        '2001:db8:e::12': CLIENT[6],
      },
    ],
  ] as const satisfies readonly (readonly [string, SlimEdgeOptions, Documents, Readonly<Record<string, string>>])[]) {
    test(name, async () => {
      await using story = await startStory(slimEdge(topology));
      const text = documents(parts);
      await story.apply(text);
      await serveAll(story, 'node');
      for (const [to, saw] of Object.entries(asked)) expect([to, ...(await askAll(story, to))]).toEqual([to, saw]);
      const again = await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text);
      expect(again, again.stdout).toMatchObject({ status: 0 });
      await story.destroy(text);
    });
  }
});

test('a node without a default route answers where its loopback is down too', async () => {
  await using story = await startStory(slimEdge({ nodeDefaultRoute: false }), async (lab) => {
    await lab.host('node').run(['ip', 'link', 'set', 'lo', 'down']);
  });
  const text = documents({ tunnel: VXLAN });
  await story.apply(text);
  await serveAll(story, 'node');
  expect([...(await askAll(story, V4)), ...(await askAll(story, V6))]).toEqual([CLIENT[4], CLIENT[6]]);
  await story.destroy(text);
});

test('a node with IPv6 in its kernel and no address of it is seen at its tunnel address, and answers', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    await lab.host('node').run(['ip', '-6', 'address', 'flush', 'dev', 'eth0', 'scope', 'global']);
  });
  const text = documents();
  await story.apply(text);
  await serveAll(story, 'node');
  expect([...(await askAll(story, V4)), ...(await askAll(story, V6))]).toEqual([CLIENT[4], CLIENT[6]]);
  await story.destroy(text);
});

describe('hosts that check the reverse path strictly', () => {
  for (const [name, topology, parts, target] of [
    ['WireGuard', {}, {}, 'node'],
    ['VXLAN', { privateLink: true }, { tunnel: VXLAN }, 'node'],
    ['a private network', { privateLink: true }, { tunnel: DIRECT }, 'node'],
    [
      'WireGuard to a pod',
      { pod: true },
      {
        at: `{ hosts: [edge], addresses: [${V4}] }`,
        forward: `${PORTS}\n  to: [{ host: node, via: edge-node, address: 10.42.0.10 }]`,
      },
      'pod',
    ],
  ] as const satisfies readonly (readonly [string, SlimEdgeOptions, Documents, string])[])
    test(`are passed over ${name}, and check as before afterwards`, async () => {
      await using story = await startStory(slimEdge(topology), async (lab) => {
        for (const host of ['edge', 'node'])
          for (const setting of ['all.rp_filter', 'default.rp_filter', 'all.src_valid_mark'])
            await lab.host(host).run(['sysctl', '-w', `net.ipv4.conf.${setting}=1`]);
      });
      const text = documents(parts);
      await story.apply(text);
      await serveAll(story, target);
      expect([...(await askAll(story, V4))]).toEqual([CLIENT[4]]);
      await story.destroy(text);
    });
});

test('segments fit the tunnel: a large answer arrives in packets no larger than it carries, by both families', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    // WireGuard gathers segments (GRO) and a veth passes them on as one: cut as by a real card, or no size is seen. By size too:
    // what newer wireguard-go (Debian 13) gathers comes without a count of segments (virtio_net_hdr_to_skb).
    await lab.host('edge').run(['ip', 'link', 'set', 'eth0', 'gso_max_segs', '1', 'gso_max_size', '1600']);
  });
  const { lab } = story;
  const text = documents();
  await story.apply(text);
  const size = 2_000_000;
  await lab.host('node').run(['sh', '-c', `head -c ${size} /dev/zero >/run/large`]);
  for (const [family, to] of [
    ['-4', V4],
    ['-6', V6],
  ] as const) {
    await using server = await lab.host('node').spawn(['sh', '-c', `exec nc ${family} -l -N -p 8080 </run/large`]);
    await waitFor(
      'a listening server',
      async () => (await lab.host('node').run(['ss', '-Hltn', 'sport = :8080'])).stdout !== '',
    );
    await using capture = await lab.capture('client', 'eth0', 'tcp and src port 80');
    const { stdout } = await lab
      .host('client')
      .run(['sh', '-c', `nc ${family} -d "$1" 80 | wc -c`, 'sh', to], { timeoutMs: 20_000 });
    expect(Number(stdout)).toBe(size);
    const largest = Math.max(...(await capture.stop()).map(({ length }) => length));
    expect(largest).toBeGreaterThan(1200);
    expect(largest).toBeLessThanOrEqual(1440);
    server.kill();
  }
  await story.destroy(text);
});
