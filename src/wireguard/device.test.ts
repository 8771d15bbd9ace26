/** wireguard-go is the judge: what `wg` is told by our arguments, readDump gives back; and no private key comes with it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Namespace, type RunningCommand, startNamespace } from '../lab/index.ts';
import { parseEndpoint, parsePrefix } from '../net/index.ts';
import {
  DUMP_COMMAND,
  parsePublicKey,
  readDump,
  type WireGuardDevice,
  type WireGuardPeer,
  wgRemovePeerArguments,
  wgSetDeviceArguments,
  wgSetPeerArguments,
} from './index.ts';

const LINK = 'sp-wg51820';
const KEY_FILE = '/run/key';
const privateKey = Buffer.alloc(32, 0x55).toString('base64');
const presharedKey = Buffer.alloc(32, 0x33).toString('base64');

let kernel: Namespace;
let daemon: RunningCommand;
beforeAll(async () => {
  kernel = await startNamespace();
  await kernel.run(['tee', KEY_FILE], { stdin: privateKey });
  await kernel.run(['tee', '/run/preshared'], { stdin: presharedKey });
  // A link to a network, so that a handshake may be sent into the void rather than fail.
  await kernel.run(['ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
  daemon = await kernel.spawn(['wireguard-go', '-f', LINK]);
  daemon.stdout.resume();
  daemon.stderr.resume();
  const deadline = Date.now() + 10_000;
  while ((await kernel.run(['wg', 'show', LINK], { allowFailure: true })).status !== 0) {
    if (Date.now() > deadline) throw new Error('wireguard-go did not start within 10 s');
  }
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await kernel[Symbol.asyncDispose]();
});

const tell = (words: readonly string[]) => kernel.run(['wg', ...words]);
const dump = async () => (await kernel.run(DUMP_COMMAND)).stdout;
const devices = async () => readDump(await dump());

const key = (byte: number) => parsePublicKey(Buffer.alloc(32, byte).toString('base64')) ?? expect.fail();
const peer = (byte: number, prefixes: readonly string[], rest: Partial<WireGuardPeer> = {}): WireGuardPeer => ({
  publicKey: key(byte),
  allowedIps: prefixes.map((text) => parsePrefix(text) ?? expect.fail(text)),
  ...rest,
});
const endpoint = (text: string) => ({ endpoint: parseEndpoint(text) ?? expect.fail(text) });
const unused = { receivedBytes: 0, sentBytes: 0 };

test('a device without a key has none, and its port is what it drew', async () => {
  const [device, ...others] = await devices();
  expect(others).toEqual([]);
  expect(device).toEqual({ link: LINK, listenPort: expect.any(Number), peers: [] });
});

test('key, port and mark are set together, and again without a change', async () => {
  const wanted = { link: LINK, listenPort: 51820, firewallMark: 0xca6c };
  await tell(wgSetDeviceArguments(wanted, KEY_FILE));
  const publicKey = parsePublicKey((await kernel.run(['wg', 'pubkey'], { stdin: privateKey })).stdout.trim());
  expect(await devices()).toEqual([{ ...wanted, publicKey, peers: [] }]);
  await tell(wgSetDeviceArguments({ link: LINK }, KEY_FILE));
  expect(await devices()).toEqual([{ link: LINK, listenPort: 51820, publicKey, peers: [] }]);
});

describe('a peer reads back as set, changes in place, and is gone', () => {
  const cases: readonly (readonly [string, WireGuardPeer])[] = [
    ['bare', peer(1, [])],
    ['IPv4', peer(2, ['10.90.0.2/32', '10.0.0.0/8'], { ...endpoint('192.0.2.1:51820'), keepaliveSeconds: 25 })],
    ['IPv6', peer(3, ['fd90::2/128', '::/0', '0.0.0.0/0'], endpoint('[2001:db8::1]:4444'))],
  ];
  for (const [name, wanted] of cases) {
    test(name, async () => {
      const peers = async () =>
        (await devices())[0]?.peers.map((one) => ({ ...one, ...unused, allowedIps: sorted(one) }));
      await tell(wgSetPeerArguments(LINK, wanted));
      expect(await peers()).toEqual([{ ...wanted, ...unused, allowedIps: sorted(wanted) }]);
      const changed = { ...wanted, ...peer(0, ['10.77.0.0/16']), publicKey: wanted.publicKey, keepaliveSeconds: 7 };
      await tell(wgSetPeerArguments(LINK, changed));
      expect(await peers()).toEqual([{ ...changed, ...unused, allowedIps: sorted(changed) }]);
      await tell(wgRemovePeerArguments(LINK, wanted));
      expect(await peers()).toEqual([]);
    });
  }
});

/** `wg` lists allowed IPs in an order of its own. */
const sorted = ({ allowedIps }: WireGuardPeer) =>
  allowedIps.toSorted((left, right) => Number(left.address.value - right.address.value) || left.length - right.length);

