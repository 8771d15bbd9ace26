/** conntrack.max on the machine's own network namespace, which alone can set it: in the VM, where the machine is the test's own. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { INSERT_ENTRIES, slimEdge } from '../lab/index.ts';
import { documents, SALLYPORT, startStory } from './testdata/story.ts';

const run = promisify(execFile);
const setting = async (name: string): Promise<number> =>
  Number(await readFile(`/proc/sys/net/netfilter/nf_conntrack_${name}`, 'utf8'));
const max = (): Promise<number> => setting('max');

const text = (most: number): string => `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: machine }
spec:
  access: { local: {} }
  conntrack: { max: ${most} }
  interfaces: [{ name: public0, zone: public }, { name: private0, zone: private }]
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec: { at: { hosts: [machine] }, ports: [{ protocol: TCP, port: 80 }], to: [{ address: 172.31.0.2 }] }
`;

test('conntrack.max is set, changed, and put back by destroy', { tags: ['vm-only'] }, async () => {
  if (process.env.LAB_LANE !== 'vm') throw new Error("this would change the machine's own network: make test-kernel");
  await run('sh', [
    '-ec',
    `modprobe nf_conntrack
ip link add public0 type veth peer name far0; ip address add 198.51.100.10/24 dev public0; ip link set public0 up; ip link set far0 up
ip link add private0 type veth peer name far1; ip address add 172.31.0.1/24 dev private0; ip link set private0 up; ip link set far1 up
ip route add default via 198.51.100.1`,
  ]);
  const sallyport = async (...args: readonly string[]): Promise<string> => {
    const [most, ...command] = args;
    const running = run(process.execPath, [SALLYPORT, ...command, '-f', '-']);
    running.child.stdin?.end(text(Number(most)));
    return (await running).stdout;
  };
  const before = await max();
  const buckets = await setting('buckets');
  for (const most of [before + buckets + 1000, before + buckets + 2000]) {
    expect(await sallyport(String(most), 'apply', '--yes')).toContain(`${most} connections (nf_conntrack_max)`);
    expect(await max()).toBe(most);
    expect(await setting('buckets')).toBe(Math.ceil(most / 512) * 512);
    await sallyport(String(most), 'plan', '--detailed-exitcode');
  }
  await sallyport(String(before), 'destroy', '--yes');
  expect(await max()).toBe(before);
  expect(await setting('buckets')).toBe(buckets);
});

test('doctor --fix conntrackFull: the full table is named, made larger, and new connections are taken', {
  tags: ['vm-only'],
}, async () => {
  if (process.env.LAB_LANE !== 'vm') throw new Error("this would change the machine's own network: make test-kernel");
  const most = 4_000;
  const rules = 'table ip tracks { chain c { type filter hook output priority 0; ct state new accept; }; }';
  await run('sh', [
    '-ec',
    `modprobe nf_conntrack; modprobe nf_conntrack_netlink; ip link set lo up; nft '${rules}'
sysctl -qw net.netfilter.nf_conntrack_udp_timeout_stream=600 net.netfilter.nf_conntrack_max=${most}`,
  ]);
  const filling = run('python3', ['-', String(most + 100)]);
  filling.child.stdin?.end(INSERT_ENTRIES);
  await filling;
  const asks = (): Promise<string> =>
    run('ping', ['-n', '-c', '1', '-W', '2', '127.0.0.1']).then(
      () => 'answered',
      () => 'lost',
    );
  expect(await asks()).toBe('lost');
  const looked = await run(process.execPath, [SALLYPORT, 'doctor', '-o', 'json']).catch((error) => error);
  expect(JSON.parse(looked.stdout).findings).toContainEqual(
    expect.objectContaining({ code: 'conntrackFull', severity: 'error' }),
  );
  const argv = [SALLYPORT, 'doctor', '--fix', 'conntrackFull', '--yes', '-o', 'json'];
  const { done, promises } = JSON.parse((await run(process.execPath, argv)).stdout);
  expect(done).toEqual([`sysctl -w net.netfilter.nf_conntrack_max=${2 * most}`]);
  expect(promises).toContainEqual(expect.objectContaining({ promise: 'conntrackFull is mended', holds: true }));
  expect(await max()).toBe(2 * most);
  expect(await asks()).toBe('answered');
});

test('conntrack.max of a host in another network namespace is refused, and nothing is changed', async () => {
  await using story = await startStory(slimEdge());
  const before = await max();
  const { status, stderr } = await story.sallyport(
    ['apply', '--yes', '-f', '-'],
    documents({ edge: '\n  conntrack: { max: 200000 }' }),
  );
  expect(stderr).toContain(
    "spec.conntrack.max: edge: only the machine's own network namespace can change nf_conntrack_max",
  );
  expect(status).toBe(2);
  expect(await max()).toBe(before);
  expect((await story.lab.run(['ls', '/run'])).stdout).not.toContain('sallyport');
});
