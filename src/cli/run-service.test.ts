/** The examples of `sallyport run` as a service: what systemd says of the unit, and what run does with the arguments of unit and container. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { startCliLab } from './testdata/cli-lab.ts';
import { startRun } from './testdata/running.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const example = (name: string): Promise<string> =>
  readFile(new URL(`../../examples/run/${name}`, import.meta.url), 'utf8');

const INSTALLED = '/usr/local/bin/sallyport';

test('systemd has nothing against the unit, and it is given time enough to end', async () => {
  const unit = await example('sallyport-run.service');
  await using space = await startNamespace();
  // Its program need not be installed here.
  const path = '/run/sallyport-run.service';
  await space.run(['tee', path], { stdin: unit.replace(INSTALLED, SALLYPORT) });
  const verified = await space.run(['systemd-analyze', 'verify', '--man=no', path], { allowFailure: true });
  const ours = `${verified.stdout}${verified.stderr}`.split('\n').filter((line) => line.includes('sallyport-run'));
  expect(ours).toEqual([]);
  expect(verified.status).toBe(0);
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(1);
});

const DOCUMENTS = `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec: { access: { netns: { name: edge } } }
`;

describe('run takes up documents by the arguments of', () => {
  for (const [what, file, read] of [
    ['the unit', 'sallyport-run.service', (text: string) => /^ExecStart=(.*)$/m.exec(text)?.[1]?.split(' ')],
    ['the container', 'Containerfile', (text: string) => JSON.parse(/^ENTRYPOINT (.*)$/m.exec(text)?.[1] ?? '[]')],
  ] as const)
    test(what, async () => {
      const [program, command, ...args]: readonly string[] = read(await example(file)) ?? [];
      expect([program, command]).toEqual([what === 'the unit' ? INSTALLED : 'sallyport', 'run']);
      const folder = args.at(args.indexOf('-f') + 1);
      expect(folder).toMatch(/\/documents$/);
      await using place = await startCliLab({ neighbour: false });
      const documents = await place.documents('edge.yaml', DOCUMENTS);
      await using run = await startRun(
        place.lab,
        args.map((word) => (word === folder ? documents : word)),
      );
      await run.heard('the documents hold', ({ event }) => event === 'documents');
      await waitFor('it is ready', async () => {
        const curl = ['curl', '-so', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:9750/readyz'];
        return (await place.lab.run(curl, { allowFailure: true })).stdout === '200';
      });
      expect(await run.stop()).toMatchObject({ status: 0 });
    });
});
