import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Protocol, printPacket, slimEdge, startLab, type Topology } from './index.ts';

/** The smallest network: one cable, both families. */
const pair: Topology = {
  name: 'pair',
  hosts: [{ name: 'left' }, { name: 'right' }],
  switches: [],
  cables: [
    {
      ends: [
        { at: 'left', interface: 'eth0', addresses: ['10.1.0.1/24', 'fd01::1/64'] },
        { at: 'right', interface: 'eth0', addresses: ['10.1.0.2/24', 'fd01::2/64'] },
      ],
    },
  ],
};
const both: readonly Protocol[] = ['tcp', 'udp'];

test('a lab runs its commands outside the hosts, where ip netns names them, or inside one', async () => {
  await using lab = await startLab(slimEdge());
  const { stdout } = await lab.run(['ip', 'netns', 'list']);
  expect(
    stdout
      .split('\n')
      .map((line) => line.split(' ')[0])
      .filter(Boolean)
      .sort(),
  ).toEqual(['client', 'edge', 'home', 'internet', 'neighbour', 'node', 'rack']);
  const inside = await lab.host('edge').run(['ip', '-br', '-4', 'addr', 'show', 'eth0']);
  expect(inside.stdout).toContain('198.51.100.10/24');
});

test('two labs with the same names do not know of each other, and the machine of neither', async () => {
  const before = existingNames();
  await using first = await startLab(pair);
  await using second = await startLab(pair);
  await first.host('left').run(['ip', 'link', 'set', 'eth0', 'down']);
  expect((await second.host('left').run(['ip', '-br', 'link', 'show', 'eth0'])).stdout).toContain('UP');
  expect(existingNames()).toEqual(before);
});

