/** New keys for a tunnel that is in use: nothing is lost, nobody sees a private key, and what goes wrong leaves the old keys. */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patient, slimEdge } from '../lab/index.ts';
import { documents, type Story, startStory, VXLAN, waitFor, wg } from './testdata/story.ts';
import { startStream } from './testdata/stream.ts';

const watcher = fileURLToPath(new URL('./testdata/watch_keys.py', import.meta.url));
/** Datagrams a second: what python sends and answers, emulated too. */
const RATE = process.env.LAB_LANE === 'vm' ? 100 : 1000;

let story: Story;
beforeAll(async () => {
  story = await startStory(slimEdge(), async (lab) => {
    // The edge asks where answers would go, as many distributions do.
    await lab.host('edge').run(['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1']);
  });
  await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
  await story.apply(documents());
});
afterAll(async () => story[Symbol.asyncDispose]());

const keys = async (): Promise<readonly string[]> => [
  await wg(story.lab, 'edge', 'show', 'sp-wg51820', 'public-key'),
  await wg(story.lab, 'node', 'show', 'sp-edge-node', 'public-key'),
];
const rotate = (...more: readonly string[]) => story.sallyport(['tunnel', 'rotate', ...more, '-f', '-'], documents());
const keyFiles = async (host: string): Promise<string> =>
  (
    await story.lab
      .host(host)
      .run(['sh', '-c', 'cd /run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/keys && echo *'])
  ).stdout.trim();
/** What stands; who asks a resolver that does not answer, ends by itself. */
const dumps = async (): Promise<string> =>
  (await Promise.all(['edge', 'node'].map((host) => story.lab.dump(host))))
    .join('\n')
    .replaceAll(/## processes[^#]*/g, '');
const inSync = async (): Promise<void> => {
  const plan = await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], documents());
  expect(plan.status, plan.stdout).toBe(0);
};

test('in use: of a stream both ways not a packet is lost, a connection goes on, both ends have new keys and nothing else', {
  timeout: patient(120_000),
}, async () => {
  const { lab } = story;
  const [before, dump] = [await keys(), await dumps()];
  const to = { from: 'client', to: '198.51.100.10', rate: RATE };
  const stream = await startStream(lab, { host: 'node', port: 5353 }, { ...to, port: 53 });
  const stream6 = await startStream(
    lab,
    { host: 'node', port: 30000 },
    { ...to, to: '2001:db8:e::10', port: 30000, rate: RATE / 4 },
  );
  const flow = await lab.holdFlows('client', { protocol: 'tcp', to: to.to, port: 80, count: 1, intervalMs: 10 });
  const done = await rotate('edge-node', '--yes', '-o', 'json');
  expect(done, done.stderr).toMatchObject({ status: 0 });
  const lost = [await stream.stop(), await stream6.stop()];
  console.log(`${lost.map(({ sent }) => sent).join(' and ')} datagrams sent, each answered`);
  for (const each of lost) expect(each).toMatchObject({ lostThere: 0, lostBack: 0, firstLost: [] });
  expect(lost[0]?.sent).toBeGreaterThan(RATE * 2);
  expect(await flow.stop()).toMatchObject({ open: 1, lost: 0 });
  const after = await keys();
  for (const [index, key] of before.entries()) expect(after[index]).not.toBe(key);
  expect(JSON.parse(done.stdout).links).toEqual([
    expect.objectContaining({
      host: 'edge',
      link: 'sp-wg51820',
      publicKey: before[0],
      newPublicKey: after[0],
      tunnels: ['edge-node'],
    }),
    expect.objectContaining({ host: 'node', link: 'sp-edge-node', publicKey: before[1], newPublicKey: after[1] }),
  ]);
  expect([await keyFiles('edge'), await keyFiles('node')]).toEqual(['sp-wg51820.key', 'sp-edge-node.key']);
  const known = (text: string): string =>
    text.replaceAll(/[A-Za-z0-9+/]{43}=/g, 'KEY').replaceAll(/"?generation"?:? \d+/g, 'GENERATION');
  expect(known(await dumps())).toBe(known(dump));
  await inSync();
});

