/** access.agent over a real sshd: the gate is put, all goes through it, and nothing else does. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Sshd, startSshd } from '../lab/index.ts';
import { GATE_PATH } from './gate/shell.ts';
import { gate } from './gate/text.ts';
import { type CliLab, sallyportPath, slimEdgeDocuments, startCliLab, withoutChance } from './testdata/cli-lab.ts';
import { startRun } from './testdata/running.ts';
import { waitFor } from './testdata/story.ts';

const EDGE = '198.51.100.10';
/** What a killed one leaves, and the next takes over. */
const LOCK = /^\/run\/sallyport\/netns\/\S+\/(?:lock.*|keys\/.*)\n/gm;
let cli: CliLab;
let sshd: Sshd;
let file: string;
let more: string;
let key: string;
let secret: string;

beforeAll(async () => {
  cli = await startCliLab();
  // The machine's own stays as it is.
  await cli.lab.run(['mount', '-n', '-t', 'tmpfs', 'tmpfs', '/usr/local/sbin']);
  sshd = await startSshd(cli.lab.host('edge'), [`ListenAddress ${EDGE}`, 'Subsystem sftp internal-sftp']);
  key = `${sshd.folder}/agent`;
  const access = { address: EDGE, port: sshd.port, identityFile: key, hostKey: sshd.hostKey };
  const documents = (name: string, options?: Parameters<typeof slimEdgeDocuments>[0]): Promise<string> =>
    cli.documents(
      name,
      slimEdgeDocuments(options)
        .replace('{ netns: { name: edge } }', `{ agent: ${JSON.stringify(access)} }`)
        .replace('{ netns: { name: node } }', '{ local: {} }'),
    );
  file = await documents('agent.yaml');
  more = await documents('agent-more.yaml', {
    ports: ['{ protocol: TCP, port: 80, targetPort: 8080 }', '{ protocol: TCP, port: 81, targetPort: 8080 }'],
  });
  const shared = (await cli.lab.run(['cat', file])).stdout.replace(
    'type: WireGuard',
    'type: WireGuard\n  presharedKeys: true',
  );
  secret = await cli.documents('agent-secret.yaml', shared);
  // Whoever adopts logs in as at home.
  const lines = [`IdentityFile ${sshd.identityFile}`, 'StrictHostKeyChecking no', 'UserKnownHostsFile /dev/null'];
  await cli.lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh']);
  await cli.lab.run(['tee', '/root/.ssh/config'], { stdin: `Host *\n${lines.join('\n')}\n` });
});

afterAll(async () => {
  await sshd[Symbol.asyncDispose]();
  await cli[Symbol.asyncDispose]();
});

const onNode = (...argv: readonly string[]) =>
  cli.lab.host('node').run([process.execPath, sallyportPath, ...argv], { allowFailure: true, timeoutMs: 60_000 });
const adopt = () =>
  onNode('host', 'adopt', 'edge', '-f', file, '--through', `ssh://root@${EDGE}:${sshd.port}`, '--yes', '-o', 'json');

/** As somebody who has the key and no Sallyport. */
const knock = (command: readonly string[], stdin = '', options: readonly string[] = []) =>
  cli.lab
    .host('node')
    .run(
      [
        'ssh',
        '-F',
        'none',
        '-o',
        'StrictHostKeyChecking=no',
        '-o',
        'UserKnownHostsFile=/dev/null',
        '-o',
        'BatchMode=yes',
        '-i',
        key,
        '-p',
        String(sshd.port),
        ...options,
        `root@${EDGE}`,
        ...command,
      ],
      { allowFailure: true, stdin, timeoutMs: 20_000 },
    );

test('without a gate it is said what is missing', async () => {
  await cli.lab.run(['cp', '-p', sshd.identityFile, key]);
  const { status, stderr } = await onNode('plan', '-f', file);
  await cli.lab.run(['rm', key]);
  expect(stderr).toContain('edge: SSH: no gate answers there: sallyport host adopt puts it there');
  expect(status).toBe(1);
});

