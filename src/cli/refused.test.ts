/** What the command line refuses, how it says so, and that nothing is half done then. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lockHost } from '../apply/index.ts';
import { namespaceTransport } from '../transport/index.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

let cli: CliLab;
let file = '';
let before = '';
beforeAll(async () => {
  cli = await startCliLab();
  file = await cli.documents('edge.yaml', slimEdgeDocuments());
  before = await cli.dumps();
});
afterAll(async () => cli[Symbol.asyncDispose]());

const entry = (): readonly string[] => ['nsenter', '-t', String(cli.lab.pid), '--mount', '--pid', '--net'];

/** `-f` and a file with these documents. */
const given = async (name: string, text: string): Promise<readonly string[]> => ['-f', await cli.documents(name, text)];

describe('exit status 2, before any host is looked at', () => {
  for (const [what, argv, stderr] of [
    ['no command', [], /^Usage: sallyport/],
    ['an unknown command', ['frobnicate'], /unknown command 'frobnicate'/],
    ['a command of later days', ['controller', '--x'], /^not yet supported: controller\n$/],
    ['no documents', ['plan'], /required option '-f, --file <path>' not specified/],
    ['a file that is not there', ['plan', '-f', '/nowhere.yaml'], /^\/nowhere\.yaml: no such file/],
    ['an unknown format', ['plan', '-f', 'x', '-o', 'xml'], /Allowed choices are text, json, yaml/],
    ['a drawing of what cannot be drawn', ['plan', '-f', 'x', '-o', 'svg'], /Allowed choices are text, json, yaml\./],
    ['a bad set name', ['plan', '-f', 'x', '--set', 'A B'], /a set is named by lower-case letters/],
    ['a bad time', ['apply', '-f', 'x', '--confirm-timeout', 'soon'], /a time is written 30s, 500ms or 2m/],
    ['a URL that is none', ['doctor', '--host', 'ssh://a b'], /--host "ssh:\/\/a b" is not ssh:\/\/USER@HOST:PORT/],
    [
      'a secret in a URL',
      ['doctor', '--host', 'ssh://root:secret@192.0.2.1'],
      /^sallyport: --host: no password belongs/,
    ],
    ['a far host beside a file', ['doctor', '--host', 'ssh://192.0.2.1', '-f', 'x'], /^sallyport: --host beside -f/],
    [
      'one host twice in init',
      ['init', 'slim-edge', '--edge', 'local', '--node', 'local'],
      /edge and node are both "local"/,
    ],
    ['a story that is none', ['lab', 'up', 'atlantis'], /there is no story "atlantis"; there is slim-edge/],
  ] as const) {
    test(what, async () => {
      const result = await cli.sallyport(...argv);
      expect(result.stderr).toMatch(stderr);
      expect(result).toMatchObject({ status: 2, stdout: '' });
    });
  }

  test('apply and destroy without --yes where nobody can be asked', async () => {
    for (const command of ['apply', 'destroy']) {
      const result = await cli.sallyport(command, '-f', file);
      expect(result.stderr).toContain(`add --yes to ${command} without a question`);
      expect(result).toMatchObject({ status: 2, stdout: '' });
    }
  });

  test('documents that are wrong: every problem with its place, on stderr or as JSON', async () => {
    const wrong = await given(
      'wrong.yaml',
      slimEdgeDocuments({ extra: '  policee: Failover\n' }).replace('host: node,', 'host: nod,'),
    );
    const text = await cli.sallyport('validate', ...wrong);
    expect(text).toMatchObject({ status: 2, stdout: '' });
    expect(text.stderr).toMatch(/wrong\.yaml:\d+:\d+: spec\..*\n.*wrong\.yaml:\d+:\d+: /);
    const json = await cli.json('plan', ...wrong);
    expect(json).toMatchObject({ status: 2, stderr: '' });
    expect(json.value).toMatchObject({
      problems: expect.arrayContaining([
        expect.objectContaining({
          code: 'unknownField',
          file: wrong[1],
          line: expect.any(Number),
          column: expect.any(Number),
          meant: 'policy',
        }),
      ]),
    });
    expect((await cli.sallyport('plan', '--detailed-exitcode', ...wrong)).status).toBe(1);
  });
});

