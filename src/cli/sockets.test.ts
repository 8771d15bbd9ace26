import { expect, test } from 'vitest';
import { printAddress } from '../net/index.ts';
import { readAllSockets, readSockets, SOCKET_TABLES } from './sockets.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

for (const [what, table, line, socket] of [
  ['any address of IPv4', 0, '0: 00000000:0050 00000000:0000 0A', ['tcp', 'any', '4', 80]],
  ['one address of IPv4', 0, '0: 0A00010A:1F90 00000000:0000 0A', ['tcp', '10.1.0.10', '4', 8080]],
  ['any address of either family', 1, `0: ${'0'.repeat(32)}:0050 ${'0'.repeat(32)}:0000 0A`, ['tcp', 'any', '4 6', 80]],
  [
    'one address of IPv6',
    1,
    `0: B80D0120000000000000000010000000:0050 ${'0'.repeat(32)}:0000 0A`,
    ['tcp', '2001:db8::10', '6', 80],
  ],
  [
    'an IPv4 address on a socket of IPv6',
    1,
    `0: 0000000000000000FFFF00000A00010A:0050 ${'0'.repeat(32)}:0000 0A`,
    ['tcp', '10.1.0.10', '4', 80],
  ],
  ['UDP', 2, '0: 00000000:0035 00000000:0000 07', ['udp', 'any', '4', 53]],
  ['a connection is none', 0, '0: 0A00010A:0050 0B00010A:A000 01', undefined],
  ['a connected datagram socket is none', 2, '0: 0A00010A:0050 0B00010A:A000 01', undefined],
  ['what is cut off is none', 0, '0: 0A0001', undefined],
] as const)
  test(what, () => {
    const source = SOCKET_TABLES[table];
    const found = source === undefined ? [] : readSockets(`${HEAD}   ${line}\n`, source);
    expect(
      found.map(({ protocol, address, families, port }) => [
        ...[protocol, address === undefined ? 'any' : printAddress(address)],
        ...[families.join(' '), port],
      ]),
    ).toEqual(socket === undefined ? [] : [socket]);
  });

test('without a table of IPv4 nobody knows who waits; without those of IPv6 there is no IPv6', () => {
  const read = { status: 0, stdout: `${HEAD}   0: 00000000:0050 00000000:0000 0A\n`, stderr: '' };
  const missing = { status: 1, stdout: '', stderr: 'cat: /proc/self/net/tcp6: No such file or directory' };
  expect(readAllSockets([read, missing, read, missing])).toEqual([{ protocol: 'tcp', families: [4], port: 80 }]);
  expect(readAllSockets([missing, read, read, read])).toBeUndefined();
  expect(readAllSockets([read, read, { ...read, stdout: '' }, read])).toBeUndefined();
  expect(readAllSockets([])).toBeUndefined();
});
