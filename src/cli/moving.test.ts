/** A forward that moves, on real kernels: UDP flows follow it, TCP connections finish or are cut, nobody else's flow is touched. */
import { describe, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const EDGE = { 4: '198.51.100.10', 6: '2001:db8:e::10' } as const;
const target = (family: 4 | 6, each: number): string => (family === 4 ? `172.31.0.${each + 2}` : `fd31::${each + 2}`);

/** A client before an edge, and two machines behind it. */
const network: Topology = {
  name: 'moving',
  hosts: [
    {
      name: 'client',
      routes: [
        { to: 'default', via: EDGE[4] },
        { to: 'default', via: EDGE[6] },
      ],
    },
    { name: 'edge', sysctls: { 'net.ipv4.ip_forward': '1' } },
    ...[0, 1].map((each) => ({
      name: `t${each}`,
      routes: [
        { to: 'default', via: '172.31.0.1' },
        { to: 'default', via: 'fd31::1' },
      ],
    })),
  ],
  switches: [{ name: 'rack' }],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['198.51.100.1/24', '2001:db8:e::1/64'] },
        { at: 'edge', interface: 'eth0', addresses: ['198.51.100.10/24', '2001:db8:e::10/64'] },
      ],
    },
    ...['edge', 't0', 't1'].map((at, index): Topology['cables'][number] => ({
      ends: [
        { at, interface: 'priv0', addresses: [`172.31.0.${1 + index}/24`, `fd31::${1 + index}/64`] },
        { at: 'rack', interface: `to-${at}` },
      ],
    })),
  ],
};

const PORTS = [
  '{ protocol: UDP, port: 53, targetPort: 5353 }',
  '{ protocol: UDP, port: 6000-6010 }',
  '{ protocol: TCP, port: 80, targetPort: 8080 }',
];

/** One forward for each family to the machine, and another that stays. */
const documents = (each: number, more = '', ports: readonly string[] = PORTS): string =>
  [
    'apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: edge }\nspec: { access: { netns: { name: edge } }, interfaces: [{ name: eth0, zone: public }, { name: priv0, zone: private }] }\n',
    ...([4, 6] as const).flatMap((family) => [
      forward(`moves${family}`, ports.join(', '), target(family, each), more),
      forward(`stays${family}`, '{ protocol: UDP, port: 54, targetPort: 5353 }', target(family, 0), ''),
    ]),
  ].join('---\n');

