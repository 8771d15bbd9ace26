/** An edge that is a home router already: its own masquerade and forwarding stand, and the target lies in its own network. */
import { expect, test } from 'vitest';
import { startLab, type Topology } from '../lab/index.ts';
import { SALLYPORT } from './testdata/story.ts';

/** client - router - a switch with `server` and `pc`, whose gateway the router is. */
const HOME: Topology = {
  name: 'home-router',
  hosts: [
    { name: 'client', routes: [{ to: 'default', via: '198.51.100.1' }] },
    {
      name: 'router',
      sysctls: { 'net.ipv4.ip_forward': '1' },
      nft: `table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "wan0" masquerade; }
}
table inet filter {
  chain forward { type filter hook forward priority 0; policy accept; iifname "wan0" ct state new ct status & dnat == 0 drop; }
}`,
    },
    { name: 'server', routes: [{ to: 'default', via: '192.168.1.1' }] },
    { name: 'pc', routes: [{ to: 'default', via: '192.168.1.1' }] },
  ],
  switches: [{ name: 'lan' }],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['198.51.100.9/24'] },
        { at: 'router', interface: 'wan0', addresses: ['198.51.100.1/24'] },
      ],
    },
    {
      ends: [
        { at: 'router', interface: 'lan0', addresses: ['192.168.1.1/24'] },
        { at: 'lan', interface: 'port0' },
      ],
    },
    {
      ends: [
        { at: 'server', interface: 'eth0', addresses: ['192.168.1.240/24'] },
        { at: 'lan', interface: 'port1' },
      ],
    },
    {
      ends: [
        { at: 'pc', interface: 'eth0', addresses: ['192.168.1.50/24'] },
        { at: 'lan', interface: 'port2' },
      ],
    },
  ],
};

const documents = (more = ''): string => `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: router }
spec:
  access: { netns: { name: router } }
  interfaces: [{ name: wan0, zone: public }, { name: lan0, zone: private }]
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: server }
spec:
  at: { hosts: [router] }
  ports: [{ protocol: TCP, port: 443, targetPort: 8443 }, { protocol: UDP, port: 443, targetPort: 8443 }]
  to: [{ address: 192.168.1.240 }]
${more}`;

for (const [hairpin, what, inside] of [
  [true, 'a machine of its own network is answered too', { pc: '192.168.1.1', router: '198.51.100.1' }],
  [false, 'nobody inside reaches it by the public address', { pc: 'ECONNREFUSED', router: 'ECONNREFUSED' }],
] as const)
  test(`hairpin ${hairpin}: the server sees the client, ${what}`, async () => {
    await using lab = await startLab(HOME);
    const before = await lab.dump('router');
    const sallyport = (...args: readonly string[]) =>
      lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: documents(`  hairpin: ${hairpin}\n`),
        allowFailure: true,
      });
    const applied = await sallyport('apply', '--yes');
    expect(applied, applied.stderr).toMatchObject({ status: 0 });
    await lab.serve('server', { protocol: 'tcp', port: 8443 });
    await lab.serve('server', { protocol: 'udp', port: 8443 });
    const seen = async (host: string, protocol: 'tcp' | 'udp'): Promise<string | undefined> => {
      const result = await lab.connect(host, { protocol, to: '198.51.100.1', port: 443 });
      return result.ok ? result.saw?.client.address : result.error;
    };
    for (const protocol of ['tcp', 'udp'] as const) {
      expect(await seen('client', protocol)).toBe('198.51.100.9');
      // By the router, or the answer would come from an address that the pc did not ask.
      expect(await seen('pc', protocol)).toBe(inside.pc);
      expect(await seen('router', protocol)).toBe(inside.router);
    }
    expect((await sallyport('plan', '--detailed-exitcode')).status).toBe(0);
    expect(await sallyport('destroy', '--yes')).toMatchObject({ status: 0 });
    expect(await lab.dump('router')).toBe(before);
  });
