import { describe, expect, test } from 'vitest';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

/** Seconds after which a router that is silent is forgotten. */
const LIFETIME = 2;

/** Three times within a lifetime: intervals below 4 s are for mobile networks, hence their option (radvd.conf(5)). */
const radvdConf = (link: string): string => `interface ${link} {
  AdvSendAdvert on; AdvIntervalOpt on;
  MinRtrAdvInterval 0.3; MaxRtrAdvInterval 0.6; MinDelayBetweenRAs 0.05; AdvDefaultLifetime ${LIFETIME};
};
`;

/** Advertises the router `internet` on a link of its own; gone with the disposal. */
async function advertise({ lab, documents }: CliLab, link: string) {
  const conf = await documents(`${link}.conf`, radvdConf(link));
  return await lab.host('internet').spawn(['radvd', '-n', '-m', 'stderr', '-C', conf, '-p', `/run/radvd-${link}`]);
}

async function startEdge() {
  const cli = await startCliLab({ neighbour: false });
  const edge = cli.lab.host('edge');
  const sh = async (text: string) => (await edge.run(['sh', '-ec', text])).stdout;
  const setting = (path: string) => sh(`cat /proc/sys/net/ipv6/conf/${path}`).then((text) => text.trim());
  /** One whose time is over may be listed for half a minute more; it is not used. */
  const routers = async (link: string) =>
    (await sh(`ip -6 route show default proto ra dev ${link}`))
      .split('\n')
      .filter((line) => line !== '' && !line.includes('expires -'))
      .join('\n');
  return {
    cli,
    edge,
    sh,
    setting,
    routers,
    /** Every loss of a default route by the link while its router says so `count` times more, and whether it is lost then. */
    async lost(count: number) {
      await using monitor = await edge.spawn(['ip', '-6', 'monitor', 'route']);
      let told = '';
      monitor.stdout.on('data', (chunk: Buffer) => {
        told += chunk.toString();
      });
      const heard = await cli.lab
        .host('edge')
        .run(['tcpdump', '-ni', 'eth0', '-c', String(count), 'icmp6 and ip6[40] == 134'], { timeoutMs: 30_000 });
      expect(heard.stderr).toContain(`${count} packets captured`);
      const deleted = told.split('\n').filter((line) => /^Deleted default/.test(line));
      return (await routers('eth0')) === '' ? [...deleted, 'none is left'] : deleted;
    },
    [Symbol.asyncDispose]: () => cli[Symbol.asyncDispose](),
  };
}

/** Longer than three lifetimes at the slowest pace. */
const SEVERAL = 12;

describe.concurrent('the default route that a router advertises', () => {
  for (const [before, during] of [
    ['1', '2'],
    ['2', '2'],
  ] as const)
    test(`stays where accept_ra is ${before}: over several of its lifetimes, on a link that comes later, and after destroy`, async ({
      expect,
    }) => {
      await using host = await startEdge();
      const { cli, edge } = host;
      await host.sh(`ip -6 route del default; echo ${before} >/proc/sys/net/ipv6/conf/eth0/accept_ra`);
      await using _radvd = await advertise(cli, 'edge0');
      await expect.poll(() => host.routers('eth0'), { timeout: 30_000 }).toMatch(/^default via fe80/);
      const dumped = await cli.lab.dump('edge');
      const file = await cli.documents('edge.yaml', slimEdgeDocuments());
      await using _server = await cli.lab.serve('node', { protocol: 'tcp', port: 8080 });

      const monitor = host.lost(SEVERAL);
      expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
      expect(await monitor).toEqual([]);
      expect(await host.setting('all/forwarding')).toBe('1');
      expect(await host.setting('eth0/accept_ra')).toBe(during);
      expect((await cli.sallyport('status', '-f', file, '--wait', '10s')).status).toBe(0);
      // The answer leaves by that very route.
      const asked = await cli.lab.connect('client', { protocol: 'tcp', to: '2001:db8:e::10', port: 80 });
      expect(asked).toMatchObject({ ok: true });

      await cli.lab.run([
        'ip',
        '-n',
        'edge',
        'link',
        'add',
        'late0',
        'type',
        'veth',
        'peer',
        'name',
        'late1',
        'netns',
        'internet',
      ]);
      await cli.lab.run(['ip', '-n', 'internet', 'link', 'set', 'late1', 'up']);
      await edge.run(['ip', 'link', 'set', 'late0', 'up']);
      await using late = await advertise(cli, 'late1');
      await expect.poll(() => host.routers('late0'), { timeout: 30_000 }).toMatch(/^default via fe80/);
      expect(await cli.sallyport('status', '-f', file)).toMatchObject({ status: 0 });
      late.kill();
      await late.exited;
      await edge.run(['ip', 'link', 'del', 'late0']);
      expect(await cli.sallyport('status', '-f', file)).toMatchObject({ status: 0 });

      // Somebody's own value, and it is put right.
      if (before === '1') {
        await host.sh('echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_ra');
        await expect.poll(() => host.routers('eth0'), { timeout: 30_000 }).toBe('');
        const seen = await cli.sallyport('status', '-f', file);
        expect(seen.status).toBe(1);
        expect(seen.stdout).toContain('net.ipv6.conf.eth0.accept_ra');
        expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
        await expect.poll(() => host.routers('eth0'), { timeout: 30_000 }).toMatch(/^default via fe80/);
      }

      await edge.run(['ip', 'link', 'add', 'stay0', 'type', 'veth', 'peer', 'name', 'stay1']);
      expect(await host.setting('stay0/forwarding')).toBe('1');
      expect(await cli.sallyport('status', '-f', file)).toMatchObject({ status: 0 });
      const destroyed = host.lost(SEVERAL);
      expect(await cli.sallyport('destroy', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
      expect(await destroyed).toEqual([]);
      expect(await host.setting('stay0/forwarding')).toBe('0');
      await edge.run(['ip', 'link', 'del', 'stay0']);
      expect(await cli.lab.dump('edge')).toBe(dumped);
    });

  test('stays when undo.sh takes all back', async ({ expect }) => {
    await using host = await startEdge();
    const { cli } = host;
    await host.sh('ip -6 route del default');
    await using _radvd = await advertise(cli, 'edge0');
    await expect.poll(() => host.routers('eth0'), { timeout: 30_000 }).toMatch(/^default via fe80/);
    const dumped = await cli.lab.dump('edge');
    const file = await cli.documents('edge.yaml', slimEdgeDocuments());
    expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
    await host.sh('ip link add stay0 type veth peer name stay1');
    const undone = host.lost(SEVERAL);
    await cli.lab.run(['sh', '-c', 'sh /run/sallyport/netns/$(stat -L -c %i /run/netns/edge)/undo.sh']);
    expect(await undone).toEqual([]);
    expect(await host.setting('stay0/forwarding')).toBe('0');
    await host.sh('ip link del stay0');
    expect(await cli.lab.dump('edge')).toBe(dumped);
  });

  test('is not asked for where somebody switched it off: systemd-networkd, which listens itself', async ({
    expect,
  }) => {
    await using host = await startEdge();
    const { cli } = host;
    await host.sh('echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra');
    const file = await cli.documents('edge.yaml', slimEdgeDocuments());
    expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
    await using _radvd = await advertise(cli, 'edge0');
    expect(await host.lost(3)).toEqual(['none is left']);
    expect(await host.setting('eth0/accept_ra')).toBe('0');
  });
});
