/** What goes wrong on the way to a far host and there, with real sshd: it works, or it is said in words, and nothing is left. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type Runner, type Sshd, startSshd } from '../lab/index.ts';
import { fingerprintOf } from '../transport/index.ts';
import { type CliLab, sallyportPath, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

const slowWay = fileURLToPath(new URL('./testdata/slow-way.py', import.meta.url));

let cli: CliLab;
let sshd: Sshd;
/** Another host on the way. */
let jump: Sshd;
const AUTHORITY = '/run/authority';

beforeAll(async () => {
  cli = await startCliLab();
  await cli.lab.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', AUTHORITY]);
  sshd = await startSshd(cli.lab.host('edge'), ['ListenAddress 198.51.100.10', `TrustedUserCAKeys ${AUTHORITY}.pub`]);
  jump = await startSshd(cli.lab.host('neighbour'), ['ListenAddress 198.51.100.99']);
});
beforeEach(async () => {
  // Each sshd that starts hides what lay in /root.
  await cli.lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh']);
  await config('');
});
afterAll(async () => {
  await jump[Symbol.asyncDispose]();
  await sshd[Symbol.asyncDispose]();
  await cli[Symbol.asyncDispose]();
});

const put = (path: string, text: string) => cli.lab.run(['tee', path], { stdin: text });
/** As at home: ~/.ssh/config. */
const config = (text: string) => put('/root/.ssh/config', text);

const onNode = (argv: readonly string[], env: readonly string[] = []) => {
  const line = ['env', ...env, process.execPath, sallyportPath, ...argv];
  return cli.lab.host('node').run(line, { allowFailure: true, timeoutMs: 60_000 });
};

/** Documents whose edge is reached so; the address and the pinned key unless given. */
const documents = (access: Readonly<Record<string, unknown>> = {}) => {
  const ssh = { address: '198.51.100.10', port: sshd.port, hostKey: sshd.hostKey, ...access };
  return cli.documents(
    'far.yaml',
    slimEdgeDocuments()
      .replace('{ netns: { name: edge } }', `{ ssh: ${JSON.stringify(ssh)} }`)
      .replace('{ netns: { name: node } }', '{ local: {} }'),
  );
};
const withKey = () => documents({ identityFile: sshd.identityFile });

/** What is planned for the edge, as the names of its changes. */
function planned(stdout: string): readonly string[] {
  const { hosts } = JSON.parse(stdout);
  const edge = hosts.find(({ host }: { readonly host: string }) => host === 'edge');
  return edge.changes.map(({ name }: { readonly name: string }) => name);
}

async function expectPlanned(result: Promise<{ readonly stdout: string; readonly stderr: string }>): Promise<void> {
  const { stdout, stderr } = await result;
  expect(stderr).toBe('');
  expect(planned(stdout)).toContain('sp-wg51820');
}

/** Nothing of ours lies about on the edge: no file of a script, no process. */
async function expectNothingLeft(): Promise<void> {
  const left = async (): Promise<string> => {
    const { stdout } = await cli.lab.run(['find', '/run', '-maxdepth', '1', '-name', 'tmp.*']);
    return stdout;
  };
  await vi.waitFor(async () => expect(await left()).toBe(''), 10_000);
}

/** One packet in a hundred is lost each way, by the node's own nft; it gives what takes that back. */
async function losePackets(): Promise<() => Promise<unknown>> {
  const chain = (hook: string): string =>
    `chain ${hook}_ { type filter hook ${hook} priority -400; tcp dport ${sshd.port} numgen random mod 100 < 1 counter drop; tcp sport ${sshd.port} numgen random mod 100 < 1 counter drop; }`;
  const node = cli.lab.host('node');
  await node.run(['nft', '-f', '-'], { stdin: `table ip loss { ${chain('input')}; ${chain('output')}; }` });
  return () => node.run(['nft', 'delete', 'table', 'ip', 'loss']);
}

