/** At a terminal: what is asked, what an answer does, what silence does. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Session, atTerminal as startAtTerminal } from './testdata/at-terminal.ts';
import { type CliLab, sallyportPath, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

let cli: CliLab;
let file = '';
let before = '';
beforeAll(async () => {
  cli = await startCliLab();
  file = await cli.documents('edge.yaml', slimEdgeDocuments());
  before = await cli.dumps();
});
afterAll(async () => cli[Symbol.asyncDispose]());

const atTerminal = (argv: readonly string[], env?: Readonly<Record<string, string>>): Promise<Session> =>
  startAtTerminal(cli.lab, argv, env);

test('no: nothing is changed', async () => {
  const session = await atTerminal(['apply', '-f', file]);
  await session.until('Carry this out? [y/N]');
  session.type('n\n');
  expect(await session.terminal.exited).toBe(1);
  expect(await session.until('Nothing was changed.')).toContain('\x1b[32m  + '); // coloured, as it is a terminal
  expect(await cli.dumps()).toBe(before);
});

test('yes, and silence after the change: it is undone', async () => {
  const session = await atTerminal(['apply', '-f', file, '--confirm-timeout', '1s']);
  await session.until('Carry this out? [y/N]');
  session.type('y\n');
  await session.until('Press Enter within 1 s');
  expect(await session.terminal.exited).toBe(1);
  await session.until('not confirmed; node and edge are as they were');
  expect(await cli.dumps()).toBe(before);
});

test('Ctrl-C at the first question: nothing was changed; at the second: it is undone', async () => {
  const first = await atTerminal(['apply', '-f', file]);
  await first.until('Carry this out? [y/N]');
  first.type('\x03');
  expect(await first.terminal.exited).toBe(1);
  expect(await cli.dumps()).toBe(before);
  const second = await atTerminal(['apply', '-f', file]);
  await second.until('Carry this out? [y/N]');
  second.type('y\n');
  await second.until('Press Enter within 30 s');
  second.type('\x03');
  expect(await second.terminal.exited).toBe(1);
  expect(await cli.dumps()).toBe(before);
});

test('yes and Enter: the change stays; destroy asks once', async () => {
  const session = await atTerminal(['apply', '-f', file], { NO_COLOR: '1' });
  await session.until('Carry this out? [y/N]');
  session.type('y\n');
  await session.until('Press Enter within 30 s');
  session.type('\n');
  expect(await session.terminal.exited).toBe(0);
  expect(await session.until('Applied: ')).not.toContain('\x1b[32m');
  const destroy = await atTerminal(['destroy', '-f', file]);
  await destroy.until('Take this back? [y/N]');
  destroy.type('yes\n');
  expect(await destroy.terminal.exited).toBe(0);
  expect(await cli.dumps()).toBe(before);
});

test('a reader that goes away early is no error, and cuts nothing short', async () => {
  const piped = `'${process.execPath}' '${sallyportPath}' apply --yes -f '${file}' | true; exit $?`;
  expect(await cli.lab.run(['bash', '-o', 'pipefail', '-c', piped])).toMatchObject({ status: 0, stderr: '' });
  expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await cli.sallyport('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
});

test('a result that cannot be written is an error', async () => {
  const full = `'${process.execPath}' '${sallyportPath}' plan -f '${file}' > /dev/full`;
  const result = await cli.lab.run(['sh', '-c', full], { allowFailure: true });
  expect(result.stderr).toContain('the result could not be written');
  expect(result.status).toBe(1);
});

test('status --watch goes on until Ctrl-C, and stops when nobody reads any more', async () => {
  const session = await atTerminal(['status', '--watch', '-f', file]);
  await session.until('not ready');
  session.type('\x03');
  expect(await session.terminal.exited).toBe(130);
  const piped = `timeout 20 '${process.execPath}' '${sallyportPath}' status --watch -f '${file}' | head -n 1`;
  expect((await cli.lab.run(['bash', '-c', `${piped}; exit \${PIPESTATUS[0]}`], { allowFailure: true })).status).toBe(
    1,
  );
});
