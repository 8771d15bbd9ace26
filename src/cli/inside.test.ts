/** The public address asked from inside: by the edge itself, by the node, by a machine at home beside it. */
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, startStory } from './testdata/story.ts';

const V4 = '198.51.100.10';
const V6 = '2001:db8:e::10';
/** What the home router shows of those behind it. */
const HOME = '192.0.2.130';

for (const edgeDynamic of [false, true])
  test(`the edge itself, a machine at home and the node reach the ${edgeDynamic ? 'leased ' : ''}public address as clients do`, async () => {
    await using story = await startStory(slimEdge({ nas: true, edgeDynamic }));
    const text = documents();
    await story.apply(text);
    await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
    await story.lab.serve('node', { protocol: 'udp', port: 5353 });
    for (const [host, to, from] of [
      ['edge', V4, V4],
      ['edge', V6, V6],
      ['nas', V4, HOME],
      ['nas', V6, '2001:db8:1::30'],
      ['node', V4, HOME],
      // It asks itself by way of the edge, and sees the edge. That a lease belongs to the edge it does not know.
      ...(edgeDynamic ? [] : ([['node', V6, V6]] as const)),
    ] as const)
      for (const [protocol, port] of [
        ['tcp', 80],
        ['udp', 53],
      ] as const)
        expect([host, to, protocol, await story.ask(host, { protocol, to, port })]).toEqual([
          ...[host, to, protocol],
          `seen from ${from}`,
        ]);
    // What else the edge serves, the node reaches as before, though the answers come by the tunnel.
    await story.lab.serve('edge', { protocol: 'tcp', port: 22 });
    if (!edgeDynamic)
      expect(await story.ask('node', { protocol: 'tcp', to: V6, port: 22 })).toBe('seen from 2001:db8:1::20');
    await story.destroy(text);
  });

test('a node on the Internet itself reaches its own service by the public address, though the forward aims at the tunnel', async () => {
  await using story = await startStory(slimEdge({ home: false }));
  const text = documents();
  await story.apply(text);
  await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
  await story.lab.serve('node', { protocol: 'udp', port: 5353 });
  for (const [to, protocol, port] of [
    [V4, 'tcp', 80],
    [V4, 'udp', 53],
    [V6, 'tcp', 80],
    [V6, 'udp', 53],
  ] as const)
    expect([to, protocol, await story.ask('node', { protocol, to, port })]).toEqual([to, protocol, `seen from ${to}`]);
  await story.destroy(text);
});
