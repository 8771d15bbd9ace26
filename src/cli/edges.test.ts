/** Several edges before one node: each answer leaves by the edge its question came by, also where both edges carry one 5-tuple. */
import { expect, test } from 'vitest';
import { type HostSpec, startLab, type Topology } from '../lab/index.ts';
import { FROM_ONE_PORT } from './testdata/one-port.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const CLIENT = { 4: '192.0.2.10', 6: '2001:db8:c::10' } as const;
const EDGES = {
  4: ['198.51.100.10', '203.0.113.10'],
  6: ['2001:db8:e0::10', '2001:db8:e1::10'],
} as const;

const host = (name: string, vias: readonly string[], sysctls: HostSpec['sysctls'] = {}): HostSpec => ({
  name,
  routes: vias.map((via) => ({ to: 'default', via })),
  sysctls,
});
const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };

/** client, two edges and a node, each by a network of its own on the Internet's one router; a pod behind the node. */
const network = (settings: HostSpec['sysctls']): Topology => ({
  name: 'two-edges',
  hosts: [
    host('client', ['192.0.2.1', '2001:db8:c::1']),
    // As every carrier with addresses of 100.64.0.0/10 does; unhidden, the tunnel's own packets would follow the route to the target into it.
    {
      name: 'internet',
      sysctls: FORWARDS,
      nft: `table ip carrier {
  chain post { type nat hook postrouting priority 100; ip saddr 100.64.0.20 masquerade; }
}`,
    },
    host('edge0', ['198.51.100.1', '2001:db8:e0::1']),
    host('edge1', ['203.0.113.1', '2001:db8:e1::1']),
    host('node', ['100.64.0.1', '2001:db8:4e::1'], { ...FORWARDS, ...settings }),
    host('pod', ['10.42.0.1', 'fd42::1']),
  ],
  switches: [],
  cables: [
    ...(
      [
        ['client', ['192.0.2.10/24', '2001:db8:c::10/64'], ['192.0.2.1/24', '2001:db8:c::1/64']],
        ['edge0', ['198.51.100.10/24', '2001:db8:e0::10/64'], ['198.51.100.1/24', '2001:db8:e0::1/64']],
        ['edge1', ['203.0.113.10/24', '2001:db8:e1::10/64'], ['203.0.113.1/24', '2001:db8:e1::1/64']],
        ['node', ['100.64.0.20/24', '2001:db8:4e::20/64'], ['100.64.0.1/24', '2001:db8:4e::1/64']],
      ] as const
    ).map(([at, own, far], index): Topology['cables'][number] => ({
      ends: [
        { at, interface: 'eth0', addresses: own },
        { at: 'internet', interface: `net${index}`, addresses: far },
      ],
    })),
    {
      ends: [
        { at: 'node', interface: 'pod0', addresses: ['10.42.0.1/24', 'fd42::1/64'] },
        { at: 'pod', interface: 'eth0', addresses: ['10.42.0.10/24', 'fd42::10/64'] },
      ],
    },
  ],
});

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

const ports = (port: number): string => `[{ protocol: TCP, port: ${port} }, { protocol: UDP, port: ${port} }]`;

const documents = (tracking: string): string =>
  [
    ...['edge0', 'edge1', 'node'].map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
    ...EDGES[4].map((address, index) =>
      resource(
        'Tunnel',
        `t${index}`,
        `{ type: WireGuard, ends: [{ host: edge${index}, addresses: [10.90.${index}.1/30, "fd90:${index}::1/64"], endpoint: "${address}:51820" }, { host: node, addresses: [10.90.${index}.2/30, "fd90:${index}::2/64"] }] }`,
      ),
    ),
    ...(
      [
        ['own', 80, ''],
        ['pod4', 81, ', address: 10.42.0.10'],
        ['pod6', 81, ', address: "fd42::10"'],
      ] as const
    ).map(([name, port, behind]) =>
      resource(
        'PortForward',
        name,
        `{ at: { hosts: [edge0, edge1] }, ports: ${ports(port)}, to: [{ host: node${behind} }], tracking: ${tracking} }`,
      ),
    ),
  ].join('---\n');

for (const [name, settings, tracking] of [
  ['rp_filter 0', { 'net.ipv4.conf.all.rp_filter': '0' }, 'Stateful'],
  ['rp_filter 1', { 'net.ipv4.conf.all.rp_filter': '1' }, 'Stateful'],
  [
    'rp_filter 1 and src_valid_mark',
    { 'net.ipv4.conf.all.rp_filter': '1', 'net.ipv4.conf.all.src_valid_mark': '1' },
    'Stateful',
  ],
  ['rp_filter 2', { 'net.ipv4.conf.all.rp_filter': '2' }, 'Stateful'],
  ['rp_filter 1, the edges stateless', { 'net.ipv4.conf.all.rp_filter': '1' }, 'Stateless'],
] as const)
  test(`a client is answered by both edges at once from one port of its own, with ${name} on the node`, async () => {
    await using lab = await startLab(network(settings));
    const before = new Map<string, string>();
    for (const each of ['edge0', 'edge1', 'node']) before.set(each, await lab.dump(each));
    const sallyport = (...args: readonly string[]) =>
      lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: documents(tracking),
        allowFailure: true,
        timeoutMs: 60_000,
      });
    const applied = await sallyport('apply', '--yes');
    expect(applied, applied.stderr).toMatchObject({ status: 0 });
    await waitFor('both tunnels up', async () => (await sallyport('status')).status === 0);
    for (const [at, port] of [
      ['node', 80],
      ['pod', 81],
    ] as const) {
      await lab.serve(at, { protocol: 'tcp', port });
      await using server = await lab.serve(at, { protocol: 'udp', port });
      for (const family of [4, 6] as const)
        for (const protocol of ['tcp', 'udp'])
          for (const sourcePort of ['40001', '40002', '40003']) {
            const asked = [protocol, CLIENT[family], sourcePort, String(port), ...EDGES[family]];
            const { stdout } = await lab.host('client').run(['perl', '-e', FROM_ONE_PORT, ...asked]);
            const seen = stdout
              .trim()
              .split('\n')
              .map((line) => JSON.parse(line));
            expect(seen, asked.join(' ')).toMatchObject(
              EDGES[family].map((to) => ({ client: { address: CLIENT[family] }, payload: `to ${to}` })),
            );
          }
      expect((await server.report()).length, `datagrams at ${at}`).toBeGreaterThanOrEqual(12);
    }
    expect((await sallyport('destroy', '--yes')).status).toBe(0);
    for (const [each, dump] of before) expect(await lab.dump(each), each).toBe(dump);
  });
