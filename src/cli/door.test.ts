/** Issue 2, line 4: what else must hold of the path: leases, hidden clients, what lies behind a node, and no side door. */
import { describe, expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, SALLYPORT, startStory, WIREGUARD, waitFor, wg } from './testdata/story.ts';

const V4 = '198.51.100.10';
const V6 = '2001:db8:e::10';

test('an edge with a leased address answers on the next lease without an apply', async () => {
  await using story = await startStory(slimEdge({ edgeDynamic: true, home: false }));
  const { lab } = story;
  // The node can be dialled, so that the tunnel does not depend on the address that changes.
  const text = documents({
    tunnel: WIREGUARD.replace(', endpoint: "198.51.100.10:51820"', '').replace(
      '"fd90::2/64"]',
      '"fd90::2/64"], endpoint: "192.0.2.140:51820"',
    ),
  });
  await story.apply(text);
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await lab.serve('node', { protocol: 'udp', port: 30100 });
  const tcp = (to: string): Promise<string> => story.ask('client', { protocol: 'tcp', to, port: 80 });
  const udp = (to: string): Promise<string> => story.ask('client', { protocol: 'udp', to, port: 30100 });
  expect([await tcp(V4), await udp(V6)]).toEqual(['seen from 192.0.2.10', 'seen from 2001:db8:c::10']);
  const edge = lab.host('edge');
  for (const [family, next, old, gateway] of [
    ['-4', '198.51.100.77/24', `${V4}/24`, '198.51.100.1'],
    ['-6', '2001:db8:e::77/64', `${V6}/64`, '2001:db8:e::1'],
  ] as const) {
    await edge.run(['ip', family, 'address', 'delete', old, 'dev', 'eth0']);
    const lease = ['valid_lft', '3600', 'preferred_lft', '3600', ...(family === '-6' ? ['nodad'] : [])];
    await edge.run(['ip', family, 'address', 'add', next, 'dev', 'eth0', ...lease]);
    await edge.run(['ip', family, 'route', 'replace', 'default', 'via', gateway]);
  }
  await waitFor('an answer at the new address', async () => (await tcp('198.51.100.77')) === 'seen from 192.0.2.10');
  expect(await udp('198.51.100.77')).toBe('seen from 192.0.2.10');
  expect(await tcp('2001:db8:e::77')).toBe('seen from 2001:db8:c::10');
  for (const to of ['198.51.100.77', '2001:db8:e::77'])
    expect(await story.ask('edge', { protocol: 'tcp', to, port: 80 })).toBe(`seen from ${to}`);
  const plan = await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text);
  expect(plan, plan.stdout).toMatchObject({ status: 0 });
});

describe('clientAddress: Masquerade', () => {
  test('the node sees the edge in the tunnel', async () => {
    await using story = await startStory(slimEdge());
    const text = documents({
      forward: `clientAddress: Masquerade\n  ports: [{ protocol: TCP, port: 80, targetPort: 8080 }, { protocol: UDP, port: 53, targetPort: 5353 }]\n  to: [{ host: node, via: edge-node }]`,
    });
    await story.apply(text);
    await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
    await story.lab.serve('node', { protocol: 'udp', port: 5353 });
    expect([
      await story.ask('client', { protocol: 'tcp', to: V4, port: 80 }),
      await story.ask('client', { protocol: 'udp', to: V4, port: 53 }),
      await story.ask('client', { protocol: 'tcp', to: V6, port: 80 }),
      await story.ask('client', { protocol: 'udp', to: V6, port: 53 }),
    ]).toEqual(['seen from 10.90.0.1', 'seen from 10.90.0.1', 'seen from fd90::1', 'seen from fd90::1']);
    await story.destroy(text);
  });

  test('a machine behind the node that cannot route back sees the node', async () => {
    await using story = await startStory(slimEdge({ nas: true }));
    const text = documents({
      at: `{ hosts: [edge], addresses: [${V4}] }`,
      forward: `clientAddress: Masquerade\n  ports: [{ protocol: TCP, port: 5000 }, { protocol: UDP, port: 5000 }]\n  to: [{ host: node, via: edge-node, address: 192.168.1.30 }]`,
    });
    await story.apply(text);
    await story.lab.serve('nas', { protocol: 'tcp', port: 5000 });
    await story.lab.serve('nas', { protocol: 'udp', port: 5000 });
    for (const protocol of ['tcp', 'udp'] as const)
      expect(await story.ask('client', { protocol, to: V4, port: 5000 })).toBe('seen from 192.168.1.20');
    await story.destroy(text);
  });
});

