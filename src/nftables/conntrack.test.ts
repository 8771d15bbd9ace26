import { expect, test } from 'vitest';
import { printAddress } from '../net/index.ts';
import { readConntrack } from './conntrack.ts';

// What conntrack 1.4.7 printed in a namespace whose rules set zones, marks and translations.
const LISTED = `ipv4     2 udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=36795 dport=60 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=60 dport=36795 mark=18 zone=9 use=1
ipv4     2 udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=48404 dport=50 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=51 dport=48404 mark=18 use=1
ipv4     2 icmp     1 29 src=127.0.0.1 dst=127.0.0.2 type=8 code=0 id=26420 src=127.0.0.2 dst=127.0.0.1 type=0 code=0 id=26420 mark=18 use=1
ipv4     2 udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=49332 dport=61 zone-orig=3 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=61 dport=49332 mark=18 use=1
ipv6     10 icmpv6   58 29 src=fd00::1 dst=fd00::1 type=128 code=0 id=26422 src=fd00::1 dst=fd00::1 type=129 code=0 id=26422 mark=18 use=1
ipv4     2 tcp      6 431999 ESTABLISHED src=10.1.0.2 dst=10.1.0.1 sport=34152 dport=5000 packets=3 bytes=164 src=10.2.0.2 dst=10.2.0.1 sport=5000 dport=34152 packets=2 bytes=112 [ASSURED] mark=0 use=1
ipv4     2 tcp      6 src=10.1.0.2 dst=10.1.0.1 sport=34153 dport=5000 src=10.2.0.2 dst=10.1.0.2 sport=5000 dport=34153 [OFFLOAD] mark=0 use=2
`;

test('what stands in a line is read: ends, zones, marks, state, and what was translated', () => {
  const told = readConntrack(LISTED).map(({ original, reply, zone, mark, status, tcpState, icmpType, offloaded }) => [
    ...[original, reply].map(
      (tuple) =>
        `${printAddress(tuple.source)} ${tuple.sourcePort} ${printAddress(tuple.destination)} ${tuple.destinationPort}/${tuple.protocol}`,
    ),
    `zones ${zone.original} ${zone.reply} mark ${mark} status ${status} ${tcpState ?? icmpType ?? ''}${offloaded ? 'offloaded' : ''}`,
  ]);
  expect(told).toEqual([
    ['127.0.0.1 36795 127.0.0.1 60/17', '127.0.0.1 60 127.0.0.1 36795/17', 'zones 9 9 mark 18 status 8 '],
    ['127.0.0.1 48404 127.0.0.1 50/17', '127.0.0.1 51 127.0.0.1 48404/17', 'zones 0 0 mark 18 status 40 '],
    ['127.0.0.1 26420 127.0.0.2 26420/1', '127.0.0.2 26420 127.0.0.1 26420/1', 'zones 0 0 mark 18 status 10 8'],
    ['127.0.0.1 49332 127.0.0.1 61/17', '127.0.0.1 61 127.0.0.1 49332/17', 'zones 3 0 mark 18 status 8 '],
    ['fd00::1 26422 fd00::1 26422/58', 'fd00::1 26422 fd00::1 26422/58', 'zones 0 0 mark 18 status 10 128'],
    ['10.1.0.2 34152 10.1.0.1 5000/6', '10.2.0.2 5000 10.2.0.1 34152/6', 'zones 0 0 mark 0 status 62 ESTABLISHED'],
    ['10.1.0.2 34153 10.1.0.1 5000/6', '10.2.0.2 5000 10.1.0.2 34153/6', 'zones 0 0 mark 0 status 46 offloaded'],
  ]);
});

// What it printed of a TFTP server's answer and of what `ct expectation set` made known.
const EXPECTED = `ipv4     2 udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=41224 dport=69 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=69 dport=41224 mark=0 helper=tftp use=1
ipv6     10 udp      17 29 src=fd00::1 dst=fd00::1 sport=41931 dport=98 [UNREPLIED] src=fd00::1 dst=fd00::1 sport=98 dport=41931 mark=0 use=1
299 proto=17 src=127.0.0.1 dst=127.0.0.1 sport=0 dport=41224 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=127.0.0.1 master-dst=127.0.0.1 sport=41224 dport=69 class=0 helper=tftp
59999 proto=17 src=fd00::1 dst=fd00::1 sport=0 dport=543 mask-src=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff mask-dst=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff sport=0 dport=65535 master-src=fd00::1 master-dst=fd00::1 sport=41931 dport=98 class=0
proto=6 src=0.0.0.0 dst=10.0.0.1 sport=7 dport=5432 mask-src=0.0.0.0 mask-dst=255.255.255.255 sport=65535 dport=65535 master-src=127.0.0.1 master-dst=127.0.0.1 sport=41224 dport=69 class=0
`;

test('what a connection expects stands with it', () => {
  const told = readConntrack(EXPECTED).map(({ expects = [] }) =>
    expects.map(({ source, sourceMask, sourcePort, destination, protocol, destinationPort }) => [
      ...[`${printAddress(source)}/${sourceMask.toString(16)}`, sourcePort],
      `${printAddress(destination)} ${destinationPort}/${protocol}`,
    ]),
  );
  expect(told).toEqual([
    [
      ['127.0.0.1/ffffffff', undefined, '127.0.0.1 41224/17'],
      ['0.0.0.0/0', 7, '10.0.0.1 5432/6'],
    ],
    [[`fd00::1/${'f'.repeat(32)}`, undefined, 'fd00::1 543/17']],
  ]);
});

test('wherever the listing is cut off, its whole lines are read, or the line that is not is named', () => {
  const lines = LISTED.trim().split('\n').length;
  for (let end = 0; end < LISTED.length; end++) {
    const text = LISTED.slice(0, end);
    const isWhole = / use=\d$/.test(text) || text.endsWith('\n') || text === '';
    if (isWhole) expect(readConntrack(text).length).toBeLessThanOrEqual(lines);
    else expect(() => readConntrack(text), text.slice(-40)).toThrow(/^conntrack -L: a line of another form: i/);
  }
});

for (const [what, line] of [
  ['no address', 'ipv4 2 udp 17 29 src=x dst=10.0.0.1 sport=1 dport=2 src=10.0.0.1 dst=10.0.0.2 sport=2 dport=1 use=1'],
  ['one tuple', 'ipv4 2 udp 17 29 src=10.0.0.2 dst=10.0.0.1 sport=1 dport=2 use=1'],
  ['an address of the other family', 'ipv4 2 udp 17 29 src=fd00::1 dst=fd00::2 src=fd00::2 dst=fd00::1 use=1'],
  ['a mark that is no number', 'ipv4 2 udp 17 29 src=10.0.0.2 dst=10.0.0.1 src=10.0.0.1 dst=10.0.0.2 mark=x use=1'],
  ['a port beyond all', 'ipv4 2 udp 17 29 src=10.0.0.2 dst=10.0.0.1 sport=70000 src=10.0.0.1 dst=10.0.0.2 use=1'],
  ['an expectation without a mask', '29 proto=17 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=1 class=0'],
  ['an expectation cut off', (EXPECTED.split('\n')[2] ?? '').slice(0, -20)],
  ['words', 'conntrack v1.4.7 (conntrack-tools): Operation failed'],
] as const)
  test(`a line with ${what} is refused`, () => expect(() => readConntrack(line)).toThrow('a line of another form'));
