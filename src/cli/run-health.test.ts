/** `sallyport run` moves forwards to targets that answer, on real kernels, and moves them no more than it must. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Lab, powerOff, RACK_EDGE, rack, rackAddress, type Server, startLab } from '../lab/index.ts';
import { type Running, startRun } from './testdata/running.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const EDGE = RACK_EDGE;
const NODES = ['n1', 'n2', 'n3'] as const;
type Node = (typeof NODES)[number];

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

/** A tunnel of its own to each node: n1 by WireGuard, where probes go through it, the others as they stand. */
const documents = (more: string): string =>
  [
    resource(
      'Host',
      'edge',
      '{ access: { netns: { name: edge } }, interfaces: [{ name: eth0, zone: public }, { name: priv0, zone: private }] }',
    ),
    ...NODES.map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
    resource(
      'Tunnel',
      'to-n1',
      '{ type: WireGuard, ends: [{ host: edge, addresses: [10.90.0.1/30], endpoint: "172.31.0.1:51820" }, { host: n1, addresses: [10.90.0.2/30] }] }',
    ),
    ...NODES.slice(1).map((name, index) =>
      resource(
        'Tunnel',
        `to-${name}`,
        `{ type: Direct, ends: [{ host: edge, addresses: [172.31.0.1] }, { host: ${name}, addresses: [${rackAddress(1 + index)}] }] }`,
      ),
    ),
    resource(
      'PortForward',
      'web',
      `{ at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 80, targetPort: 8080 }], to: [${NODES.map((name) => `{ host: ${name} }`).join(', ')}]${more} }`,
    ),
  ].join('---\n');

interface Place extends AsyncDisposable {
  readonly lab: Lab;
  readonly run: Running;
  readonly file: string;
  readonly servers: ReadonlyMap<Node, Server>;
  /** What tells of their health, where that is another port. */
  readonly pages: ReadonlyMap<Node, AsyncDisposable>;
  /** Which node answers a new client, or what goes wrong. */
  readonly asked: (sourceAddress?: string) => Promise<string>;
  /** The forward was moved at the edge, in the log from `from` on. */
  readonly moved: (from?: number) => Promise<unknown>;
}

