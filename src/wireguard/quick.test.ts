import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printInterfaceAddress, printPrefix } from '../net/index.ts';
import type { QuickFile, QuickProblem } from './quick-file.ts';
import { printQuickFile } from './quick-print.ts';
import { readQuickFile } from './quick-read.ts';

const KEY = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const OTHER = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
const PEER = `[Peer]\nPublicKey = ${OTHER}\n`;

const fileOf = (text: string): QuickFile => {
  const read = readQuickFile(text);
  if (read.kind !== 'file') throw new Error(JSON.stringify(read.problems));
  return read.file;
};
const problemsOf = (text: string): readonly QuickProblem[] => {
  const read = readQuickFile(text);
  return read.kind === 'problems' ? read.problems : [];
};
const lineOf = ({ line, column, path, what, meant }: QuickProblem): string =>
  `${line}:${column}: ${path}: ${what}${meant === undefined ? '' : `; ${meant}`}`;

/** Keys inside, so that they count as equal. */
const plain = (file: QuickFile): string => printQuickFile(file);

const folder = new URL('./testdata/quick/', import.meta.url);
const corpus = readdirSync(folder).filter((name) => name.endsWith('.conf'));

describe('files as people have them', () => {
  test('are there', () => expect(corpus.length).toBeGreaterThan(11));
  test.each(corpus)('%s is read, printed and read again', (name) => {
    const file = fileOf(readFileSync(new URL(name, folder), 'utf8'));
    const again = fileOf(plain(file));
    expect(plain(again)).toBe(plain(file));
    expect(again.peers.map(({ publicKey }) => publicKey)).toEqual(file.peers.map(({ publicKey }) => publicKey));
  });
});

test('says what wg-quick would do', () => {
  const { interface: own, peers } = fileOf(`[interface]
 address = 10.0.0.1/24,fd00::1/64 # both
Address=10.9.9.9
PRIVATEKEY = ${KEY}
FwMark = 0xca6c
DNS = 10.0.0.53, corp.example.com
Table = 1234
PostUp = iptables -A FORWARD -i %i -j ACCEPT; echo done # not this
SaveConfig = TRUE
[PEER]
PublicKey = ${OTHER}
AllowedIPs = 10.0.0.2, 192.168.7.9/24
AllowedIPs = ::/0
Endpoint = VPN.example.com:51820
PersistentKeepalive = off
`);
  expect(own.addresses.map(printInterfaceAddress)).toEqual(['10.0.0.1/24', 'fd00::1/64', '10.9.9.9/32']);
  expect(own).toMatchObject({
    firewallMark: 51820,
    table: 1234,
    saveConfig: true,
    searchDomains: ['corp.example.com'],
  });
  expect(own.hooks).toEqual([{ at: 'PostUp', command: 'iptables -A FORWARD -i %i -j ACCEPT; echo done', line: 8 }]);
  // wg drops what lies below the prefix.
  expect(peers.map(({ allowedIps }) => allowedIps.map(printPrefix))).toEqual([
    ['10.0.0.2/32', '192.168.7.0/24', '::/0'],
  ]);
  expect(peers[0]).toMatchObject({ endpoint: { host: 'vpn.example.com', port: 51820 }, keepaliveSeconds: 0 });
});

test('no key is seen in what is printed of a file', () => {
  const file = fileOf(`[Interface]\nPrivateKey = ${KEY}\n${PEER}PresharedKey = ${KEY}\n`);
  expect(`${JSON.stringify(file)} ${String(file.interface.privateKey)}`).not.toContain(KEY);
});

