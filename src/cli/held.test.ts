/** What worked on a host before a change must work after it, or the change is taken back: over a real sshd that lets us in all the while. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EDGE, type FarEdge, startFarEdge } from './testdata/far-edge.ts';
import type { Named } from './testdata/hostile.ts';
import { waitFor } from './testdata/story.ts';

const answersNames = fileURLToPath(new URL('./testdata/answers-names.py', import.meta.url));

/** Of which half is waited for what does not answer any more. */
const windowMs = 6_000;

let far: FarEdge;
let one: string;
let two: string;
let before: string;
const more = new AsyncDisposableStack();

beforeAll(async () => {
  far = await startFarEdge();
  const { lab } = far.cli;
  const [edge, neighbour] = [lab.host('edge'), lab.host('neighbour')];
  const names = more.use(await neighbour.spawn(['python3', answersNames]));
  await new Promise((ready) => names.stdout.once('data', ready));
  const resolver = 'cat >/run/resolv.conf; mount -n --bind /run/resolv.conf "$(readlink -f /etc/resolv.conf)"';
  await lab.run(['sh', '-ec', resolver], { stdin: 'nameserver 198.51.100.99\n' });
  // A tunnel of somebody else's between the edge and its neighbour. Their sockets lie in one place.
  for (const [host, link] of [
    [edge, 'wg0'],
    [neighbour, 'wg1'],
  ] as const)
    more.use(await host.spawn(['wireguard-go', '-f', link])).stderr.resume();
  await waitFor('both', async () => (await lab.run(['sh', '-c', 'wg show wg0 && wg show wg1'], may)).status === 0);
  await lab.run(['sh', '-ec', TUNNEL]);
  await edge.run(['sh', '-ec', 'ip address add 10.99.0.1/30 dev wg0; ip link set wg0 up']);
  await neighbour.run(['sh', '-ec', 'ip address add 10.99.0.2/30 dev wg1; ip link set wg1 up']);
  // The node gets in where nobody else does.
  await edge.run(['ip', 'route', 'add', '192.0.2.130/32', 'via', '198.51.100.1']);
  more.use(await lab.serve('node', { protocol: 'tcp', port: 8080 }));
  one = await far.documents(1);
  two = await far.documents(2);
  expect(await far.run({ command: 'apply', file: one, windowMs })).toMatchObject({ said: 'applied' });
  await waitFor('the tunnel', async () => {
    const asked = await lab.connect('client', { protocol: 'tcp', to: EDGE, port: 80 });
    return asked.ok;
  });
  before = await far.dump('edge');
}, 120_000);

afterAll(async () => {
  await more[Symbol.asyncDispose]();
  await far[Symbol.asyncDispose]();
});

const may = { allowFailure: true };

const TUNNEL = `umask 077
for l in wg0 wg1; do wg genkey >/run/$l; done
wg set wg0 private-key /run/wg0 peer "$(wg pubkey </run/wg1)" allowed-ips 10.99.0.2/32 endpoint 198.51.100.99:51999
wg set wg1 private-key /run/wg1 listen-port 51999 peer "$(wg pubkey </run/wg0)" allowed-ips 10.99.0.1/32`;

for (const [what, said] of [
  ['the default route is gone', /edge: after the change its IPv4 default route is gone/],
  ['the gateway is cut off', /edge: its gateway 198\.51\.100\.1 answered before the change, and does not now/],
  ['the resolver is cut off', /edge: its resolver answered before the change, and does not now/],
  ["another's tunnel is cut off", /edge: 10\.99\.0\.2 behind wg0 answered before the change, and does not now/],
  ['the targets are cut off', /edge: the target 192\.168\.1\.20:8080 of PortForward\/edge-node-web answered before/],
  [
    'the public ports are cut off',
    /198\.51\.100\.10:80\/tcp of PortForward\/edge-node-web, asked from here, answered before the change, and does not now/,
  ],
] as const satisfies readonly (readonly [Named, RegExp])[])
  test(`${what}: it is taken back, and said`, async () => {
    const { said: told } = await far.run({ command: 'apply', file: two, windowMs, hostile: { what } });
    expect(told).toMatch(said);
    expect(told).toMatch(/edge is as it was$/);
    expect(await far.dump('edge')).toBe(before);
  }, 120_000);

test('all of it works: it stands', async () => {
  expect(await far.run({ command: 'apply', file: two, windowMs })).toMatchObject({ said: 'applied' });
});

test('whoever shuts himself out of a port on purpose has lost nothing', async () => {
  const file = await far.documents(2, '  allow: [192.0.2.0/25]');
  expect(await far.run({ command: 'apply', file, windowMs })).toMatchObject({ said: 'applied' });
});
