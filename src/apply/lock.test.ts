import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { namespaceTransport, type Transport } from '../transport/index.ts';
import { LockHeld, lockAll, lockHost } from './lock.ts';

async function startHosts(...names: string[]) {
  const kernel = await startNamespace();
  for (const name of names) await kernel.run(['ip', 'netns', 'add', name]);
  const entry = ['nsenter', '-t', String(kernel.pid), '--mount', '--pid', '--net'];
  const transports = names.map((name) => namespaceTransport(name, name, { entry }));
  return { kernel, transports, [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose]() };
}

async function lockText(transport: Transport): Promise<string | undefined> {
  return await transport.readFile(`${await transport.stateFolder()}/lock`);
}

/** A lock as another process would have left it; `change` says how it differs from one of ours. */
async function leaveLock(transport: Transport, change: Readonly<Record<string, unknown>>): Promise<void> {
  const own = await lockHost(transport, 'apply');
  const text = await lockText(transport);
  await own.release();
  const left = { ...JSON.parse(text ?? '{}'), ...change };
  await transport.writeFile(`${await transport.stateFolder()}/lock`, JSON.stringify(left), 0o600);
}

async function deadPid(): Promise<number> {
  const child = spawn('true');
  await once(child, 'exit');
  return child.pid ?? 0;
}

test('the second to come is told who is at work; when the first is done the host is free', async () => {
  await using hosts = await startHosts('edge');
  const [edge] = hosts.transports;
  if (edge === undefined) throw new Error('no edge');
  const first = await lockHost(edge, 'apply');
  await expect(lockHost(edge, 'destroy')).rejects.toThrow(
    new RegExp(
      `^edge: another sallyport is at work here: apply by .*, process ${process.pid} on .*; wait for it, or end it$`,
    ),
  );
  await first.release();
  await (await lockHost(edge, 'destroy')).release();
});

test('a lock leaves nothing behind: a state folder made for it goes with it', async () => {
  await using hosts = await startHosts('edge');
  const [edge] = hosts.transports;
  if (edge === undefined) throw new Error('no edge');
  const lock = await lockHost(edge, 'apply');
  await lock.release();
  const { status } = await edge.run({ argv: ['test', '-e', await edge.stateFolder()] });
  expect(status).toBe(1);
});

for (const [holder, change] of [
  ['ended', async () => ({ pid: await deadPid() })],
  ['ended, its pid now another process', async () => ({ started: '1' })],
  ['of an earlier boot', async () => ({ boot: 'another' })],
] as const) {
  test(`the lock of a holder ${holder} is taken over`, async () => {
    await using hosts = await startHosts('edge');
    const [edge] = hosts.transports;
    if (edge === undefined) throw new Error('no edge');
    await leaveLock(edge, await change());
    const lock = await lockHost(edge, 'apply');
    expect(JSON.parse((await lockText(edge)) ?? '{}').pid).toBe(process.pid);
    await lock.release();
  });
}

for (const [holder, change] of [
  ['on another machine', { machine: 'elsewhere', boot: 'another' }],
  ['in another pid namespace', { pidNamespace: 'pid:[1]', pid: 1, started: '1' }],
] as const) {
  test(`a holder ${holder} counts as alive: nobody can look`, async () => {
    await using hosts = await startHosts('edge');
    const [edge] = hosts.transports;
    if (edge === undefined) throw new Error('no edge');
    await leaveLock(edge, change);
    await expect(lockHost(edge, 'apply')).rejects.toThrow(LockHeld);
  });
}

test('of several that come at once, one gets the lock, also over a dead one', async () => {
  await using hosts = await startHosts('edge');
  const [edge] = hosts.transports;
  if (edge === undefined) throw new Error('no edge');
  await leaveLock(edge, { pid: await deadPid() });
  const answers = await Promise.allSettled([1, 2, 3, 4].map(() => lockHost(edge, 'apply')));
  expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('locks on several hosts are had all or none', async () => {
  await using hosts = await startHosts('edge', 'node');
  const [, node] = hosts.transports;
  if (node === undefined) throw new Error('no node');
  const held = await lockHost(node, 'apply');
  await expect(lockAll(hosts.transports, 'apply')).rejects.toThrow(/^node: another sallyport/);
  await held.release();
  await (await lockAll(hosts.transports, 'apply')).release();
});
