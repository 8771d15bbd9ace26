import { expect, test } from 'vitest';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

/** Somebody's file, and `sysctl` run with it on a host, as `sysctl --system` does. */
async function changed({ lab }: CliLab, host: string, line: string) {
  await lab.run(['sh', '-ec', 'mountpoint -q /etc/sysctl.d || mount -t tmpfs tmpfs /etc/sysctl.d']);
  await lab.run(['sh', '-ec', 'printf "# hardening\\n%s\\n" "$1" >/etc/sysctl.d/99-hardening.conf', 'sh', line]);
  await lab.host(host).run(['sysctl', '-q', '-p', '/etc/sysctl.d/99-hardening.conf']);
}

test('a setting that somebody changed is named with its value, the one it should have and the line that set it, and put right', async () => {
  await using cli = await startCliLab();
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  const before = await cli.dumps();
  expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
  expect((await cli.sallyport('status', '-f', file, '--wait', '10s')).status).toBe(0);
  for (const [host, line, setting, is, should] of [
    ['edge', 'net.ipv4.ip_forward = 0', 'net.ipv4.conf.eth0.forwarding', '0', '1'],
    ['edge', 'net.ipv4.conf.all.forwarding=0', 'net.ipv4.conf.sp-wg51820.forwarding', '0', '1'],
    ['edge', 'net/ipv4/conf/eth0/forwarding = 0', 'net.ipv4.conf.eth0.forwarding', '0', '1'],
    ['edge', '-net.ipv6.conf.all.forwarding = 0', 'net.ipv6.conf.all.forwarding', '0', '1'],
    ['edge', 'net.ipv6.conf.eth0.accept_ra = 1', 'net.ipv6.conf.eth0.accept_ra', '1', '2'],
    ['node', 'net.ipv4.conf.sp-edge-node.rp_filter = 1', 'net.ipv4.conf.sp-edge-node.rp_filter', '1', '2'],
  ] as const) {
    // Written as it is by somebody who means it: a value that stands already changes nothing beside.
    if (line.includes('ip_forward') || line.includes('all.forwarding=')) {
      await cli.lab.host(host).run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1']);
    }
    await changed(cli, host, line);
    const key = line.replace(/^-/, '').split(/ ?=/)[0];
    const found = await cli.sallyport('status', '-f', file);
    expect([line, found.status, found.stdout]).toEqual([
      line,
      1,
      expect.stringContaining(
        `  ~ sysctl  ${setting}: ${is}, should be ${should}; /etc/sysctl.d/99-hardening.conf:2 sets ${key} = ${is}`,
      ),
    ]);
    const { value } = await cli.json('status', '-f', file);
    expect(JSON.stringify(value)).toContain(`"cause":"/etc/sysctl.d/99-hardening.conf:2 sets ${key} = ${is}"`);
    expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
    expect((await cli.sallyport('status', '-f', file)).status).toBe(0);
  }
  await cli.lab.host('edge').run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=0']);
  await cli.lab.host('edge').run(['sysctl', '-q', '-w', 'net.ipv4.conf.eth0.forwarding=1']);
  expect((await cli.sallyport('destroy', '-f', file, '--yes')).status).toBe(0);
  expect(await cli.dumps()).toBe(before);
}, 120_000);

test('ip_forward that stood before us and was relied on: its end is seen, and put right on our links alone', async () => {
  await using cli = await startCliLab();
  const edge = cli.lab.host('edge');
  await edge.run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1']);
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  const applied = await cli.sallyport('apply', '-f', file, '--yes');
  expect(applied).toMatchObject({ status: 0, stderr: '' });
  expect(applied.stdout).not.toContain('net.ipv4.conf.eth0.forwarding');
  expect((await cli.sallyport('status', '-f', file, '--wait', '10s')).status).toBe(0);
  await using _server = await cli.lab.serve('node', { protocol: 'tcp', port: 8080 });
  const ask = () => cli.lab.connect('client', { protocol: 'tcp', to: '198.51.100.10', port: 80, timeoutMs: 1_000 });
  expect(await ask()).toMatchObject({ ok: true });

  await edge.run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=0']);
  expect(await ask()).toMatchObject({ ok: false });
  const found = await cli.sallyport('status', '-f', file);
  expect(found.status).toBe(1);
  for (const link of ['eth0', 'sp-wg51820'])
    expect(found.stdout).toContain(`  ~ sysctl  net.ipv4.conf.${link}.forwarding: 0, should be 1\n`);
  expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
  expect(await ask()).toMatchObject({ ok: true });
  expect((await edge.run(['cat', '/proc/sys/net/ipv4/ip_forward'])).stdout).toBe('0\n');
});
