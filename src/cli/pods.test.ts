/** Issue 3, line 3: targets in a cluster behind the node, by kube-proxy's own rules in both of its modes; each from two edges at once. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type HostSpec, type Lab, startLab, type Topology } from '../lab/index.ts';
import { FROM_ONE_PORT } from './testdata/one-port.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const CLIENT = { 4: '192.0.2.10', 6: '2001:db8:c::10' } as const;
const EDGES = { 4: ['198.51.100.10', '203.0.113.10'], 6: ['2001:db8:e0::10', '2001:db8:e1::10'] } as const;

const FORWARDS = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.conf.all.rp_filter': '1',
};
const host = (name: string, via: readonly string[], sysctls: HostSpec['sysctls'] = {}): HostSpec => ({
  name,
  routes: via.map((each) => ({ to: 'default', via: each })),
  sysctls,
});
/** The pods of the corpus: two on the node's bridge, and the other node's one, here behind the node as well. */
const PODS = ['pod5', 'pod6', 'far5'] as const;

/** client, two edges and the node of the corpus, each by a network of its own on the Internet's one router; pods behind the node. */
const network: Topology = {
  name: 'cluster',
  hosts: [
    host('client', ['192.0.2.1', '2001:db8:c::1']),
    {
      name: 'internet',
      sysctls: FORWARDS,
      // The home router, in the same box: nobody outside sees the node's own addresses.
      nft: `table inet home {
  chain post { type nat hook postrouting priority 100; ip saddr 192.168.1.20 masquerade; ip6 saddr fd00:1::20 masquerade; }
}`,
    },
    host('edge0', ['198.51.100.1', '2001:db8:e0::1']),
    host('edge1', ['203.0.113.1', '2001:db8:e1::1']),
    host('node', ['192.168.1.1', 'fd00:1::1'], FORWARDS),
    host('pod5', ['10.244.1.1', 'fd00:244::1']),
    host('pod6', ['10.244.1.1', 'fd00:244::1']),
    host('far5', ['10.244.2.1', 'fd00:245::1']),
  ],
  switches: [],
  cables: [
    ...(
      [
        ['client', ['192.0.2.10/24', '2001:db8:c::10/64'], ['192.0.2.1/24', '2001:db8:c::1/64']],
        ['edge0', ['198.51.100.10/24', '2001:db8:e0::10/64'], ['198.51.100.1/24', '2001:db8:e0::1/64']],
        ['edge1', ['203.0.113.10/24', '2001:db8:e1::10/64'], ['203.0.113.1/24', '2001:db8:e1::1/64']],
        ['node', ['192.168.1.20/24', 'fd00:1::20/64'], ['192.168.1.1/24', 'fd00:1::1/64']],
      ] as const
    ).map(([at, own, far], index): Topology['cables'][number] => ({
      ends: [
        { at, interface: 'eth0', addresses: own },
        { at: 'internet', interface: `net${index}`, addresses: far },
      ],
    })),
    ...(
      [
        ['pod5', [], ['10.244.1.5/24', 'fd00:244::5/64']],
        ['pod6', [], ['10.244.1.6/24', 'fd00:244::6/64']],
        ['far5', ['10.244.2.1/24', 'fd00:245::1/64'], ['10.244.2.5/24', 'fd00:245::5/64']],
      ] as const
    ).map(([at, own, far]): Topology['cables'][number] => ({
      ends: [
        { at: 'node', interface: `v-${at}`, addresses: own },
        { at, interface: 'eth0', addresses: far },
      ],
    })),
  ],
};

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const MODES = {
  iptables: async (lab: Lab) => {
    const node = lab.host('node');
    for (const object of ['ct_state_invalid_dropped_pkts', 'localhost_nps_accepted_pkts'])
      await node.run(['nfacct', 'add', object]);
    for (const word of ['iptables', 'ip6tables'])
      await node.run([`${word}-nft-restore`], {
        stdin: read(`../iptables/testdata/kube-proxy-1.36/iptables.${word}-save`),
      });
  },
  nftables: async (lab: Lab) => {
    await lab.host('node').run(['nft', '-f', '-'], { stdin: read('testdata/kube-proxy-1.36/nftables.nft') });
  },
} as const;

