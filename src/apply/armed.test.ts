import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Namespace, patient, startNamespace } from '../lab/index.ts';
import { localTransport, type Transport } from '../transport/index.ts';
import { type ArmedOptions, type ArmedStep, carryOutArmed } from './armed.ts';

let kernel: Namespace;
let transport: Transport;
beforeAll(async () => {
  kernel = await startNamespace();
  transport = localTransport('host', { entry: ['nsenter', '-t', String(kernel.pid), '--mount', '--pid', '--net'] });
});
afterAll(async () => kernel[Symbol.asyncDispose]());

const NEVER = new AbortController().signal;
const priority = (number: number): readonly string[] => [
  'from',
  `192.0.2.${number}`,
  'lookup',
  '100',
  'priority',
  String(number),
];
/** A routing rule, as a fix of doctor's adds one. */
const rule = (number: number): ArmedStep => ({
  text: `rule ${number}`,
  run: { argv: ['ip', 'rule', 'add', ...priority(number)], undo: { argv: ['ip', 'rule', 'del', ...priority(number)] } },
});
const rules = async (): Promise<readonly number[]> =>
  [...(await kernel.run(['ip', 'rule'])).stdout.matchAll(/from 192\.0\.2\.(\d+)/g)].map(([, number]) => Number(number));

const carry = (steps: readonly ArmedStep[], more: Partial<ArmedOptions> = {}): Promise<void> =>
  carryOutArmed(transport, steps, {
    title: 'a test',
    windowMs: patient(20_000),
    signal: NEVER,
    check: async () => undefined,
    ...more,
  });

/** What lies of it on the host, and what waits there. */
const traces = async (): Promise<string> =>
  (await kernel.run(['sh', '-c', 'find /run/sallyport 2>/dev/null; pgrep -af "[u]ndo.sh" || :'])).stdout;

async function until(what: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + patient(20_000); !(await what()); await sleep(30))
    if (Date.now() > end) throw new Error(`it did not come: ${await traces()}`);
}

test('confirmed, it stands, and nothing of it waits or lies there', async () => {
  await carry([rule(1), rule(2)]);
  expect(await rules()).toEqual([1, 2]);
  expect(await traces()).toBe('');
  await kernel.run(['ip', 'rule', 'flush']);
});

for (const [what, more, message] of [
  ['a check that fails', { check: async () => 'it does not work' }, /^host: it does not work; host is as it was$/],
  ['no confirmation', { confirm: async () => false }, /^host: not confirmed; host is as it was$/],
] as const)
  test(`${what} takes everything back at once`, async () => {
    await expect(carry([rule(1), rule(2)], more)).rejects.toThrow(message);
    expect(await rules()).toEqual([]);
    expect(await traces()).toBe('');
  });

test('a step that is refused takes back those before it, and is told with what the host said', async () => {
  const refused = { text: 'the same again', run: { argv: ['ip', 'rule', 'add', ...priority(1)] } };
  await expect(carry([rule(1), refused, rule(2)])).rejects.toThrow(
    /the same again: .*File exists.*; host is as it was$/,
  );
  expect(await rules()).toEqual([]);
  expect(await traces()).toBe('');
});

test('what stood there before is left alone where a step is refused for it', async () => {
  await kernel.run(['ip', 'rule', 'add', ...priority(2)]);
  await expect(carry([rule(1), rule(2)])).rejects.toThrow('File exists');
  expect(await rules()).toEqual([2]);
  await kernel.run(['ip', 'rule', 'del', ...priority(2)]);
});

test('what is given on stdin, in words with quotes and lines, comes to the step and to its undo', async () => {
  const text = 'it\'s "one"\n$two\n';
  const write = (path: string) => ({ argv: ['sh', '-c', 'cat >"$1"', 'sh', path], stdin: text });
  const step = { text: 'write', run: { ...write("/run/a 'b"), undo: write('/run/undone') } };
  await expect(carry([step], { check: async () => 'no' })).rejects.toThrow('no');
  const { stdout } = await kernel.run(['sh', '-c', 'cat "/run/a \'b" /run/undone']);
  expect(stdout).toBe(text + text);
});

test('nobody is left to confirm: when the time is up, the host undoes it by itself', async () => {
  for (const count of [1, 2, 3]) {
    const steps = [rule(1), rule(2), rule(3)].slice(0, count);
    const done: string[] = [];
    // Whoever never comes to an end is as good as killed.
    void carry(steps, { windowMs: 1_000, check: () => new Promise(() => {}), onStep: (text) => done.push(text) });
    await until(async () => done.length === count);
    expect(await rules()).toHaveLength(count);
    await until(async () => (await traces()) === '');
    expect(await rules()).toEqual([]);
  }
});

for (const [what, victims] of [
  [
    'the shell of a step killed, and its command',
    'kill -KILL $(cat /run/sallyport/fix/doing.pid); pkill -KILL -f "^sleep 1000"',
  ],
  ['the command of a step killed', 'pkill -KILL -f "^sleep 1000"'],
] as const)
  test(`${what}: what was begun is taken back`, async () => {
    const endless = {
      text: 'endless',
      run: {
        argv: ['sh', '-c', `ip rule add ${priority(2).join(' ')}; exec sleep 1000`],
        undo: { argv: ['ip', 'rule', 'del', ...priority(2)] },
      },
    };
    const ended = carry([rule(1), endless]).then(String, String);
    await until(async () => (await rules()).length === 2);
    await kernel.run(['sh', '-c', victims]);
    expect(await ended).toMatch(/endless: .*host is as it was$/);
    expect(await rules()).toEqual([]);
    expect(await traces()).toBe('');
  });

test('its time over before it is confirmed: it is not believed to stand', async () => {
  const late = carry([rule(1)], {
    windowMs: 300,
    check: async () => {
      await until(async () => (await rules()).length === 0);
      return undefined;
    },
  });
  await expect(late).rejects.toThrow('host: it was not confirmed in time; host is as it was');
  expect(await traces()).toBe('');
});

test('one change at a time: a second is told of the first', async () => {
  let second = Promise.resolve('');
  await carry([rule(1)], {
    check: async () => {
      second = carry([rule(2)]).then(String, String);
      await second;
      return undefined;
    },
  });
  expect(await second).toMatch(/^ApplyFailure: host: a change is pending here: a test; .*\/fix is gone then$/);
  expect(await rules()).toEqual([1]);
  await kernel.run(['ip', 'rule', 'flush']);
});

test('what cannot be taken back is said, with what is left', async () => {
  const stuck = { text: 'stuck', run: { argv: ['true'], undo: { argv: ['sh', '-c', 'echo it is stuck; exit 1'] } } };
  await expect(carry([rule(1), stuck], { check: async () => 'no' })).rejects.toThrow(
    /host is not as it was: 2: it is stuck; the rest is in .*\/fix\/undo.sh$/,
  );
  expect(await rules()).toEqual([]);
  await kernel.run(['sh', '-c', 'rm -r /run/sallyport']);
});

test('Ctrl-C between two steps takes back what was done', async () => {
  const stop = new AbortController();
  const stopped = carry([rule(1), rule(2)], { signal: stop.signal, onStep: () => stop.abort() });
  await expect(stopped).rejects.toThrow('host: stopped; host is as it was');
  expect(await rules()).toEqual([]);
});
