/** `doctor --fix`: what it refuses, what it asks, and that all of it comes back unless it is kept. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LAB_FAULTS, type Lab, type LabFault, type RunningCommand, startLab } from '../lab/index.ts';
import { sallyportPath } from './testdata/cli-lab.ts';
import { dumpWithTunnels, untilUndone } from './testdata/lab-doctor.ts';

const faultOf = (code: string): LabFault => {
  const found = LAB_FAULTS.find((fault) => fault.code === code);
  if (found === undefined) throw new TypeError(code);
  return found;
};

async function until(what: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await what()); await sleep(50))
    if (Date.now() > end) throw new Error('it did not come');
}

describe('the command line', () => {
  const fault = faultOf('replyLeavesElsewhere');
  let lab: Lab;
  let before = '';
  beforeAll(async () => {
    lab = await startLab(fault.topology);
    await fault.inject(lab, []);
    before = await dumpWithTunnels(lab, fault.host);
  });
  afterAll(async () => lab[Symbol.asyncDispose]());

  const run = async (argv: readonly string[], stdin = '') =>
    await lab.run([process.execPath, sallyportPath, 'doctor', ...argv], {
      allowFailure: true,
      timeoutMs: 60_000,
      stdin,
    });

  const both = ['server', 'internet']
    .map(
      (name) =>
        `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
    )
    .join('---\n');

  for (const [what, argv, status, said] of [
    [
      'a fault that is not found',
      ['--netns', 'server', '--fix', 'conntrackFull', '--yes'],
      1,
      /conntrackFull is not found on server: nothing was changed/,
    ],
    ['nobody to ask', ['--netns', 'server', '--fix', fault.code], 2, /nobody can be asked here .* add --yes/],
    [
      'a code that there is not',
      ['--netns', 'server', '--fix', 'everything', '--yes'],
      2,
      /there is no such fault; there is reversePathFilter/,
    ],
    ['a bundle', ['--bundle', 'x', '--fix', fault.code, '--yes'], 2, /a bundle is no host/],
    ['--yes alone', ['--netns', 'server', '--yes'], 2, /--yes is for --fix CODE/],
    [
      'a host that is not there',
      ['--netns', 'nowhere', '--fix', fault.code, '--yes'],
      1,
      /not found on nowhere: nothing was changed\n {2}nowhere was not looked at: no network namespace "nowhere"/,
    ],
  ] as const)
    test(`refused: ${what}`, async () => {
      const { status: ended, stderr, stdout } = await run(argv);
      expect([ended, stdout, stderr]).toEqual([status, '', expect.stringMatching(said)]);
      expect(await dumpWithTunnels(lab, fault.host)).toBe(before);
    });

  test('refused: two hosts that have it, and both are named', async () => {
    await lab.serve('internet', { protocol: 'tcp', port: 8080 });
    await lab
      .host('internet')
      .run([
        'sh',
        '-c',
        'ip route add default via 10.1.0.2 dev one0; ip route add default via 10.2.0.2 dev two0 metric 9',
      ]);
    const { status, stderr } = await run(['-f', '-', '--fix', fault.code, '--yes'], both);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/found on server and internet: one host at a time/)]);
    await lab.host('internet').run(['sh', '-c', 'ip route del default; ip route del default']);
    expect(await dumpWithTunnels(lab, fault.host)).toBe(before);
  });

  interface Session {
    readonly terminal: RunningCommand;
    readonly until: (text: string) => Promise<string>;
  }

  /** At a terminal of its own, made by script(1). */
  async function ask(...more: readonly string[]): Promise<Session> {
    const argv = [process.execPath, sallyportPath, 'doctor', '--netns', fault.host, '--fix', fault.code, ...more];
    const line = argv.map((word) => `'${word}'`).join(' ');
    const terminal = await lab.spawn(['script', '-qefc', line, '/dev/null'], { env: { TERM: 'xterm' } });
    let screen = '';
    terminal.stdout.on('data', (chunk: Buffer) => {
      screen += chunk.toString();
    });
    return {
      terminal,
      async until(text) {
        await until(async () => screen.includes(text)).catch(() => {
          throw new Error(`"${text}" did not come: ${screen}`);
        });
        return screen;
      },
    };
  }

  test('what it would do is shown, and no is no', async () => {
    const session = await ask();
    const shown = await session.until('Carry this out? [y/N]');
    expect(shown).toContain('+ route   0.0.0.0/0 table 100: default via 10.2.0.1 dev wan2 table 100 proto boot');
    expect(shown).toContain('+ rule    IPv4 100: from 10.2.0.2/32 lookup 100 proto boot');
    expect(shown).toMatch(/Simulated: \d+ promises hold\r?\nPlan: 2 to add, 0 to change, 0 to remove on 1 host/);
    session.terminal.stdin.write('n\n');
    expect(await session.terminal.exited).toBe(1);
    expect(await session.until('Nothing was changed.')).toContain(fault.code);
    expect(await dumpWithTunnels(lab, fault.host)).toBe(before);
  });

  test('silence after it: it is undone', async () => {
    const session = await ask('--confirm-timeout', '3s');
    await session.until('Carry this out? [y/N]');
    session.terminal.stdin.write('y\n');
    await session.until('The checks passed. Press Enter');
    expect(await dumpWithTunnels(lab, fault.host)).not.toBe(before);
    expect(await session.terminal.exited).toBe(1);
    await session.until('not confirmed; server is as it was');
    expect(await dumpWithTunnels(lab, fault.host)).toBe(before);
  });

  test('killed while it waits for an answer: the host undoes it by itself', async () => {
    const session = await ask('--confirm-timeout', '3s');
    await session.until('Carry this out? [y/N]');
    session.terminal.stdin.write('y\n');
    await session.until('Press Enter');
    await lab.run(['pkill', '-KILL', '-f', '[d]octor --netns']);
    // What is left of it is the lock of a dead process, which the next takes over.
    const undone = async (): Promise<string> =>
      (await dumpWithTunnels(lab, fault.host)).replace('/run/sallyport/netns/SELF/lock', '');
    await untilUndone(lab);
    expect(await undone()).toBe(before);
  });

  test('Enter keeps it, the client is answered, and nothing of ours is left', async () => {
    expect(await fault.symptom(lab)).toBeDefined();
    const session = await ask();
    await session.until('Carry this out? [y/N]');
    session.terminal.stdin.write('y\n');
    await session.until('Press Enter');
    session.terminal.stdin.write('\n');
    expect(await session.terminal.exited).toBe(0);
    await session.until('replyLeavesElsewhere is no longer found on server.');
    expect(await fault.symptom(lab)).toBeUndefined();
    expect((await lab.run(['sh', '-c', 'find /run/sallyport ! -type d; pgrep -f "[u]ndo.sh" || :'])).stdout).toBe('');
  });
});