/** Applied, with a server on each node, and kept by a run that asks them. */
async function start(more: string, healthPort = 8080): Promise<Place> {
  const lab = await startLab(rack(NODES, 'nowhere'));
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-run-'));
  const file = join(folder, 'web.yaml');
  await writeFile(file, documents(more));
  const servers = new Map<Node, Server>();
  const pages = new Map<Node, AsyncDisposable>();
  for (const node of NODES) {
    servers.set(node, await lab.serve(node, { protocol: 'tcp', port: 8080 }));
    if (healthPort !== 8080) pages.set(node, await lab.nginx(node, { port: healthPort }));
  }
  const applied = await lab.run([process.execPath, SALLYPORT, 'apply', '--yes', '-f', file], { allowFailure: true });
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  const run = await startRun(lab, ['-f', file, '--every', '10m']);
  await run.heard('the documents hold', ({ event }) => event === 'documents');
  const asked = async (sourceAddress?: string): Promise<string> => {
    const result = await lab.connect('client', {
      ...{ protocol: 'tcp', to: EDGE, port: 80, timeoutMs: 2_000 },
      ...(sourceAddress !== undefined && { sourceAddress }),
    });
    if (!result.ok) return result.error;
    const at = result.saw?.local.address ?? '';
    return at === '10.90.0.2' ? 'n1' : (NODES.find((_, place) => rackAddress(place) === at) ?? at);
  };
  const dispose = async (): Promise<void> => {
    await run[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
  const moved = (from = 0) =>
    run.heard('the edge moved', (line) => line.event === 'repaired' && line.host === 'edge', from);
  return { lab, run, file, servers, pages, asked, moved, [Symbol.asyncDispose]: dispose };
}

/** Ways in which a target goes away, and comes back. */
const FAULTS: readonly (readonly [string, (place: Place) => Promise<unknown>])[] = [
  ['its process ends', async ({ servers }) => await servers.get('n1')?.[Symbol.asyncDispose]()],
  ['its packets are dropped', ({ lab }) => lab.host('n1').run(['nft', DROP])],
  ['its answers alone are dropped', ({ lab }) => lab.host('n1').run(['nft', DROP_ANSWERS])],
  ['its power fails', ({ lab }) => powerOff(lab, 'n1')],
  ['its link is cut', ({ lab }) => lab.host('n1').run(['ip', 'link', 'set', 'priv0', 'down'])],
];
const DROP =
  'add table inet t; add chain inet t i { type filter hook prerouting priority -400; }; add rule inet t i counter drop';
const DROP_ANSWERS =
  'add table inet t; add chain inet t o { type filter hook output priority 400; }; add rule inet t o tcp sport 8080 drop';

describe('policy Failover: the next target takes over when', () => {
  for (const [what, harm] of FAULTS)
    for (const health of what === 'its process ends' || what === 'its power fails'
      ? [', health: { tcp: 8080 }']
      : [', health: { tcp: 8080 }', ''])
      test(`${what}${health === '' ? ', found by the tunnel alone' : ''}`, async () => {
        await using place = await start(health);
        const { run, asked, moved } = place;
        await waitFor('the first answers', async () => (await asked()) === 'n1');
        const from = run.lines.length;
        await harm(place);
        await run.heard('it is told', ({ message }) => message === 'PortForward web: n1 does not answer', from);
        await moved(from);
        expect(await asked()).toBe('n2');
      });
});

const away = {
  host: 'n1',
  table: 'add table inet t; add chain inet t i { type filter hook prerouting priority -400; policy drop; }',
};
const goAway = ({ lab }: Place) => lab.host(away.host).run(['nft', away.table]);
const comeBack = ({ lab }: Place) => lab.host(away.host).run(['nft', 'delete', 'table', 'inet', 't']);

/** So quick that a test sees all of it: held down for two seconds at first. */
const QUICK = ', health: { tcp: 8080, interval: 100ms, failures: 2 }';

test('the first target takes over again after its hold-down, and not before', async () => {
  // Held down for so long that it is moved before on any machine.
  await using place = await start(QUICK.replace('100ms', '300ms'));
  const { run, asked, moved } = place;
  await waitFor('the first answers', async () => (await asked()) === 'n1');
  await goAway(place);
  const fell = await run.heard('it is told', ({ message }) => message === 'PortForward web: n1 does not answer');
  await comeBack(place);
  await moved();
  expect(await asked()).toBe('n2');
  const from = run.lines.findIndex(({ event, host }) => event === 'repaired' && host === 'edge') + 1;
  const back = await run.heard('it is back', ({ message }) => message === 'PortForward web: n1 answers again', from);
  expect(Date.parse(back.time) - Date.parse(fell.time)).toBeGreaterThanOrEqual(6_000);
  await moved(from);
  expect(await asked()).toBe('n1');
});

test('what it moved is in sync for status and plan, and stays so when it has ended', async () => {
  await using place = await start(QUICK);
  const { run, asked, moved, lab, file } = place;
  await waitFor('the first answers', async () => (await asked()) === 'n1');
  await goAway(place);
  await moved();
  await run.stop();
  // Only n1 itself is looked at without an answer from its tunnel.
  const plan = await lab.run([process.execPath, SALLYPORT, 'status', '-o', 'json', '-f', file], { allowFailure: true });
  const edge = JSON.parse(plan.stdout).hosts.find(({ host }: { readonly host: string }) => host === 'edge');
  expect(edge).toMatchObject({ inSync: true, drift: [] });
  expect(await asked()).toBe('n2');
  // A run that begins there goes on from there.
  await using again = await startRun(lab, ['-f', file]);
  await again.heard('the documents hold', ({ event }) => event === 'documents');
  expect(await asked()).toBe('n2');
  await comeBack(place);
  await again.heard('moved back', ({ event, host }) => event === 'repaired' && host === 'edge');
  expect(await asked()).toBe('n1');
});

test('policy Balance: the clients of a target that is gone move, and no others', async () => {
  await using place = await start(`${QUICK}, policy: Balance`);
  const { lab, asked, moved } = place;
  const clients = Array.from({ length: 24 }, (_, index) => `198.51.100.${101 + index}`);
  for (const client of clients) await lab.host('client').run(['ip', 'addr', 'add', `${client}/24`, 'dev', 'eth0']);
  const before = await Promise.all(clients.map(asked));
  expect(new Set(before)).toEqual(new Set(NODES));
  await goAway(place);
  await moved();
  const after = await Promise.all(clients.map(asked));
  expect(after).not.toContain('n1');
  for (const [index, node] of before.entries()) if (node !== 'n1') expect(after[index]).toBe(node);
});

test('drain: a target that says it is not well gets no new connection, and those it has finish', async () => {
  await using place = await start(', health: { http: { port: 9090 }, interval: 100ms, failures: 2 }', 9090);
  const { lab, run, pages, asked, moved } = place;
  await waitFor('the first answers', async () => (await asked()) === 'n1');
  await using held = await lab.holdFlows('client', { protocol: 'tcp', to: EDGE, port: 80, count: 5 });
  await using steady = await lab.keepConnecting('client', { protocol: 'tcp', to: EDGE, port: 80, timeoutMs: 5_000 });
  await pages.get('n1')?.[Symbol.asyncDispose]();
  await run.heard('it is told', ({ message }) => message === 'PortForward web: n1 does not answer');
  await moved();
  expect(await asked()).toBe('n2');
  const { echoes } = await held.report();
  await waitFor('an echo of each', async () => (await held.report()).echoes >= echoes + 5);
  expect(await held.report()).toMatchObject({ open: 5, lost: 0 });
  expect(await steady.report()).toMatchObject({ failed: 0 });
});

test('planned: a host that is drained gets no new connection, those it has finish, and nobody notices that it is switched off then', async () => {
  await using place = await start(QUICK);
  const { lab, run, file, asked, moved } = place;
  await waitFor('the first answers', async () => (await asked()) === 'n1');
  await using steady = await lab.keepConnecting('client', { protocol: 'tcp', to: EDGE, port: 80, timeoutMs: 5_000 });
  {
    await using held = await lab.holdFlows('client', { protocol: 'tcp', to: EDGE, port: 80, count: 5 });
    const own = '{ access: { netns: { name: n1 } }';
    const drained = documents(QUICK).replace(own, `${own}, drain: true`);
    await writeFile(`${file}.new`, drained);
    await rename(`${file}.new`, file);
    await moved();
    expect(await asked()).toBe('n2');
    const { echoes } = await held.report();
    await waitFor('an echo of each', async () => (await held.report()).echoes >= echoes + 5);
    expect(await held.report()).toMatchObject({ open: 5, lost: 0 });
  }
  const { succeeded } = await steady.report();
  await powerOff(lab, 'n1');
  await run.heard('it is told', ({ event, host }) => event === 'unreachable' && host === 'n1');
  await waitFor('some more', async () => (await steady.report()).succeeded >= succeeded + 20);
  expect(await steady.report()).toMatchObject({ failed: 0 });
  expect(await asked()).toBe('n2');
});

test('with no target that answers the first is kept, and it is said', async () => {
  await using place = await start(QUICK);
  const { lab, run, asked, moved } = place;
  await waitFor('the first answers', async () => (await asked()) === 'n1');
  await goAway(place);
  await moved();
  for (const node of ['n2', 'n3']) await lab.host(node).run(['nft', away.table]);
  const said = await run.heard('it is said', ({ message }) => message.includes('no target answers'));
  expect(said.level).toBe('warn');
  const from = run.lines.length;
  await lab.host('n3').run(['nft', 'delete', 'table', 'inet', 't']);
  // It was silent a moment ago, and is the only one that answers.
  await run.heard('the edge moved', (line) => line.event === 'repaired' && line.host === 'edge', from);
  await waitFor('the third takes over', async () => (await asked()) === 'n3');
});

test('apply by itself asks each target once: it goes to the first that answers, and plan says so before', async () => {
  await using lab = await startLab(rack(NODES, 'nowhere'));
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-run-'));
  const file = join(folder, 'web.yaml');
  await writeFile(file, documents(', health: { tcp: 8080 }'));
  const sallyport = async (...argv: readonly string[]) => {
    const ran = await lab.run([process.execPath, SALLYPORT, ...argv, '-f', file], { allowFailure: true });
    return { ...ran, all: `${ran.stdout}${ran.stderr}` };
  };
  const whoAnswers = async () => {
    const result = await lab.connect('client', { protocol: 'tcp', to: EDGE, port: 80, timeoutMs: 2_000 });
    return result.ok ? result.saw?.local.address : result.error;
  };
  // Nothing stands yet, so nobody can be asked through a tunnel: the first it is.
  expect(await sallyport('apply', '--yes')).toMatchObject({ status: 0 });
  await using _ = await lab.serve('n2', { protocol: 'tcp', port: 8080 });
  const planned = await sallyport('plan', '--detailed-exitcode');
  expect(planned.all).toContain('PortForward web: n1, n3 do not answer; it goes to n2');
  expect(planned.status).toBe(2);
  expect(await sallyport('apply', '--yes')).toMatchObject({ status: 0 });
  expect(await whoAnswers()).toBe('172.31.0.3');
  expect(await sallyport('plan', '--detailed-exitcode')).toMatchObject({ status: 0 });
  await using __ = await lab.serve('n1', { protocol: 'tcp', port: 8080 });
  expect(await sallyport('apply', '--yes')).toMatchObject({ status: 0 });
  expect(await whoAnswers()).toBe('172.31.0.2');
  await rm(folder, { recursive: true, force: true });
});
