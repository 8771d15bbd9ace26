import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startLab } from '../lab.ts';
import { onTunnel, unanswered } from './fault.ts';
import { ADVICE, HEALTH, POD, podNetwork, wgQuick } from './pod.ts';

const sallyport = fileURLToPath(new URL('../../../bin/sallyport', import.meta.url));
const hosts = ['prober', 'router', 'near', 'pod']
  .map(
    (name) =>
      `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n---\n`,
  )
  .join('');

test('the pod behind the load balancer: each advice of the web, tried with real packets and traced, and the two agree', async () => {
  await using lab = await startLab(podNetwork);
  await wgQuick(lab);
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-pod-'));
  const file = join(folder, 'hosts.yaml');
  try {
    await writeFile(file, hosts);
    for (const { title, script, undo, far, near } of ADVICE) {
      await onTunnel(lab, 'pod', script);
      const probers = [
        ['prober', '10.0.9.7', far],
        ['near', '10.0.1.9', near],
      ] as const;
      const told = await Promise.all(
        probers.map(async ([host, address, isAnswered]) => {
          const seen = await unanswered(lab, host, POD, HEALTH, { timeoutMs: 1_200 });
          const argv = ['trace', '-f', file, '--live', '--from', address, '--to', `${POD}:${HEALTH}/tcp`, '-o', 'json'];
          const { stdout } = await lab.run([process.execPath, sallyport, ...argv], { allowFailure: true });
          const { traces } = JSON.parse(stdout);
          // What lies behind the tunnel's peer nobody knows: that the answer goes there is what the model can tell.
          const isInto = JSON.stringify(traces[0].reply.hops).includes('dev wg0 table 51820');
          expect([title, host, seen === undefined, traces[0].works === true]).toEqual([
            title,
            host,
            isAnswered,
            isAnswered,
          ]);
          return isAnswered || isInto;
        }),
      );
      expect([title, told]).toEqual([title, [true, true]]);
      await onTunnel(lab, 'pod', undo);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
