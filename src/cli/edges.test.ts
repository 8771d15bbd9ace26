/** Several edges before one node: each answer leaves by the edge its question came by, also where both edges carry one 5-tuple. */
import { expect, test } from 'vitest';
import { startLab } from '../lab/index.ts';
import { CLIENT, documents, EDGES, farClient } from './testdata/far-client.ts';
import { FROM_ONE_PORT } from './testdata/one-port.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const SOURCE_PORTS = process.env.LAB_LANE === 'vm' ? ['40001'] : ['40001', '40002', '40003'];
const MARKED = { 'net.ipv4.conf.all.rp_filter': '1', 'net.ipv4.conf.all.src_valid_mark': '1' };

for (const [name, settings, tracking, knows] of [
  ['rp_filter 0', { 'net.ipv4.conf.all.rp_filter': '0' }, 'Stateful', false],
  ['rp_filter 1', { 'net.ipv4.conf.all.rp_filter': '1' }, 'Stateful', false],
  ['rp_filter 1 and src_valid_mark', MARKED, 'Stateful', false],
  ["rp_filter 1, src_valid_mark and a route of its own to the client's network", MARKED, 'Stateful', true],
  ['rp_filter 2', { 'net.ipv4.conf.all.rp_filter': '2' }, 'Stateful', false],
  ['rp_filter 1, the edges stateless', { 'net.ipv4.conf.all.rp_filter': '1' }, 'Stateless', false],
] as const)
  test(`a client is answered by both edges at once from one port of its own, with ${name} on the node`, {
    // There the kernel is one that looks for sockets before it tells ports apart.
    tags: name === 'rp_filter 1' ? ['vm'] : [],
  }, async () => {
    await using lab = await startLab(farClient(settings, knows));
    const before = new Map<string, string>();
    for (const each of ['edge0', 'edge1', 'node']) before.set(each, await lab.dump(each));
    const sallyport = (...args: readonly string[]) =>
      lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: documents('WireGuard', `, tracking: ${tracking}`),
        allowFailure: true,
        timeoutMs: 60_000,
      });
    const applied = await sallyport('apply', '--yes');
    expect(applied, applied.stderr).toMatchObject({ status: 0 });
    await waitFor('both tunnels up', async () => (await sallyport('status')).status === 0);
    for (const [at, port] of [
      ['node', 80],
      ['pod', 81],
    ] as const) {
      await lab.serve(at, { protocol: 'tcp', port: 8080 });
      await using server = await lab.serve(at, { protocol: 'udp', port: 8080 });
      for (const family of [4, 6] as const)
        for (const protocol of ['tcp', 'udp'])
          for (const sourcePort of SOURCE_PORTS) {
            const asked = [protocol, CLIENT[family], sourcePort, String(port), ...EDGES[family]];
            const { stdout } = await lab.host('client').run(['perl', '-e', FROM_ONE_PORT, ...asked]);
            const seen = stdout
              .trim()
              .split('\n')
              .map((line) => JSON.parse(line));
            expect(seen, asked.join(' ')).toMatchObject(
              EDGES[family].map((to) => ({ client: { address: CLIENT[family] }, payload: `to ${to}` })),
            );
          }
      expect((await server.report()).length, `datagrams at ${at}`).toBeGreaterThanOrEqual(4 * SOURCE_PORTS.length);
    }
    expect((await sallyport('destroy', '--yes')).status).toBe(0);
    for (const [each, dump] of before) expect(await lab.dump(each), each).toBe(dump);
  });
