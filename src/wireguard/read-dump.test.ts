import { describe, expect, test } from 'vitest';
import { parsePrefix, printEndpoint, printPrefix } from '../net/index.ts';
import { readDump } from './index.ts';

const [secret, own, other] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte).toString('base64'));
const device = ['wg0', secret, own, '51820', 'off'].join('\t');
const peer = (fields: Partial<Record<'endpoint' | 'allowed' | 'handshake' | 'keepalive', string>>): string =>
  [
    ...['wg0', other, '(none)', fields.endpoint ?? '(none)', fields.allowed ?? '(none)'],
    ...[fields.handshake ?? '0', '17', '18', fields.keepalive ?? 'off'],
  ].join('\t');

test('nothing: no devices', () => expect(readDump('')).toEqual([]));

test('all fields of a peer', () => {
  const text = `${device}\n${peer({ endpoint: '192.0.2.1:5', allowed: '10.0.0.0/8,fd00::1/128', handshake: '1700000000', keepalive: '25' })}\n`;
  expect(readDump(text)).toEqual([
    {
      link: 'wg0',
      publicKey: own,
      listenPort: 51820,
      peers: [
        {
          publicKey: other,
          endpoint: { host: parsePrefix('192.0.2.1/32')?.address, port: 5 },
          allowedIps: [parsePrefix('10.0.0.0/8'), parsePrefix('fd00::1/128')],
          latestHandshake: 1_700_000_000,
          keepaliveSeconds: 25,
          receivedBytes: 17,
          sentBytes: 18,
        },
      ],
    },
  ]);
});

test('what is not set is absent', () => {
  expect(readDump(`${['wg0', '(none)', '(none)', '0', '0x1f'].join('\t')}\n${peer({})}`)).toEqual([
    { link: 'wg0', firewallMark: 31, peers: [{ publicKey: other, allowedIps: [], receivedBytes: 17, sentBytes: 18 }] },
  ]);
});

describe('endpoints', () => {
  for (const [text, printed] of [
    ['[2001:db8::1]:4444', '[2001:db8::1]:4444'],
    ['[fe80::1%eth0]:4444', '[fe80::1]:4444'],
    ['192.0.2.1:1', '192.0.2.1:1'],
  ] as const) {
    test(text, () => {
      const endpoint = readDump(`${device}\n${peer({ endpoint: text })}`)[0]?.peers[0]?.endpoint;
      expect(endpoint && printEndpoint(endpoint)).toBe(printed);
    });
  }
});

test('peers stand with their own device', () => {
  const second = device.replaceAll('wg0', 'wg1');
  const text = [device, peer({}), second, peer({ allowed: '10.0.0.0/8' }).replace('wg0', 'wg1')].join('\n');
  expect(
    readDump(text).map(({ link, peers }) => [link, peers.flatMap(({ allowedIps }) => allowedIps.map(printPrefix))]),
  ).toEqual([
    ['wg0', []],
    ['wg1', ['10.0.0.0/8']],
  ]);
});

describe('refused, with the line and without its text', () => {
  for (const [name, text, message] of [
    ['a peer before its device', peer({}), 'line 1: 9 fields, neither a device (5) nor a peer of one (9)'],
    ['four fields', 'wg0\ta\tb\tc', 'line 1: 4 fields'],
    ['a private key where the public one stands', `wg0\t${own}\tx${secret}\t1\toff`, 'line 1: the public key is none'],
    ['a word for a port', `${device.replace('51820', secret ?? '')}`, 'line 1: the listen port is no number'],
    ['no prefix', `${device}\n${peer({ allowed: '10.0.0.1/8' })}`, 'line 2: an allowed IP is no prefix'],
    ['no endpoint', `${device}\n${peer({ endpoint: 'here' })}`, 'line 2: the endpoint is no address and port'],
  ] as const) {
    test(name, () => {
      expect(() => readDump(text)).toThrow(`output of "wg show all dump", ${message}`);
      expect(() => readDump(text)).not.toThrow(secret);
    });
  }
});
