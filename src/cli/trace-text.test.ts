import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { parseAddress } from '../net/index.ts';
import type { Flow, TraceReport } from '../simulate/index.ts';
import { printTraces } from './trace-text.ts';

const address = parseAddress('192.0.2.7');
const to = parseAddress('10.0.0.2');
if (address === undefined || to === undefined) throw new TypeError('no addresses');
const flow: Flow = {
  from: { kind: 'host', host: 'client', address },
  to,
  port: 80,
  protocol: 'tcp',
  size: 1500,
  df: true,
};

const hop = (host: string, stage: string, detail: string, decidedBy = '') => ({ host, stage, detail, decidedBy });
const works: TraceReport = {
  ...{ works: true, verdict: 'delivered', clientAddressSeen: '192.0.2.7' },
  hops: [
    hop('client', 'route', 'leaves by eth0', 'rule 32766: from all lookup main proto kernel, route default dev eth0'),
    hop('server', 'delivered', 'to the socket at 10.0.0.2:80/tcp'),
  ],
  reply: { works: true, verdict: 'delivered', hops: [hop('server', 'route', 'leaves by eth0')] },
};
const dies: TraceReport = {
  ...{ works: false, verdict: 'dropped', reason: 'gw drops it in forward: inet guard f: tcp dport 80 drop' },
  fix: 'on gw: an accept before it: nft insert rule inet guard f tcp dport 80 accept',
  hops: [hop('gw', 'forward', 'dropped', 'inet guard f: ct state new; inet guard f: tcp dport 80 drop # handle 3')],
};

test('a walk from host to host, what decided below each stage, the answer, and how it ended', () => {
  expect(
    printTraces([works], { flow, color: false }),
  ).toBe(`192.0.2.7:40000 → 10.0.0.2:80/tcp, 1500 bytes, not to be fragmented

● client
│  route       leaves by eth0
│              rule 32766: from all lookup main proto kernel
│              route default dev eth0
│
● server
│  delivered   to the socket at 10.0.0.2:80/tcp

The answer

● server
│  route       leaves by eth0

It works: the packet reaches server, which sees 192.0.2.7, and the answer comes back.
`);
});

test('one that dies: the reason, and what would mend it, ready to be copied', () => {
  expect(printTraces([dies], { flow, color: false })).toMatch(
    /\n│ {2}forward {5}dropped\n│ {14}inet guard f: ct state new\n│ {14}inet guard f: tcp dport 80 drop # handle 3\n\nThe packet is dropped: gw drops .* drop\. Nobody tells its sender\.\nFix: .* accept\n$/,
  );
});

test('of an answer that dies the reason is told', () => {
  const { reason, fix, hops } = dies;
  const reply = { works: false, verdict: 'dropped' as const, ...(reason && { reason }), ...(fix && { fix }), hops };
  expect(printTraces([{ ...works, works: false, reply }], { flow, color: false })).toContain(
    '\nThe packet arrives from 192.0.2.7, but its answer is dropped: gw drops it',
  );
});

test('of the answer of a machine that is no Host too', () => {
  const reply = { works: false, verdict: 'dropped' as const, reason: 'gw drops it', fix: 'let it', hops: [] };
  expect(printTraces([{ ...works, works: false, verdict: 'exits', reply }], { flow, color: false })).toContain(
    '\nThe packet arrives from 192.0.2.7, but its answer is dropped: gw drops it.\nFix: let it',
  );
});

test('several ways are counted', () => {
  const text = printTraces([works, dies], { flow, color: false });
  expect(text).toContain('\nWay 2 of 2, by chance:\n');
  expect(text).toMatch(/\n1 of 2 ways work\.\n$/);
});

test('in a terminal: no line is wider than it, and colours take no room', () => {
  const text = printTraces([works, dies], { flow, color: true, width: 60 });
  expect(text).toContain('\x1b[31mdropped\x1b[39m');
  const lines = stripVTControlCharacters(text).split('\n').slice(1);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
});
