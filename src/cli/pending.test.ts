/** While a change waits for its confirmation: plan and status show it by its generation, and nobody else's begins. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { armHost, confirmAll, lockHost } from '../apply/index.ts';
import { linuxDriver } from '../drivers/index.ts';
import type { HostChange } from '../plan/index.ts';
import { SALLYPORT_PROTOCOL } from '../routing/index.ts';
import { namespaceTransport } from '../transport/index.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

const { signal } = new AbortController();

let cli: CliLab;
let file = '';
beforeAll(async () => {
  cli = await startCliLab();
  file = await cli.documents('edge.yaml', slimEdgeDocuments());
});
afterAll(async () => cli[Symbol.asyncDispose]());

const change: HostChange = {
  action: 'add',
  after: {
    kind: 'rule',
    rule: { family: 4, priority: 5000, action: { kind: 'lookup', table: 5000 }, protocol: SALLYPORT_PROTOCOL },
  },
};

/** What of the edge's report says which change stands there, or waits. */
async function generations(command: 'plan' | 'status'): Promise<unknown> {
  const { value } = await cli.json(command, '-f', file);
  const hosts: unknown = Reflect.get(Object(value), 'hosts');
  const { generation, pending } = (Array.isArray(hosts) ? hosts : []).find(({ host }) => host === 'edge') ?? {};
  return { ...(generation !== undefined && { generation }), ...(pending !== undefined && { pending }) };
}

test('each change of what is asked is a generation, and a repair is none', async () => {
  expect(await generations('status')).toEqual({});
  const more = await cli.documents('more.yaml', slimEdgeDocuments({ ports: ['{ protocol: TCP, port: 81 }'] }));
  for (const [path, generation] of [
    [file, 1],
    [file, 1],
    [more, 2],
    [file, 3],
  ] as const) {
    expect(await cli.sallyport('apply', '-f', path, '--yes')).toMatchObject({ status: 0, stderr: '' });
    expect(await generations('status')).toEqual({ generation });
  }
  await cli.lab.host('edge').run(['nft', 'flush', 'ruleset']);
  expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
  expect(await generations('status')).toEqual({ generation: 3 });
});

test('a pending change is shown with its generation, and a second is refused and told who holds the host', async () => {
  const entry = ['nsenter', '-t', String(cli.lab.pid), '--mount', '--pid', '--net'];
  const transport = namespaceTransport('edge', 'edge', { entry });
  const managed = { name: 'edge', transport, driver: linuxDriver(transport) };
  const lock = await lockHost(transport, 'apply');
  const arming = { command: 'apply', generation: 4, windowMs: 60_000, signal };
  const facts = await managed.driver.observe(signal);
  const armed = await armHost(managed, { changes: [change], facts }, arming);
  const by = expect.stringMatching(/^apply by .*, process \d+ on .*, since 20/);
  expect(await generations('plan')).toEqual({ pending: { generation: 4, by } });
  expect(await generations('status')).toEqual({ generation: 3, pending: { generation: 4, by } });
  const said = /^ +a change is pending here: generation 4, apply by .*, process \d+ on /m;
  for (const command of ['plan', 'status'])
    expect((await cli.sallyport(command, '-f', file)).stdout, command).toMatch(said);
  for (const command of ['apply', 'destroy']) {
    const refused = await cli.sallyport(command, '-f', file, '--yes');
    expect(refused.stderr).toMatch(
      /^sallyport: edge: another sallyport is at work here: apply by .*; wait for it, or end it; a change is pending here: generation 4, apply by .*\n$/,
    );
    expect(refused.status).toBe(1);
  }
  // Whoever has the lock is refused all the same.
  await expect(armHost(managed, { changes: [change], facts }, { ...arming, generation: 5 })).rejects.toThrow(
    /^edge: a change is pending here: generation 4, apply by .*; it is confirmed or undone within its time$/,
  );
  expect((await confirmAll([armed], async () => false)).failures).toEqual([]);
  await lock.release();
  expect(await generations('status')).toEqual({ generation: 3 });
});
