/** The whole first story at that size: many forwards in both families through WireGuard, on edge and node. */

import { slimEdgeDocuments } from '../src/cli/testdata/cli-lab.ts';
import { slimEdge, startLab } from '../src/lab/index.ts';
import { makeFolder } from './documents.ts';
import { type Line, median, readPeak, TELL_PEAK, timed } from './measure.ts';

/** `moved`: the last one goes to another port. */
function storyOf(count: number, moved: boolean): string {
  const forwards = Array.from({ length: count }, (_, index) => {
    const target = moved && index === count - 1 ? 60_000 : 20_000 + Math.floor(index / 2);
    return `apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: forward-${index} }
spec:
  at: { hosts: [edge] }
  ports:
    - { protocol: ${index % 2 === 0 ? 'TCP' : 'UDP'}, port: ${1024 + Math.floor(index / 2)}, targetPort: ${target} }
  to:
    - { host: node, via: edge-node }
`;
  });
  return [slimEdgeDocuments(), ...forwards].join('---\n');
}

export async function measureStory(sallyport: string, count: number, rounds: number): Promise<readonly Line[]> {
  await using folder = await makeFolder();
  const works = [
    ['apply --yes on empty hosts', 'apply', await folder.write('all.yaml', storyOf(count, false))],
    ['apply --yes of one changed', 'apply', await folder.write('changed.yaml', storyOf(count, true))],
    ['destroy --yes', 'destroy', await folder.write('gone.yaml', storyOf(count, true))],
  ] as const;
  const samples = works.map(([what]) => ({ what, ms: [] as number[], peaks: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    await using lab = await startLab(slimEdge());
    for (const [index, [, verb, file]] of works.entries()) {
      const argv = [process.execPath, ...TELL_PEAK, sallyport, verb, '--yes', '-f', file];
      let stderr = '';
      const ms = await timed(async () => {
        ({ stderr } = await lab.run(argv, { timeoutMs: 120_000 }));
      });
      samples[index]?.ms.push(ms);
      samples[index]?.peaks.push(readPeak(stderr));
    }
  }
  return samples.flatMap(({ what, ms, peaks }): readonly Line[] => [
    { what: `slim edge with ${count} forwards in both families: ${what}`, value: median(ms), unit: 'ms' },
    {
      what: `slim edge with ${count} forwards in both families: ${what}, peak memory`,
      value: median(peaks),
      unit: 'MiB',
    },
  ]);
}
