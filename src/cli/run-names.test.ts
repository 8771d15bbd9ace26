/** `sallyport run` follows an endpoint's name by a real DNS server: where the tunnel does not live, and not where it does. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { DNS_NAME, type DnsPlace, startDns } from './testdata/dns.ts';
import { startRun } from './testdata/running.ts';
import { documents, startStory, WIREGUARD, waitFor, wg } from './testdata/story.ts';

const TEXT = documents({ tunnel: WIREGUARD.replace('198.51.100.10:51820', `${DNS_NAME}:51820`) });
/** On the router of the Internet, which the node reaches without a tunnel. */
const PLACE: DnsPlace = { at: 'internet', address: '192.0.2.1', asker: 'node' };

test('a name that means another address is followed when its tunnel is dead, and a tunnel that lives stays as it is', async () => {
  await using story = await startStory(slimEdge({ edgeAddresses: 2, families: 'IPv4' }), async (lab) => {
    await lab.run(['touch', '/run/resolv.conf']);
    // A clock that can be set ahead: nobody waits for a session to grow old.
    const clock =
      'mount -n --bind /run/resolv.conf /etc/resolv.conf; d=$(readlink -f "$(command -v date)"); cp "$d" /run/real-date; cp "$d" /run/date; chmod 755 /run/date; mount -n --bind /run/date "$d"';
    await lab.run(['sh', '-ec', clock]);
  });
  const { lab } = story;
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-names-'));
  const file = join(folder, 'edge.yaml');
  await writeFile(file, TEXT);
  await using dns = await startDns(lab, PLACE);
  await dns.mean('198.51.100.10');
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await story.apply(TEXT);
  const endpoint = (): Promise<string> => wg(lab, 'node', 'show', 'sp-edge-node', 'endpoints');
  const ask = (): Promise<string> => story.ask('client', { protocol: 'tcp', to: '198.51.100.11', port: 80 });
  expect(await ask()).toBe('seen from 192.0.2.10');

  await using run = await startRun(lab, ['-f', file, '--every', '500ms', '--listen', '127.0.0.1:9750']);
  await run.heard('the documents hold', ({ event }) => event === 'documents');
  const repairs = () => run.lines.filter(({ event }) => event === 'repaired' || event === 'failed');
  const looks = async (): Promise<number> => {
    const show = `fetch('http://127.0.0.1:9750/metrics').then(async (r) => console.log(await r.text()))`;
    const { stdout } = await lab.run([process.execPath, '-e', show]);
    return Number(/^sallyport_host_looks_total\{host="node"\} (\d+)$/m.exec(stdout)?.[1]);
  };
  const lookedAgain = async (): Promise<void> => {
    const before = await looks();
    await waitFor('the node was looked at again', async () => (await looks()) >= before + 2);
  };

  // It lives: the kernel knows better where its peer is, and nothing is written, whatever the DNS says, or where there is none.
  await dns.mean('198.51.100.11');
  await lookedAgain();
  const refuse =
    'add table ip mute; add chain ip mute c { type filter hook input priority 0; }; add rule ip mute c udp dport 53 reject';
  await lab.host('internet').run(['nft', refuse]);
  await lookedAgain();
  await lab.host('internet').run(['nft', 'delete table ip mute']);
  expect(repairs()).toEqual([]);
  expect(await endpoint()).toMatch(/\t198\.51\.100\.10:51820$/);
  expect(await ask()).toBe('seen from 192.0.2.10');

  // It is dead, and the name leads elsewhere.
  await lab
    .host('internet')
    .run([
      'nft',
      'add table ip cut; add chain ip cut c { type filter hook forward priority 0; }; add rule ip cut c ip daddr 198.51.100.10 udp dport 51820 drop',
    ]);
  await lab.run(['sh', '-c', `printf '#!/bin/sh\necho $(($(/run/real-date +%%s) + 200))\n' >/run/date`]);
  const repaired = await run.heard('the node follows', ({ event, host }) => event === 'repaired' && host === 'node');
  expect(repaired.changes).toHaveLength(1);
  expect(await endpoint()).toMatch(/\t198\.51\.100\.11:51820$/);
  await waitFor('it is served again', async () => (await ask()) === 'seen from 192.0.2.10');
  await run.stop();
  await rm(folder, { recursive: true, force: true });
}, 120_000);