test('a way of 300 ms with one packet in a hundred lost: it works, and says the same', async () => {
  const quick = await onNode(['plan', '-f', await withKey(), '-o', 'json']);
  await config(`Host *\n  ProxyCommand python3 ${slowWay} %h %p 0.15\n`);
  const restore = await losePackets();
  try {
    const start = Date.now();
    const slow = await onNode(['plan', '-f', await withKey(), '-o', 'json']);
    expect(Date.now() - start).toBeGreaterThan(10 * 300);
    expect(slow).toMatchObject({ status: 0, stderr: '' });
    expect(planned(slow.stdout)).toEqual(planned(quick.stdout));
  } finally {
    await restore();
  }
});

/** A program that, over ssh, does not come to its end; it gives what takes that back. */
async function holdUp(program: string): Promise<() => Promise<unknown>> {
  const { stdout } = await cli.lab.run(['sh', '-c', 'readlink -f "$(command -v "$1")"', 'sh', program]);
  const path = stdout.trim();
  const text = `#!/bin/sh\n[ -z "$SSH_CONNECTION" ] || exec sleep 1000\nexec /run/real-${program} "$@"\n`;
  const hide =
    'cp "$1" "/run/real-$2"; tee "/run/held-$2" >/dev/null; chmod 755 "/run/held-$2"; mount -n --bind "/run/held-$2" "$1"';
  await cli.lab.run(['sh', '-ec', hide, 'sh', path, program], { stdin: text });
  return () => cli.lab.run(['umount', '-n', path]);
}

test('a connection that is lost in the middle of a look says so, of that host alone, and leaves nothing', async () => {
  const restore = await holdUp('conntrack');
  try {
    const looking = onNode(['status', '-f', await withKey()]);
    const sleeps = async () => (await cli.lab.run(['pgrep', '-x', 'sleep'], { allowFailure: true })).status === 0;
    await vi.waitUntil(sleeps, 15_000);
    await cli.lab.run(['pkill', '-f', 'sshd: root@notty']);
    const { status, stdout, stderr } = await looking;
    expect(stdout + stderr).toMatch(/edge.*the connection was lost before the command had ended/);
    expect(stdout).toMatch(/^node: in sync/m);
    expect(status).toBe(1);
  } finally {
    await cli.lab.run(['pkill', '-x', 'sleep']);
    await restore();
  }
  await expectNothingLeft();
});

test('by way of another host (ProxyJump): only the key of the last one counts, and it is the one that is adopted', async () => {
  const known = `[198.51.100.99]:${jump.port} ${jump.hostKey}\n`;
  await put('/root/.ssh/known_hosts', known);
  await config(`Host way
  HostName 198.51.100.99
  Port ${jump.port}
  IdentityFile ${jump.identityFile}
Host 198.51.100.10
  ProxyJump way
`);
  const before = [jump.logins(), sshd.logins()];
  await expectPlanned(onNode(['plan', '-f', await withKey(), '-o', 'json']));
  expect([jump.logins(), sshd.logins()]).toEqual(before.map((logins) => logins + 1));
  const fingerprint = fingerprintOf(sshd.hostKey) ?? '';
  const file = await documents({ identityFile: sshd.identityFile, hostKey: undefined });
  const adopted = await onNode(['host', 'adopt', 'edge', '-f', file, '--fingerprint', fingerprint]);
  expect(adopted.stderr).toBe('');
  expect(adopted.stdout).toContain(`# edge: its key is in ${file} now`);
  await expectPlanned(onNode(['plan', '-f', file, '-o', 'json']));
  // And where the host on the way is another than it was, nothing goes on.
  await put('/root/.ssh/known_hosts', known.replace(jump.hostKey, sshd.hostKey));
  const changed = await onNode(['plan', '-f', file]);
  expect(changed.stdout + changed.stderr).toMatch(
    /its host key is another than the one that is known: it shows SHA256:/,
  );
  expect(changed.status).toBe(1);
});

