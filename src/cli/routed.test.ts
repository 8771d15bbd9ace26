/**
 * A node with a private address that no NAT stands before: the edge sees the tunnel's packets come from the very address that forwards
 * would aim at. Were that address routed into the tunnel, the tunnel's own packets would go there too.
 */
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, startStory, waitFor } from './testdata/story.ts';

test('once the edge hears the node there, forwards aim at the tunnel address', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    await lab.host('home').run(['nft', 'delete', 'table', 'ip', 'home']);
    await lab.host('internet').run(['ip', 'route', 'add', '192.168.1.0/24', 'via', '192.0.2.130']);
  });
  const text = documents();
  await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
  expect((await story.sallyport(['apply', '--yes', '-f', '-'], text)).status).toBe(0);
  const why = "10.90.0.2, its tunnel address: 192.168.1.20 is where the tunnel's own packets go";
  await waitFor('the edge hears the node', async () =>
    (await story.sallyport(['plan', '-f', '-'], text)).stdout.includes(why),
  );
  await story.apply(text);
  expect(await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 })).toBe('seen from 192.0.2.10');
  const { stdout: routes } = await story.lab.host('edge').run(['ip', 'route', 'show', 'dev', 'sp-wg51820']);
  expect(routes).not.toContain('192.168.1.20');
  expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
  await story.destroy(text);
}, 300_000);
