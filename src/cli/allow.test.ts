/** Who may come in, and how much of it: with real clients of several addresses. */
import { expect, test } from 'vitest';
import { type Lab, type SlimEdgeOptions, slimEdge } from '../lab/index.ts';
import { FLOOD, FLOOD_SIZE } from './testdata/flood.ts';
import { DIRECT, documents, type Story, startStory, waitFor } from './testdata/story.ts';

const V4 = '198.51.100.10';
const V6 = '2001:db8:e::10';
const OF = { 4: (host: number) => `192.0.2.${host}`, 6: (host: number) => `2001:db8:c::${host}` } as const;

/** Client addresses beside .10 and ::10. */
const withMore = async (lab: Lab): Promise<void> => {
  await lab.host('client').run(['ip', '-batch', '-'], {
    stdin: [12, 13].map((host) => `addr add ${OF[4](host)}/25 dev eth0\n`).join(''),
  });
  await lab.host('client').run(['ip', '-6', '-batch', '-'], {
    stdin: [...[12, 13].map((host) => OF[6](host)), '2001:db8:c:1::10']
      .map((address) => `addr add ${address}/64 dev eth0 nodad preferred_lft 0\n`)
      .join(''),
  });
  await lab.host('internet').run(['ip', '-6', 'route', 'add', '2001:db8:c:1::/64', 'dev', 'client0']);
};

const start = (options: SlimEdgeOptions = {}): Promise<Story> =>
  startStory(slimEdge({ privateLink: true, ...options }), withMore);
const forward = (spec: string): string =>
  documents({
    tunnel: DIRECT,
    forward: `${spec}\n  ports: [{ protocol: TCP, port: 80, targetPort: 8080 }, { protocol: UDP, port: 30000-30009 }]\n  to: [{ host: node, via: edge-node }]`,
  });
const serve = async (lab: Lab): Promise<void> => {
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await lab.serve('node', { protocol: 'udp', port: 30_009 });
};

const asks = [
  ['tcp', 80],
  ['udp', 30_009],
] as const;
const askAs = (story: Story, sourceAddress: string, protocol: 'tcp' | 'udp', port: number): Promise<string> =>
  story.ask('client', {
    protocol,
    port,
    sourceAddress,
    to: sourceAddress.includes(':') ? V6 : V4,
    timeoutMs: 700,
  });

for (const [name, options, hidden] of [
  ['an address of its own', {}, undefined],
  ['a leased address', { edgeDynamic: true }, undefined],
  ['clients hidden', {}, '172.31.0.1'],
] as const)
  test(`an edge with ${name} lets in who is allowed, to the last address, and nobody else`, async () => {
    await using story = await start(options);
    const masquerade = hidden === undefined ? '' : '\n  clientAddress: Masquerade';
    const text = forward(`allow: [192.0.2.12/31, "2001:db8:c::10/125"]${masquerade}`);
    await serve(story.lab);
    await story.apply(text);
    for (const [protocol, port] of asks) {
      for (const host of [12, 13])
        expect(await askAs(story, OF[4](host), protocol, port)).toBe(`seen from ${hidden ?? OF[4](host)}`);
      expect(await askAs(story, OF[6](13), protocol, port)).toMatch(
        hidden === undefined ? /c::13$/ : /^seen from fd31::1$/,
      );
      expect(await askAs(story, OF[4](10), protocol, port)).toBe('timeout');
      expect(await askAs(story, '2001:db8:c:1::10', protocol, port)).toBe('timeout');
    }
    expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
    await story.destroy(text);
  });