const existingNames = (): readonly string[] => {
  try {
    return readdirSync('/run/netns');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
};

for (const protocol of both) {
  for (const [family, to, source] of [
    ['IPv4', '10.1.0.2', '10.1.0.1'],
    ['IPv6', 'fd01::2', 'fd01::1'],
  ] as const) {
    test(`a ${protocol} server tells and records the ${family} address and port of its client`, async () => {
      await using lab = await startLab(pair);
      await using server = await lab.serve('right', { protocol, port: 7 });
      const result = await lab.connect('left', { protocol, to, port: 7, sourcePort: 4321, payload: 'ping' });
      const saw = { protocol, client: { address: source, port: 4321 }, payload: 'ping' };
      expect(result).toMatchObject({ ok: true, saw, local: { port: 4321 } });
      if (protocol === 'tcp') expect(result).toMatchObject({ saw: { local: { address: to, port: 7 } } });
      expect(await server.report()).toMatchObject([saw]);
      // the same source port again, at once
      expect(await lab.connect('left', { protocol, to, port: 7, sourcePort: 4321 })).toMatchObject({ ok: true });
    });
  }
}

test('a connection that fails tells why', async () => {
  await using lab = await startLab(pair);
  for (const protocol of both) {
    expect(await lab.connect('left', { protocol, to: '10.1.0.2', port: 9 })).toEqual({
      ok: false,
      error: 'ECONNREFUSED',
    });
  }
  await lab.host('right').run(['nft', '-f', '-'], {
    stdin: 'table ip t { chain c { type filter hook input priority 0; policy drop; }; }',
  });
  expect(await lab.connect('left', { protocol: 'tcp', to: '10.1.0.2', port: 9, timeoutMs: 100 })).toEqual({
    ok: false,
    error: 'timeout',
  });
  await expect(lab.serve('left', { protocol: 'tcp', port: 7, address: '10.1.0.9' })).rejects.toThrow(/EADDRNOTAVAIL/);
});

test('a UDP answer from another address than the one asked is none', async () => {
  await using lab = await startLab(pair);
  await lab.host('right').run(['ip', 'addr', 'add', '10.1.0.3/24', 'dev', 'eth0']);
  await lab.serve('right', { protocol: 'udp', port: 7 });
  await lab.host('right').run(['ip', 'route', 'replace', '10.1.0.0/24', 'dev', 'eth0', 'src', '10.1.0.2']);
  expect(await lab.connect('left', { protocol: 'udp', to: '10.1.0.3', port: 7, timeoutMs: 200 })).toEqual({
    ok: false,
    error: 'timeout',
  });
});

for (const protocol of both) {
  test(`held ${protocol} flows are counted, and lost ones too`, async () => {
    await using lab = await startLab(pair);
    await lab.serve('right', { protocol, port: 7 });
    const flows = await lab.holdFlows('left', {
      protocol,
      to: '10.1.0.2',
      port: 7,
      count: 200,
      intervalMs: 50,
      timeoutMs: 300,
    });
    expect(await flows.report()).toMatchObject({ open: 200, lost: 0 });
    const repeated = await lab.keepConnecting('left', { protocol, to: '10.1.0.2', port: 7, timeoutMs: 300 });
    await expect.poll(async () => (await repeated.report()).succeeded).toBeGreaterThan(5);
    await lab.host('right').run(['ip', 'link', 'set', 'eth0', 'down']);
    await expect.poll(async () => (await flows.report()).lost, { timeout: 5_000 }).toBe(200);
    await expect.poll(async () => (await repeated.report()).failed, { timeout: 5_000 }).toBeGreaterThan(0);
    expect(await flows.stop()).toMatchObject({ open: 0, lost: 200 });
    expect((await repeated.stop()).failed).toBeGreaterThan(0);
  });
}

test('a dump that cannot be made is an error, never an empty text', async () => {
  await using lab = await startLab(pair);
  await lab.run(['mount', '--bind', '/bin/false', '/usr/sbin/nft']);
  await expect(lab.dump('left')).rejects.toThrow(/status 1/);
});

test('a dump is the same after a change and its undo, and another in between', async () => {
  await using lab = await startLab(slimEdge());
  const edge = lab.host('edge');
  await lab.serve('edge', { protocol: 'tcp', port: 80 }); // the lab's own programs are not the host's
  const before = await lab.dump('edge');
  expect(before).toContain('net.ipv4.ip_forward = 0');
  for (const [change, undo] of [
    ['nft add table inet foreign', 'nft delete table inet foreign'],
    ['ip rule add priority 5000 lookup 7', 'ip rule del priority 5000'],
    ['ip -6 rule add priority 5000 lookup 7', 'ip -6 rule del priority 5000'],
    ['ip route add 10.9.0.0/16 via 198.51.100.1 table 7', 'ip route flush table 7'],
    ['ip -6 route add unreachable default table 7', 'ip -6 route flush table 7'],
    ['ip link add v0 type vxlan id 7 dstport 4789 dev eth0', 'ip link del v0'],
    ['ip addr add 10.8.0.1/32 dev lo', 'ip addr del 10.8.0.1/32 dev lo'],
    ['sysctl -q net.ipv4.conf.eth0.rp_filter=2', 'sysctl -q net.ipv4.conf.eth0.rp_filter=0'],
    ['sysctl -q net.ipv6.conf.all.forwarding=1', 'sysctl -q net.ipv6.conf.all.forwarding=0'],
    ['mkdir -p /run/sallyport && touch /run/sallyport/x', 'rm /run/sallyport/x'],
    ['setsid -f sleep 1000 >/dev/null 2>&1', 'pkill -x sleep'],
  ] as const) {
    await edge.run(['sh', '-c', change]);
    expect(await lab.dump('edge'), change).not.toBe(before);
    await edge.run(['sh', '-c', undo]);
    await expect.poll(() => lab.dump('edge'), { message: undo }).toBe(before);
  }
});

test('a capture has every packet from its start to its stop', async () => {
  await using lab = await startLab(pair);
  await lab.serve('right', { protocol: 'udp', port: 7 });
  await using capture = await lab.capture('right', 'eth0', 'udp port 7');
  for (const to of ['10.1.0.2', 'fd01::2'])
    await lab.connect('left', { protocol: 'udp', to, port: 7, sourcePort: 5000, payload: 'secret' });
  const packets = await capture.stop();
  expect(packets.map(printPacket)).toEqual([
    'udp 10.1.0.1:5000 > 10.1.0.2:7 34 bytes',
    expect.stringMatching(/^udp 10\.1\.0\.2:7 > 10\.1\.0\.1:5000 \d+ bytes$/),
    'udp [fd01::1]:5000 > [fd01::2]:7 54 bytes',
    expect.stringMatching(/^udp \[fd01::2\]:7 > \[fd01::1\]:5000 \d+ bytes$/),
  ]);
  expect(packets[0]?.payload.toString()).toBe('secret');
  await expect(lab.capture('right', 'eth9')).rejects.toThrow(/eth9/);
});

test('a real nginx logs the addresses of its clients', async () => {
  await using lab = await startLab(pair);
  await using nginx = await lab.nginx('right');
  for (const [url, says] of [
    ['http://10.1.0.2:8080/', 'you are 10.1.0.1\n'],
    ['http://[fd01::2]:8080/', 'you are fd01::1\n'],
  ] as const) {
    expect((await lab.host('left').run(['curl', '-sg', url])).stdout).toBe(says);
  }
  expect(await nginx.clients()).toEqual(['10.1.0.1', 'fd01::1']);
});