test('a host that does not answer is named; plan goes on to say so, apply changes nothing', async () => {
  const text = slimEdgeDocuments().replace('netns: { name: node }', 'netns: { name: gone }');
  const argv = await given('gone.yaml', text);
  const plan = await cli.json('plan', ...argv);
  expect(plan.status).toBe(1);
  expect(plan.value).toMatchObject({
    hosts: [
      { host: 'edge', reachable: true },
      { host: 'node', reachable: false, changes: [] },
    ],
  });
  expect(plan.stderr).toMatch(/^node: no network namespace "gone"/m);
  const apply = await cli.sallyport('apply', '--yes', ...argv);
  expect(apply.stderr).toMatch(/^sallyport: nothing was changed:\n {2}node: no network namespace "gone"/);
  expect(apply.status).toBe(1);
  const status = await cli.json('status', ...argv);
  expect(status).toMatchObject({
    status: 1,
    value: { hosts: [{ reachable: true }, { host: 'node', reachable: false, inSync: false }] },
  });
  expect(await cli.dumps()).toBe(before);
});

test('two Hosts that are one machine are refused', async () => {
  const twice = await given(
    'twice.yaml',
    slimEdgeDocuments().replace('netns: { name: node }', 'netns: { name: edge }'),
  );
  const result = await cli.sallyport('plan', ...twice);
  expect(result.stderr).toContain('Hosts edge and node are one and the same (netns edge): write one Host');
  expect(result.status).toBe(2);
});

test('two at once: the second is told who is at work', async () => {
  const lock = await lockHost(namespaceTransport('node', 'node', { entry: entry() }), 'apply');
  const result = await cli.sallyport('apply', '--yes', '-f', file);
  expect(result.stderr).toMatch(/^sallyport: node: another sallyport is at work here: apply by .*, process \d+ on /);
  expect(result.status).toBe(1);
  await lock.release();
  expect(await cli.dumps()).toBe(before);
});

test('a change that a host refuses is undone on all hosts', async () => {
  await using taken = await cli.lab.serve('edge', { protocol: 'udp', port: 51820 });
  expect(taken.port).toBe(51820);
  const result = await cli.sallyport('apply', '--yes', '-f', file);
  expect(result.stderr).toMatch(/^sallyport: edge: .*; node and edge are as they were\n$/s);
  expect(result.status).toBe(1);
  await taken.stop();
  expect(await cli.dumps()).toBe(before);
  expect((await cli.lab.run(['ls', '/run'])).stdout).not.toContain('sallyport');
});

for (const [what, mount] of [
  ['is read-only', 'ro'],
  ['is full', 'size=4k'],
] as const) {
  test(`a state folder that ${what}: a clear error, nothing half done`, async () => {
    await cli.lab.run(['sh', '-ec', `mkdir -p /run/sallyport; mount -t tmpfs -o ${mount} tmpfs /run/sallyport`]);
    try {
      const result = await cli.sallyport('apply', '--yes', '-f', file);
      expect(result.stderr).toMatch(/^sallyport: (edge|node): .*(Read-only file system|No space left on device)/);
      expect(result.stderr).not.toMatch(/ {4}at |not as it was/);
      expect(result.status).toBe(1);
    } finally {
      await cli.lab.run(['umount', '/run/sallyport']);
    }
    expect(await cli.dumps()).toBe(before);
  });
}