interface Story {
  readonly lab: Lab;
  sallyport(args: readonly string[], documents: string): Promise<{ status: number; stdout: string; stderr: string }>;
}

async function startStory(mode: keyof typeof MODES): Promise<Story & AsyncDisposable> {
  const lab = await startLab(network);
  const bridge = `ip link add cni0 type bridge forward_delay 0; ip address add 10.244.1.1/24 dev cni0; ip address add fd00:244::1/64 dev cni0 nodad
ip link set v-pod5 master cni0; ip link set v-pod6 master cni0; ip link set cni0 up`;
  await lab.host('node').run(['sh', '-ec', bridge]);
  const settled = async (): Promise<boolean> => {
    const { stdout } = await lab.host('node').run(['ip', '-6', 'address', 'show', 'dev', 'cni0', 'scope', 'link']);
    return stdout.includes('inet6 fe80') && !stdout.includes('tentative');
  };
  await waitFor('the bridge', settled);
  await MODES[mode](lab);
  return {
    lab,
    sallyport: (args, documents) =>
      lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: documents,
        allowFailure: true,
        timeoutMs: 60_000,
      }),
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
const HOSTS = [
  ...['edge0', 'edge1', 'node'].map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
  ...EDGES[4].map((address, index) =>
    resource(
      'Tunnel',
      `t${index}`,
      `{ type: WireGuard, ends: [{ host: edge${index}, addresses: [10.90.${index}.1/30, "fd90:${index}::1/64"], endpoint: "${address}:51820" }, { host: node, addresses: [10.90.${index}.2/30, "fd90:${index}::2/64"] }] }`,
    ),
  ),
];
const forward = (name: string, ports: string, behind = '', more = ''): string =>
  resource(
    'PortForward',
    name,
    `{ at: { hosts: [edge0, edge1] }, ports: [${ports}], to: [{ host: node${behind} }]${more} }`,
  );

const KEPT = [
  ...HOSTS,
  // web-local and dns: NodePorts with externalTrafficPolicy Local.
  forward('nodeport', '{ protocol: TCP, port: 80, targetPort: 30080 }, { protocol: UDP, port: 53, targetPort: 30053 }'),
  // web-local's LoadBalancer address.
  forward('vip', '{ protocol: TCP, port: 8000, targetPort: 80 }', ', address: 192.168.1.240'),
  forward(
    'pod4',
    '{ protocol: TCP, port: 81, targetPort: 8080 }, { protocol: UDP, port: 5353 }',
    ', address: 10.244.1.5',
  ),
  forward(
    'pod6',
    '{ protocol: TCP, port: 81, targetPort: 8080 }, { protocol: UDP, port: 5353 }',
    ', address: "fd00:244::5"',
  ),
].join('---\n');

async function apply(story: Story, documents: string, ...more: readonly string[]): Promise<void> {
  const applied = await story.sallyport(['apply', '--yes', ...more], documents);
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  await waitFor('both tunnels up', async () => {
    const { hosts } = JSON.parse((await story.sallyport(['status', '-o', 'json'], documents)).stdout);
    return hosts.every((each: { tunnels: readonly { up: boolean }[] }) => each.tunnels.every(({ up }) => up));
  });
}

async function serveInPods(lab: Lab): Promise<void> {
  for (const pod of PODS) {
    await lab.serve(pod, { protocol: 'tcp', port: 8080 });
    await lab.serve(pod, { protocol: 'udp', port: 5353 });
  }
}