test('of two peers that claim one prefix the last has it, as peerFor says', async () => {
  const [first, last] = [peer(1, ['10.90.0.0/24']), peer(2, ['10.90.0.0/24'])];
  await tell(wgSetPeerArguments(LINK, first));
  await tell(wgSetPeerArguments(LINK, last));
  const peers = (await devices())[0]?.peers ?? [];
  expect(peers.find(({ publicKey }) => publicKey === first.publicKey)?.allowedIps).toEqual([]);
  expect(peers.find(({ publicKey }) => publicKey === last.publicKey)?.allowedIps).toEqual(last.allowedIps);
  for (const one of [first, last]) await tell(wgRemovePeerArguments(LINK, one));
});

test('a private or preshared key is in nothing that readDump gives, in no spelling', async () => {
  await tell(wgSetDeviceArguments({ link: LINK }, KEY_FILE));
  await tell([...wgSetPeerArguments(LINK, peer(9, ['10.0.0.0/8'])), 'preshared-key', '/run/preshared']);
  const text = await dump();
  expect(text).toContain(presharedKey); // the canary is there to be found
  const privateAsHeld = (await kernel.run(['wg', 'show', LINK, 'private-key'])).stdout.trim();
  expect(text).toContain(privateAsHeld);
  const read = readDump(text);
  expect(read[0]?.peers[0]?.presharedKey).toBe('unknown');
  expectFree(
    JSON.stringify(read, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)),
    [presharedKey, privateAsHeld],
  );
});

test('nor in the message about any line cut short, or with two fields exchanged', async () => {
  const text = await dump();
  const secrets = [presharedKey, (await kernel.run(['wg', 'show', LINK, 'private-key'])).stdout.trim()];
  const lines = text.split('\n').filter((line) => line !== '');
  for (const [at, line] of lines.entries()) {
    const fields = line.split('\t');
    const broken = [
      ...fields.map((_, count) => fields.slice(0, count + 1)),
      ...fields.map((_, from) =>
        fields.map((field, to) => (to === from ? (fields[1] ?? '') : to === 1 ? (fields[from] ?? '') : field)),
      ),
      ...fields.map((_, from) =>
        fields.map((field, to) => (to === from ? (fields[2] ?? '') : to === 2 ? (fields[from] ?? '') : field)),
      ),
    ];
    for (const wrong of broken) {
      const said = messageOf(() => readDump(lines.with(at, wrong.join('\t')).join('\n')));
      if (said !== undefined) expectFree(said, secrets);
    }
  }
});

function messageOf(read: () => readonly WireGuardDevice[]): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

function expectFree(text: string, secrets: readonly string[]): void {
  for (const secret of secrets) {
    const bytes = Buffer.from(secret, 'base64');
    for (const spelling of [secret, bytes.toString('hex'), bytes.toString('base64url'), secret.slice(0, 20)]) {
      expect(text).not.toContain(spelling);
    }
  }
}
