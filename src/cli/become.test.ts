/** `become: sudo` as somebody who is not root, with the real sudo: where it lets us, where it does not, where there is none. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import { sallyportPath } from './testdata/cli-lab.ts';

const DOCUMENTS = `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec: { access: { local: {}, become: sudo } }`;

let lab: Namespace;
beforeAll(async () => {
  lab = await startNamespace();
  // Users and rights of this lab alone.
  const put = `cp /etc/passwd /run/passwd; echo 'guest:x:12345:12345::/:/bin/sh' >>/run/passwd
cp -p /etc/shadow /run/shadow; echo 'guest:*:19000:0:99999:7:::' >>/run/shadow; mount -n --bind /run/shadow /etc/shadow
cp /etc/sudoers /run/sudoers; chmod 440 /run/sudoers
mount -n --bind /run/passwd /etc/passwd; mount -n --bind /run/sudoers /etc/sudoers`;
  await lab.run(['sh', '-ec', put]);
});
afterAll(async () => lab[Symbol.asyncDispose]());

const plan = () => {
  const argv = [
    'env',
    'PATH=/usr/bin:/bin',
    'setpriv',
    '--reuid=12345',
    '--regid=12345',
    '--clear-groups',
    process.execPath,
    sallyportPath,
  ];
  return lab.run([...argv, 'plan', '-f', '-'], { stdin: DOCUMENTS, allowFailure: true });
};

test('a sudo that asks for a password is told by its own words', async () => {
  const { status, stdout, stderr } = await plan();
  expect(stdout + stderr).toContain('edge: become: sudo was refused: a password is required');
  expect(status).toBe(1);
});

test('where sudo asks nothing, all goes by it', async () => {
  await lab.run(['sh', '-ec', "echo 'guest ALL=(ALL) NOPASSWD: ALL' >>/run/sudoers"]);
  expect(await plan()).toMatchObject({ status: 0, stderr: '' });
});

test('a machine without sudo is told which package has it', async () => {
  const layer =
    'mkdir /run/upper /run/work; mount -n -t overlay -o lowerdir=/usr/bin,upperdir=/run/upper,workdir=/run/work overlay /usr/bin';
  await lab.run(['sh', '-ec', `${layer}; rm /usr/bin/sudo`]);
  const { status, stdout, stderr } = await plan();
  expect(stdout + stderr).toContain('edge: sudo is missing: install the Debian package sudo');
  expect(status).toBe(1);
});
