/** Hosts that are reached by ssh, with a real sshd on the edge and the command line on the node. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Sshd, startSshd } from '../lab/index.ts';
import { type CliLab, sallyportPath, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

let cli: CliLab;
let sshd: Sshd;
let file: string;

beforeAll(async () => {
  cli = await startCliLab();
  sshd = await startSshd(cli.lab.host('edge'), ['ListenAddress 198.51.100.10']);
  const access = { address: '198.51.100.10', port: sshd.port, identityFile: sshd.identityFile, hostKey: sshd.hostKey };
  file = await cli.documents(
    'far.yaml',
    slimEdgeDocuments()
      .replace('{ netns: { name: edge } }', `{ ssh: ${JSON.stringify(access)} }`)
      .replace('{ netns: { name: node } }', '{ local: {} }'),
  );
});

afterAll(async () => {
  await sshd[Symbol.asyncDispose]();
  await cli[Symbol.asyncDispose]();
});

const onNode = (...argv: readonly string[]) =>
  cli.lab.host('node').run([process.execPath, sallyportPath, ...argv], { allowFailure: true, timeoutMs: 60_000 });

test('plan over ssh says the same as beside the hosts, after one login', async () => {
  const beside = await cli.documents('beside.yaml', slimEdgeDocuments());
  // The undo names its namespace where it is entered by name.
  const changes = (stdout: string): unknown =>
    JSON.parse(stdout).hosts.map(
      ({ changes }: { changes: readonly { readonly name: string; readonly object: string }[] }) =>
        changes.filter(({ name }) => !name.endsWith('/undo.sh')),
    );
  const before = sshd.logins();
  const far = await onNode('plan', '-f', file, '-o', 'json');
  expect(far).toMatchObject({ status: 0, stderr: '' });
  expect(sshd.logins()).toBe(before + 1);
  const near = await cli.sallyport('plan', '-f', beside, '-o', 'json');
  expect(JSON.stringify(changes(far.stdout))).toContain('sallyport');
  expect(changes(far.stdout)).toEqual(changes(near.stdout));
});

test('trace and doctor look at a far host', async () => {
  const trace = await onNode(
    'trace',
    '--live',
    '-f',
    file,
    '--from',
    '192.0.2.7',
    '--to',
    '198.51.100.10:2222/tcp',
    '-o',
    'json',
  );
  expect(trace.stderr).toBe('');
  expect(JSON.parse(trace.stdout)).toMatchObject({ traces: [{ verdict: 'delivered', works: true }] });
  const doctor = await onNode('doctor', '-f', file, '-o', 'json');
  expect(doctor.stderr).toBe('');
  expect(JSON.parse(doctor.stdout)).toMatchObject({ findings: [], unreachable: [] });
});

test('of the connection nothing is left, here or there', async () => {
  const folder = (await cli.lab.run(['mktemp', '-d'])).stdout.trim();
  const argv = ['env', `TMPDIR=${folder}`, process.execPath, sallyportPath, 'status', '-f', file];
  const { status } = await cli.lab.host('node').run(argv, { allowFailure: true });
  expect(status).toBe(1); // nothing was applied
  const left = async (): Promise<string> =>
    (await cli.lab.run(['sh', '-c', 'ls "$1"; pgrep -x ssh', 'sh', folder], { allowFailure: true })).stdout;
  await vi.waitFor(async () => expect(await left()).toBe(''), 10_000);
});

test('applied, applied again and destroyed over ssh: each change is confirmed by a login of its own', async () => {
  const before = await cli.dumps();
  const logins = sshd.logins();
  expect(await onNode('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(sshd.logins()).toBe(logins + 2);
  expect((await onNode('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await onNode('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await onNode('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
});

test('new keys over ssh: made there, confirmed by a login of its own, and what was there before comes back', async () => {
  const before = await cli.dumps();
  expect(await onNode('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  // That the links have them, the plan that is empty says.
  const inForce = 'wg pubkey </run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/keys/"$1".key';
  const keyOf = async (host: string, link: string): Promise<string> =>
    (await cli.lab.host(host).run(['sh', '-c', inForce, 'sh', link])).stdout.trim();
  const keys = () => Promise.all([keyOf('edge', 'sp-wg51820'), keyOf('node', 'sp-edge-node')]);
  const [old, logins] = [await keys(), sshd.logins()];
  const { status, stdout, stderr } = await onNode('tunnel', 'rotate', 'edge-node', '--yes', '-o', 'json', '-f', file);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(sshd.logins()).toBe(logins + 2);
  const links: readonly { readonly publicKey: string; readonly newPublicKey: string }[] = JSON.parse(stdout).links;
  expect(links.map(({ publicKey }) => publicKey)).toEqual(old);
  expect(links.map(({ newPublicKey }) => newPublicKey)).toEqual(await keys());
  expect((await onNode('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await onNode('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
}, 60_000);

test('doctor --fix over ssh', async () => {
  const edge = cli.lab.host('edge');
  const rules =
    'table ip theirs { chain c { type nat hook prerouting priority -100; tcp dport 8081 dnat to 192.0.2.10; }; }';
  await edge.run(['nft', '-f', '-'], { stdin: rules });
  await edge.run(['sysctl', '-w', 'net.ipv4.ip_forward=0']);
  const url = `ssh://root@198.51.100.10:${sshd.port}`;
  // The client's own configuration, as at home.
  const lines = [
    'Host *',
    `IdentityFile ${sshd.identityFile}`,
    'StrictHostKeyChecking no',
    'UserKnownHostsFile /dev/null',
  ];
  await cli.lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh']);
  await cli.lab.run(['tee', '/root/.ssh/config'], { stdin: `${lines.join('\n')}\n` });
  const looked = await onNode('doctor', '--host', url, '-o', 'json');
  expect(JSON.parse(looked.stdout)).toMatchObject({ findings: [{ code: 'forwardingOff' }], unreachable: [] });
  const logins = sshd.logins();
  expect(await onNode('doctor', '--host', url, '--fix', 'forwardingOff', '--yes')).toMatchObject({ status: 0 });
  expect(sshd.logins()).toBe(logins + 2);
  expect((await edge.run(['cat', '/proc/sys/net/ipv4/ip_forward'])).stdout).toBe('1\n');
});

test('a host that does not answer is named, and the others are still looked at', async () => {
  await sshd.stop();
  const { status, stdout, stderr } = await onNode('status', '-f', file);
  expect(stdout + stderr).toMatch(/edge.*SSH: ssh: connect to host 198\.51\.100\.10 port 2222: Connection refused/);
  expect(status).toBe(1);
});
