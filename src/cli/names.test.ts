/** A name as a tunnel's endpoint: what it means is asked on the host at each look, and followed where the tunnel does not live. */
import { expect, test } from 'vitest';
import { type Lab, slimEdge } from '../lab/index.ts';
import { documents, type Run, type Story, startStory, WIREGUARD, wg } from './testdata/story.ts';

const NAME = 'edge.example.test';
const TEXT = documents({ tunnel: WIREGUARD.replace('198.51.100.10:51820', `${NAME}:51820`) });

/** What the lab's machines read as /etc/hosts. */
async function mean(lab: Lab, ...addresses: readonly string[]): Promise<void> {
  const stdin = ['127.0.0.1 localhost', ...addresses.map((each) => `${each} ${NAME}`), ''].join('\n');
  await lab.run(['sh', '-c', 'cat >/run/hosts'], { stdin });
}

/** The clock of the lab's machines so many seconds ahead: nobody waits for a session to grow old. */
const ahead = (lab: Lab, seconds: number): Promise<unknown> =>
  lab.run(['sh', '-c', `printf '#!/bin/sh\necho $(($(/run/real-date +%%s) + ${seconds}))\n' >/run/date`]);

const startNamed = (...addresses: readonly string[]): Promise<Story> =>
  startStory(slimEdge({ edgeAddresses: 2 }), async (lab) => {
    await mean(lab, ...addresses);
    await lab.run([
      'sh',
      '-ec',
      'mount -n --bind /run/hosts /etc/hosts; d=$(readlink -f "$(command -v date)"); cp "$d" /run/real-date; cp "$d" /run/date; chmod 755 /run/date; mount -n --bind /run/date "$d"',
    ]);
  });

/** The drift of the node that `status` shows: before and after. */
const driftOf = ({ stdout }: Run): readonly unknown[] =>
  JSON.parse(stdout)
    .hosts.find(({ host }: { readonly host: string }) => host === 'node')
    .drift.map(({ before, after }: { readonly before: string; readonly after: string }) => [before, after]);

const ALLOWED = 'allowed IPs 0.0.0.0/0, ::/0, endpoint';
const moved = (before: string, after: string): readonly unknown[] => [
  [`${ALLOWED} ${before}, keepalive 25 s`, `${ALLOWED} ${NAME}:51820 (${after}), keepalive 25 s`],
];

test('a name that comes to mean another address is a drift with both, and set in place', async () => {
  await using story = await startNamed('198.51.100.77');
  const { lab, sallyport } = story;
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  const status = async (): Promise<readonly unknown[]> =>
    driftOf(await sallyport(['status', '-o', 'json', '-f', '-'], TEXT));
  const inSync = async (): Promise<void> =>
    expect(await sallyport(['plan', '--detailed-exitcode', '-f', '-'], TEXT)).toMatchObject({ status: 0 });

  const end = (): Promise<string> => wg(lab, 'node', 'show', 'sp-edge-node', 'endpoints');
  const ask = (): Promise<string> => story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 });

  // Nobody is there, so the name is followed at once.
  expect(await sallyport(['apply', '--yes', '-f', '-'], TEXT)).toMatchObject({ status: 0 });
  await inSync();
  await mean(lab, '198.51.100.10');
  expect(await status()).toEqual(moved('198.51.100.77:51820', '198.51.100.10:51820'));
  await story.apply(TEXT);
  await inSync();
  expect(await ask()).toBe('seen from 192.0.2.10');

  // Its session lives: the kernel knows better where the peer is.
  await mean(lab, '198.51.100.11');
  await inSync();
  await ahead(lab, 200);
  expect(await status()).toEqual(moved('198.51.100.10:51820', '198.51.100.11:51820'));
  const before = await wg(lab, 'node', 'show', 'sp-edge-node', 'latest-handshakes');
  expect(await sallyport(['apply', '--yes', '-f', '-'], TEXT)).toMatchObject({ status: 0 });
  expect(await end()).toMatch(/\t198\.51\.100\.11:51820$/);
  expect(await wg(lab, 'node', 'show', 'sp-edge-node', 'latest-handshakes'), 'its session stays').toBe(before);
  await inSync();
  expect(await ask()).toBe('seen from 192.0.2.10');

  // IPv6 alone, beside what it meant.
  await mean(lab, '2001:db8:e::10');
  await inSyncAfterApply(sallyport);
  expect(await end()).toMatch(/\t\[2001:db8:e::10\]:51820$/);
  expect(await ask()).toBe('seen from 192.0.2.10');
  await mean(lab, '2001:db8:e::10', '198.51.100.10');
  await inSync();

  // A resolver that knows nothing is no reason to change anything.
  await mean(lab);
  const { status: exit, stdout } = await sallyport(['plan', '--detailed-exitcode', '-f', '-'], TEXT);
  expect([exit, stdout]).toEqual([0, expect.stringContaining(`the name ${NAME} means nothing here now`)]);
  await story.destroy(TEXT);
}, 300_000);

async function inSyncAfterApply(sallyport: Story['sallyport']): Promise<void> {
  expect(await sallyport(['apply', '--yes', '-f', '-'], TEXT)).toMatchObject({ status: 0 });
  expect(await sallyport(['plan', '--detailed-exitcode', '-f', '-'], TEXT)).toMatchObject({ status: 0 });
}