test('a pod behind the node sees the client, and answers by the edge', async () => {
  await using story = await startStory(slimEdge({ pod: true }));
  const text = documents({
    at: `{ hosts: [edge], addresses: [${V4}] }`,
    forward: `ports: [{ protocol: TCP, port: 443, targetPort: 8443 }, { protocol: UDP, port: 443, targetPort: 8443 }]\n  to: [{ host: node, via: edge-node, address: 10.42.0.10 }]`,
  });
  await story.apply(text);
  await story.lab.serve('pod', { protocol: 'tcp', port: 8443 });
  await story.lab.serve('pod', { protocol: 'udp', port: 8443 });
  for (const protocol of ['tcp', 'udp'] as const)
    expect(await story.ask('client', { protocol, to: V4, port: 443 })).toBe('seen from 192.0.2.10');
  await story.destroy(text);
});

describe('the tunnel is no side door', () => {
  const text = documents();
  const refused = /^(timeout|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH)$/;

  // An edge that forwards for others already has no guard on its public link: the tunnel's own rules must do.
  for (const [edge, settings] of [
    ['an edge that forwarded nothing before', []],
    ['an edge that routes for others', ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']],
  ] as const)
    test(`a neighbour of ${edge} reaches nothing through it but what is forwarded`, async () => {
      await using story = await startStory(slimEdge(), async (lab) => {
        for (const setting of settings) await lab.host('edge').run(['sysctl', '-w', setting]);
      });
      const { lab } = story;
      await story.apply(text);
      for (const port of [22, 8080, 3000]) await lab.serve('node', { protocol: 'tcp', port });
      await lab.serve('node', { protocol: 'udp', port: 5353 });
      const neighbour = lab.host('neighbour');
      for (const [route, via] of [
        ['192.168.1.0/24', V4],
        ['10.90.0.0/30', V4],
      ] as const)
        await neighbour.run(['ip', 'route', 'add', route, 'via', via]);
      await neighbour.run(['ip', '-6', 'route', 'add', 'fd90::/64', 'via', V6]);
      await neighbour.run(['ip', '-6', 'route', 'add', '2001:db8:1::/64', 'via', V6]);
      const tries: string[] = [];
      for (const [to, port] of [
        ['192.168.1.20', 8080],
        ['192.168.1.20', 22],
        ['10.90.0.2', 8080],
        ['2001:db8:1::20', 8080],
        ['fd90::2', 8080],
      ] as const)
        tries.push(await story.ask('neighbour', { protocol: 'tcp', to, port, timeoutMs: 700 }));
      tries.push(await story.ask('neighbour', { protocol: 'udp', to: '192.168.1.20', port: 5353, timeoutMs: 700 }));
      for (const each of tries) expect(each).toMatch(refused);
      // The neighbour is a client like any other at the front.
      expect(await story.ask('neighbour', { protocol: 'tcp', to: V4, port: 80 })).toBe('seen from 198.51.100.99');
      const counted = (await lab.host('edge').run(['nft', 'list', 'chain', 'inet', 'sallyport', 'sp_into'])).stdout;
      expect(Number(/counter packets (\d+).* drop/.exec(counted)?.[1])).toBeGreaterThan(0);
    });

  test('an edge taken over reaches the declared ports of the node and nothing else', async () => {
    await using story = await startStory(slimEdge({ nas: true }));
    const { lab } = story;
    await story.apply(text);
    for (const port of [22, 8080]) await lab.serve('node', { protocol: 'tcp', port });
    await lab.serve('nas', { protocol: 'tcp', port: 445 });
    await lab.serve('node', { protocol: 'udp', port: 161 });
    const edge = lab.host('edge');
    // Whoever owns the edge takes our rules away and routes what they like.
    await edge.run(['nft', 'delete', 'table', 'inet', 'sallyport']);
    await edge.run(['ip', 'route', 'add', '192.168.1.0/24', 'dev', 'sp-wg51820']);
    const peer = await wg(lab, 'edge', 'show', 'sp-wg51820', 'peers');
    await wg(lab, 'edge', 'set', 'sp-wg51820', 'peer', peer, 'allowed-ips', '0.0.0.0/0,::/0');
    for (const [protocol, to, port] of [
      ['tcp', '192.168.1.20', 22],
      ['tcp', '10.90.0.2', 22],
      ['tcp', 'fd90::2', 22],
      ['udp', '192.168.1.20', 161],
      ['tcp', '192.168.1.30', 445],
    ] as const)
      expect([to, port, await story.ask('edge', { protocol, to, port, timeoutMs: 700 })]).toEqual([
        to,
        port,
        expect.stringMatching(refused),
      ]);
    expect(await edge.run(['ping', '-c1', '-W1', '192.168.1.20'], { allowFailure: true })).toMatchObject({ status: 1 });
    expect(await story.ask('edge', { protocol: 'tcp', to: '192.168.1.20', port: 8080 })).toBe('seen from 10.90.0.1');
    const counted = (await lab.host('node').run(['nft', 'list', 'chain', 'inet', 'sallyport', 'sp_from_edge_node']))
      .stdout;
    expect(Number(/counter packets (\d+)/.exec(counted)?.[1])).toBeGreaterThan(0);
  });
});

test('forwarding switched on for our path carries nothing of others', async () => {
  await using story = await startStory(slimEdge({ privateLink: true }));
  const { lab } = story;
  const text = documents();
  await story.apply(text);
  await lab.host('neighbour').run(['ip', 'route', 'add', '172.31.0.0/24', 'via', V4]);
  await lab.host('neighbour').run(['ip', '-6', 'route', 'add', 'fd31::/64', 'via', V6]);
  await using capture = await lab.capture('node', 'priv0', 'port 9999');
  for (const to of ['172.31.0.2', 'fd31::2'])
    expect(await story.ask('neighbour', { protocol: 'udp', to, port: 9999, timeoutMs: 500 })).not.toMatch(/^seen/);
  expect(await capture.stop()).toEqual([]);
  await story.destroy(text);
});

test('access: local, and a target in a network of the edge itself', async () => {
  await using story = await startStory(slimEdge({ privateLink: true }));
  const { lab } = story;
  const before = await lab.dump('edge');
  const text = `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: here }
spec:
  access: { local: {} }
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: lan }
spec:
  at: { hosts: [here] }
  clientAddress: Masquerade
  ports: [{ protocol: TCP, port: 80, targetPort: 8080 }, { protocol: UDP, port: 53 }]
  to: [{ address: 172.31.0.2 }]
`;
  const here = (...args: readonly string[]) =>
    lab.host('edge').run([process.execPath, SALLYPORT, ...args, '-f', '-'], { stdin: text, allowFailure: true });
  const applied = await here('apply', '--yes');
  expect(applied, applied.stderr).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/IPv6 is left out: the target 172\.31\.0\.2 is IPv4/),
  });
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await lab.serve('node', { protocol: 'udp', port: 53 });
  expect(await story.ask('client', { protocol: 'tcp', to: V4, port: 80 })).toBe('seen from 172.31.0.1');
  expect(await story.ask('client', { protocol: 'udp', to: V4, port: 53 })).toBe('seen from 172.31.0.1');
  // The edge is a client of its own public address too.
  expect(await story.ask('edge', { protocol: 'tcp', to: V4, port: 80 })).toBe('seen from 172.31.0.1');
  expect((await here('plan', '--detailed-exitcode')).status).toBe(0);
  const destroyed = await here('destroy', '--yes');
  expect(destroyed, destroyed.stderr).toMatchObject({ status: 0 });
  expect(await lab.dump('edge')).toBe(before);
});
