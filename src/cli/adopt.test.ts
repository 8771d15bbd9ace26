/** `host adopt` with a real sshd: the key is compared before anybody logs in, and written where it belongs. */
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sshd, startSshd } from '../lab/index.ts';
import { fingerprintOf } from '../transport/index.ts';
import { atTerminal } from './testdata/at-terminal.ts';
import { type CliLab, sallyportPath, startCliLab } from './testdata/cli-lab.ts';

let cli: CliLab;
let sshd: Sshd;
let key = '';
let fingerprint = '';
let url = '';
let other = '';

beforeAll(async () => {
  cli = await startCliLab();
  sshd = await startSshd(cli.lab.host('edge'), ['ListenAddress 198.51.100.10']);
  key = sshd.hostKey.split(' ').slice(0, 2).join(' ');
  fingerprint = fingerprintOf(key) ?? '';
  url = `ssh://root@198.51.100.10:${sshd.port}`;
  await cli.lab.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(sshd.folder, 'other')]);
  other = (await readFile(join(sshd.folder, 'other.pub'), 'utf8')).trim();
  await cli.lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh']);
  await cli.lab.run(['tee', '/root/.ssh/config'], { stdin: `Host *\nIdentityFile ${sshd.identityFile}\n` });
});
beforeEach(() => know(''));
afterAll(async () => {
  await sshd[Symbol.asyncDispose]();
  await cli[Symbol.asyncDispose]();
});

const know = (text: string) => cli.lab.run(['tee', '/root/.ssh/known_hosts'], { stdin: text });
const onNode = (...argv: readonly string[]) =>
  cli.lab.host('node').run([process.execPath, sallyportPath, ...argv], { allowFailure: true, timeoutMs: 60_000 });

const documents = (name: string, hostKey = '') =>
  cli.documents(
    name,
    `# mine
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: node }
spec: { access: { local: {} } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge } # far away
spec:
  access:
    ssh: { address: 198.51.100.10, port: ${sshd.port}, user: root${hostKey} } # by name
`,
  );

test('the key goes into the document of its Host alone, comments stay, and then it is logged in with it', async () => {
  const file = await documents('adopted.yaml');
  await chmod(file, 0o640);
  const before = await readFile(file, 'utf8');
  const logins = sshd.logins();
  const { status, stdout, stderr } = await onNode('host', 'adopt', 'edge', '-f', file, '--fingerprint', fingerprint);
  expect(stderr).toBe('');
  expect(stdout).toMatch(new RegExp(`^# edge: its key is in ${file} now\n# edge: \\S.*, Linux \\d+\\.\\d+.*, root\n`));
  expect(status).toBe(0);
  expect(await readFile(file, 'utf8')).toBe(before.replace('user: root }', `user: root, hostKey: "${key}" }`));
  expect((await stat(file)).mode & 0o777).toBe(0o640);
  expect(sshd.logins()).toBe(logins + 1);
  // Known_hosts know nothing of it, and the pinned key is enough.
  expect((await onNode('doctor', '-f', file, '-o', 'json')).stderr).toBe('');
  const again = await onNode('host', 'adopt', 'edge', '-f', file, '--yes');
  expect(again.stdout).toContain(`# edge: its key is the one that ${file} has\n`);
  expect(again.status).toBe(0);
});

test('of an address the line is printed, to be pasted', async () => {
  const { status, stdout } = await onNode('host', 'adopt', url, '--yes', '--fingerprint', fingerprint);
  expect(stdout).toMatch(new RegExp(`^hostKey: "${key.replaceAll('+', '\\+')}"\n(# .*\n)+$`));
  expect(status).toBe(0);
  const json = JSON.parse((await onNode('host', 'adopt', url, '--fingerprint', fingerprint, '-o', 'json')).stdout);
  expect(json).toMatchObject({
    hostKey: key,
    fingerprint,
    written: null,
    look: { root: 'root', user: 'root', missing: [] },
  });
});

for (const [what, said, flags, pinned, known] of [
  [
    'another fingerprint was given',
    () =>
      `edge: its key is ${fingerprint}, and --fingerprint says ${fingerprintOf(other)}: nobody logged in and nothing was written`,
    () => ['--fingerprint', fingerprintOf(other) ?? ''],
  ],
  [
    'the document has another key',
    () =>
      `edge: its key is ${fingerprint}, and access.ssh.hostKey has ${fingerprintOf(other)}: somebody may be in between, or it was installed anew; nobody logged in`,
    () => ['--yes'],
    () => `, hostKey: "${other}"`,
  ],
  [
    'known_hosts have another key',
    () => `edge: its key is ${fingerprint}, and your known_hosts have another: somebody may be in between`,
    () => ['--yes'],
    () => '',
    () => other,
  ],
  [
    'nobody has compared it',
    () => `edge: its key is ${fingerprint}, and your known_hosts do not know it: --yes alone takes no key`,
    () => ['--yes'],
  ],
  [
    'stdin is no terminal',
    () => 'host adopt asks whether the key is the right one, and stdin is no terminal',
    () => [],
  ],
  ['the fingerprint is none', () => '--fingerprint "MD5:00" is not SHA256:…', () => ['--fingerprint', 'MD5:00']],
] as const)
  test(`refused, and nobody logs in, where ${what}`, async () => {
    const file = await documents('refused.yaml', pinned?.() ?? '');
    const before = await readFile(file, 'utf8');
    if (known !== undefined) await know(`[198.51.100.10]:${sshd.port} ${known()}\n`);
    const logins = sshd.logins();
    const { status, stdout, stderr } = await onNode('host', 'adopt', 'edge', '-f', file, ...flags());
    expect(stderr).toContain(said());
    expect(stdout).toBe('');
    expect(status).toBe(said().startsWith('edge') ? 1 : 2);
    expect(await readFile(file, 'utf8')).toBe(before);
    expect(sshd.logins()).toBe(logins);
  });

