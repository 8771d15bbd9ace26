/** Killed between any two steps: the hosts take the change back by themselves, and the next apply or destroy need not wait for that. */

import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patient, type RunResult } from '../lab/index.ts';
import { type CliLab, slimEdgeDocuments, startCliLab, withoutChance } from './testdata/cli-lab.ts';
import { CLOUD_IMAGE, NFT } from './testdata/firewalls.ts';

const src = new URL('..', import.meta.url).href;
/** Our TypeScript as read before: as far-edge.ts has it. */
const compiled = fileURLToPath(new URL('../../node_modules/.cache/far-worker', import.meta.url));

interface Ending {
  /** After which step, of those whose names begin with `of` (of all unless given); 0: before keys are made. */
  readonly at: number;
  readonly of?: string;
  readonly how?: 'kill' | 'abort';
  readonly windowMs?: number;
}

/** Apply or destroy in a process of its own that ends itself: by SIGKILL, or as Ctrl-C would. */
const program = (
  command: 'apply' | 'destroy',
  file: string,
  { at, of = '', how = 'kill', windowMs = 30_000 }: Ending,
): string => `
import { carryOut, prepare, settlePending } from '${src}apply/index.ts';
import { aimOfRemoval, aimOfSet } from '${src}cli/aims.ts';
import { manageAll } from '${src}cli/hosts.ts';
import { loadSet } from '${src}cli/load.ts';
import { surveyHosts } from '${src}cli/survey.ts';
const stop = new AbortController();
const set = await loadSet(['${file}']);
await settlePending(manageAll(set), { command: '${command}', signal: stop.signal, onProgress() {} });
const { managed, facts } = await surveyHosts(set, stop.signal, { progress() {} });
const aimFor = '${command}' === 'apply' ? aimOfSet(set, 'default') : aimOfRemoval([...set.hosts.keys()], 'default', false);
const plan = prepare(facts, aimFor, '${command}' === 'apply' ? 'add' : 'remove');
console.log(plan.hosts.map(({ changes }) => changes.length).join());
let steps = 0;
await carryOut(managed, plan, {
  command: '${command}', aimFor, signal: stop.signal, agreed: false, windowMs: ${windowMs},
  onProgress({ kind, step }) {
    const counts = kind === 'step' && step.startsWith('${of}');
    if (counts) steps += 1;
    if (${at} === 0 ? kind !== 'keys' : !counts || steps !== ${at}) return;
    if ('${how}' === 'kill') process.kill(process.pid, 'SIGKILL');
    stop.abort(new Error('interrupted'));
  },
}).catch((error) => { console.error(error.message); process.exit(1); });`;

const runIn = (cli: CliLab, command: 'apply' | 'destroy', file: string, ending: Ending): Promise<RunResult> =>
  cli.lab.run([process.execPath, '--input-type=module', '-e', program(command, file, ending)], {
    allowFailure: true,
    env: { NODE_COMPILE_CACHE: compiled },
  });

/** What a host waits for a word of us. */
const WINDOW_MS = 2_000;

/** Waits until the hosts are as they were: the window, and at most two seconds more on a machine that has time. */
async function untilEqual(cli: CliLab, before: string, what: string): Promise<void> {
  const now = async (): Promise<string> => withoutChance(await cli.dumps());
  for (const end = Date.now() + WINDOW_MS + patient(2_000); (await now()) !== withoutChance(before); await sleep(50))
    if (Date.now() > end) expect(await now(), what).toBe(withoutChance(before));
}

describe('killed after step', () => {
  let cli: CliLab;
  let file = '';
  let before = '';
  beforeAll(async () => {
    cli = await startCliLab();
    file = await cli.documents('edge.yaml', slimEdgeDocuments());
    before = await cli.dumps();
  });
  afterAll(async () => cli[Symbol.asyncDispose]());

  const run = (command: 'apply' | 'destroy', at: number, more: Partial<Ending> = {}) =>
    runIn(cli, command, file, { at, ...more });

  test('each single step of an apply, then of a destroy: within the window the hosts are as they were, and both come to their end all the same', async () => {
    for (const command of ['apply', 'destroy'] as const) {
      const stands = command === 'apply' ? before : await cli.dumps();
      let kills = 0;
      // Of a destroy, which ends with the same script, every third.
      for (let at = 1; ; at += command === 'apply' ? 1 : 3) {
        const { status, stderr } = await run(command, at, { windowMs: WINDOW_MS });
        if (status === 0) break;
        kills += 1;
        expect({ status, stderr }).toEqual({ status: 137, stderr: '' });
        expect(kills).toBeLessThan(60);
        await untilEqual(cli, stands, `${command}, killed after step ${at}`);
      }
      expect(kills).toBeGreaterThan(command === 'apply' ? 10 : 3);
      if (command === 'apply') expect((await cli.sallyport('plan', '-f', file, '--detailed-exitcode')).status).toBe(0);
    }
    expect(await cli.dumps()).toBe(before);
  }, 400_000);

  for (const at of [0, 1, 2, 5, 9, 14]) {
    test(`${at === 0 ? 'none, while keys are made,' : at} of an apply: destroy takes all back`, {
      tags: at === 9 ? ['vm'] : [],
    }, async () => {
      expect(await run('apply', at)).toMatchObject({ status: 137, stderr: '' });
      expect(await cli.sallyport('destroy', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
      expect(await cli.dumps()).toBe(before);
    });
  }

  for (const at of [1, 4, 12])
    test(`stopped by Ctrl-C after step ${at}: all is taken back, and it is said`, async () => {
      expect(await run('apply', at, { how: 'abort' })).toMatchObject({
        status: 1,
        stderr: 'stopped; node and edge are as they were\n',
      });
      expect(await cli.dumps()).toBe(before);
    });
});

/** Two accepts on the node, then seven on the edge. */
test('killed among the accepts in firewalls of others: destroy takes all back', async () => {
  await using cli = await startCliLab();
  for (const [host, firewall] of [
    ['edge', `${CLOUD_IMAGE}\n${NFT}`],
    ['node', CLOUD_IMAGE],
  ] as const)
    await cli.lab.host(host).run(['sh', '-ec', firewall]);
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  const before = await cli.dumps();
  const accepts = async (): Promise<number> => {
    const list = 'nft list ruleset 2>/dev/null; iptables-nft-save; ip6tables-nft-save';
    const texts = ['edge', 'node'].map((host) => cli.lab.host(host).run(['sh', '-c', list]));
    return (await Promise.all(texts)).flatMap(({ stdout }) => stdout.match(/comment "?sallyport/g) ?? []).length;
  };
  const standing = [0];
  for (const at of [1, 3, 6, 9]) {
    expect(await runIn(cli, 'apply', file, { at, of: 'accept in ' })).toMatchObject({ status: 137, stderr: '' });
    standing.push(await accepts());
    expect(await cli.sallyport('destroy', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
    expect(await cli.dumps(), `killed after accept ${at}`).toBe(before);
  }
  expect(standing).toEqual([...new Set(standing)].sort((a, b) => a - b));
});
