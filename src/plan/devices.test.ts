import { describe, expect, test } from 'vitest';
import { type HostRecord, type NamesOnHost, RECORD_FORMAT } from '../host/index.ts';
import { parseAddress, parseEndpoint, wholeFamily } from '../net/index.ts';
import { parsePublicKey, type WireGuardPeer } from '../wireguard/index.ts';
import { diffDevices } from './devices.ts';
import { describeChange } from './index.ts';

const key = (byte: number) => parsePublicKey(Buffer.alloc(32, byte).toString('base64')) ?? expect.fail();
const at = (text: string) => parseEndpoint(text) ?? expect.fail(text);
const peer = (endpoint: string, more: Partial<WireGuardPeer> = {}): WireGuardPeer => ({
  publicKey: key(2),
  allowedIps: [wholeFamily(4)],
  endpoint: at(endpoint),
  ...more,
});
const device = (...peers: readonly WireGuardPeer[]) => ({ link: 'sp-e', publicKey: key(1), listenPort: 51820, peers });
const record = (endpoint: string): HostRecord => ({
  format: RECORD_FORMAT,
  version: '0',
  sets: new Map([
    [
      'default',
      {
        forwards: [],
        accepts: [],
        tunnels: [
          {
            name: 'e',
            type: 'WireGuard',
            link: 'sp-e',
            addresses: [],
            mtu: 1420,
            routes: [],
            returns: [],
            peer: { host: 'edge', addresses: [], allowedIps: [], endpoint: at(endpoint) },
          },
        ],
      },
    ],
  ]),
  numbers: { mark: { value: 1, mask: 255 }, suppressPriority: 5000, tunnels: new Map() },
  sysctlsBefore: new Map(),
});
const NOW = 1_000_000;
const meaning = (...addresses: readonly string[]): NamesOnHost => ({
  seconds: NOW,
  meanings: new Map(
    addresses.length === 0 ? [] : [['e.test', addresses.map((text) => parseAddress(text) ?? expect.fail(text))]],
  ),
});

describe('a peer whose endpoint is a name', () => {
  for (const [what, names, stands, expected] of [
    ['stays where the name leads', meaning('192.0.2.1', '2001:db8::1'), peer('[2001:db8::1]:51820'), undefined],
    ['follows it', meaning('192.0.2.9', '2001:db8::9'), peer('192.0.2.1:51820'), '192.0.2.9:51820'],
    [
      'follows its first address, of whatever family',
      meaning('2001:db8::9'),
      peer('192.0.2.1:51820'),
      '[2001:db8::9]:51820',
    ],
    ['is set anew at another port', meaning('192.0.2.1'), peer('192.0.2.1:40000'), '192.0.2.1:51820'],
    [
      'is left alone while its session lives',
      meaning('192.0.2.9'),
      peer('192.0.2.1:40000', { latestHandshake: NOW - 179 }),
      undefined,
    ],
    ['and not after', meaning('192.0.2.9'), peer('192.0.2.1:40000', { latestHandshake: NOW - 180 }), '192.0.2.9:51820'],
    ['stays where the name means nothing', meaning(), peer('192.0.2.1:40000'), undefined],
    ['stays where nobody asked', undefined, peer('192.0.2.1:40000'), undefined],
  ] as const)
    test(what, () => {
      const wanted = device(peer('e.test:51820'));
      const known = { record: record('e.test:51820'), ...(names !== undefined && { names }) };
      const { added, removed, devices } = diffDevices([device(stands)], [wanted], new Set(), known);
      expect([removed, devices]).toEqual([[], []]);
      expect(added.map((change) => [change.action, describeChange(change).after])).toEqual(
        expected === undefined ? [] : [['change', `allowed IPs 0.0.0.0/0, endpoint e.test:51820 (${expected})`]],
      );
    });

  test('that the documents named otherwise is set, though its session lives', () => {
    const known = { record: record('old.test:51820'), names: meaning() };
    const before = device(peer('192.0.2.1:51820', { latestHandshake: NOW }));
    const { added } = diffDevices([before], [device(peer('e.test:51820'))], new Set(), known);
    expect(added.map((change) => describeChange(change).after)).toEqual([
      'allowed IPs 0.0.0.0/0, endpoint e.test:51820',
    ]);
  });
});

test('one peer more, one less or another one in it leaves the others as they are', () => {
  const many = Array.from({ length: 100 }, (_, index) => peer('192.0.2.1:51820', { publicKey: key(index + 2) }));
  const more = peer('192.0.2.2:51820', { publicKey: key(200) });
  const diff = (before: readonly WireGuardPeer[], after: readonly WireGuardPeer[]) => {
    const { added, removed, devices } = diffDevices([device(...before)], [device(...after)], new Set(), {});
    return [...devices, ...added, ...removed];
  };
  const other = { ...more, allowedIps: [wholeFamily(6)], keepaliveSeconds: 25 };
  expect(diff(many, [...many, more])).toEqual([{ action: 'add', after: { kind: 'peer', link: 'sp-e', peer: more } }]);
  expect(diff([more, ...many], many)).toEqual([
    { action: 'remove', before: { kind: 'peer', link: 'sp-e', peer: more } },
  ]);
  expect(diff([...many, more], [...many, other])).toMatchObject([{ action: 'change', after: { peer: other } }]);
});
