/** presharedKeys: both ends of a tunnel share a secret that nobody else sees; renewed, put right and taken away without a lost packet. */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, type Story, startStory, VXLAN, WIREGUARD, waitFor, wg } from './testdata/story.ts';
import { startStream } from './testdata/stream.ts';

const watcher = fileURLToPath(new URL('./testdata/watch_keys.py', import.meta.url));
const secret = documents({ tunnel: WIREGUARD.replace('type: WireGuard', 'type: WireGuard\n  presharedKeys: true') });
const ENDS = [
  ['edge', 'sp-wg51820'],
  ['node', 'sp-edge-node'],
] as const;

let story: Story;
beforeAll(async () => {
  story = await startStory(slimEdge());
  await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
});
afterAll(async () => story[Symbol.asyncDispose]());

/** What WireGuard itself has at both ends. */
const inForce = async (): Promise<readonly string[]> =>
  Promise.all(
    ENDS.map(async ([host, link]) => (await wg(story.lab, host, 'show', link, 'preshared-keys')).split('\t')[1] ?? ''),
  );
const files = (host: string): Promise<string> =>
  story.lab
    .host(host)
    .run(['sh', '-c', 'cd /run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/keys && echo *.psk'])
    .then(({ stdout }) => stdout.trim());
const inSync = async (): Promise<void> => {
  const { status, stdout } = await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], secret);
  expect(status, stdout).toBe(0);
};
const sameAtBoth = async (): Promise<string> => {
  const [edge, node] = await inForce();
  expect(edge).toMatch(/^[A-Za-z0-9+/]{43}=$/);
  expect(node).toBe(edge);
  expect(await files('edge')).toMatch(/^edge-node\.[0-9a-f]{16}\.psk$/);
  expect(await files('node')).toBe(await files('edge'));
  return edge ?? '';
};

test('both ends get one, which no output, argument, record or way back shows at any moment; rotate renews it without a lost packet', async () => {
  const watch = await story.lab.spawn(['python3', watcher]);
  watch.stderr.resume();
  const said = createInterface(watch.stdout)[Symbol.asyncIterator]();
  expect(await said.next()).toMatchObject({ value: 'ready' });
  const first = await story.sallyport(['plan', '-f', '-'], secret);
  expect(first.stdout).toContain('a preshared key that is made by apply');
  await story.apply(secret);
  expect(await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 })).toBe('seen from 192.0.2.10');
  const before = await sameAtBoth();
  await inSync();
  const to = { from: 'client', to: '198.51.100.10', port: 53, rate: 500 };
  const stream = await startStream(story.lab, { host: 'node', port: 5353 }, to);
  const rotated = await story.sallyport(['tunnel', 'rotate', 'edge-node', '--yes', '-o', 'json', '-f', '-'], secret);
  expect(rotated, rotated.stderr).toMatchObject({ status: 0 });
  expect(await stream.stop()).toMatchObject({ lostThere: 0, lostBack: 0, firstLost: [] });
  const after = await sameAtBoth();
  expect(after).not.toBe(before);
  await inSync();
  const collect = await story.sallyport(['doctor', '--collect']);
  const outputs = [first, rotated, await story.sallyport(['plan', '-o', 'json', '--full', '-f', '-'], secret)];
  for (const [host] of ENDS) {
    const bundle = await story.lab.host(host).run(['sh', '-s'], { stdin: collect.stdout });
    expect(bundle.stdout).toContain('preshared');
    outputs.push({ ...bundle, status: 0 });
  }
  watch.stdin.end();
  const seen: { readonly keys: readonly string[] } = JSON.parse((await said.next()).value ?? '{}');
  expect(seen.keys).toEqual(expect.arrayContaining([before, after]));
  expect(seen).toMatchObject({ found: [], modes: ['0o600', 'folder 0o700'] });
  for (const { stdout, stderr } of outputs)
    for (const key of seen.keys) expect(`${stdout}${stderr}`.includes(key)).toBe(false);
}, 120_000);

test('one that somebody changed at an end is seen, told by trace, and put back; one whose file is gone is made anew for both', async () => {
  const key = await sameAtBoth();
  const { lab } = story;
  const shown = await wg(lab, 'node', 'show', 'sp-edge-node', 'peers');
  await lab.host('node').run(['sh', '-c', 'umask 077; wg genpsk >/run/other.psk']);
  await wg(lab, 'node', 'set', 'sp-edge-node', 'peer', shown, 'preshared-key', '/run/other.psk');
  const planned = await story.sallyport(['plan', '-f', '-'], secret);
  expect(planned.stdout).toContain('a preshared key of somebody else');
  await story.apply(secret);
  expect(await sameAtBoth()).toBe(key);
  // None at one end, and one at the other: no handshake, and trace says why.
  await wg(lab, 'node', 'set', 'sp-edge-node', 'peer', shown, 'preshared-key', '/dev/null');
  const question = ['trace', '--from', '192.0.2.10', '--to', '198.51.100.10:80/tcp', '--live'];
  const traced = await story.sallyport([...question, '-f', '-'], secret);
  expect(traced.stdout).toMatch(
    /no handshake succeeds between edge and node: preshared key [0-9a-f]{16} at sp-wg51820, no preshared key at sp-edge-node/,
  );
  await lab.host('edge').run(['sh', '-c', 'rm /run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/keys/*.psk']);
  await story.apply(secret);
  expect(await sameAtBoth()).not.toBe(key);
  await inSync();
}, 60_000);

test('an apply that fails leaves the one that was, and no file beside it; without presharedKeys both ends have none', async () => {
  const key = await sameAtBoth();
  const shut = {
    shut: 'add table ip shut { chain f { type filter hook forward priority 0; udp dport 51821 drop; }; }',
  };
  await story.lab.host('internet').run(['nft', shut.shut]);
  const refused = await story.sallyport(
    ['tunnel', 'rotate', 'edge-node', '--yes', '--confirm-timeout', '3s', '-f', '-'],
    secret,
  );
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('as they were') });
  await story.lab.host('internet').run(['nft', 'delete table ip shut']);
  expect(await sameAtBoth()).toBe(key);
  await story.apply(documents());
  expect(await inForce()).toEqual(['(none)', '(none)']);
  await waitFor('no file', async () => (await files('edge')) === '*.psk' && (await files('node')) === '*.psk');
  const wrong = documents({ tunnel: VXLAN.replace('type: VXLAN', 'type: VXLAN\n  presharedKeys: true') });
  const { status, stderr } = await story.sallyport(['validate', '-f', '-'], wrong);
  expect([status, stderr]).toEqual([2, expect.stringContaining('spec.presharedKeys: means nothing for type VXLAN')]);
  await story.destroy(documents());
}, 90_000);
