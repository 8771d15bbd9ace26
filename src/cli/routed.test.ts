/**
 * A node with a private address that no NAT stands before: the edge sees the tunnel's packets come from the very address that forwards
 * would aim at. Were that address routed into the tunnel, the tunnel's own packets would go there too.
 */
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, startStory, waitFor } from './testdata/story.ts';

test('once the edge hears the node there, forwards aim at the tunnel address', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    await lab.host('home').run(['nft', 'delete', 'table', 'ip', 'home']);
    await lab.host('internet').run(['ip', 'route', 'add', '192.168.1.0/24', 'via', '192.0.2.130']);
  });
  const text = documents();
  await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
  expect((await story.sallyport(['apply', '--yes', '-f', '-'], text)).status).toBe(0);
  const why = "10.90.0.2, its tunnel address: 192.168.1.20 is where the tunnel's own packets go";
  await waitFor('the edge hears the node', async () =>
    (await story.sallyport(['plan', '-f', '-'], text)).stdout.includes(why),
  );
  await story.apply(text);
  expect(await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 })).toBe('seen from 192.0.2.10');
  const { stdout: routes } = await story.lab.host('edge').run(['ip', 'route', 'show', 'dev', 'sp-wg51820']);
  expect(routes).not.toContain('192.168.1.20');
  expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
  await story.destroy(text);
}, 300_000);

/** Sends one datagram to the node's tunnel address from the port of the edge's own WireGuard, which no socket may have beside it. */
const FROM_ITS_PORT = `
import socket, struct
udp = struct.pack('!HHHH', 51820, 9, 8, 0)
ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 28, 0, 0, 64, 17, 0, socket.inet_aton('10.90.0.1'), socket.inet_aton('10.90.0.2'))
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).sendto(ip + udp, ('10.90.0.2', 0))`;

test('a node that comes to be heard at its main address does not set the edge in circles', async () => {
  await using story = await startStory(slimEdge());
  const { lab, sallyport } = story;
  const text = documents();
  const inCircles = async (): Promise<number> => {
    const { stdout } = await lab.host('edge').run(['nft', 'list', 'chain', 'inet', 'sallyport', 'sp_loop']);
    return Number(/counter packets (\d+) /.exec(stdout)?.[1]);
  };
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await story.apply(text);
  const ask = (): Promise<string> => story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 });
  expect(await ask()).toBe('seen from 192.0.2.10');
  expect(await inCircles()).toBe(0);
  await lab.host('edge').run(['python3', '-c', FROM_ITS_PORT], { allowFailure: true });
  expect(await inCircles()).toBe(1);

  await lab.host('home').run(['nft', 'delete', 'table', 'ip', 'home']);
  await lab.host('internet').run(['ip', 'route', 'add', '192.168.1.0/24', 'via', '192.0.2.130']);
  await lab.host('home').run(['conntrack', '-D', '-p', 'udp'], { allowFailure: true });
  await ask();
  await waitFor(
    'the edge hears the node there',
    async () => (await sallyport(['plan', '-f', '-'], text)).stdout.includes('aim at 10.90.0.2, its tunnel address'),
    60_000,
  );
  expect(await inCircles(), 'what went in circles ended there').toBeLessThan(1000);
  expect(await sallyport(['apply', '--yes', '-f', '-'], text)).toMatchObject({ status: 0 });
  await waitFor('the client is answered', async () => (await ask()) === 'seen from 192.0.2.10', 60_000);
  await story.destroy(text);
}, 300_000);
