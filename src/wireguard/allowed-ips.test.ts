import { describe, expect, test } from 'vitest';
import { parseAddress, parsePrefix, printPrefix } from '../net/index.ts';
import { allowedIpClashes, parsePublicKey, peerFor, printKey, type WireGuardPeer } from './index.ts';

const peer = (byte: number, ...prefixes: readonly string[]): WireGuardPeer => ({
  publicKey: parsePublicKey(Buffer.alloc(32, byte).toString('base64')) ?? expect.fail(),
  allowedIps: prefixes.map((text) => parsePrefix(text) ?? expect.fail(text)),
});

describe('a packet goes to the peer with the longest prefix, of equal ones to the last', () => {
  const wide = peer(1, '0.0.0.0/0', '10.0.0.0/8', '10.9.0.0/16');
  const narrow = peer(2, '10.1.0.0/16', 'fd00::/8', '10.9.0.0/16');
  for (const [text, owner] of [
    ['10.1.2.3', narrow],
    ['10.2.2.3', wide],
    ['192.0.2.1', wide],
    ['10.9.0.1', narrow],
    ['fd00::1', narrow],
    ['2001:db8::1', undefined],
  ] as const) {
    test(text, () => expect(peerFor({ peers: [wide, narrow] }, parseAddress(text) ?? expect.fail(text))).toBe(owner));
  }
});

test('a clash names the prefix and all who claim it; a prefix inside another is none', () => {
  const peers = [peer(1, '10.0.0.0/8', '10.1.0.0/16'), peer(2, '10.1.0.0/16'), peer(3, '10.1.0.0/16', '10.1.1.0/24')];
  expect(
    allowedIpClashes(peers).map((clash) => [
      printPrefix(clash.prefix),
      clash.peers.map((one) => printKey(one.publicKey)),
    ]),
  ).toEqual([['10.1.0.0/16', peers.map((one) => printKey(one.publicKey))]]);
});

test('a peer that names a prefix twice does not clash with itself', () => {
  expect(allowedIpClashes([peer(1, '10.0.0.0/8', '10.0.0.0/8')])).toEqual([]);
});