test(
  'in place: the plan says that something may be lost, and it is as good otherwise',
  async () => {
    const before = await keys();
    const stream = await startStream(
      story.lab,
      { host: 'node', port: 5353 },
      { from: 'client', to: '198.51.100.10', port: 53, rate: RATE },
    );
    const done = await rotate('edge-node', '--yes', '--in-place');
    expect(done, done.stderr).toMatchObject({ status: 0 });
    expect(done.stdout).toContain('nothing comes through while it is exchanged');
    const { sent, lostThere, lostBack } = await stream.stop();
    console.log(`in place: ${lostThere} lost there, ${lostBack} back, of ${sent}`);
    expect(await keys()).not.toEqual(before);
    await inSync();
  },
  patient(60_000),
);

test(
  'private keys are in key files alone, which root alone reads: in no argument list, output, record or way back, at no moment',
  async () => {
    const watch = await story.lab.spawn(['python3', watcher]);
    watch.stderr.resume();
    const said = createInterface(watch.stdout)[Symbol.asyncIterator]();
    expect(await said.next()).toMatchObject({ value: 'ready' });
    const outputs = [
      await rotate('edge-node', '--yes', '-o', 'json'),
      await rotate('edge-node', '--dry-run', '-o', 'json'),
      await story.sallyport(['status', '-o', 'json', '-f', '-'], documents()),
      await story.sallyport(['plan', '-o', 'json', '--full', '-f', '-'], documents()),
      await story.sallyport(['render', '--host', 'edge', '-f', '-'], documents()),
    ];
    const collect = await story.sallyport(['doctor', '--collect']);
    for (const host of ['edge', 'node']) {
      const bundle = await story.lab.host(host).run(['sh', '-s'], { stdin: collect.stdout });
      expect(bundle.stdout).toContain('sp-');
      outputs.push({ ...bundle, status: 0 });
    }
    watch.stdin.end();
    const seen: { readonly keys: readonly string[]; readonly processes: number } = JSON.parse(
      (await said.next()).value ?? '{}',
    );
    // Of each end the old one, the new one and that of the second link.
    expect(seen.keys.length).toBeGreaterThanOrEqual(6);
    expect(seen.processes).toBeGreaterThan(20);
    expect(seen).toMatchObject({ found: [], modes: ['0o600', 'folder 0o700'] });
    for (const { stdout, stderr } of outputs)
      for (const key of seen.keys) expect(`${stdout}${stderr}`.includes(key)).toBe(false);
  },
  patient(60_000),
);

test(
  'a port that nothing comes through: all is taken back, the old keys carry on, and it is said which port',
  async () => {
    const [before, dump] = [await keys(), await dumps()];
    const internet = story.lab.host('internet');
    await internet.run([
      'nft',
      'add table ip shut { chain f { type filter hook forward priority 0; udp dport 51821 drop; }; }',
    ]);
    try {
      const { status, stderr } = await rotate('edge-node', '--yes', '--confirm-timeout', '3s');
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /no handshake by the second links: .*edge sp-wg51820_ \(UDP 51821 must be let in there, by the firewall of its provider too\).*; (edge and node|node and edge) are as they were/,
      );
      expect([await keys(), await dumps()]).toEqual([before, dump]);
      expect([await keyFiles('edge'), await keyFiles('node')]).toEqual(['sp-wg51820.key', 'sp-edge-node.key']);
      // Another port is let through.
      expect(await rotate('edge-node', '--yes', '--port', '51999')).toMatchObject({ status: 0 });
    } finally {
      await internet.run(['nft', 'delete table ip shut']);
    }
    expect(await keys()).not.toEqual(before);
  },
  patient(90_000),
);