test('a key that known_hosts have needs no fingerprint; one that was compared replaces another', async () => {
  await know(`[198.51.100.10]:${sshd.port} ${key}\n`);
  const file = await documents('known.yaml', `, hostKey: "${other}"`);
  expect((await onNode('host', 'adopt', url, '--yes')).status).toBe(0);
  expect((await onNode('host', 'adopt', 'edge', '-f', file, '--fingerprint', fingerprint)).status).toBe(0);
  expect(await readFile(file, 'utf8')).toContain(`user: root, hostKey: "${key}" } # by name`);
});

test('a key that has changed later is told by both fingerprints, and by the line of known_hosts', async () => {
  const file = await documents('changed.yaml', `, hostKey: "${other}"`);
  const logins = sshd.logins();
  const pinned = await onNode('status', '-f', file);
  expect(pinned.stdout + pinned.stderr).toContain(
    `its host key is another than the one that is known: it shows ${fingerprint}, and access.ssh.hostKey has ${fingerprintOf(other)};`,
  );
  await know(`\n[198.51.100.10]:${sshd.port} ${other}\n`);
  const known = await onNode('status', '-f', await documents('unpinned.yaml'));
  expect(known.stdout + known.stderr).toContain(
    `it shows ${fingerprint}, and /root/.ssh/known_hosts:2 has ${fingerprintOf(other)};`,
  );
  expect(sshd.logins()).toBe(logins);
});

test('a host that lets nobody in is adopted all the same, and it is said why nothing was looked at', async () => {
  const file = await documents('barred.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace('user: root', 'user: no-such-user'));
  const { status, stdout, stderr } = await onNode('host', 'adopt', 'edge', '-f', file, '--fingerprint', fingerprint);
  expect(stdout).toBe(`# edge: its key is in ${file} now\n`);
  expect(stderr).toMatch(/edge: SSH: .*Permission denied \(publickey\)/);
  expect(status).toBe(1);
  expect(await readFile(file, 'utf8')).toContain(`hostKey: "${key}"`);
});

test('at a terminal the fingerprint is shown, no leaves all as it was, yes writes', async () => {
  const file = await documents('asked.yaml');
  const before = await readFile(file, 'utf8');
  const no = await atTerminal(cli.lab.host('node'), ['host', 'adopt', 'edge', '-f', file]);
  const screen = await no.until('Is this the key of edge? [y/N]');
  expect(screen).toContain(`edge shows the key ${fingerprint} (ssh-ed25519).`);
  expect(screen).toContain('Your known_hosts do not know it. On its console: ssh-keygen -lf');
  no.type('n\n');
  expect(await no.terminal.exited).toBe(1);
  await no.until('edge: not adopted: nobody logged in and nothing was written');
  expect(await readFile(file, 'utf8')).toBe(before);
  const yes = await atTerminal(cli.lab.host('node'), ['host', 'adopt', 'edge', '-f', file]);
  await yes.until('Is this the key of edge? [y/N]');
  yes.type('y\n');
  expect(await yes.terminal.exited).toBe(0);
  expect(await readFile(file, 'utf8')).toContain(`hostKey: "${key}"`);
});

for (const [what, argv, said] of [
  ['a Host that is not there', ['edgy'], /no Host "edgy" in the documents: there are node, edge/],
  ['a Host without ssh', ['node'], /node is reached by local, which has no host key/],
] as const)
  test(`refused: ${what}`, async () => {
    const { status, stderr } = await onNode('host', 'adopt', ...argv, '-f', await documents('x.yaml'), '--yes');
    expect(stderr).toMatch(said);
    expect(status).toBe(2);
  });

test('refused: neither a file nor an address, and both', async () => {
  expect(await onNode('host', 'adopt', 'edge', '--yes')).toMatchObject({
    status: 2,
    stderr: 'sallyport: edge: give the documents by -f, or ssh://USER@HOST\n',
  });
  const both = await onNode('host', 'adopt', url, '--yes', '-f', await documents('x.yaml'));
  expect(both.stderr).toMatch(/ and -f: give a name of the documents, or an address alone/);
});