test('what only a person can say is printed, and nothing is changed', async () => {
  const fault = faultOf('clientAddressLost');
  await using lab = await startLab(fault.topology);
  await fault.inject(lab, []);
  const before = await dumpWithTunnels(lab, fault.host);
  const argv = [process.execPath, sallyportPath, 'doctor', '--netns', fault.host, '--fix', fault.code, '--yes'];
  const { status, stdout, stderr } = await lab.run(argv, { allowFailure: true });
  expect([status, stderr]).toEqual([
    1,
    expect.stringMatching(/clientAddressLost on router: what mends it is not for sallyport to do/),
  ]);
  expect(stdout).toContain(
    "nft insert rule ip hide post oifname lan0 ct status dnat ip saddr '!=' 192.168.1.0/24 return",
  );
  expect(await dumpWithTunnels(lab, fault.host)).toBe(before);
});

test('lab fault: anybody can run it, and sees it from the symptom to its end', async () => {
  await using lab = await startLab(faultOf('forwardingOff').topology);
  const { stdout } = await lab.run([process.execPath, sallyportPath, 'lab', 'fault', 'forwardingOff'], {
    timeoutMs: 120_000,
  });
  expect(stdout.split('\n').map((line) => line.split(' ')[0])).toEqual(
    expect.arrayContaining(['──', 'seen', 'doctor', 'fix', 'by', 'gone']),
  );
  expect(stdout).toMatch(/^seen +TCP from client to 198\.51\.100\.2 port 8080: timeout$/m);
  expect(stdout).toMatch(/^doctor +error forwardingOff: IPv4 forwarding is off/m);
  expect(stdout).toMatch(/^fix +sysctl -w net\.ipv4\.ip_forward=1$/m);
});
