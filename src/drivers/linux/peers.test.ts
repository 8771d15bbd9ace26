import { expect, test } from 'vitest';
import { ApplyError } from '../../apply/index.ts';
import { startNamespace } from '../../lab/index.ts';
import { hostPrefix, parseAddress } from '../../net/index.ts';
import type { HostChange } from '../../plan/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { parsePublicKey } from '../../wireguard/index.ts';
import { linuxDriver } from '../index.ts';

const keyOf = (index: number) => parsePublicKey(Buffer.alloc(32, index).toString('base64')) ?? expect.fail();
const LINK = { name: 'sp-wg51820', kind: 'wireguard', mtu: 1420, up: true } as const;
const peer = (index: number): HostChange => ({
  action: 'add',
  after: {
    kind: 'peer',
    link: LINK.name,
    peer: { publicKey: keyOf(index), allowedIps: [hostPrefix(parseAddress(`10.90.0.${index}`) ?? expect.fail())] },
  },
});

/** A driver of a namespace where `wg` refuses whatever names the key, and counts how often it is called to set something. */
async function startRefusing(key: string) {
  const lab = await startNamespace();
  await lab.run(['ip', 'netns', 'add', 'edge']);
  const put = `
real=$(readlink -f "$(command -v wg)"); cp "$real" /run/real-wg; : >/run/calls
cat >/run/fake-wg; chmod 755 /run/fake-wg; mount -n --bind /run/fake-wg "$real"`;
  const fake = `#!/bin/sh
[ "$1" != set ] || echo >>/run/calls
case "$*" in *"${key}"*) echo 'not this one' >&2; exit 1 ;; esac
exec /run/real-wg "$@"`;
  await lab.run(['sh', '-ec', put], { stdin: fake });
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const driver = linuxDriver(namespaceTransport('edge', 'edge', { entry }));
  const signal = new AbortController().signal;
  await driver.makeKeys([LINK.name], signal);
  const link: readonly HostChange[] = [
    { action: 'add', after: { kind: 'link', link: LINK } },
    { action: 'add', after: { kind: 'device', device: { link: LINK.name, listenPort: 51820 } } },
  ];
  return {
    link,
    apply: (changes: readonly HostChange[]) => driver.apply(changes, { signal }),
    peers: async () => (await driver.observe(signal)).state.devices[0]?.peers.map(({ publicKey }) => publicKey).sort(),
    calls: async () => (await lab.run(['wc', '-l', '/run/calls'])).stdout.split(' ')[0],
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

test('a link and a hundred peers are told in one call', async () => {
  await using edge = await startRefusing('nobody');
  const hundred = Array.from({ length: 100 }, (_, index) => peer(index + 1));
  await edge.apply([...edge.link, ...hundred]);
  expect(await edge.peers()).toHaveLength(100);
  expect(await edge.calls()).toBe('1');
}, 60_000);

test('of several peers the refused one is named, and those before it stand', async () => {
  await using edge = await startRefusing(keyOf(2));
  const changes = [...edge.link, peer(1), peer(2), peer(3)];
  const error = await edge.apply(changes).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ApplyError);
  if (!(error instanceof ApplyError)) return;
  expect(error.done).toEqual(changes.slice(0, 3));
  expect(error.message).toContain('not this one');
  expect(await edge.peers()).toEqual([keyOf(1)]);
}, 60_000);
