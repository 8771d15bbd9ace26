import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { asNobody, inAnotherProcess, until, withOpenTun } from './another-process.ts';
import { labDown, labExec, labUp, storyNames } from './index.ts';

const here = new URL('./index.ts', import.meta.url).href;

test('kill -9 of the process that started a lab ends all of it: holder, servers, captures, daemons', async () => {
  const { child, said } = await inAnotherProcess(`
    import { slimEdge, startLab } from '${here}';
    const lab = await startLab(slimEdge());
    await lab.serve('node', { protocol: 'tcp', port: 80 });
    await lab.capture('edge', 'eth0');
    await lab.nginx('edge');
    await lab.host('edge').run(['setsid', '-f', 'sleep', '1000'], { timeoutMs: 5_000 });
    const { readdirSync, readlinkSync } = await import('node:fs');
    const space = (pid) => { try { return readlinkSync('/proc/' + pid + '/ns/pid'); } catch (error) { return error.code; } };
    const pids = readdirSync('/proc').filter((pid) => /^[0-9]+$/.test(pid) && space(pid) === space(lab.pid));
    console.log(pids.join(' '));
    setInterval(() => {}, 1000);`);
  const pids = said.split(' ');
  expect(pids.length).toBeGreaterThanOrEqual(6);
  child.kill('SIGKILL');
  await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)));
});

test.runIf(process.getuid?.() === 0)('an ordinary user has all of the lab', async () => {
  const { said } = await inAnotherProcess(
    `import { slimEdge, startLab } from '${here}';
    await using lab = await startLab(slimEdge());
    const before = await lab.dump('edge');
    const server = await lab.serve('edge', { protocol: 'udp', port: 7 });
    const nginx = await lab.nginx('edge', { port: 80 });
    const capture = await lab.capture('edge', 'eth0', 'udp');
    const result = await lab.connect('node', { protocol: 'udp', to: '2001:db8:e::10', port: 7 });
    const page = await lab.host('node').run(['curl', '-s', 'http://198.51.100.10/']);
    const packets = await capture.stop();
    console.log(JSON.stringify([result.saw.client.address, page.stdout, await nginx.clients(), packets.length, before === (await lab.dump('edge'))]));`,
    asNobody,
  );
  // home masquerades IPv4, and lets IPv6 through as it is
  expect(JSON.parse(said)).toEqual(['2001:db8:1::20', 'you are 192.0.2.130\n', ['192.0.2.130'], 2, true]);
});

test.runIf(process.getuid?.() === 0)('WireGuard by wireguard-go works in the lab without root too', async () => {
  const { said } = await inAnotherProcess(
    `import { slimEdge, startLab } from '${here}';
    await using lab = await startLab(slimEdge());
    const up = ['sh', '-ec', 'wireguard-go wg0; until wg show wg0 >/dev/null 2>&1; do :; done; ip link show wg0'];
    console.log((await lab.host('edge').run(up)).stdout.split(' ')[1]);`,
    [...withOpenTun, ...asNobody],
  );
  expect(said).toBe('wg0:');
});

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-test-'));
  process.env.SALLYPORT_LAB_RECORDS = folder;
});
afterEach(async () => {
  for (const story of storyNames) await labDown(story);
  delete process.env.SALLYPORT_LAB_RECORDS;
  await rm(folder, { recursive: true });
});

test('a lab that was put up stays until it is taken down', async () => {
  const { pid } = await labUp('slim-edge');
  await expect(labUp('slim-edge')).rejects.toThrow(/is up already/);
  expect(await labExec('slim-edge', ['sh', '-c', 'ip netns exec edge ip link show eth0 >/dev/null'])).toBe(0);
  expect(await labExec('slim-edge', ['sh', '-c', 'exit 3'])).toBe(3);
  expect(await labDown('slim-edge')).toBe(true);
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(await labDown('slim-edge')).toBe(false);
  await expect(labExec('slim-edge', ['true'])).rejects.toThrow(
    'the lab slim-edge is not up: sallyport lab up slim-edge',
  );
});

test('a lab that was put up outlives the process that did it', async () => {
  const { child, said } = await inAnotherProcess(`
    import { labUp } from '${here}';
    console.log((await labUp('slim-edge')).pid);`);
  await until(() => child.exitCode === 0);
  expect(existsSync(`/proc/${said}`)).toBe(true);
  expect(await labDown('slim-edge')).toBe(true);
});

test('what runs in a lab that was put up goes on, too', async () => {
  const { child } = await inAnotherProcess(`
    import { labUp } from '${here}';
    console.log((await labUp('wireguard-behind-lb')).pid);`);
  await until(() => child.exitCode === 0);
  const asked =
    'for each in haproxy watcher pod-sidecar; do kill -0 "$(cat /run/$each.pid)"; done; /run/story/on client wg show wg0 peers >/dev/null';
  expect(await labExec('wireguard-behind-lb', ['sh', '-ec', asked])).toBe(0);
});

test('a record whose process is another one by now is stale', async () => {
  await labUp('slim-edge');
  const path = join(folder, 'slim-edge.json');
  const record = await readFile(path, 'utf8');
  await labDown('slim-edge');
  await writeFile(path, record.replace(/"pid":\d+/, `"pid":${process.pid}`));
  expect(await labDown('slim-edge')).toBe(false);
  expect(existsSync(path)).toBe(false);
});

test('an unknown story is named, with those there are', async () => {
  await expect(labUp('slim-egde')).rejects.toThrow(
    'there is no story slim-egde; there is slim-edge, wireguard-behind-lb',
  );
});
