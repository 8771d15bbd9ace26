/** Issue 3, line 3: targets in a cluster behind the node, by kube-proxy's own rules in both of its modes; each from two edges at once. */
import { describe, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { KUBE_PROXY } from './testdata/kube-proxy.ts';
import { waitFor } from './testdata/story.ts';
import {
  applyTwo,
  askFromOnePort,
  EDGES,
  expectByOwnEdge,
  forward,
  HOSTS,
  hostBy,
  type Sallyport,
  sallyportIn,
  twoEdges,
} from './testdata/two-edges.ts';

/** The pods of the corpus: two on the node's bridge, and the other node's one, here behind the node as well. */
const PODS = ['pod5', 'pod6', 'far5'] as const;

/** The node of the corpus, and pods behind it. */
const network: Topology = twoEdges('cluster', {
  hosts: [
    hostBy('pod5', ['10.244.1.1', 'fd00:244::1']),
    hostBy('pod6', ['10.244.1.1', 'fd00:244::1']),
    hostBy('far5', ['10.244.2.1', 'fd00:245::1']),
  ],
  cables: (
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
});

interface Story {
  readonly lab: Lab;
  readonly sallyport: Sallyport;
}

async function startStory(mode: keyof typeof KUBE_PROXY): Promise<Story & AsyncDisposable> {
  const lab = await startLab(network);
  const bridge = `ip link add cni0 type bridge forward_delay 0; ip address add 10.244.1.1/24 dev cni0; ip address add fd00:244::1/64 dev cni0 nodad
ip link set v-pod5 master cni0; ip link set v-pod6 master cni0; ip link set cni0 up`;
  await lab.host('node').run(['sh', '-ec', bridge]);
  const settled = async (): Promise<boolean> => {
    const { stdout } = await lab.host('node').run(['ip', '-6', 'address', 'show', 'dev', 'cni0', 'scope', 'link']);
    return stdout.includes('inet6 fe80') && !stdout.includes('tentative');
  };
  await waitFor('the bridge', settled);
  await KUBE_PROXY[mode](lab);
  return {
    lab,
    sallyport: sallyportIn(lab),
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

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

async function serveInPods(lab: Lab): Promise<void> {
  for (const pod of PODS) {
    await lab.serve(pod, { protocol: 'tcp', port: 8080 });
    await lab.serve(pod, { protocol: 'udp', port: 5353 });
  }
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
      await applyTwo(sallyport, KEPT, '--require-proof');
      await serveInPods(lab);
      for (const [protocol, port, families] of [
        ['tcp', 80, [4, 6]],
        ['udp', 53, [4, 6]],
        ['tcp', 8000, [4]],
        ['tcp', 81, [4, 6]],
        ['udp', 5353, [4, 6]],
      ] as const)
        await expectByOwnEdge(lab, protocol, port, families);
      const destroyed = await sallyport(['destroy', '--yes'], KEPT);
      expect(destroyed, destroyed.stderr).toMatchObject({ status: 0 });
      expect(await lab.dump('node')).toBe(before);
    });

    test('policy Cluster and ClusterIPs hide the client: the plan says by which rule, and what is accepted works with the address of the node', async () => {
      await using story = await startStory(mode);
      const { lab, sallyport } = story;
      const FORWARDED = [
        ['cluster', '{ protocol: TCP, port: 80, targetPort: 30081 }', ''],
        ['clusterip4', '{ protocol: TCP, port: 82, targetPort: 80 }', ', address: 10.96.0.10'],
        ['clusterip6', '{ protocol: TCP, port: 82, targetPort: 80 }', ', address: "fd00:96::10"'],
      ] as const;
      const asIs = (more = '') =>
        [...HOSTS, ...FORWARDED.map(([name, ports, behind]) => forward(name, ports, behind, more))].join('---\n');
      const refused = await sallyport(['apply', '--yes'], asIs());
      expect(refused.status).toBe(1);
      for (const [name] of FORWARDED)
        expect(refused.stderr).toMatch(
          new RegExp(
            `PortForward/${name}: the target sees the client's own address: does not hold: the target sees \\S+, for node hides the client: .*(?:KUBE-POSTROUTING|masquerading).*; ClusterIPs and externalTrafficPolicy: Cluster ask for that, NodePorts and load-balancer addresses with Local do not`,
          ),
        );
      expect(refused.stderr).toContain('6 promises do not hold');
      const accepted = FORWARDED.flatMap(([name]) => [
        '--accept',
        `PortForward/${name}: the target sees the client's own address`,
      ]);
      await applyTwo(sallyport, asIs(), ...accepted);
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
