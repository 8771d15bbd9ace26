/** What used to work is protected: whoever listens on a host, and the connections that it tracks, as real packets have it. */
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import type { PromiseReport } from './plan-report.ts';
import { documents, startStory, waitFor } from './testdata/story.ts';

const V4 = '198.51.100.10';
/** So that the edge tracks connections before anything of ours is there. */
const STATEFUL =
  'table inet theirs { chain in { type filter hook input priority 0; policy accept; ct state established accept; }; }\n';

const promisesOf = (stdout: string): readonly PromiseReport[] => JSON.parse(stdout).promises;

test('a forward that would take the port of somebody who listens is refused with the rule, and takes it once accepted', async () => {
  await using story = await startStory(slimEdge());
  const { lab } = story;
  const text = documents();
  await using _own = await lab.serve('edge', { protocol: 'tcp', port: 80, family: 'IPv4' });
  await using _other = await lab.serve('edge', { protocol: 'tcp', port: 8443 });
  await using _target = await lab.serve('node', { protocol: 'tcp', port: 8080 });
  const reachedAt = async (): Promise<number | undefined> => {
    const result = await lab.connect('client', { protocol: 'tcp', to: V4, port: 80 });
    return result.ok ? result.saw?.local.port : undefined;
  };
  const before = await lab.dump('edge');
  const planned = await story.sallyport(['plan', '-o', 'json', '-f', '-'], text);
  expect(planned.status).toBe(1);
  const broken = promisesOf(planned.stdout).filter(({ holds }) => holds === false);
  expect(broken).toMatchObject([{ resource: 'Host/edge', promise: 'who listens on it is reached as before' }]);
  expect(broken[0]?.reason).toMatch(
    /^198\.51\.100\.10:80\/tcp, where somebody listens on edge: it would go to .* → 192\.168\.1\.20:8080\/tcp on node by inet sallyport sp_forwards: .* dnat ip to /,
  );
  expect(broken[0]?.trace).toBeDefined();
  const refused = await story.sallyport(['apply', '--yes', '-f', '-'], text);
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('198.51.100.10:80/tcp, where somebody') });
  expect([await lab.dump('edge'), await reachedAt()]).toEqual([before, 80]);

  const accepted = ['--accept', 'Host/edge: who listens on it is reached as before'];
  const applied = await story.sallyport(['apply', '--yes', ...accepted, '-f', '-'], text);
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  await story.apply(text); // once it is so, nothing of the kind is lost by applying again
  expect(await reachedAt()).toBe(8080);
  expect(await story.ask('client', { protocol: 'tcp', to: V4, port: 8443 })).toBe('seen from 192.0.2.10');
  await story.destroy(text);
});

test('a route that would take the answers of a standing session away is refused by its name, and does so once accepted', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    await lab.host('edge').run(['nft', '-f', '-'], { stdin: STATEFUL });
  });
  const { lab } = story;
  const plain = documents();
  // The administrator's own machine is said to stand behind the node.
  const text = documents({
    forward: 'ports: [{ protocol: TCP, port: 80 }]\n  to: [{ host: node, via: edge-node, address: 192.0.2.10 }]',
  });
  await using _ssh = await lab.serve('edge', { protocol: 'tcp', port: 22 });
  const sessions = await lab.holdFlows('client', { protocol: 'tcp', to: V4, port: 22, count: 3, intervalMs: 50 });
  expect(await story.sallyport(['plan', '-f', '-'], plain)).toMatchObject({ status: 0 });
  const planned = await story.sallyport(['plan', '-o', 'json', '-f', '-'], text);
  expect(planned.status).toBe(1);
  const goOn = promisesOf(planned.stdout).find(({ promise }) => promise === 'the connections that it tracks go on');
  expect(goOn).toMatchObject({ resource: 'Host/edge', holds: false });
  expect(goOn?.reason).toMatch(
    /192\.0\.2\.10:\d+ → 198\.51\.100\.10:22\/tcp, which stands now, would break: node drops .*; so would 2 more$/,
  );
  const refused = await story.sallyport(['apply', '--yes', '-f', '-'], text);
  expect(refused.status).toBe(1);
  expect(await sessions.report()).toMatchObject({ open: 3, lost: 0 });
  const applied = await story.sallyport(
    ['apply', '--yes', '--accept', 'Host/edge', '--accept', 'PortForward/services', '-f', '-'],
    text,
  );
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  await waitFor('the sessions lost', async () => (await sessions.report()).lost === 3);
  await sessions.stop();
  await story.destroy(text);
});