/** What the pods saw of a client that asked all of these addresses at once from one port. */
async function askFromOnePort(
  lab: Lab,
  family: 4 | 6,
  protocol: string,
  port: number,
  sourcePort: number,
): Promise<readonly unknown[]> {
  const asked = [protocol, CLIENT[family], String(sourcePort), String(port), ...EDGES[family]];
  const { stdout } = await lab.host('client').run(['perl', '-e', FROM_ONE_PORT, ...asked]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

for (const mode of ['iptables', 'nftables'] as const)
  describe(`behind kube-proxy in mode ${mode}`, () => {
    test('NodePorts with policy Local, a VIP and pods see the client, proven before and shown after, over two edges at once', async () => {
      await using story = await startStory(mode);
      const { lab, sallyport } = story;
      const before = await lab.dump('node');
      const plan = await sallyport(['plan', '-o', 'json'], KEPT);
      expect(plan, plan.stderr).toMatchObject({ status: 0 });
      const { promises } = JSON.parse(plan.stdout);
      const open = promises.filter(({ holds }: { holds: unknown }) => holds !== true);
      expect(
        open.map(
          (each: { resource: string; promise: string; reason: string }) =>
            `${each.resource}: ${each.promise}: ${each.reason}`,
        ),
      ).toEqual([]);
      await apply(story, KEPT, '--require-proof');
      await serveInPods(lab);
      for (const [protocol, port, families] of [
        ['tcp', 80, [4, 6]],
        ['udp', 53, [4, 6]],
        ['tcp', 8000, [4]],
        ['tcp', 81, [4, 6]],
        ['udp', 5353, [4, 6]],
      ] as const)
        for (const family of families)
          for (const sourcePort of [40001, 40002, 40003]) {
            const seen = await askFromOnePort(lab, family, protocol, port, sourcePort);
            const wanted = EDGES[family].map((to) => ({ client: { address: CLIENT[family] }, payload: `to ${to}` }));
            expect(seen, `${protocol}/${port} over IPv${family} from port ${sourcePort}`).toMatchObject(wanted);
          }
      const destroyed = await sallyport(['destroy', '--yes'], KEPT);
      expect(destroyed, destroyed.stderr).toMatchObject({ status: 0 });
      expect(await lab.dump('node')).toBe(before);
    });

    test('policy Cluster and ClusterIPs hide the client: the plan says by which rule, and what is accepted works with the address of the node', async () => {
      await using story = await startStory(mode);
      const { lab, sallyport } = story;
      const FORWARDS = [
        ['cluster', '{ protocol: TCP, port: 80, targetPort: 30081 }', ''],
        ['clusterip4', '{ protocol: TCP, port: 82, targetPort: 80 }', ', address: 10.96.0.10'],
        ['clusterip6', '{ protocol: TCP, port: 82, targetPort: 80 }', ', address: "fd00:96::10"'],
      ] as const;
      const asIs = (more = '') =>
        [...HOSTS, ...FORWARDS.map(([name, ports, behind]) => forward(name, ports, behind, more))].join('---\n');
      const refused = await sallyport(['apply', '--yes'], asIs());
      expect(refused.status).toBe(1);
      for (const [name] of FORWARDS)
        expect(refused.stderr).toMatch(
          new RegExp(
            `PortForward/${name}: the target sees the client's own address: does not hold: the target sees \\S+, for node hides the client: .*(?:KUBE-POSTROUTING|masquerading).*; ClusterIPs and externalTrafficPolicy: Cluster ask for that, NodePorts and load-balancer addresses with Local do not`,
          ),
        );
      expect(refused.stderr).toContain('6 promises do not hold');
      const accepted = FORWARDS.flatMap(([name]) => [
        '--accept',
        `PortForward/${name}: the target sees the client's own address`,
      ]);
      await apply(story, asIs(), ...accepted);
      await serveInPods(lab);
      for (const port of [80, 82])
        for (const family of [4, 6] as const)
          for (const sourcePort of [40001, 40002, 40003]) {
            const seen = await askFromOnePort(lab, family, 'tcp', port, sourcePort);
            const node = family === 4 ? /^10\.244\.[12]\.1$/ : /^fd00:24[45]::1$/;
            const client = { address: expect.stringMatching(node) };
            const wanted = EDGES[family].map((to) => ({ client, payload: `to ${to}` }));
            expect(seen, `port ${port} over IPv${family} from port ${sourcePort}`).toMatchObject(wanted);
          }
      // Asked for, a hidden client is no broken promise.
      const plan = await sallyport(['plan', '-o', 'json'], asIs(', clientAddress: Masquerade'));
      expect(JSON.parse(plan.stdout).promises.filter(({ holds }: { holds: unknown }) => holds !== true)).toEqual([]);
    });
  });
