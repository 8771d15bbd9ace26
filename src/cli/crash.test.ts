/** Issue 2, line 3: killed between any two steps, the next apply or destroy brings the hosts to the right state. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliLab, slimEdgeDocuments, startCliLab } from './cli-lab.ts';

const src = new URL('..', import.meta.url).href;

/**
 * Apply or destroy in a process of its own that ends itself after step `at`: by SIGKILL, or as Ctrl-C would stop it.
 * Prints the number of steps where it comes to its end.
 */
const program = (command: 'apply' | 'destroy', file: string, at: number, how: 'kill' | 'abort'): string => `
import { carryOut, prepare } from '${src}apply/index.ts';
import { aimOfRemoval, aimOfSet } from '${src}cli/aims.ts';
import { loadSet } from '${src}cli/load.ts';
import { surveyHosts } from '${src}cli/survey.ts';
const stop = new AbortController();
const set = await loadSet(['${file}']);
const { managed, facts } = await surveyHosts(set, stop.signal, { progress() {} });
const aimFor = '${command}' === 'apply' ? aimOfSet(set, 'default') : aimOfRemoval([...set.hosts.keys()], 'default', false);
let steps = 0;
await carryOut(managed, prepare(facts, aimFor, '${command}' === 'apply' ? 'add' : 'remove'), {
  command: '${command}', aimFor, signal: stop.signal, agreed: false,
  onProgress({ kind }) {
    if (kind !== 'step' && kind !== 'keys') return;
    steps += 1;
    if (steps !== ${at}) return;
    if ('${how}' === 'kill') process.kill(process.pid, 'SIGKILL');
    stop.abort(new Error('interrupted'));
  },
}).catch((error) => { console.error(error.message); process.exit(1); });
console.log(steps);`;

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

  const run = async (command: 'apply' | 'destroy', at: number, how: 'kill' | 'abort' = 'kill') =>
    await cli.lab.run([process.execPath, '--input-type=module-typescript', '-e', program(command, file, at, how)], {
      allowFailure: true,
    });

  test('1, 2, 3, ... of an apply: the next apply comes to the same end, or destroy takes all back', async () => {
    let at = 1;
    for (; ; at++) {
      const { status, stderr } = await run('apply', at);
      if (status === 0) break;
      expect(stderr).toBe('');
      expect(status).toBe(137);
      if (at % 2 === 1) {
        expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
        expect((await cli.sallyport('plan', '-f', file, '--detailed-exitcode')).status).toBe(0);
      }
      expect(await cli.sallyport('destroy', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
      expect(await cli.dumps()).toBe(before);
    }
    expect(at).toBeGreaterThan(10);
  }, 180_000);

  test('1, 2, 3, ... of a destroy: the next one takes back the rest', async () => {
    let at = 1;
    for (; ; at++) {
      expect(await cli.sallyport('apply', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
      const { status } = await run('destroy', at);
      if (status === 0) break;
      expect(status).toBe(137);
      expect(await cli.sallyport('destroy', '-f', file, '--yes')).toMatchObject({ status: 0, stderr: '' });
      expect(await cli.dumps()).toBe(before);
      expect((await cli.lab.run(['sh', '-c', 'find /run/sallyport -type f'])).stdout).toBe('');
    }
    expect(at).toBeGreaterThan(5);
  }, 180_000);

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