test('host adopt puts it, makes the key, and changes nothing the second time', async () => {
  const first = await adopt();
  expect({ status: first.status, stderr: first.stderr }).toEqual({ status: 0, stderr: '' });
  const line = /^restrict,command="exec \/usr\/local\/sbin\/sallyport-gate" ssh-ed25519 \S+ sallyport-agent$/;
  expect(JSON.parse(first.stdout).gate).toMatchObject({
    stood: false,
    madeKey: true,
    line: expect.stringMatching(line),
  });
  const read = async (path: string): Promise<string> => (await cli.lab.run(['cat', path])).stdout;
  const keys = await read('/root/.ssh/authorized_keys');
  expect(keys.trim()).toMatch(line);
  const modes = await cli.lab.run(['stat', '-c', '%a %u', GATE_PATH, key, '/root/.ssh/authorized_keys']);
  expect(modes.stdout).toBe('755 0\n600 0\n600 0\n');
  expect(JSON.parse((await adopt()).stdout).gate).toMatchObject({ stood: true, madeKey: false });
  expect(await read('/root/.ssh/authorized_keys')).toBe(keys);
});

test('applied, changed, confirmed by a login of its own, and destroyed through the gate', async () => {
  const before = await cli.dumps();
  const logins = sshd.logins();
  expect(await onNode('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(sshd.logins()).toBe(logins + 2);
  expect(await onNode('plan', '--detailed-exitcode', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await onNode('status', '-f', file, '-o', 'json')).toMatchObject({ stderr: '' });
  expect(await onNode('apply', '--yes', '-f', more)).toMatchObject({ status: 0, stderr: '' });
  expect(await onNode('verify', '--live', '-f', more)).toMatchObject({ status: 0, stderr: '' });
  const doctor = await onNode('doctor', '-f', more, '-o', 'json');
  expect(doctor.stderr).toBe('');
  expect(JSON.parse(doctor.stdout)).toMatchObject({ unreachable: [] });
  const packet = ['--from', '192.0.2.7', '--to', `${EDGE}:81/tcp`];
  const trace = await onNode('trace', '--live', '-f', more, ...packet, '-o', 'json');
  expect(trace.stderr).toBe('');
  expect(JSON.parse(trace.stdout)).toMatchObject({
    traces: [{ verdict: expect.stringMatching(/^(delivered|rejected)$/) }],
  });
  expect(await onNode('tunnel', 'rotate', 'edge-node', '--yes', '-f', more)).toMatchObject({ status: 0, stderr: '' });
  expect(await onNode('destroy', '--yes', '-f', more)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
}, 120_000);

test('a preshared key is laid there, renewed, and taken away with all else', async () => {
  const before = await cli.dumps();
  const inForce = async (): Promise<string> =>
    (
      await cli.lab
        .host('edge')
        .run(['sh', '-c', 'cd /run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/keys && echo *.psk'])
    ).stdout.trim();
  expect(await onNode('apply', '--yes', '-f', secret)).toMatchObject({ status: 0, stderr: '' });
  const first = await inForce();
  expect(first).toMatch(/^edge-node\.[0-9a-f]{16}\.psk$/);
  expect(await onNode('plan', '--detailed-exitcode', '-f', secret)).toMatchObject({ status: 0, stderr: '' });
  expect(await onNode('tunnel', 'rotate', 'edge-node', '--yes', '-f', secret)).toMatchObject({ status: 0, stderr: '' });
  expect(await inForce()).toMatch(/^edge-node\.[0-9a-f]{16}\.psk$/);
  expect(await inForce()).not.toBe(first);
  expect(await onNode('destroy', '--yes', '-f', secret)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
}, 120_000);

test('run hears through the gate what others take away, and puts it back', async () => {
  const before = await cli.dumps();
  expect(await onNode('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  await using run = await startRun(cli.lab.host('node'), ['-f', file]);
  await run.heard('the documents hold', ({ event }) => event === 'documents');
  await waitFor('the edge is listened to', async () => {
    const { stdout } = await cli.lab.host('edge').run(['cat', '/proc/net/netlink']);
    return stdout.split('\n').some((line) => /^\S+ +12 +\S+ +(?!00000000)/.test(line));
  });
  await cli.lab.host('edge').run(['nft', 'flush', 'chain', 'inet', 'sallyport', 'sp_forwards']);
  await run.heard('put right', ({ event, host }) => event === 'repaired' && host === 'edge');
  expect((await run.stop()).status).toBe(0);
  expect(await onNode('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
}, 60_000);

test('apply is killed: the host takes the change back within its window', async () => {
  const before = withoutChance(await cli.dumps());
  const argv = [process.execPath, sallyportPath, 'apply', '--yes', '--confirm-timeout', '3s', '-f', file];
  const killed = await cli.lab.host('node').spawn(argv);
  killed.stderr.resume();
  const folder = '/run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)';
  const edge = (question: string) => cli.lab.host('edge').run(['sh', '-c', question], { allowFailure: true });
  await waitFor('it is armed, and something is done', async () => {
    const { status } = await edge(`test -d ${folder}/pending && ip link show sp-wg51820`);
    return status === 0;
  });
  killed.kill('SIGKILL');
  expect(await killed.exited).toBe(137);
  await waitFor('it is as it was', async () => withoutChance(await cli.dumps()).replaceAll(LOCK, '') === before);
  expect(await onNode('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(withoutChance(await cli.dumps())).toBe(before);
}, 60_000);

describe('to who has the key alone', () => {
  const sum = gate().words.sum;
  const requests: readonly (readonly [string, readonly string[], (readonly string[])?])[] = [
    ['no shell', []],
    ['no command', ['cat', '/etc/shadow']],
    ['no sftp', ['sftp'], ['-s']],
    ['no scp', ['scp', '-t', '/tmp/x']],
    ['no text of its own', [`sallyport ${sum} sh -c id`]],
    ['no word that is read twice', [`sallyport ${sum} uname $(touch /run/out)`]],
    ['no line of its own', [`sallyport ${sum} uname -r\ntouch /run/out`]],
    ['no percent of its own', [`sallyport ${sum} uname -r%zz`]],
    ['no key', [`sallyport ${sum} wg show all private-key`]],
    ['no stdin without an end', [`sallyport ${sum} sh -c @WITH_WHOLE_STDIN sh 99999999 nft -f -`]],
    ['no gate of another version', ['sallyport 0123 uname -r']],
  ];
  for (const [what, command, options = []] of requests)
    test(what, async () => {
      const before = await cli.dumps();
      const { status, stdout, stderr } = await knock(command, 'x\n', options);
      expect(status).not.toBe(0);
      expect(stdout.replaceAll(/^sallyport-begin \d+\r?\n/gm, '')).toBe('');
      expect(stderr + stdout).toMatch(/sallyport-(gate|begin)/);
      expect(await cli.lab.run(['test', '-e', '/run/out'], { allowFailure: true })).toMatchObject({ status: 1 });
      expect(await cli.dumps()).toBe(before);
    });

  test('no terminal', async () => {
    expect((await knock([], '', ['-tt'])).stderr).toContain('PTY allocation request failed');
  });

  test('no port is forwarded', async () => {
    const { stderr } = await knock([`sallyport ${sum} hold`], '', [
      '-o',
      'ExitOnForwardFailure=yes',
      '-R',
      '9999:127.0.0.1:80',
    ]);
    expect(stderr).toContain('remote port forwarding failed');
    const through = await knock([], '', ['-W', '127.0.0.1:2222']);
    expect(through.stderr).toMatch(/administratively prohibited|forwarding/);
  });

  test('another version is told what to do', async () => {
    await cli.lab.host('edge').run(['sed', '-i', `s/${sum}/${sum.replaceAll(/./g, '0')}/`, GATE_PATH]);
    const { status, stdout, stderr } = await onNode('plan', '-f', file);
    expect(stdout + stderr).toContain('run "sallyport host adopt" again');
    expect(status).toBe(1);
    expect((await adopt()).status).toBe(0);
    expect((await onNode('plan', '-f', file)).status).toBe(0);
  });
});
