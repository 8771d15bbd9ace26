import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printAddress } from '../net/index.ts';
import { readAllSockets, readSockets, readStatistics, SOCKET_TABLES } from './sockets.ts';

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

/** What iproute2 6.1 printed of sockets that were made for it. */
const STATISTICS = `udp UNCONN 0      0              0.0.0.0%lo:53 0.0.0.0:* ino:22601540 sk:100d cgroup:/ <->
\tinet-sockopt: ( mc_loop mc_all)
udp UNCONN 0      0                    [::]:54    [::]:* ino:22601541 sk:100e cgroup:/ v6only:1 <->
\tinet-sockopt: ( mc_loop transparent)
udp UNCONN 0      0                       *:55       *:* ino:22601542 sk:100f cgroup:/ v6only:0 <->
udp UNCONN 0      0       [fe80::1]%eth0:546    [::]:* ino:22601542 sk:100f cgroup:/ v6only:1 <->
tcp LISTEN 0      128             127.0.0.1:81 0.0.0.0:* ino:22601535 sk:1012 cgroup:/ <->
\tinet-sockopt: ( is_icsk mc_loop transparent mc_all)
tcp LISTEN 0      128    [::ffff:127.0.0.1]:86       *:* ino:22601543 sk:1016 cgroup:/ v6only:0 <->
`;

test('ss tells links, IPV6_V6ONLY and IP_TRANSPARENT', () => {
  const told = readStatistics(STATISTICS)?.map(({ address, ...socket }) => ({
    ...socket,
    at: address === undefined ? 'any' : printAddress(address),
  }));
  expect(told).toEqual([
    { protocol: 'udp', port: 53, families: [4], at: 'any', link: 'lo', transparent: false },
    { protocol: 'udp', port: 54, families: [6], at: 'any', transparent: true },
    { protocol: 'udp', port: 55, families: [4, 6], at: 'any' },
    { protocol: 'udp', port: 546, families: [6], at: 'fe80::1', link: 'eth0' },
    { protocol: 'tcp', port: 81, families: [4], at: '127.0.0.1', transparent: true },
    { protocol: 'tcp', port: 86, families: [4], at: '127.0.0.1' },
  ]);
  for (const broken of ['tcp LISTEN 0 128 nowhere *:*', 'Netid State', 'tcp LISTEN', 'raw UNCONN 0 0 0.0.0.0:6 *:*'])
    expect(readStatistics(broken), broken).toBeUndefined();
});

test('what ss tells counts, and what the tables have besides; without ss the tables alone', () => {
  const table = (...lines: readonly string[]) => ({
    ...{ status: 0, stderr: '', stdout: HEAD + lines.map((line, index) => `   ${index}: ${line}\n`).join('') },
  });
  const any6 = '0'.repeat(32);
  const tables = [table(), table(`${any6}:0036 ${any6}:0000 0A`, `${any6}:0050 ${any6}:0000 0A`), table(), table()];
  const told = 'tcp LISTEN 0 128 [::]:54 [::]:* v6only:1\n';
  expect(readAllSockets([...tables, { status: 0, stdout: told, stderr: '' }])).toEqual([
    { protocol: 'tcp', families: [6], port: 54 },
    { protocol: 'tcp', families: [4, 6], port: 80 },
  ]);
  for (const unread of [
    { status: 127, stdout: '' },
    { status: 0, stdout: 'something else' },
  ])
    expect(readAllSockets([...tables, { ...unread, stderr: '' }])).toEqual([
      { protocol: 'tcp', families: [4, 6], port: 54 },
      { protocol: 'tcp', families: [4, 6], port: 80 },
    ]);
});

test('whatever stands there, it is read or it is not: no error, and no socket that nobody wrote', () =>
  fc.assert(
    fc.property(
      fc.nat({ max: STATISTICS.length }),
      fc.string({ maxLength: 9 }),
      fc.nat({ max: 9 }),
      (at, text, cut) => {
        const found = readStatistics(STATISTICS.slice(0, at) + text + STATISTICS.slice(at + cut)) ?? [];
        for (const { port, families } of found) {
          expect(port).toBeLessThanOrEqual(65_535);
          expect(families.length).toBeGreaterThan(0);
        }
      },
    ),
    { seed: 1127, numRuns: 500 },
  ));