test('a certificate of a user lets in; one that has expired is told', async () => {
  const key = join(sshd.folder, 'signed');
  await cli.lab.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const sign = (valid: string) =>
    cli.lab.run(['ssh-keygen', '-q', '-s', AUTHORITY, '-I', 'me', '-n', 'root', '-V', valid, `${key}.pub`]);
  await sign('-5m:+5m');
  const file = await documents({ identityFile: key });
  await expectPlanned(onNode(['plan', '-f', file, '-o', 'json']));
  await sign('-2d:-1d');
  const { status, stdout, stderr } = await onNode(['plan', '-f', file]);
  expect(stdout + stderr).toMatch(/edge: SSH: .*Permission denied \(publickey\)\. No key of the agent/);
  expect(status).toBe(1);
});

test('a key of the agent lets in, where no file is named', async () => {
  const socket = '/run/agent';
  await using agent = await cli.lab.spawn(['ssh-agent', '-D', '-a', socket]);
  const env = [`SSH_AUTH_SOCK=${socket}`];
  await vi.waitFor(() => cli.lab.run(['env', ...env, 'ssh-add', '-q', sshd.identityFile]), 5_000);
  await expectPlanned(onNode(['plan', '-f', await documents(), '-o', 'json'], env));
  expect(agent.pid).toBeGreaterThan(0);
  const { stdout, stderr } = await onNode(['plan', '-f', await documents()]);
  expect(stdout + stderr).toMatch(/Permission denied \(publickey\)\. No key of the agent/);
});

/** Another sshd beside the first; /root is hidden by each start, so what lies there is put again. */
async function another(more: readonly string[], wrap: (runner: Runner) => Runner = (runner) => runner) {
  return await startSshd(wrap(cli.lab.host('client')), ['ListenAddress 192.0.2.10', ...more]);
}

test('an sshd that allows one session a connection: each command is a login of its own, and it works', async () => {
  await using one = await another(['MaxSessions 1']);
  const { port, identityFile, hostKey } = one;
  const file = await documents({ address: '192.0.2.10', port, identityFile, hostKey });
  const { status, stdout, stderr } = await onNode(['doctor', '-f', file, '-o', 'json']);
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toMatchObject({ unreachable: [] });
  expect(status).toBe(0);
  expect(one.logins()).toBeGreaterThan(1);
});

test('a root that is read-only and a clock that is off are told at adopt, and a look does not mind them', async () => {
  const readOnly = (runner: Runner): Runner => ({
    run: runner.run,
    spawn: (argv, options) => {
      const late = `mount -n --bind /run/late-date "$(readlink -f "$(command -v date)")"; mount -n -o remount,bind,ro /; exec "$@"`;
      return runner.spawn(
        ['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', late, 'sh', ...argv],
        options,
      );
    },
  });
  const late =
    'cp "$(readlink -f "$(command -v date)")" /run/real-date; tee /run/late-date >/dev/null; chmod 755 /run/late-date';
  await cli.lab.run(['sh', '-ec', late], {
    stdin: '#!/bin/sh\nexec /run/real-date -d "@$(($(/run/real-date +%s) - 10800))" "$@"\n',
  });
  await using worn = await another([], readOnly);
  const { port, identityFile, hostKey } = worn;
  const file = await documents({ address: '192.0.2.10', port, identityFile, hostKey });
  const fingerprint = fingerprintOf(hostKey) ?? '';
  const adopted = await onNode(['host', 'adopt', 'edge', '-f', file, '--fingerprint', fingerprint]);
  expect(adopted.stdout).toContain('# edge: its root file system is read-only: nothing can be kept there\n');
  expect(adopted.stdout).toContain("# edge: its clock is 3 h behind this machine's\n");
  expect(adopted.status).toBe(0);
  const { stdout, stderr, status } = await onNode(['doctor', '-f', file, '-o', 'json']);
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toMatchObject({ unreachable: [] });
  expect(status).toBe(0);
});

