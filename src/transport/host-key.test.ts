/** What is learned of a host's key before anybody logs in, with a real sshd. */
import { readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startNamespace, startSshd } from '../lab/index.ts';
import { fingerprintOf, learnHostKey, sshTransport } from './index.ts';

async function startPlace() {
  const lab = await startNamespace();
  const sshd = await startSshd(lab);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const { port, folder } = sshd;
  /** As the client finds it in ~/.ssh. */
  const know = async (text: string): Promise<void> => {
    await lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh']);
    await lab.run(['tee', '/root/.ssh/known_hosts'], { stdin: text });
  };
  const keygen = async (...argv: readonly string[]) => (await lab.run(['ssh-keygen', ...argv])).stdout;
  const dispose = async (): Promise<void> => {
    await sshd[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  };
  return { lab, sshd, know, keygen, at: { address: '127.0.0.1', port, entry, folder }, [Symbol.asyncDispose]: dispose };
}

const key = (text: string): string => text.split(' ').slice(0, 2).join(' ');

test('a key is learned as it is, with the fingerprint that ssh-keygen shows, and nobody logs in', async () => {
  await using place = await startPlace();
  const { sshd, keygen } = place;
  const before = await readdir(tmpdir());
  const learned = await learnHostKey('edge', place.at);
  const shown = await keygen('-lf', join(sshd.folder, 'host.pub'));
  expect(learned).toEqual({ hostKey: key(sshd.hostKey), fingerprint: shown.split(' ')[1], known: 'unknown' });
  expect(sshd.logins()).toBe(0);
  expect(
    (await readdir(tmpdir())).filter((name) => name.startsWith('sallyport-key-') && !before.includes(name)),
  ).toEqual([]);
  await expect(place.lab.run(['cat', '/root/.ssh/known_hosts'])).rejects.toThrow(/No such file/);
});

test('what known_hosts have of a host is told, and a pinned key does not hide it', async () => {
  await using place = await startPlace();
  const { sshd, know, keygen, at } = place;
  const name = `[127.0.0.1]:${sshd.port}`;
  await know(`${name} ${key(sshd.hostKey)}\n`);
  expect((await learnHostKey('edge', at)).known).toBe('same');
  await keygen('-q', '-t', 'ed25519', '-N', '', '-f', join(sshd.folder, 'other'));
  const other = key((await place.lab.run(['cat', join(sshd.folder, 'other.pub')])).stdout.trim());
  await know(`# mine\n${name} ${other}\n`);
  const learned = await learnHostKey('edge', { ...at, hostKey: other });
  expect(learned).toMatchObject({ hostKey: key(sshd.hostKey), known: 'another' });
  // And whoever would log in is told both.
  const { identityFile } = sshd;
  const said = `it shows ${fingerprintOf(sshd.hostKey)}, and /root/.ssh/known_hosts:2`;
  await expect(sshTransport('edge', { ...at, identityFile }).run({ argv: ['true'] })).rejects.toThrow(said);
});

test('a host that knows a key of another kind of us shows that one', async () => {
  await using place = await startPlace();
  const { sshd, lab, keygen, know, at } = place;
  await sshd.stop();
  await keygen('-q', '-t', 'ecdsa', '-N', '', '-f', join(sshd.folder, 'ecdsa'));
  const config = join(sshd.folder, 'config');
  const { stdout } = await lab.run(['cat', config]);
  await writeFile(config, `${stdout}HostKey ${join(sshd.folder, 'ecdsa')}\n`);
  await using program = await lab.spawn(['/usr/sbin/sshd', '-D', '-e', '-f', config]);
  await new Promise((ready) => program.stderr.once('data', ready));
  expect((await learnHostKey('edge', at)).hostKey).toBe(key(sshd.hostKey));
  const ecdsa = key((await lab.run(['cat', join(sshd.folder, 'ecdsa.pub')])).stdout);
  await know(`[127.0.0.1]:${sshd.port} ${ecdsa}\n`);
  expect(await learnHostKey('edge', at)).toMatchObject({ hostKey: ecdsa, known: 'same' });
});

test('a host that is not there, and one that is no sshd, are told in one line', async () => {
  await using place = await startPlace();
  await expect(learnHostKey('edge', { ...place.at, port: 2223 })).rejects.toThrow(
    /^edge: SSH: ssh: connect to host 127\.0\.0\.1 port 2223: Connection refused$/,
  );
  await expect(learnHostKey('edge', { ...place.at, address: 'no-such-host.invalid' })).rejects.toThrow(
    /^edge: SSH: ssh: Could not resolve hostname no-such-host\.invalid: /,
  );
});

test('a fingerprint is of a public key alone', () => {
  expect(
    fingerprintOf('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@there'),
  ).toMatch(/^SHA256:[\w+/]{43}$/);
  for (const text of ['', 'ssh-ed25519', 'edge ssh-ed25519 AAAA', 'SHA256:abc'])
    expect(fingerprintOf(text)).toBeUndefined();
});