describe('refused with a clear word, and nothing is changed', () => {
  const refusals: readonly (readonly [string, readonly string[], number, string])[] = [
    ['no such tunnel', ['edge-nod', '--yes'], 2, 'no Tunnel "edge-nod" in the documents: there is edge-node'],
    ['no tunnel at all', ['--yes'], 2, 'tunnel rotate NAME, or --all'],
    ['both', ['edge-node', '--all', '--yes'], 2, 'either a tunnel or --all'],
    [
      'nobody to ask',
      ['edge-node'],
      2,
      'nobody can be asked here (stdin is no terminal): add --yes to tunnel rotate without a question',
    ],
    [
      'a port that is taken',
      ['edge-node', '--yes', '--port', '30005'],
      1,
      '--port 30005: on edge PortForward services takes it',
    ],
    [
      'its own port',
      ['edge-node', '--yes', '--port', '51820'],
      1,
      '--port 51820: on edge WireGuard link sp-wg51820 listens there',
    ],
    [
      'a host that is none',
      ['edge-node', '--yes', '--by-hand', 'nod'],
      2,
      'no Host "nod" in the documents: there are edge, node',
    ],
  ];
  for (const [name, words, status, says] of refusals)
    test(name, async () => {
      const before = await keys();
      const refused = await rotate(...words);
      expect(refused.stderr).toContain(says);
      expect(refused.status).toBe(status);
      expect(await keys()).toEqual(before);
    });

  test('a tunnel without keys', async () => {
    const written = documents({ tunnel: VXLAN });
    const { status, stderr } = await story.sallyport(['tunnel', 'rotate', 'edge-node', '--yes', '-f', '-'], written);
    expect([status, stderr]).toEqual([2, expect.stringContaining('Tunnel edge-node is VXLAN: it has no keys')]);
    const all = await story.sallyport(['tunnel', 'rotate', '--all', '--yes', '-f', '-'], written);
    expect([all.status, all.stderr]).toEqual([
      2,
      expect.stringContaining('no tunnel of these documents has keys: only WireGuard has'),
    ]);
  });

  test('an end that does not answer', async () => {
    const before = await keys();
    const written = documents().replace('{ netns: { name: node } }', '{ netns: { name: gone } }');
    const { status, stderr } = await story.sallyport(['tunnel', 'rotate', 'edge-node', '--yes', '-f', '-'], written);
    expect(status).toBe(1);
    expect(stderr).toContain('Tunnel edge-node: its end node does not answer or is not among the documents');
    expect(stderr).toContain(
      '"--by-hand node" exchanges the keys of the other ends alone and says what must be told there',
    );
    expect(await keys()).toEqual(before);
  });

  test('a host that somebody changed', async () => {
    const before = await keys();
    await wg(
      story.lab,
      'edge',
      'set',
      'sp-wg51820',
      'peer',
      Buffer.alloc(32, 9).toString('base64'),
      'allowed-ips',
      '10.99.0.1/32',
    );
    const { status, stderr } = await rotate('edge-node', '--yes');
    expect(stderr).toMatch(/edge is not as it was left \(remove peer sp-wg51820 CQkJ.*\): apply first/);
    expect([status, await keys()]).toEqual([1, before]);
    expect(await story.sallyport(['apply', '--yes', '-f', '-'], documents())).toMatchObject({ status: 0 });
  });
});

test('--dry-run shows what would be done, with the age of each key, and makes none', async () => {
  const [before, dump] = [await keys(), await dumps()];
  const { status, stdout } = await rotate('--all', '--dry-run');
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /edge sp-wg51820 {4}a new key in place of one of \d+ (s|min) \(edge-node\); sp-wg51820_ on UDP 51821 carries meanwhile/,
  );
  expect([await keys(), await dumps(), await keyFiles('edge')]).toEqual([before, dump, 'sp-wg51820.key']);
});

test(
  'an end that somebody else looks after: it is said what must be told there, and waited for',
  async () => {
    const { lab } = story;
    const [edge = '', node = ''] = await keys();
    // The node is not ours to look at: its owner does what is said.
    const written = documents();
    const run = await lab.spawn([
      process.execPath,
      fileURLToPath(new URL('../../bin/sallyport', import.meta.url)),
      'tunnel',
      'rotate',
      'edge-node',
      '--by-hand',
      'node',
      '--yes',
      '-f',
      '-',
    ]);
    run.stdin.end(written);
    run.stdout.resume();
    let [said, told] = ['', ''];
    run.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await waitFor('what must be told', async () => {
      told =
        /give its peer edge the public key (\S{44}) now, in place of (\S{44});/.exec(said)?.slice(1).join(' ') ?? '';
      return told !== '';
    });
    const [key = '', old = ''] = told.split(' ');
    expect(old).toBe(edge);
    await wg(
      lab,
      'node',
      'set',
      'sp-edge-node',
      'peer',
      old,
      'remove',
      'peer',
      key,
      'endpoint',
      '198.51.100.10:51820',
      'persistent-keepalive',
      '25',
      'allowed-ips',
      '0.0.0.0/0,::/0',
    );
    expect(await run.exited, said).toBe(0);
    expect(await keys()).toEqual([key, node]);
    expect(await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 })).toBe('seen from 192.0.2.10');
  },
  patient(60_000),
);
