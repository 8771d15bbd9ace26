/** An edge that is a home router already: its own masquerade and forwarding stand, and the target lies in its own network. */
import { expect, test } from 'vitest';
import { startLab, type Topology } from '../lab/index.ts';
import { SALLYPORT } from './testdata/story.ts';

const by = (ipv4: string, ipv6: string) => [
  { to: 'default', via: ipv4 },
  { to: 'default', via: ipv6 },
];

/** client - router - a switch with `server` and `pc`, whose gateway the router is. */
const home = (leased: boolean): Topology => ({
  name: 'home-router',
  hosts: [
    { name: 'client', routes: by('198.51.100.1', '2001:db8:c::1') },
    {
      name: 'router',
      // The kernel sends errors at a measured pace (icmp(7)); a test asks faster than people do.
      sysctls: {
        'net.ipv4.ip_forward': '1',
        'net.ipv6.conf.all.forwarding': '1',
        'net.ipv4.icmp_ratelimit': '0',
        'net.ipv6.icmp.ratelimit': '0',
      },
      routes: by('198.51.100.9', '2001:db8:c::9'),
      nft: `table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "wan0" masquerade; }
}
table inet filter {
  chain forward { type filter hook forward priority 0; policy accept; iifname "wan0" ct state new ct status & dnat == 0 drop; }
}`,
    },
    { name: 'server', routes: by('192.168.1.1', '2001:db8:1::1') },
    { name: 'pc', routes: by('192.168.1.1', '2001:db8:1::1') },
  ],
  switches: [{ name: 'lan' }],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['198.51.100.9/24', '2001:db8:c::9/64'] },
        {
          at: 'router',
          interface: 'wan0',
          addresses: ['198.51.100.1/24', '2001:db8:c::1/64'].map((address) =>
            leased ? { address, validSeconds: 3600 } : address,
          ),
        },
      ],
    },
    {
      ends: [
        { at: 'router', interface: 'lan0', addresses: ['192.168.1.1/24', '2001:db8:1::1/64'] },
        { at: 'lan', interface: 'port0' },
      ],
    },
    {
      ends: [
        { at: 'server', interface: 'eth0', addresses: ['192.168.1.240/24', '2001:db8:1::240/64'] },
        { at: 'lan', interface: 'port1' },
      ],
    },
    {
      ends: [
        { at: 'pc', interface: 'eth0', addresses: ['192.168.1.50/24', '2001:db8:1::50/64'] },
        { at: 'lan', interface: 'port2' },
      ],
    },
  ],
});

const documents = (more = ''): string => `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: router }
spec:
  access: { netns: { name: router } }
  interfaces: [{ name: wan0, zone: public }, { name: lan0, zone: private }]
---
${[
  ['server', '192.168.1.240', ''],
  ['server6', '"2001:db8:1::240"', '  limits: { connections: 50 }\n'],
]
  .map(
    ([name, address, limits]) => `apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: ${name} }
spec:
  at: { hosts: [router] }
  ports: [{ protocol: TCP, port: 443, targetPort: 8443 }, { protocol: UDP, port: 443, targetPort: 8443 }]
  to: [{ address: ${address} }]
${limits}${more}`,
  )
  .join('---\n')}`;

const IN = { 4: '198.51.100.1', 6: '2001:db8:c::1' } as const;

for (const [hairpin, leased, what, inside] of [
  [true, false, 'a machine of its own network is answered too', { pc: true, router: true }],
  [true, true, 'a machine of its own network is answered too', { pc: true, router: true }],
  [false, false, 'nobody inside reaches it by the public address', { pc: false, router: false }],
  [false, true, 'nobody inside reaches it by the public address', { pc: false, router: false }],
] as const)
  test(`hairpin ${hairpin}${leased ? ' at a lease' : ''}: the server sees the client, ${what}`, async () => {
    await using lab = await startLab(home(leased));
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
    const seen = async (host: string, protocol: 'tcp' | 'udp', to: string): Promise<string | undefined> => {
      const result = await lab.connect(host, { protocol, to, port: 443 });
      return result.ok ? result.saw?.client.address : result.error;
    };
    for (const protocol of ['tcp', 'udp'] as const)
      for (const [family, client, gateway] of [
        [4, '198.51.100.9', '192.168.1.1'],
        [6, '2001:db8:c::9', '2001:db8:1::1'],
      ] as const) {
        const about = `${protocol} over IPv${family}`;
        expect(await seen('client', protocol, IN[family]), about).toBe(client);
        // By the router, or the answer would come from an address that the pc did not ask.
        expect(await seen('pc', protocol, IN[family]), about).toBe(inside.pc ? gateway : 'ECONNREFUSED');
        expect(await seen('router', protocol, IN[family]), about).toBe(inside.router ? IN[family] : 'ECONNREFUSED');
        // The router's other addresses are the router.
        for (const host of ['pc', 'router'])
          expect(await seen(host, protocol, gateway), `${about}: ${gateway}`).toBe('ECONNREFUSED');
        expect(await seen('router', protocol, family === 4 ? '127.0.0.1' : '::1'), about).toBe('ECONNREFUSED');
      }
    expect((await sallyport('plan', '--detailed-exitcode')).status).toBe(0);
    expect(await sallyport('destroy', '--yes')).toMatchObject({ status: 0 });
    expect(await lab.dump('router')).toBe(before);
  });
