/** Issue 2, line 3: killed between any two steps, the next apply or destroy brings the hosts to the right state. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunResult } from '../lab/index.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';
import { CLOUD_IMAGE, NFT } from './testdata/firewalls.ts';

const src = new URL('..', import.meta.url).href;

interface Ending {
  /** After which step, of those whose names begin with `of` (of all unless given); 0: before keys are made. */
  readonly at: number;
  readonly of?: string;
  readonly how?: 'kill' | 'abort';
}

/** Apply or destroy in a process of its own that ends itself: by SIGKILL, or as Ctrl-C would. */
const program = (command: 'apply' | 'destroy', file: string, { at, of = '', how = 'kill' }: Ending): string => `
import { carryOut, prepare } from '${src}apply/index.ts';
import { aimOfRemoval, aimOfSet } from '${src}cli/aims.ts';
import { loadSet } from '${src}cli/load.ts';
import { surveyHosts } from '${src}cli/survey.ts';
const stop = new AbortController();
const set = await loadSet(['${file}']);
const { managed, facts } = await surveyHosts(set, stop.signal, { progress() {} });
const aimFor = '${command}' === 'apply' ? aimOfSet(set, 'default') : aimOfRemoval([...set.hosts.keys()], 'default', false);
const plan = prepare(facts, aimFor, '${command}' === 'apply' ? 'add' : 'remove');
console.log(plan.hosts.map(({ changes }) => changes.length).join());
let steps = 0;
await carryOut(managed, plan, {
  command: '${command}', aimFor, signal: stop.signal, agreed: false,
  onProgress({ kind, step }) {
    const counts = kind === 'step' && step.startsWith('${of}');
    if (counts) steps += 1;
    if (${at} === 0 ? kind !== 'keys' : !counts || steps !== ${at}) return;
    if ('${how}' === 'kill') process.kill(process.pid, 'SIGKILL');
    stop.abort(new Error('interrupted'));
  },
}).catch((error) => { console.error(error.message); process.exit(1); });`;

const runIn = (cli: CliLab, command: 'apply' | 'destroy', file: string, ending: Ending): Promise<RunResult> =>
  cli.lab.run([process.execPath, '--input-type=module-typescript', '-e', program(command, file, ending)], {
    allowFailure: true,
  });

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

  const run = (command: 'apply' | 'destroy', at: number, how: 'kill' | 'abort' = 'kill') =>
    runIn(cli, command, file, { at, how });

  test('each single step of an apply, then of a destroy: both come to their end all the same', async () => {
    for (const command of ['apply', 'destroy'] as const) {
      let kills = 0;
      let at = 1;
      for (let left = ''; ; kills++) {
        const { status, stdout, stderr } = await run(command, at);
        if (status === 0) break;
        expect({ status, stderr }).toEqual({ status: 137, stderr: '' });
        expect(kills).toBeLessThan(60);
        // A step that writes nothing (a setting that goes with its link) comes again: the next one is for the next run.
        at = stdout === left ? at + 1 : 1;
        left = stdout;
      }
      expect(kills).toBeGreaterThan(10);
      if (command === 'apply') expect((await cli.sallyport('plan', '-f', file, '--detailed-exitcode')).status).toBe(0);
    }
    expect(await cli.dumps()).toBe(before);
  }, 180_000);

  for (const at of [0, 1, 2, 5, 9, 14]) {
    test(`${at === 0 ? 'none, while keys are made,' : at} of an apply: destroy takes all back`, {
      tags: at === 9 ? ['vm'] : [],
    }, async () => {
      expect(await run('apply', at)).toMatchObject({ status: 137, stderr: '' });
      expect(await cli.sallyport('destroy', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
      expect(await cli.dumps()).toBe(before);
    });
  }

  test('stopped by Ctrl-C: what stands is said, the same apply goes on', async () => {
    const { status, stderr } = await run('apply', 4, 'abort');
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^stopped\.\n {2}node: \d+ of \d+ changes stand\n {2}edge: as it was\nThe same apply goes on from here; /,
    );
    expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
    expect(await cli.sallyport('destroy', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
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
