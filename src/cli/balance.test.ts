/** Several targets: which client goes where, and who moves when one leaves. */
import { expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const EDGE = { 4: '198.51.100.10', 6: '2001:db8:e::10' } as const;
const NODES = ['n1', 'n2', 'n3'] as const;
const CLIENTS = 400;
const client4 = (index: number): string => `192.0.${2 + Math.floor(index / 250)}.${2 + (index % 250)}`;
const client6 = (index: number): string => `2001:db8:c:${(index + 1).toString(16)}::10`;

/** A client with many addresses before an edge with three nodes on a network of its own. */
const network: Topology = {
  name: 'balance',
  hosts: [
    {
      name: 'client',
      routes: [
        { to: 'default', via: '198.51.100.10' },
        { to: 'default', via: '2001:db8:e::10' },
      ],
    },
    {
      name: 'edge',
      routes: [
        { to: '192.0.2.0/23', via: '198.51.100.1' },
        { to: '2001:db8:c::/48', via: '2001:db8:e::1' },
      ],
    },
    ...NODES.map((name) => ({ name })),
  ],
  switches: [{ name: 'rack' }],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['198.51.100.1/24', '2001:db8:e::1/64'] },
        { at: 'edge', interface: 'eth0', addresses: ['198.51.100.10/24', '2001:db8:e::10/64'] },
      ],
    },
    ...['edge', ...NODES].map((at, index): Topology['cables'][number] => ({
      ends: [
        { at, interface: 'priv0', addresses: [`172.31.0.${1 + index}/24`, `fd31::${1 + index}/64`] },
        { at: 'rack', interface: `to-${at}` },
      ],
    })),
  ],
};

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
const documents = (targets: readonly string[], more = ''): string =>
  [
    resource(
      'Host',
      'edge',
      '{ access: { netns: { name: edge } }, interfaces: [{ name: eth0, zone: public }, { name: priv0, zone: private }] }',
    ),
    ...NODES.map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
    ...NODES.map((name, index) =>
      resource(
        'Tunnel',
        `to-${name}`,
        `{ type: Direct, ends: [{ host: edge, addresses: [172.31.0.1, "fd31::1"] }, { host: ${name}, addresses: [172.31.0.${2 + index}, "fd31::${2 + index}"] }] }`,
      ),
    ),
    resource(
      'PortForward',
      'web',
      `{ at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 80, targetPort: 8080 }, { protocol: UDP, port: 5000-5010 }], to: [${targets.join(', ')}]${more} }`,
    ),
  ].join('---\n');

async function start(): Promise<{ readonly lab: Lab; readonly apply: (text: string) => Promise<void> }> {
  const lab = await startLab(network);
  const all = Array.from({ length: CLIENTS }, (_, index) => index);
  await lab.host('client').run(['ip', '-batch', '-'], {
    stdin: all.map((index) => `addr add ${client4(index)}/32 dev lo\n`).join(''),
  });
  await lab.host('client').run(['ip', '-6', '-batch', '-'], {
    stdin: all.map((index) => `addr add ${client6(index)}/128 dev lo nodad\n`).join(''),
  });
  for (const [index, node] of NODES.entries()) {
    await lab.serve(node, { protocol: 'tcp', port: 8080 });
    for (const address of [`172.31.0.${2 + index}`, `fd31::${2 + index}`])
      await lab.serve(node, { protocol: 'udp', port: 5010, address });
  }
  const apply = async (text: string): Promise<void> => {
    const applied = await lab.run([process.execPath, SALLYPORT, 'apply', '--yes', '-f', '-'], {
      stdin: text,
      allowFailure: true,
      timeoutMs: 60_000,
    });
    expect(applied, applied.stderr).toMatchObject({ status: 0 });
  };
  return { lab, apply };
}

/** Which node answered each client, or what went wrong. */
async function whoAnswers(
  lab: Lab,
  family: 4 | 6,
  protocol: 'tcp' | 'udp',
  clients: number,
): Promise<readonly string[]> {
  const asked = Array.from({ length: clients }, async (_, index) => {
    const sourceAddress = family === 4 ? client4(index) : client6(index);
    const result = await lab.connect('client', {
      ...{ protocol, sourceAddress, to: EDGE[family], timeoutMs: 5_000 },
      port: protocol === 'tcp' ? 80 : 5010,
    });
    if (!result.ok) return result.error;
    expect(result.saw?.client.address).toBe(sourceAddress);
    return NODES[Number(result.saw?.local.address.at(-1)) - 2] ?? 'nobody';
  });
  return Promise.all(asked);
}

const count = (answers: readonly string[], node: string): number => answers.filter((each) => each === node).length;

test('clients are shared by weight, each keeps its target, and when one leaves its clients alone move', async () => {
  const { lab, apply } = await start();
  await using _ = lab;
  const weighed = ['{ host: n1, weight: 2 }', '{ host: n2 }', '{ host: n3 }'];
  await apply(documents(weighed, ', policy: Balance'));
  for (const family of [4, 6] as const) {
    const before = await whoAnswers(lab, family, 'tcp', CLIENTS);
    for (const [node, share] of [
      ['n1', 0.5],
      ['n2', 0.25],
      ['n3', 0.25],
    ] as const) {
      expect(count(before, node), `${node} of ${CLIENTS}`).toBeGreaterThan(CLIENTS * share * 0.7);
      expect(count(before, node), `${node} of ${CLIENTS}`).toBeLessThan(CLIENTS * share * 1.3);
    }
    expect(await whoAnswers(lab, family, 'udp', 60)).toEqual(before.slice(0, 60));
  }
  const before = await whoAnswers(lab, 4, 'tcp', CLIENTS);
  await using held = await lab.holdFlows('client', { protocol: 'tcp', to: EDGE[4], port: 80, count: 30 });
  expect(await held.report()).toMatchObject({ open: 30 });
  await apply(documents(weighed.slice(0, 2), ', policy: Balance'));
  const after = await whoAnswers(lab, 4, 'tcp', CLIENTS);
  expect(count(after, 'n3')).toBe(0);
  expect(after.filter((node, index) => node !== before[index] && before[index] !== 'n3')).toEqual([]);
  const { echoes } = await held.report();
  await waitFor('an echo of each connection', async () => (await held.report()).echoes >= echoes + 30);
  expect(await held.report()).toMatchObject({ open: 30, lost: 0 });
});

test('without connection tracking each client goes to the same target, and in the same share', async () => {
  const { lab, apply } = await start();
  await using _ = lab;
  const targets = ['{ host: n1, weight: 2 }', '{ host: n2 }', '{ host: n3 }'];
  await apply(documents(targets, ', policy: Balance'));
  const tracked = new Map(
    await Promise.all(
      ([4, 6] as const).map(async (family) => [family, await whoAnswers(lab, family, 'tcp', 60)] as const),
    ),
  );
  await apply(documents(targets, ', policy: Balance, tracking: Stateless'));
  for (const [family, before] of tracked)
    for (const protocol of ['tcp', 'udp'] as const)
      expect(await whoAnswers(lab, family, protocol, 60), `${protocol} ${family}`).toEqual(before);
  const { stdout } = await lab.host('edge').run(['conntrack', '-L']);
  expect(stdout.split('\n').filter((line) => line.includes('dport=80 '))).toEqual([]);
});
