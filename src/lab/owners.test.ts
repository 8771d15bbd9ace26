/** The real firewalls of others start on a host of a lab, shut it, and leave nothing on this machine. */
import { expect, test } from 'vitest';
import { startDocker, startFirewalld, startLab, startUfw } from './index.ts';

const pair = {
  name: 'pair',
  hosts: [{ name: 'client' }, { name: 'server' }],
  switches: [],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
        { at: 'server', interface: 'eth0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
      ],
    },
  ],
} as const;

test('ufw and firewalld shut the ports they were not told of, over both families', async () => {
  for (const start of [startUfw, startFirewalld]) {
    await using lab = await startLab(pair);
    await lab.serve('server', { protocol: 'tcp', port: 80 });
    const ask = async (to: string) =>
      (await lab.connect('client', { protocol: 'tcp', to, port: 80, timeoutMs: 500 })).ok;
    for (const to of ['192.0.2.2', '2001:db8::2']) expect(await ask(to)).toBe(true);
    await start(lab, 'server');
    for (const to of ['192.0.2.2', '2001:db8::2']) expect(await ask(to)).toBe(false);
  }
}, 60_000);

test('dockerd shuts forwarding, and what is in DOCKER-USER outlives it', async () => {
  await using lab = await startLab(pair);
  const docker = await startDocker(lab, 'server');
  const rules = async (program: string) => (await lab.host('server').run([`${program}-save`, '-t', 'filter'])).stdout;
  await lab.host('server').run(['iptables', '-I', 'DOCKER-USER', '-i', 'eth9', '-j', 'ACCEPT']);
  for (const step of [() => Promise.resolve(), docker.restart]) {
    await step();
    expect(await rules('iptables')).toContain(':FORWARD DROP');
    expect(await rules('iptables')).toContain('-A DOCKER-USER -i eth9 -j ACCEPT');
    expect(await rules('ip6tables')).toContain(':FORWARD DROP'); // version 20 makes no DOCKER-USER there
  }
}, 60_000);
