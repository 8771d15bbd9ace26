/** An exchange of keys that is cut short: each host goes back to its old keys by itself, and what comes next goes on from there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { patient, type RunResult } from '../lab/index.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';
import { waitFor, wg } from './testdata/story.ts';

const src = new URL('..', import.meta.url).href;
const WINDOW_MS = 2_000;

interface Ending {
  /** After which of the steps whose names begin with `of`. */
  readonly at: number;
  readonly of: string;
  readonly how: 'kill' | 'abort';
}

/** The exchange in a process of its own that ends itself: by SIGKILL, or as Ctrl-C would. */
const program = (file: string, { at, of, how }: Ending): string => `
import { carryOut, prepare } from '${src}apply/index.ts';
import { rotatingEnds } from '${src}compile/index.ts';
import { manageAll } from '${src}cli/hosts.ts';
import { loadSet } from '${src}cli/load.ts';
import { aimOfRotation, waitBetween } from '${src}cli/rotation.ts';
import { surveyManaged } from '${src}cli/survey.ts';
const stop = new AbortController();
const set = await loadSet(['${file}']);
const managed = manageAll(set);
const { facts } = await surveyManaged(set, managed, stop.signal, { progress() {} });
const { ends } = rotatingEnds(facts, 'default', ['edge-node'], new Set());
const aimFor = aimOfRotation(set, ends, facts, { brief: false });
let steps = 0;
await carryOut(managed, prepare(facts, aimFor, 'remove'), {
  command: 'rotate', aimFor, signal: stop.signal, agreed: false, windowMs: ${WINDOW_MS},
  afterStage: waitBetween({ managed, ends, brief: false, windowMs: 16_000, say() {}, progress() {} }),
  onProgress({ kind, step }) {
    if (kind !== 'step' || !step.startsWith('${of}')) return;
    steps += 1;
    if (steps !== ${at}) return;
    if ('${how}' === 'kill') process.kill(process.pid, 'SIGKILL');
    stop.abort(new Error('interrupted'));
  },
}).catch((error) => { console.error(error.message); process.exit(1); });`;

let cli: CliLab;
let file = '';
beforeAll(async () => {
  cli = await startCliLab();
  await cli.lab.serve('node', { protocol: 'tcp', port: 8080 });
  file = await cli.documents('edge.yaml', slimEdgeDocuments());
  expect(await cli.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0 });
});
afterAll(async () => cli[Symbol.asyncDispose]());

const endIt = (ending: Ending): Promise<RunResult> =>
  cli.lab.run([process.execPath, '--input-type=module-typescript', '-e', program(file, ending)], {
    allowFailure: true,
  });
const keys = async (): Promise<string> =>
  `${await wg(cli.lab, 'edge', 'show', 'sp-wg51820', 'public-key')} ${await wg(cli.lab, 'node', 'show', 'sp-edge-node', 'public-key')}`;
/** Whatever there is but keys in no use; a link that is made again has another address of the kernel's choice. */
const stands = async (): Promise<string> =>
  (await cli.dumps())
    .replaceAll(/## processes[^#]*/g, '')
    .replaceAll(/.*(?:\.next|\.before|_)\.key\n/g, '')
    .replaceAll(/fe80::[0-9a-f:]+|stable_secret = .*/g, 'CHANCE');
const keyFiles = async (): Promise<string> =>
  (await cli.lab.run(['sh', '-c', 'cd /run/sallyport/netns && ls */keys | grep key$ | sort'])).stdout;
const carries = () => cli.lab.connect('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 });

async function untilBack(dump: string): Promise<void> {
  for (const end = Date.now() + WINDOW_MS + patient(2_000); (await stands()) !== dump; await sleep(50))
    if (Date.now() > end) expect(await stands()).toBe(dump);
}

for (const [what, ending] of [
  ['when the second link is there', { at: 1, of: 'link sp-wg51820_' }],
  ['when the edge alone has its new key', { at: 1, of: 'wg: another key' }],
] as const)
  test(`killed ${what}: within the window the hosts are as they were, by their old keys`, async () => {
    const [before, dump] = [await keys(), await stands()];
    expect(await endIt({ ...ending, how: 'kill' })).toMatchObject({ status: 137 });
    await untilBack(dump);
    expect(await keys()).toBe(before);
    // Who has a session that the other end forgot, calls anew when nothing was heard for 15 s (WireGuard paper, 6.2).
    await waitFor('the tunnel carries', async () => (await carries()).ok);
  }, 60_000);

test('the keys that were made for it are in no use, and the next apply removes them', async () => {
  expect(await keyFiles()).toContain('.next.key');
  expect(await cli.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0 });
  expect(await keyFiles()).toBe('sp-edge-node.key\nsp-wg51820.key\n');
});

test('killed when both have their new keys, and somebody rotates at once: the pending change is taken back first, then it is done', async () => {
  const before = await keys();
  expect(await endIt({ at: 2, of: 'wg: another key', how: 'kill' })).toMatchObject({ status: 137 });
  const again = await cli.sallyport('tunnel', 'rotate', 'edge-node', '--yes', '-f', file);
  expect(again, again.stderr).toMatchObject({ status: 0 });
  const after = await keys();
  expect(after).not.toBe(before);
  expect(await keyFiles()).toBe('sp-edge-node.key\nsp-wg51820.key\n');
  expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await carries()).toMatchObject({ ok: true });
}, 60_000);

test('Ctrl-C when the edge alone has its new key: all is taken back, and it is said', async () => {
  const [before, dump] = [await keys(), await stands()];
  const { status, stderr } = await endIt({ at: 1, of: 'wg: another key', how: 'abort' });
  expect([status, stderr]).toEqual([
    1,
    expect.stringMatching(/^stopped; (edge and node|node and edge) are as they were\n$/),
  ]);
  expect([await keys(), await stands()]).toEqual([before, dump]);
  expect(await keyFiles()).toBe('sp-edge-node.key\nsp-wg51820.key\n');
}, 60_000);