test.each([
  ['', ['1:1: [Interface]: is not there; a section [Interface]']],
  ['MTU = 1420\n[Interface]\n', ['1:1: MTU: stands before any section; [Interface] above it']],
  ['[Interfaces]\nMTU = 1\n', ['1:1: [Interfaces]: is no section of a WireGuard file; [Interface], or [Peer]']],
  ['[Interface]\n[Interface]\n', ['2:1: [Interface]: stands twice; one [Interface] a file']],
  ['[Interface]\n  MTU\n', ['2:3: [Interface] MTU: has no value; KEY = VALUE']],
  ['[Interface]\nMTU =   fast', ['2:9: [Interface] MTU: is no MTU: fast; 1420; 576 to 65535, for IPv6 at least 1280']],
  ['[Interface]\nListenPort = 70000', ['2:14: [Interface] ListenPort: is no port: 70000; 0 to 65535']],
  ['[Interface]\nListenPort = 0x50', ['2:14: [Interface] ListenPort: is no port: 0x50; 0 to 65535']],
  [
    '[Interface]\nAddress = 10.0.0.1/33, 10.0.0.2/24',
    ['2:11: [Interface] Address: is no address: 10.0.0.1/33; 10.0.0.1/24, fd00::1/64'],
  ],
  ['[Interface]\nTable = main', ['2:9: [Interface] Table: is no table: main; auto, off or the number of a table']],
  [
    `[Interface]\nPrivateKey = ${KEY.slice(1)}`,
    ['2:14: [Interface] PrivateKey: is no key (43 characters); 44 characters of base64, as wg genkey prints them'],
  ],
  // A key whose name was lost, and one in a wrong place, are not repeated.
  [`[Interface]\n${KEY}`, ['2:1: [Interface] this line: has no value; KEY = VALUE']],
  [`[Interface]\nAddress = ${KEY}`, ['2:11: [Interface] Address: is no address: (a key); 10.0.0.1/24, fd00::1/64']],
  [`[Interface]\nPrivateKey ${KEY}`, ['2:1: [Interface] PrivateKey: has no value; KEY = VALUE']],
  ['[Interface]\nAllowedIPs = 0.0.0.0/0', ['2:1: [Interface] AllowedIPs: belongs to [Peer]']],
  ['[Interface]\nJc = 4', ["2:1: [Interface] Jc: is AmneziaWG's, and no key of WireGuard"]],
  ['[Interface]\nMUT = 1420', ['2:1: [Interface] MUT: is no key of this section']],
  ['[Interface]\n[Peer]\n', ["2:1: [Peer] PublicKey: is not there; the peer's public key"]],
  [`[Interface]\n${PEER}${PEER}`, ['4:1: [Peer] PublicKey: is that of the peer of line 2 too; a key for each']],
  [
    `[Interface]\n${PEER}Endpoint = 2001:db8::1:51820`,
    [
      '4:12: [Peer] Endpoint: is no endpoint: 2001:db8::1:51820; 198.51.100.10:51820, [2001:db8::1]:51820 or vpn.example.com:51820',
    ],
  ],
  [
    `[Interface]\n${PEER}AllowedIPs = 10.0.0.0/8, everything`,
    ['4:14: [Peer] AllowedIPs: is no prefix: everything; 10.0.0.2/32, 0.0.0.0/0, ::/0'],
  ],
  [
    `[Interface]\nPrivateKeyFile = wg0.key\n${PEER}PersistentKeepalive = often`,
    [
      '2:18: [Interface] PrivateKeyFile: is no absolute path: wg0.key; /run/secrets/wg0.key',
      '5:23: [Peer] PersistentKeepalive: is no number of seconds: often; off, or 1 to 65535; 25 keeps a NAT open',
    ],
  ],
])('%j is told apart', (text, told) => {
  expect(problemsOf(text).map(lineOf)).toEqual(told);
});

test('a misspelt key comes with those that there are', () => {
  expect(problemsOf('[Interface]\nMUT = 1')[0]?.known).toContain('MTU');
});

test('whatever it is given, it says where a file is wrong, and shows no key', () => {
  const words = [
    '[Interface]',
    '[Peer]',
    'MTU',
    '=',
    '# no',
    'AllowedIPs = ',
    'Endpoint = ',
    KEY,
    '10.0.0.1/24',
    ' ',
    '\n',
    '\r\n',
  ];
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...words), fc.string()), { maxLength: 30 }), (parts) => {
      const text = parts.join('');
      const lines = text.split('\n').length;
      for (const problem of problemsOf(text)) {
        expect(problem.line).toBeLessThanOrEqual(lines);
        expect(problem.column).toBeGreaterThan(0);
        expect(JSON.stringify(problem)).not.toContain(KEY);
      }
    }),
  );
});
