/** `sallyport run` keeps hosts true, on real kernels: what others take away comes back, and nothing is written when nothing is wrong. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { startSshd } from '../lab/index.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';
import { writesDuring } from './testdata/monitor.ts';
import { type Running, startRun } from './testdata/running.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

interface Kept extends AsyncDisposable {
  readonly place: CliLab;
  readonly file: string;
  readonly run: Running;
  /** The dumps of edge and node from before it. */
  readonly before: string;
}

/** Applied, and kept by a run that has heard of both hosts. */
async function startKept(...flags: readonly string[]): Promise<Kept> {
  const place = await startCliLab({ families: 'both', neighbour: false });
  const file = await place.documents('slim-edge.yaml', slimEdgeDocuments());
  const applied = await place.sallyport('apply', '--yes', '-f', file);
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  const before = await place.dumps();
  const run = await startRun(place.lab, ['-f', file, ...flags]);
  const dispose = async (): Promise<void> => {
    await run[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
  };
  await run.heard('the documents hold', ({ event }) => event === 'documents');
  return { place, file, run, before, [Symbol.asyncDispose]: dispose };
}

/** Both hosts' monitors listen: from then on nothing that happens is left to the timer. */
async function listening({ place }: Kept): Promise<void> {
  for (const host of ['edge', 'node'])
    await waitFor(`${host} is listened to`, async () => {
      const { stdout } = await place.lab.host(host).run(['cat', '/proc/net/netlink']);
      const groups = stdout.split('\n').map((line) => line.trim().split(/\s+/));
      const hears = (protocol: string): boolean =>
        groups.some((each) => each[1] === protocol && each[3] !== '00000000');
      return hears('12') && hears('0');
    });
}

/** What others do to the edge, by commands that `dump` tells the effect of. */
const FOREIGN: readonly (readonly [string, string, readonly (readonly string[])[]])[] = [
  ['the whole ruleset flushed', 'edge', [['nft', 'flush', 'ruleset']]],
  ['the table deleted', 'node', [['nft', 'delete', 'table', 'inet', 'sallyport']]],
  ['a chain emptied', 'edge', [['nft', 'flush', 'chain', 'inet', 'sallyport', 'sp_into']]],
  ['a routing rule deleted', 'node', [['ip', 'rule', 'del', 'pref', '5001']]],
  ['all routes of a table flushed', 'node', [['ip', 'route', 'flush', 'table', '5000']]],
  ['a sysctl reset', 'edge', [['sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=0']]],
  ['the link deleted', 'edge', [['ip', 'link', 'del', 'sp-wg51820']]],
  ['the link set down', 'edge', [['ip', 'link', 'set', 'sp-wg51820', 'down']]],
];

describe('what others do is undone', () => {
  for (const [what, host, commands] of FOREIGN)
    test(what, async () => {
      await using kept = await startKept('--every', '10m');
      const { place, run } = kept;
      await listening(kept);
      const before = await place.lab.dump(host);
      const from = run.lines.length;
      for (const argv of commands) await place.lab.host(host).run(argv);
      const repaired = await run.heard(
        `${what}: put right`,
        (line) => line.event === 'repaired' && line.host === host,
        from,
      );
      expect(repaired.changes).not.toEqual([]);
      // A link that was made anew has another address of its own, of the kernel's choice.
      if (commands.flat().includes('sp-wg51820'))
        await waitFor(`${what}: nothing is left to do`, async () => {
          const plan = await place.sallyport('plan', '--detailed-exitcode', '-f', kept.file);
          return plan.status === 0;
        });
      else await waitFor(`${what}: ${host} is as it was`, async () => (await place.lab.dump(host)) === before);
    });
});

test('a sysctl that the kernel tells nobody of is found by the timer', async () => {
  await using kept = await startKept('--every', '1s');
  const { place, run } = kept;
  const { stdout } = await place.lab.host('node').run(['sh', '-c', 'ls -d /proc/sys/net/ipv4/conf/sp-*']);
  const setting = `${stdout.trim()}/rp_filter`;
  const before = await readValue(place, setting);
  await place.lab.host('node').run(['sh', '-c', 'echo 1 >"$1"', 'sh', setting]);
  await run.heard('put right', ({ event, host }) => event === 'repaired' && host === 'node');
  expect(await readValue(place, setting)).toBe(before);
});

const readValue = async (place: CliLab, path: string): Promise<string> =>
  (await place.lab.host('node').run(['cat', path])).stdout.trim();

test('nothing is written when nothing is wrong', async () => {
  await using kept = await startKept('--every', '300ms');
  const { place, run } = kept;
  await listening(kept);
  const state = async (): Promise<string> =>
    (await place.lab.run(['find', '/run/sallyport', '-printf', '%p %T@ %C@\n'])).stdout;
  const before = await state();
  const from = run.lines.length;
  for (const host of ['edge', 'node']) {
    const written = await writesDuring(place.lab.host(host), async () => {
      await new Promise((resolve) => setTimeout(resolve, 2_000)); // several rounds
    });
    expect(written, host).toBe('');
  }
  expect(await state()).toBe(before);
  expect(run.lines.slice(from)).toEqual([]);
});

describe('documents', () => {
  test('that change are taken up; bad ones are said and change nothing; good ones are taken up again', async () => {
    await using kept = await startKept();
    const { place, run, file } = kept;
    const served = async (): Promise<string> => (await place.lab.host('edge').run(['nft', 'list', 'ruleset'])).stdout;
    const two = ['{ protocol: TCP, port: 80, targetPort: 8080 }', '{ protocol: TCP, port: 8443, targetPort: 8080 }'];
    await replace(file, slimEdgeDocuments({ ports: two }));
    await run.heard('the edge changed', ({ event, host }) => event === 'repaired' && host === 'edge');
    expect(await served()).toContain('8443');
    let from = run.lines.length;
    await replace(file, slimEdgeDocuments({ ports: ['{ protocol: TPC, port: 80 }'] }));
    const problem = await run.heard('the problem', ({ event }) => event === 'refused', from);
    expect(problem.message).toMatch(/slim-edge\.yaml:\d+:\d+: spec\.ports\[0\]\.protocol: .*did you mean "TCP"/);
    await run.heard('what holds', ({ message }) => message.includes('those from before hold'), from);
    from = run.lines.length;
    await place.lab.host('edge').run(['nft', 'flush', 'ruleset']);
    await run.heard('the flush put right', ({ event, host }) => event === 'repaired' && host === 'edge', from);
    expect(await served()).toContain('8443');
    from = run.lines.length;
    await replace(file, slimEdgeDocuments());
    await run.heard('the edge changed back', ({ event, host }) => event === 'repaired' && host === 'edge', from);
    expect(await served()).not.toContain('8443');
  });

  test('that are wrong at the start end it with what is wrong', async () => {
    await using place = await startCliLab({ neighbour: false });
    const file = await place.documents('bad.yaml', slimEdgeDocuments({ ports: ['{ protocol: TPC, port: 80 }'] }));
    const { status, stderr } = await place.sallyport('run', '-f', file);
    expect(status).toBe(2);
    expect(stderr).toContain('did you mean "TCP"');
    const cannot = slimEdgeDocuments({ extra: '' }).replace(
      'hosts: [edge]',
      'hosts: [edge], addresses: [203.0.113.77]',
    );
    const other = await place.sallyport('run', '-f', await place.documents('cannot.yaml', cannot));
    expect(other.stderr).toContain('203.0.113.77 is no public address of edge');
    expect(other.status).toBe(2);
    expect((await place.sallyport('run', '-f', '-')).stderr).toContain('give files');
  });
});

const replace = async (file: string, text: string): Promise<void> => {
  expect(await readFile(file, 'utf8')).not.toBe(text);
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
};

test('hosts on which nothing was applied yet become what the documents say', async () => {
  await using place = await startCliLab({ neighbour: false });
  const file = await place.documents('slim-edge.yaml', slimEdgeDocuments());
  await using run = await startRun(place.lab, ['-f', file]);
  await run.heard('the edge changed', ({ event, host }) => event === 'repaired' && host === 'edge');
  await place.lab.serve('node', { protocol: 'tcp', port: 8080 });
  const result = await place.lab.connect('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 });
  expect(result).toMatchObject({ ok: true, saw: { client: { address: '192.0.2.10' } } });
});

test('SIGTERM ends it within a second and leaves the hosts as they stand, and nothing of it behind', async () => {
  await using kept = await startKept();
  const { place, run, before } = kept;
  await listening(kept);
  const { status, tookMs } = await run.stop();
  expect(status).toBe(0);
  expect(tookMs).toBeLessThan(1_500);
  await waitFor('the hosts are as they were, with no monitor left', async () => (await place.dumps()) === before);
});

test('a host that never answers delays no other: not at the start, and not a repair', async () => {
  await using place = await startCliLab({ neighbour: false });
  const file = await place.documents('slim-edge.yaml', slimEdgeDocuments());
  const applied = await place.sallyport('apply', '--yes', '-f', file);
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  // Packets to it are dropped: whoever calls waits for its time to run out.
  await place.lab.run(['ip', 'addr', 'add', '203.0.113.1/24', 'dev', 'lo']);
  await place.lab.run([
    'nft',
    'add table inet far; add chain inet far out { type filter hook output priority 0; }; add rule inet far out ip daddr 203.0.113.77 drop',
  ]);
  const far = `---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: far }
spec: { access: { ssh: { address: 203.0.113.77 } } }
`;
  const more = await place.documents('more.yaml', slimEdgeDocuments() + far);
  const before = await place.lab.dump('edge');
  await using run = await startRun(place.lab, ['-f', more, '--every', '10m']);
  const waiting = await run.heard('it waits for the third', ({ message }) => message.includes('until far was seen'));
  expect(waiting.message).toContain('each host is kept as its record says');
  await place.lab.host('edge').run(['nft', 'flush', 'ruleset']);
  await run.heard('put right', ({ event, host }) => event === 'repaired' && host === 'edge');
  await run.stop();
  await waitFor('the edge is as it was', async () => (await place.lab.dump('edge')) === before);
  expect(run.lines.filter(({ event, host }) => event === 'seen' && host === 'far')).toEqual([]);
});

test('ended at any moment of a repair, the next run makes the rest of it', async () => {
  await using place = await startCliLab({ neighbour: false });
  const file = await place.documents('slim-edge.yaml', slimEdgeDocuments());
  expect(await place.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0 });
  const before = await place.dumps();
  for (const afterMs of [0, 60, 120, 180, 240, 300]) {
    await using run = await startRun(place.lab, ['-f', file]);
    await run.heard('the documents hold', ({ event }) => event === 'documents');
    await place.lab.host('node').run(['ip', 'rule', 'flush', 'protocol', '83']);
    await place.lab.host('edge').run(['nft', 'flush', 'ruleset']);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    const { status, tookMs } = await run.stop();
    expect(status).toBe(0);
    expect(tookMs, `after ${afterMs} ms`).toBeLessThan(2_000);
  }
  await using last = await startRun(place.lab, ['-f', file]);
  await last.heard('the documents hold', ({ event }) => event === 'documents');
  await waitFor('all is in place', async () => {
    return (await place.sallyport('plan', '--detailed-exitcode', '-f', file)).status === 0;
  });
  await last.stop();
  await waitFor('the hosts are as they were', async () => (await place.dumps()) === before);
});

test('metrics, health and readiness are told over HTTP', async () => {
  await using kept = await startKept('--every', '1s', '--listen', '127.0.0.1:9750');
  const { place, run } = kept;
  const get = async (path: string): Promise<{ readonly status: number; readonly text: string }> => {
    const ask = `fetch('http://127.0.0.1:9750${path}').then(async (r) => console.log(JSON.stringify({ status: r.status, text: await r.text() })))`;
    return JSON.parse((await place.lab.run([process.execPath, '-e', ask])).stdout);
  };
  expect(await get('/healthz')).toEqual({ status: 200, text: 'ok\n' });
  expect((await get('/other')).status).toBe(404);
  await waitFor('it is ready', async () => (await get('/readyz')).status === 200);
  const { hosts } = JSON.parse((await get('/readyz')).text);
  expect(hosts).toMatchObject([
    { host: 'edge', reachable: true },
    { host: 'node', reachable: true },
  ]);
  for (const { goodAgeSeconds } of hosts) expect(goodAgeSeconds).toBeLessThan(12);
  await place.lab.host('edge').run(['nft', 'flush', 'ruleset']);
  await run.heard('put right', ({ event, host }) => event === 'repaired' && host === 'edge');
  const { text } = await get('/metrics');
  expect(text).toContain('# TYPE sallyport_host_repairs_total counter\n');
  expect(text).toMatch(/^sallyport_host_repairs_total\{host="edge"\} [1-9]$/m);
  expect(text).toMatch(/^sallyport_host_repairs_total\{host="node"\} 0$/m);
  expect(text).toMatch(/^sallyport_host_reachable\{host="node"\} 1$/m);
  // Another has the port: that is said, and nothing is begun.
  const second = await place.sallyport('run', '-f', kept.file, '--listen', '127.0.0.1:9750');
  expect(second).toMatchObject({ status: 1 });
  expect(second.stderr).toContain('--listen 127.0.0.1:9750: listen EADDRINUSE');
  expect((await place.sallyport('run', '-f', kept.file, '--listen', 'here')).stderr).toContain('is not ADDRESS:PORT');
});

test('over ssh: what is flushed there comes back, targets are asked from there, and what is cut off delays nobody', async () => {
  await using place = await startCliLab({ neighbour: false });
  const { lab } = place;
  await using sshd = await startSshd(lab.host('edge'), ['ListenAddress 198.51.100.10']);
  const access = { address: '198.51.100.10', port: sshd.port, identityFile: sshd.identityFile, hostKey: sshd.hostKey };
  const text = slimEdgeDocuments({ extra: '  health: { tcp: 8080 }\n' })
    .replace('{ netns: { name: edge } }', `{ ssh: ${JSON.stringify(access)} }`)
    .replace('{ netns: { name: node } }', '{ local: {} }');
  const file = await place.documents('far.yaml', text);
  const node = lab.host('node');
  const applied = await node.run([process.execPath, SALLYPORT, 'apply', '--yes', '-f', file], { allowFailure: true });
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  await using run = await startRun(node, ['-f', file, '--every', '10m']);
  await run.heard('the documents hold', ({ event }) => event === 'documents');
  const told = await run.heard(
    'it is told',
    ({ message }) => message === 'PortForward edge-node-web: node does not answer',
  );
  expect(told.host).toBe('edge');
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await run.heard('it is told', ({ message }) => message === 'PortForward edge-node-web: node answers again');
  const before = await lab.host('edge').run(['nft', '-s', 'list', 'ruleset']);
  await lab.host('edge').run(['nft', 'flush', 'ruleset']);
  await run.heard('the edge put right', ({ event, host }) => event === 'repaired' && host === 'edge');
  expect((await lab.host('edge').run(['nft', '-s', 'list', 'ruleset'])).stdout).toBe(before.stdout);
  // Nothing of it comes through any more, and nobody says so.
  await lab.host('edge').run(['ip', 'link', 'set', 'eth0', 'down']);
  const from = run.lines.length;
  await node.run(['ip', 'rule', 'flush', 'protocol', '83']);
  await run.heard('the node put right', ({ event, host }) => event === 'repaired' && host === 'node', from);
  const { status, tookMs } = await run.stop();
  expect(status).toBe(0);
  expect(tookMs).toBeLessThan(2_000);
});
