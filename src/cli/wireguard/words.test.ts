import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../net/index.ts';
import { blake2sMac } from './blake2s.ts';
import { linkOfFile } from './conf.ts';
import { initiate, throwAwayKey } from './handshake.ts';
import { checkMaxAge, readPolicy } from './health.ts';
import { withoutServers, withServers } from './resolv.ts';
import { readHealthAddress } from './serve.ts';

const KEY = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';

describe('what is healthy', () => {
  test.each([
    ['listening', { kind: 'listening' }],
    ['any-handshake', { kind: 'any' }],
    [`peer=${KEY}`, { kind: 'peer', publicKey: KEY }],
    ['fraction=0.5', { kind: 'fraction', least: 0.5 }],
    ['fraction=1', { kind: 'fraction', least: 1 }],
  ])('%s', (text, policy) => expect(readPolicy(text)).toEqual(policy));
  test.each(['', 'any', 'peer=', 'peer=short', 'fraction=0', 'fraction=1.5', 'fraction=half'])(
    '%j is refused',
    (text) => expect(() => readPolicy(text)).toThrow(/^--require .*: listening, any-handshake, peer=KEY/),
  );
  test('a handshake of two minutes is young', () => {
    expect(checkMaxAge(150)).toBe(150);
    expect(() => checkMaxAge(149)).toThrow('--max-age 149s: at least 150s');
  });
});

test.each([
  ['0.0.0.0:9000', 'tcp'],
  ['tcp://[::]:9000', 'tcp'],
  ['http://127.0.0.1:8080', 'http'],
  ['https://127.0.0.1:8443', 'https'],
])('%s', (text, scheme) => expect(readHealthAddress(text).scheme).toBe(scheme));
test.each(['9000', 'udp://0.0.0.0:1', 'http://', '::1:9000'])('%s is no address of health', (text) =>
  expect(() => readHealthAddress(text)).toThrow('ADDR:PORT'),
);

test('the link is named after the file', () => {
  expect(linkOfFile('/etc/wireguard/wg-office_1.conf')).toBe('wg-office_1');
  for (const path of ['wg0', 'wg0.yaml', 'a-name-that-is-too-long.conf', '...conf'])
    expect(() => linkOfFile(path)).toThrow('the link is named after the file');
});

test('resolv.conf is as it was after DNS of the tunnel, set twice', () => {
  const before = 'search ns.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n';
  const dns = ['10.0.0.53', 'fd00::53'].flatMap((text) => parseAddress(text) ?? []);
  const once = withServers(before, { dns, searchDomains: ['corp.example.com'] });
  expect(once.split('\n').filter((line) => !line.startsWith('#'))).toEqual([
    ...['search corp.example.com', 'nameserver 10.0.0.53', 'nameserver fd00::53', ''],
  ]);
  expect(withServers(once, { dns, searchDomains: ['corp.example.com'] })).toBe(once);
  expect(withoutServers(once)).toBe(before);
  expect(withoutServers(before)).toBe(before);
});

test('BLAKE2s with a key, by the vectors of its reference implementation', () => {
  const bytes = (count: number) => Uint8Array.from({ length: count }, (_, index) => index);
  const hex = (count: number) => Buffer.from(blake2sMac(bytes(32), bytes(count), 32)).toString('hex');
  expect(hex(0)).toBe('48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49');
  expect(hex(255)).toBe('3fb735061abc519dfe979e54c1ee5bfad0a9d858b3315bad34bde999efd724dd');
});

test('what is no answer to the handshake is none', () => {
  const { publicKey } = throwAwayKey();
  const initiation = initiate(throwAwayKey(), publicKey);
  expect(initiation.message.length).toBe(148);
  const forged = Buffer.alloc(92);
  forged[0] = 2;
  initiation.message.copy(forged, 8, 4, 8);
  for (const answer of [Buffer.alloc(0), Buffer.from('hello'), forged, initiation.message]) {
    let answered: boolean | 'threw' = false;
    try {
      answered = initiation.isAnsweredBy(answer);
    } catch {
      answered = 'threw';
    }
    expect(answered).toBe(false);
  }
});
