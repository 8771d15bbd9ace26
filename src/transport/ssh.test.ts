/** What only a far host can do to a command, with a real sshd. That ssh is a transport like the others: transport.test.ts. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { startNamespace, startSshd } from '../lab/index.ts';
import { type SshOptions, sshTransport } from './index.ts';
import { remoteLine } from './ssh-line.ts';

async function startPlace(config?: readonly string[]) {
  const lab = await startNamespace();
  const sshd = await startSshd(lab, config);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const { port, identityFile, hostKey, folder } = sshd;
  const options = { address: '127.0.0.1', port, identityFile, hostKey, folder, entry };
  const open = (more: Partial<SshOptions> = {}) => sshTransport('edge', { ...options, ...more });
  const dispose = async (): Promise<void> => {
    await sshd[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  };
  return { lab, sshd, options, open, [Symbol.asyncDispose]: dispose };
}

const echo = { argv: ['echo', 'said'] };

test('however many commands, there is one login, and another once that connection has ended', async () => {
  await using place = await startPlace();
  const transport = place.open();
  await Promise.all(Array.from({ length: 12 }, () => transport.run(echo)));
  await transport.writeFile('/run/x', 'x', 0o600);
  expect(place.sshd.logins()).toBe(1);
  await place.lab.run(['pkill', '-f', 'sshd: root@notty']);
  await vi.waitUntil(async () => (await transport.run(echo).catch(() => undefined))?.stdout === 'said\n', 10_000);
  expect(place.sshd.logins()).toBe(2);
});

test('a connection that is lost in the middle of a command says so, and never is a status of the command', async () => {
  await using place = await startPlace();
  const transport = place.open();
  await transport.run(echo);
  const lost = expect(transport.run({ argv: ['sh', '-c', 'echo begun; sleep 1000'] })).rejects.toThrow(
    /^edge: the connection was lost before the command had ended/,
  );
  const sleeps = async () => (await place.lab.run(['pgrep', '-x', 'sleep'], { allowFailure: true })).status === 0;
  await vi.waitUntil(sleeps, 10_000);
  await place.lab.run(['pkill', '-f', 'sshd: root@notty']);
  await lost;
  expect((await transport.run({ argv: ['sh', '-c', 'exit 255'] })).status).toBe(255);
});

test('a file that is cut off on its way is not put', async () => {
  await using place = await startPlace();
  const transport = place.open();
  await transport.writeFile('/run/file', 'before', 0o600);
  const stop = AbortSignal.timeout(60);
  const writing = transport.writeFile('/run/file', 'x'.repeat(50_000_000), 0o600, { signal: stop });
  await expect(writing).rejects.toThrow();
  expect(await transport.readFile('/run/file')).toBe('before');
});

for (const [what, options, said] of [
  ['nobody listens', { port: 2223 }, /^edge: SSH: ssh: connect to host 127\.0\.0\.1 port 2223: Connection refused$/],
  [
    'another key is pinned than the host has',
    {
      hostKey: `ssh-ed25519 ${Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0 '.concat('x'.repeat(32)), 'latin1').toString('base64')}`,
    },
    /^edge: SSH: its host key is another than the one that is known: it shows SHA256:[\w+/]{43}, and access\.ssh\.hostKey has SHA256:[\w+/]{43}; .*access\.ssh\.hostKey/,
  ],
  [
    'the user is not let in',
    { user: 'nobody-of-that-name' },
    /^edge: SSH: .*Permission denied \(publickey\)\. No key of the agent/,
  ],
  [
    'a name means nothing',
    { address: 'no-such-host.invalid' },
    /^edge: SSH: ssh: Could not resolve hostname no-such-host\.invalid: /,
  ],
] as const)
  test(`where ${what}, it is said in one line`, async () => {
    await using place = await startPlace();
    await expect(place.open(options).run(echo)).rejects.toThrow(said);
  });

test('a host that nobody knows is not believed', async () => {
  await using place = await startPlace();
  const { hostKey: _, ...options } = place.options;
  await expect(sshTransport('edge', options).run(echo)).rejects.toThrow(
    /^edge: SSH: its host key is not known: sallyport host adopt shows it/,
  );
});

test('a login that may not become root is refused before anything is run, and sudo by its own words', async () => {
  await using place = await startPlace();
  const { lab, sshd } = place;
  // A user of this lab alone: its /etc/passwd is a copy.
  const passwd = join(sshd.folder, 'passwd');
  const { stdout } = await lab.run(['cat', '/etc/passwd']);
  await writeFile(passwd, `${stdout}guest:x:12345:12345::/:/bin/sh\n`);
  await chmod(sshd.folder, 0o755);
  await lab.run(['mount', '-n', '--bind', passwd, '/etc/passwd']);
  await expect(place.open({ user: 'guest' }).run(echo)).rejects.toThrow(
    'edge: programming this host needs root, and guest is not: log in as root, or set become: sudo beside ssh',
  );
  await expect(place.open({ user: 'guest', become: 'sudo', folder: join(sshd.folder, '.') }).run(echo)).rejects.toThrow(
    /^edge: (become: sudo was refused: |sudo is missing: install the Debian package sudo)/,
  );
});

test('what a login shell says of itself is no part of a command', async () => {
  await using place = await startPlace([
    'ForceCommand echo Welcome; echo "Mind the step" >&2; eval "$SSH_ORIGINAL_COMMAND"',
  ]);
  const transport = place.open();
  const output = await transport.run({ argv: ['sh', '-c', 'echo out; echo err >&2; exit 3'] });
  expect(output).toEqual({ stdout: 'out\n', stderr: 'err\n', status: 3 });
});

test('tools of a host that speaks another language speak ours', async () => {
  await using place = await startPlace(['SetEnv LC_ALL=C.UTF-8 LANG=C.UTF-8 LANGUAGE=de']);
  const transport = place.open();
  const { stdout } = await transport.run({ argv: ['env'] });
  expect(stdout).toContain('LANGUAGE=de\n'); // which counts for nothing beside C
  expect(stdout).toContain('LC_ALL=C\n');
  const { stderr } = await transport.run({ argv: ['ls', '/nowhere'] });
  expect(stderr).toBe("ls: cannot access '/nowhere': No such file or directory\n");
  // A word of env that is read.
  await expect(transport.run({ argv: ['no-such-program'] })).rejects.toThrow('edge: no-such-program is missing');
});

test('a login shell that never comes to an end is named', async () => {
  await using place = await startPlace(['ForceCommand sleep 1000']);
  await expect(place.open({ readyWithinMs: 2_000 }).run(echo)).rejects.toThrow(
    'edge: SSH: no shell answered within 2 s: look at what its login shell does first (.bashrc)',
  );
});

for (const [name, shell] of [
  ['dash', ['dash', '-c']],
  ['bash', ['bash', '-c']],
  ['busybox', ['busybox', 'sh', '-c']],
] as const)
  test(`${name} as the login shell hands on every word as it is`, async () => {
    await using place = await startPlace();
    const words = [
      `a 'b' "c"`,
      '$(touch /tmp/pwned)',
      '',
      'back`tick`',
      'new\nline\n',
      '\\n\\0141',
      '-n',
      '*',
      'ü€',
      '!',
      '%s',
    ];
    const line = remoteLine(['printf', '%s|', ...words]);
    const { stdout } = await place.lab.run([...shell, line]);
    expect(stdout.replace(/^sallyport-begin \d+\n/, '')).toBe(`${words.join('|')}|`);
  });