/** Applied and taken back; and the rules of the edge are what they were. */
async function expectApplied(file: string, afterApply: () => Promise<unknown> = async () => {}): Promise<void> {
  const edge = cli.lab.host('edge');
  const rules = async () => (await edge.run(['nft', '-s', 'list', 'ruleset'])).stdout;
  const before = await rules();
  const applied = await onNode(['apply', '--yes', '-f', file]);
  expect(applied.stderr).not.toMatch(/as it was|lost|refused/);
  expect(applied.status).toBe(0);
  expect(await rules()).toContain('table inet sallyport');
  await afterApply();
  const destroyed = await onNode(['destroy', '--yes', '-f', file]);
  expect(destroyed).toMatchObject({ status: 0 });
  expect(await rules()).toBe(before);
}

test('apply comes to its end over a way of 300 ms with one packet in a hundred lost', async () => {
  await config(`Host *\n  ProxyCommand python3 ${slowWay} %h %p 0.15\n`);
  const restore = await losePackets();
  await expectApplied(await withKey(), async () => {
    await restore();
    await config('');
  });
});

test('apply and destroy by sudo, as a login that is not root', async () => {
  const users = `cp /etc/passwd /run/passwd; echo 'admin:x:12345:12345::/:/bin/sh' >>/run/passwd
cp -p /etc/shadow /run/shadow; echo 'admin:*:19000:0:99999:7:::' >>/run/shadow
cp /etc/sudoers /run/sudoers; echo 'admin ALL=(ALL) NOPASSWD: ALL' >>/run/sudoers; chmod 440 /run/sudoers
for f in passwd shadow sudoers; do mount -n --bind "/run/$f" "/etc/$f"; done
chmod 755 "$1"`;
  await cli.lab.run(['sh', '-ec', users, 'sh', sshd.folder]);
  const file = await documents({ identityFile: sshd.identityFile, user: 'admin' });
  const { stdout } = await cli.lab.run(['cat', file]);
  const path = await cli.documents('sudo.yaml', stdout.replace('{ ssh:', '{ become: sudo, ssh:'));
  await expectApplied(path);
});

test('apply and destroy where sshd allows one session a connection', async () => {
  await using one = await startSshd(cli.lab.host('edge'), ['MaxSessions 1', 'ListenAddress 198.51.100.10'], 2223);
  const { port, identityFile, hostKey } = one;
  await expectApplied(await documents({ port, identityFile, hostKey }));
});

test('with a key that is restricted to commands, all works; it forwards no port and gets no terminal', async () => {
  await using one = await startSshd(cli.lab.host('edge'), ['ListenAddress 198.51.100.10'], 2224);
  const { port, identityFile, hostKey } = one;
  await cli.lab.run(['sed', '-i', 's/^/restrict /', `${identityFile}.pub`]);
  const file = await documents({ port, identityFile, hostKey });
  await expectApplied(file, async () => {
    const { status, stdout } = await onNode(['verify', '--live', '-f', file]);
    expect([status, stdout]).toEqual([0, expect.stringContaining('promises hold')]);
  });
  const options = [
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'ExitOnForwardFailure=yes',
  ];
  const ssh = ['ssh', ...options, '-i', identityFile, '-p', String(port)];
  const as = (...argv: readonly string[]) =>
    cli.lab.host('node').run([...ssh, ...argv], { allowFailure: true, timeoutMs: 20_000 });
  expect((await as('-R', '18080:127.0.0.1:22', 'root@198.51.100.10', 'true')).stderr).toMatch(/forwarding failed/);
  expect((await as('-W', '127.0.0.1:22', 'root@198.51.100.10')).stderr).toMatch(/administratively prohibited/);
  expect((await as('-tt', 'root@198.51.100.10', 'tty')).stderr).toMatch(/PTY allocation request failed/);
});