test('a family without an entry is nobody, and who is in stays when the list gets shorter', async () => {
  await using story = await start();
  const { lab } = story;
  await serve(lab);
  const everyone = forward('');
  await story.apply(everyone);
  await using held = await lab.holdFlows('client', { protocol: 'tcp', to: V4, port: 80, count: 3 });
  const few = forward('allow: [192.0.2.12/32]');
  await story.apply(few);
  expect(await askAs(story, OF[4](12), 'tcp', 80)).toBe('seen from 192.0.2.12');
  for (const address of [OF[4](10), OF[6](10)]) expect(await askAs(story, address, 'tcp', 80)).toBe('timeout');
  const { echoes } = await held.report();
  await waitFor('echoes of the connections from before', async () => (await held.report()).echoes > echoes + 3);
  expect(await held.report()).toMatchObject({ open: 3, lost: 0 });
  await story.apply(everyone);
  expect(await askAs(story, OF[6](10), 'tcp', 80)).toMatch(/^seen from/);
  await story.destroy(everyone);
});

test('a client has so many connections at a time, a network of IPv6 as one client, and others their own', async () => {
  await using story = await start();
  const { lab } = story;
  await serve(lab);
  const text = forward('limits: { connections: 3 }');
  await story.apply(text);
  for (const [family, to] of [
    [4, V4],
    [6, V6],
  ] as const) {
    await using held = await lab.holdFlows('client', { protocol: 'tcp', to, port: 80, count: 3 });
    expect(await held.report()).toMatchObject({ open: 3 });
    expect(await askAs(story, OF[family](10), 'tcp', 80)).toBe('timeout');
    expect(await askAs(story, family === 4 ? OF[4](12) : '2001:db8:c:1::10', 'tcp', 80)).toMatch(/^seen from/);
    // Of the same network, and so the same client.
    if (family === 6) expect(await askAs(story, OF[6](12), 'tcp', 80)).toBe('timeout');
    // What clients wrote is nobody's drift.
    expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
    await held.stop();
    await lab.host('edge').run(['conntrack', '-F']);
    expect(await askAs(story, OF[family](10), 'tcp', 80)).toMatch(/^seen from/);
  }
  await story.destroy(text);
});

test('a flood from invented addresses neither ends a limit nor locks an honest client out', async () => {
  await using story = await start();
  const { lab } = story;
  await serve(lab);
  const text = forward('limits: { connections: 3 }');
  await story.apply(text);
  await lab.host('client').run(['perl', '-e', FLOOD, V4, '80', String(FLOOD_SIZE)], { timeoutMs: 60_000 });
  const size = async (set: string): Promise<number> => {
    const { stdout } = await lab.host('edge').run(['nft', '-j', 'list', 'set', 'inet', 'sallyport', set]);
    return JSON.parse(stdout).nftables[1].set.elem?.length ?? 0;
  };
  const [own, shared] = [await size('sp_count4_services'), await size('sp_count4s_services')];
  expect(own).toBe(65_536);
  expect(shared).toBeGreaterThan(1_000);
  expect(shared).toBeLessThanOrEqual(65_536);
  // The set is full: who comes now shares a bucket, and is neither refused nor free.
  expect(await askAs(story, OF[4](12), 'tcp', 80)).toBe('seen from 192.0.2.12');
  await using greedy = await lab.holdFlows('client', { protocol: 'tcp', to: V4, port: 80, count: 120 });
  const { open } = await greedy.report();
  expect(open).toBeGreaterThan(3);
  expect(open).toBeLessThanOrEqual(3 + 64);
  await story.destroy(text);
});

test('a client opens so many connections a second', async () => {
  await using story = await start();
  const { lab } = story;
  await serve(lab);
  const text = forward('limits: { newConnectionsPerSecond: 1 }');
  await story.apply(text);
  // Of many at once the burst passes; the rest tries again a second later, and is still over.
  await using greedy = await lab.holdFlows('client', {
    protocol: 'tcp',
    to: V4,
    port: 80,
    count: 40,
    timeoutMs: 1_500,
  });
  const { open } = await greedy.report();
  expect(open).toBeGreaterThanOrEqual(1);
  expect(open).toBeLessThan(10);
  expect(await askAs(story, OF[4](12), 'tcp', 80)).toBe('seen from 192.0.2.12');
  await story.destroy(text);
});