const forward = (name: string, ports: string, to: string, more: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: PortForward\nmetadata: { name: ${name} }\nspec: { at: { hosts: [edge] }, ports: [${ports}], to: [{ address: "${to}" }]${more} }\n`;

interface Moving extends AsyncDisposable {
  readonly lab: Lab;
  sallyport(command: string, text: string): Promise<{ readonly stdout: string }>;
  /** Sends from the port, and gives who answered: `0` or `1`. */
  ask(family: 4 | 6, port: number, sourcePort: number): Promise<string>;
  /** Datagrams each machine has seen so far. */
  seen(): Promise<readonly number[]>;
}

async function start(): Promise<Moving> {
  const lab = await startLab(network);
  const servers = await Promise.all(
    [0, 1].flatMap((each) =>
      ([4, 6] as const).flatMap((family) =>
        [5353, 6005].map(async (port) => ({
          each,
          server: await lab.serve(`t${each}`, { protocol: 'udp', port, address: target(family, each) }),
        })),
      ),
    ),
  );
  for (const each of [0, 1]) await lab.serve(`t${each}`, { protocol: 'tcp', port: 8080 });
  return {
    lab,
    async sallyport(command, text) {
      const args = command === 'plan' ? ['plan', '-o', 'json'] : [command, '--yes'];
      const run = await lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: text,
        allowFailure: true,
        timeoutMs: 60_000,
      });
      expect(run, run.stderr).toMatchObject({ status: 0 });
      return run;
    },
    async ask(family, port, sourcePort) {
      const to = EDGE[family];
      const result = await lab.connect('client', { protocol: 'udp', to, port, sourcePort });
      if (!result.ok) return result.error;
      return [0, 1].map(String).find((each) => result.saw?.local.address === target(family, Number(each))) ?? 'nobody';
    },
    async seen() {
      const counts = [0, 0];
      for (const { each, server } of servers) counts[each] = (counts[each] ?? 0) + (await server.report()).length;
      return counts;
    },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

const tracked = async (lab: Lab, filter: string): Promise<readonly string[]> => {
  const { stdout } = await lab
    .host('edge')
    .run(['sh', '-c', `conntrack -L -f ipv4 ${filter} 2>/dev/null; conntrack -L -f ipv6 ${filter} 2>/dev/null`], {
      allowFailure: true,
    });
  return [...new Set(stdout.split('\n').filter((line) => line !== ''))];
};

describe('UDP flows follow their forward', () => {
  for (const [name, more] of [
    ['that keeps the client', ''],
    ['that hides the client', ', clientAddress: Masquerade'],
  ] as const)
    test(`${name}: from the same port the new target answers, the old one sees no packet more`, async () => {
      await using moving = await start();
      const { lab, sallyport, ask, seen } = moving;
      await sallyport('apply', documents(0, more));
      // A flow of somebody else with the same target, with a mark that has none of our bits.
      await lab.host('edge').run(['nft', '-f', '-'], {
        stdin:
          'table inet other {\n chain c { type nat hook prerouting priority -120; udp dport 99 ct mark set 0x100 dnat ip to 172.31.0.2:5353; }\n}\n',
      });
      for (const family of [4, 6] as const)
        for (const port of [53, 54, 6005]) expect(await ask(family, port, 40_000 + port)).toBe('0');
      expect(await ask(4, 99, 40_099)).toBe('0');
      const stays = (await tracked(lab, '-p udp')).filter((line) => / dport=(?:54|99) /.test(line)).length;
      const [before] = await seen();
      const planned = JSON.parse((await sallyport('plan', documents(1, more))).stdout);
      expect(planned.hosts[0].changes.map((each: { name: string }) => each.name)).toContain(
        'flows on targets that change',
      );
      await sallyport('apply', documents(1, more));
      const left = await tracked(lab, '-p udp');
      expect(left.filter((line) => / dport=(?:53|6005) /.test(line))).toEqual([]);
      expect(left.filter((line) => / dport=(?:54|99) /.test(line))).toHaveLength(stays);
      for (const family of [4, 6] as const)
        for (const port of [53, 6005]) expect(await ask(family, port, 40_000 + port)).toBe('1');
      expect((await seen())[0]).toBe(before);
      const again = JSON.parse((await sallyport('plan', documents(1, more))).stdout);
      expect(again.hosts[0].changes).toEqual([]);
    });

  test('out of the fast path too', { tags: ['vm-only'] }, async () => {
    await using moving = await start();
    const { lab, sallyport, ask, seen } = moving;
    await sallyport('apply', documents(0));
    const flows = async () => (await tracked(lab, '-p udp')).filter((line) => line.includes(' dport=53 '));
    await waitFor(
      'both flows in the fast path',
      async () => {
        for (const family of [4, 6] as const) expect(await ask(family, 53, 40_053)).toBe('0');
        return (await flows()).filter((line) => line.includes('[OFFLOAD]')).length === 2;
      },
      20_000,
    );
    const [before] = await seen();
    await sallyport('apply', documents(1));
    expect(await flows()).toEqual([]);
    for (const family of [4, 6] as const) expect(await ask(family, 53, 40_053)).toBe('1');
    expect((await seen())[0]).toBe(before);
  });

  test('of a port that goes: they end; of the others they go on', async () => {
    await using moving = await start();
    const { lab, sallyport, ask } = moving;
    await sallyport('apply', documents(0));
    for (const family of [4, 6] as const)
      for (const port of [53, 6005]) expect(await ask(family, port, 40_000 + port)).toBe('0');
    await sallyport('apply', documents(0, '', PORTS.slice(1)));
    const left = await tracked(lab, '-p udp');
    expect(left.filter((line) => line.includes(' dport=53 '))).toEqual([]);
    expect(left.filter((line) => line.includes(' dport=6005 '))).toHaveLength(2);
  });

  test('with destroy they end', async () => {
    await using moving = await start();
    const { lab, sallyport, ask } = moving;
    await sallyport('apply', documents(0));
    for (const family of [4, 6] as const) expect(await ask(family, 53, 40_053)).toBe('0');
    await sallyport('destroy', documents(0));
    expect((await tracked(lab, '-p udp')).filter((line) => line.includes(' dport=53 '))).toEqual([]);
  });
});

for (const [drain, lost] of [
  [true, 0],
  [false, 10],
] as const)
  test(`established TCP connections with drain: ${drain}: ${lost} of 10 are cut`, async () => {
    await using moving = await start();
    const { lab, sallyport } = moving;
    const more = `, drain: ${drain}`;
    await sallyport('apply', documents(0, more));
    const held = await lab.holdFlows('client', { protocol: 'tcp', to: EDGE[4], port: 80, count: 10, intervalMs: 50 });
    await sallyport('apply', documents(1, more));
    const asked = await lab.connect('client', { protocol: 'tcp', to: EDGE[4], port: 80 });
    expect(asked).toMatchObject({ ok: true, saw: { local: { address: expect.stringContaining(target(4, 1)) } } });
    const { echoes } = await held.report();
    for (;;) {
      const now = await held.report();
      if (now.lost === 10 || now.echoes >= echoes + 20) break;
    }
    expect((await held.stop()).lost).toBe(lost);
  });
