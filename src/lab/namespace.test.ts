import { existsSync, readlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { asNobody, inAnotherProcess, until } from './another-process.ts';
import { startNamespace } from './index.ts';

const here = new URL('./index.ts', import.meta.url).href;

test('a namespace is one of its own: another network, lo up, nftables of its own, an empty /run', async () => {
  await using kernel = await startNamespace();
  expect(readlinkSync(`/proc/${kernel.pid}/ns/net`)).not.toBe(readlinkSync('/proc/self/ns/net'));
  await kernel.run(['nft', '-f', '-'], { stdin: 'table inet ours { }\n' });
  expect((await kernel.run(['nft', 'list', 'tables'])).stdout).toBe('table inet ours\n');
  expect((await kernel.run(['ip', '-br', 'link'])).stdout).toMatch(/^lo +UNKNOWN[^\n]*\n$/);
  expect((await kernel.run(['ls', '/run'])).stdout).toBe('lock\nsshd\n');
});

test('a failed command is an error with the command, its status and what it said', async () => {
  await using kernel = await startNamespace({ name: 'edge' });
  await expect(kernel.run(['ip', 'link', 'show', 'nolink'])).rejects.toThrow(
    'edge: ip link show nolink: status 1: Device "nolink" does not exist.',
  );
  const { status, stdout } = await kernel.run(['sh', '-c', 'echo out; exit 7'], { allowFailure: true });
  expect({ status, stdout }).toEqual({ status: 7, stdout: 'out\n' });
});

test('a command that dies of a signal has 128 and its number as a status', async () => {
  await using kernel = await startNamespace();
  const die = (signal: string) => kernel.run(['sh', '-c', `ulimit -c 0; kill -${signal} $$`], { allowFailure: true });
  for (const [signal, status] of [
    ['KILL', 137],
    ['SEGV', 139],
    ['ABRT', 134],
  ] as const)
    expect(await die(signal), signal).toMatchObject({ status });
});

test('a command that is not there is named, with its Debian package where it is known', async () => {
  await using kernel = await startNamespace();
  await expect(kernel.run(['conntrack'], { env: { PATH: '/usr/lib:/bin' } })).rejects.toThrow(
    /conntrack is missing: install the Debian package conntrack/,
  );
});

test('a command over its time is killed with all it started', async () => {
  await using kernel = await startNamespace();
  await expect(kernel.run(['sh', '-c', 'sleep 1000 & sleep 1000'], { timeoutMs: 100 })).rejects.toThrow(
    /not done after 100 ms/,
  );
  expect((await kernel.run(['pgrep', '-c', 'sleep'], { allowFailure: true })).stdout).toBe('0\n');
});

test('a started program can be spoken to and killed, and orphans leave no zombies', async () => {
  await using kernel = await startNamespace();
  const cat = await kernel.spawn(['cat']);
  const echoed = new Promise((resolve) => cat.stdout.once('data', (chunk) => resolve(String(chunk))));
  cat.stdin.write('hello');
  expect(await echoed).toBe('hello');
  cat.kill('SIGTERM');
  expect(await cat.exited).toBe(143);
  await kernel.run(['sh', '-c', 'setsid sleep 0.01 >/dev/null 2>&1 &']);
  await until(() => !existsSync(`/proc/${cat.pid}`));
  await kernel.run(['sh', '-c', 'while pgrep -x sleep >/dev/null; do :; done'], { timeoutMs: 5_000 });
});

test('kill -9 of the process that started a namespace ends the holder and everything in it', async () => {
  const { child, said } = await inAnotherProcess(`
    import { startNamespace } from '${here}';
    const kernel = await startNamespace();
    const inside = await kernel.spawn(['setsid', 'sleep', '1000']);
    await kernel.run(['setsid', '-f', 'sleep', '1000']);
    console.log(kernel.pid + ' ' + inside.pid);
    setInterval(() => {}, 1000);`);
  const pids = said.split(' ');
  expect(pids.every((pid) => existsSync(`/proc/${pid}`))).toBe(true);
  child.kill('SIGKILL');
  await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)));
});

test('a forgotten namespace does not keep its process alive', async () => {
  const { child, said } = await inAnotherProcess(
    `import { startNamespace } from '${here}'; console.log((await startNamespace()).pid);`,
  );
  await until(() => child.exitCode === 0 && !existsSync(`/proc/${said}`));
});

test.runIf(process.getuid?.() === 0)('an ordinary user gets one too, by a user namespace', async () => {
  const { said } = await inAnotherProcess(
    `import { startNamespace } from '${here}';
    await using kernel = await startNamespace();
    await kernel.run(['ip', 'netns', 'add', 'edge']);
    await kernel.run(['nft', 'add', 'table', 'inet', 'ours']);
    const inside = await kernel.run(['sh', '-c', 'id -u; ip netns list; nft list tables']);
    console.log(process.getuid() + ' ' + inside.stdout.replaceAll('\\n', ' '));`,
    asNobody,
  );
  expect(said).toBe('65534 0 edge table inet ours');
});
