import { describe, expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { namespaceTransport } from '../transport/index.ts';
import { findListeners, listenersIn } from './listeners.ts';
import { readSockets, SOCKET_TABLES } from './sockets.ts';

const head = '  sl  local_address rem_address   st';
const line = (local: string, state: string): string => `   0: ${local} 00000000:0000 ${state} 00000000:00000000`;

describe('a line of /proc/net/tcp', () => {
  for (const [what, local, state, ports] of [
    ['everywhere', '00000000:1F90', '0A', [8080]],
    ['at one address', '0A0200C0:0050', '0A', [80]],
    ['at an address of which a byte is 7F', '017F00C0:0050', '0A', [80]],
    ['at loopback', '0100007F:1F90', '0A', []],
    ['at 127.0.0.53', '3500007F:0035', '0A', []],
    ['connected, not listening', '00000000:1F90', '01', []],
    ['everywhere in IPv6', `${'0'.repeat(32)}:01BB`, '0A', [443]],
    ['at ::1', `${'0'.repeat(24)}01000000:01BB`, '0A', []],
    ['at ::ffff:127.0.0.1', '0000000000000000FFFF00000100007F:01BB', '0A', []],
    ['at an IPv6 address', 'B80D0120000000000000000010000000:01BB', '0A', [443]],
  ] as const) {
    test(what, () => {
      const table = SOCKET_TABLES[local.indexOf(':') > 8 ? 1 : 0];
      const sockets = table === undefined ? [] : readSockets(`${head}\n${line(local, state)}\n`, table);
      expect(listenersIn(sockets).map(({ port }) => port)).toEqual(ports);
    });
  }
});

test('what a real host listens on, TCP and UDP, loopback left out', async () => {
  await using kernel = await startNamespace();
  await kernel.run(['ip', 'netns', 'add', 'node']);
  await kernel.run(['ip', '-n', 'node', 'link', 'set', 'lo', 'up']);
  const server = `
    const net = require('node:net'), dgram = require('node:dgram');
    net.createServer().listen(8080, '0.0.0.0', () => net.createServer().listen(9090, '127.0.0.1', () => net.createServer().listen(8443, '::', () => {
      const socket = dgram.createSocket('udp6');
      socket.bind(5353, () => console.log('ready'));
    })));`;
  await using node = await kernel.spawn(['ip', 'netns', 'exec', 'node', process.execPath, '-e', server]);
  await new Promise((resolve) => node.stdout.once('data', resolve));
  const entry = ['nsenter', '-t', String(kernel.pid), '--mount', '--pid', '--net'];
  const transport = namespaceTransport('node', 'node', { entry });
  expect(await findListeners(transport, new AbortController().signal)).toEqual([
    { protocol: 'tcp', port: 8080 },
    { protocol: 'tcp', port: 8443 },
    { protocol: 'udp', port: 5353 },
  ]);
});
