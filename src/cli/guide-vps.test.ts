/** Every command of docs/guide-vps.md, in its order, with a real sshd on the edge and a real HTTPS server at home. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { patient, type RunningCommand, type Sshd, startSshd } from '../lab/index.ts';
import { type CliLab, sallyportPath, startCliLab } from './testdata/cli-lab.ts';

const guide = fileURLToPath(new URL('../../docs/guide-vps.md', import.meta.url));
const SERVER = `const { readFileSync } = require('node:fs');
const key = readFileSync('/run/key.pem'), cert = readFileSync('/run/cert.pem');
require('node:https').createServer({ key, cert }, (q, s) => s.end('you are ' + q.socket.remoteAddress + '\\n')).listen(443, '0.0.0.0', () => console.log('ready'));`;

let cli: CliLab;
let sshd: Sshd;
let server: RunningCommand;

beforeAll(async () => {
  cli = await startCliLab();
  sshd = await startSshd(cli.lab.host('edge'), ['ListenAddress 198.51.100.10']);
  const put = (path: string, text: string) => cli.lab.run(['tee', path], { stdin: text });
  await put('/run/hosts', '127.0.0.1 localhost\n198.51.100.10 edge.example.com\n');
  await cli.lab.run(['mount', '-n', '--bind', '/run/hosts', '/etc/hosts']);
  // What the reader has: a key that is let in, and somebody who says yes to the fingerprint.
  await cli.lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh', '/run/bin', '/run/work']);
  await put(
    '/root/.ssh/config',
    `Host edge.example.com\n  Port ${sshd.port}\n  IdentityFile ${sshd.identityFile}\n  StrictHostKeyChecking accept-new\n`,
  );
  await put('/run/bin/sallyport', `#!/bin/sh\nexec '${process.execPath}' '${sallyportPath}' "$@"\n`);
  await cli.lab.run(['chmod', '755', '/run/bin/sallyport']);
  const certificate = ['-subj', '/CN=edge.example.com', '-addext', 'subjectAltName=DNS:edge.example.com'];
  const files = ['-keyout', '/run/key.pem', '-out', '/run/cert.pem'];
  await cli.lab.run([
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    ...certificate,
    ...files,
  ]);
  server = await cli.lab.host('node').spawn([process.execPath, '-e', SERVER]);
  await new Promise((ready) => server.stdout.once('data', ready));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await sshd[Symbol.asyncDispose]();
  await cli[Symbol.asyncDispose]();
});

/** `$ …` is typed at home, `anywhere$ …` by a client. */
async function commands(): Promise<readonly (readonly [host: string, line: string])[]> {
  const blocks = (await readFile(guide, 'utf8')).split(/^```$/m).filter((_, index) => index % 2 === 1);
  return blocks.flatMap((block) =>
    [...block.matchAll(/^(anywhere)?\$ (.+)$/gm)].map(
      ([, who, line = '']) => [who === undefined ? 'node' : 'client', line] as const,
    ),
  );
}

test('from a new VPS to HTTPS in less than ten minutes, and all of it taken back', async () => {
  const before = await cli.dumps();
  const lines = await commands();
  expect(lines.length).toBeGreaterThan(8);
  const start = Date.now();
  const said = new Map<string, string>();
  for (const [host, line] of lines) {
    const env = ['env', 'PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'CURL_CA_BUNDLE=/run/cert.pem'];
    const { status, stdout, stderr } = await cli.lab
      .host(host)
      .run([...env, 'sh', '-c', line], { cwd: '/run/work', allowFailure: true, timeoutMs: 60_000 });
    expect({ line, status, output: status === 0 ? '' : stdout + stderr }).toEqual({ line, status: 0, output: '' });
    said.set(line.split(' ').slice(0, 2).join(' '), stdout);
  }
  expect(Date.now() - start).toBeLessThan(patient(600_000));
  expect(said.get('curl --max-time')).toBe('you are 192.0.2.10\n');
  expect(said.get('sallyport trace')).toContain('delivered');
  expect((await cli.lab.run(['cat', '/run/work/edge.yaml'])).stdout).toContain(sshd.hostKey.split(' ')[1]);
  expect(await cli.dumps()).toBe(before);
});
