import { expect, test } from 'vitest';
import { slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';
import { writesDuring } from './testdata/monitor.ts';

/** What others have on the hosts: it must come through everything. */
const foreign = `
nft add table ip theirs
nft add chain ip theirs input '{ type filter hook input priority 10; policy accept; }'
nft add rule ip theirs input tcp dport 22 counter accept
ip rule add priority 4000 from 203.0.113.7 lookup 77
ip route add 203.0.113.0/24 dev lo table 77
sysctl -q -w net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.all.rp_filter=1`;

const ports = ['{ protocol: TCP, port: 80, targetPort: 8080 }', '{ protocol: UDP, port: 30000-30010 }'];

test('plan, apply, status, apply again, destroy: the path is made, nothing is written twice, and all is as it was', async () => {
  await using cli = await startCliLab();
  for (const host of ['edge', 'node']) await cli.lab.host(host).run(['sh', '-ec', foreign]);
  const file = await cli.documents('edge.yaml', slimEdgeDocuments({ ports }));
  const before = await cli.dumps();
  await using server = await cli.lab.serve('node', { protocol: 'tcp', port: 8080 });

  const plan = await cli.json('plan', '-f', file);
  expect(plan).toMatchObject({
    status: 0,
    value: {
      hosts: [
        { host: 'edge', reachable: true },
        { host: 'node', reachable: true },
      ],
    },
  });
  expect(JSON.stringify(plan.value)).toMatch(/"holds":true/);
  expect(JSON.stringify(plan.value)).not.toMatch(/"holds":(false|"undecided")/);
  expect((await cli.sallyport('plan', '-f', file, '--detailed-exitcode')).status).toBe(2);
  expect(await cli.dumps()).toBe(before);

  const applied = await cli.json('apply', '-f', file, '--yes');
  expect(applied.stderr).toBe('');
  expect(applied.status).toBe(0);
  expect((await cli.sallyport('status', '-f', file, '--wait', '60s')).stderr).toBe('');
  const status = await cli.json('status', '-f', file);
  expect(status).toMatchObject({
    status: 0,
    value: {
      hosts: [
        { host: 'edge', reachable: true, inSync: true, drift: [], tunnels: [{ name: 'edge-node', up: true }] },
        { host: 'node', reachable: true, inSync: true, drift: [], tunnels: [{ name: 'edge-node', up: true }] },
      ],
      resources: [
        { kind: 'Host', name: 'edge', ready: true },
        { kind: 'Host', name: 'node', ready: true },
        { kind: 'Tunnel', name: 'edge-node', ready: true, reason: null },
        {
          kind: 'PortForward',
          name: 'edge-node-web',
          ready: true,
          reason: null,
          addresses: ['198.51.100.10', '2001:db8:e::10'],
          targets: [{ name: 'node', healthy: true }],
        },
      ],
    },
  });
  for (const [to, from] of [
    ['198.51.100.10', '192.0.2.10'],
    ['2001:db8:e::10', '2001:db8:c::10'],
  ] as const) {
    expect(await cli.lab.connect('client', { protocol: 'tcp', to, port: 80 })).toMatchObject({ ok: true });
    expect((await server.report()).at(-1)?.client.address).toBe(from);
  }

  for (const host of ['edge', 'node']) {
    const written = await writesDuring(cli.lab.host(host), async () => {
      const again = await cli.json('apply', '-f', file, '--yes');
      expect(again).toMatchObject({ status: 0, value: { hosts: [{ changes: [] }, { changes: [] }] } });
    });
    expect(written).toBe('');
  }
  expect((await cli.sallyport('plan', '-f', file, '--detailed-exitcode')).status).toBe(0);

  const destroyed = await cli.sallyport('destroy', '-f', file, '--yes');
  expect(destroyed.stderr).toBe('');
  expect(destroyed.status).toBe(0);
  expect(await cli.dumps()).toBe(before);
  expect((await cli.lab.run(['ls', '/run'])).stdout).not.toContain('sallyport');
  const nothing = await cli.sallyport('destroy', '-f', file, '--yes');
  expect(nothing).toMatchObject({ status: 0, stderr: '' });
  expect(nothing.stdout).toContain('Nothing to take back.');
});