test('a record of a newer format refuses every write, both versions named', async () => {
  expect(await cli.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  const edge = namespaceTransport('edge', 'edge', { entry: entry() });
  const path = `${await edge.stateFolder()}/record.json`;
  const record = (await edge.readFile(path)) ?? '';
  await edge.writeFile(
    path,
    record.replace(/"format": \d+/, '"format": 7').replace(/"version": "[^"]*"/, '"version": "9.9.9"'),
    0o600,
  );
  const stands = await cli.dumps();
  for (const command of ['apply', 'destroy']) {
    const result = await cli.sallyport(command, '--yes', '-f', file);
    expect(result.stderr).toMatch(/^sallyport: nothing was changed:\n {2}edge: .*format 7.*format 2/);
    expect(result.status).toBe(1);
  }
  expect(await cli.dumps()).toBe(stands);
  await edge.writeFile(path, record, 0o600);
  expect(await cli.sallyport('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
});

test('a Host that left the documents is named before anything changes; --forget goes on, destroy --host takes it back', async () => {
  expect(await cli.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  const other = await given('other.yaml', slimEdgeDocuments().split('---')[0] ?? '');
  const stands = await cli.dumps();
  for (const argv of [['plan'], ['apply', '--yes']]) {
    const result = await cli.sallyport(...argv, ...other);
    expect(result.stderr).toMatch(/Host node left the documents, and edge still has a tunnel to it/);
    expect(result.status).toBe(1);
  }
  expect(await cli.dumps()).toBe(stands);
  expect(await cli.sallyport('apply', '--yes', '--forget', 'node', ...other)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.sallyport('destroy', '--yes', '--host', 'node', '-f', file)).toMatchObject({
    status: 0,
    stderr: '',
  });
  expect(await cli.dumps()).toBe(before);
});

test('two sets on the same hosts keep apart; --all takes both', async () => {
  const second = await given(
    'second.yaml',
    slimEdgeDocuments({
      tunnel: { name: 'second', index: 1 },
      ports: ['{ protocol: TCP, port: 81, targetPort: 8081 }'],
    }),
  );
  expect(await cli.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  const one = await cli.dumps();
  expect(await cli.sallyport('apply', '--yes', '--set', 'second', ...second)).toMatchObject({ status: 0, stderr: '' });
  expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await cli.sallyport('destroy', '--yes', '--set', 'second', ...second)).toMatchObject({
    status: 0,
    stderr: '',
  });
  const withoutKeys = (dumps: string): string => dumps.replace(/^.*\/keys\/.*\n/gm, ''); // keys are kept while any set is there
  expect(withoutKeys(await cli.dumps())).toBe(withoutKeys(one));
  expect(await cli.sallyport('apply', '--yes', '--set', 'second', ...second)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.sallyport('destroy', '--yes', '--all', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
});

test('init looks at the hosts and writes a file that plan takes; never over another without --force', async () => {
  await using server = await cli.lab.serve('node', { protocol: 'tcp', port: 8443 });
  const out = await cli.documents('first.yaml', '');
  const argv = ['init', 'slim-edge', '--edge', 'netns:edge', '--node', 'netns:node', '-o', out];
  const refused = await cli.sallyport(...argv);
  expect(refused.stderr).toContain('is there already; --force writes over it');
  expect(refused.status).toBe(2);
  expect((await cli.sallyport(...argv, '--force')).status).toBe(0);
  const text = await readFile(out, 'utf8');
  expect(text).toContain(`- { protocol: TCP, port: ${server.port} }`);
  expect(text).toContain('# seen: eth0 198.51.100.10/24, 2001:db8:e::10/64');
  expect(await cli.sallyport('validate', '-f', out)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.sallyport('plan', '-f', out)).toMatchObject({ status: 0, stderr: '' });
});

test('render gives the exact text for a host, the same each time, with placeholders for keys', async () => {
  const first = await cli.sallyport('render', '--host', 'edge', '-f', file);
  expect(first).toMatchObject({ status: 0, stderr: '' });
  expect(first.stdout).toContain('table inet sallyport');
  expect(first.stdout).toContain('(public key of node/edge-node, known after apply)');
  expect(await cli.sallyport('render', '--host', 'edge', '-f', file)).toEqual(first);
  const boot = await cli.sallyport('render', '--host', 'edge', '-f', file, '--boot', 'OpenRC');
  expect(boot).toMatchObject({ status: 0, stdout: expect.stringMatching(/^#!\/sbin\/openrc-run\n/) });
  const unknown = await cli.sallyport('render', '--host', 'moon', '-f', file);
  expect(unknown.stderr).toContain('no Host "moon" in the documents: there are edge, node');
  expect(unknown.status).toBe(2);
});
