/** Tunnels on one link have one key at that end: they get new ones together. */
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, startStory, WIREGUARD, wg } from './testdata/story.ts';

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`;
/** The edge's neighbour is a second node; both can be dialled, and neither calls the other by itself. */
const SECOND = [
  document('Host', 'neighbour', 'access: { netns: { name: neighbour } }'),
  document(
    'Tunnel',
    'beside',
    'type: WireGuard, ends: [{ host: edge, addresses: [10.91.0.1/30], endpoint: "198.51.100.10:51820" }, { host: neighbour, addresses: [10.91.0.2/30], endpoint: "198.51.100.99:51820" }]',
  ),
].join('---\n');

test('a tunnel that was not asked for is named and goes on, with new keys at all three ends; one that nobody calls by itself is called', async () => {
  await using story = await startStory(slimEdge(), undefined, ['edge', 'node', 'neighbour']);
  const { lab, sallyport } = story;
  const written = `${documents({ tunnel: WIREGUARD })}---\n${SECOND}`;
  expect(await sallyport(['apply', '--yes', '-f', '-'], written)).toMatchObject({ status: 0 });
  const ends = [
    ['edge', 'sp-wg51820'],
    ['node', 'sp-edge-node'],
    ['neighbour', 'sp-wg51820'],
  ] as const;
  const keys = () => Promise.all(ends.map(([host, link]) => wg(lab, host, 'show', link, 'public-key')));
  const before = await keys();
  const done = await sallyport(['tunnel', 'rotate', 'beside', '--yes', '-f', '-'], written);
  expect(done, done.stderr).toMatchObject({ status: 0 });
  expect(done.stdout).toContain('default/edge-node shares sp-wg51820, which has one key: it gets new ones too');
  const after = await keys();
  expect(new Set([...before, ...after]).size).toBe(6);
  for (const [host, link] of ends) {
    // What called for the exchange alone is gone again.
    const keepalives = await wg(lab, host, 'show', link, 'persistent-keepalive');
    expect(keepalives.split('\n').map((line) => line.split('\t')[1])).toEqual(
      host === 'node' ? ['25'] : host === 'edge' ? ['off', 'off'] : ['off'],
    );
  }
  expect((await sallyport(['plan', '--detailed-exitcode', '-f', '-'], written)).status).toBe(0);
  const [edge = ''] = after;
  expect(await wg(lab, 'neighbour', 'show', 'sp-wg51820', 'latest-handshakes')).toMatch(/^\S{44}\t[1-9]\d+$/);

  // Another set has a tunnel on the same link, and its other end is not among the documents.
  const other = SECOND.replaceAll('beside', 'apart')
    .replaceAll('10.91', '10.92')
    .replaceAll('51820', '51830')
    .replace('198.51.100.10:51830', '198.51.100.10:51820');
  const apart = `${document('Host', 'edge', 'access: { netns: { name: edge } }')}---\n${other}`;
  const applied = await sallyport(['apply', '--yes', '--set', 'other', '-f', '-'], apart);
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  const alone = `${documents({ tunnel: WIREGUARD })}`;
  const refused = await sallyport(['tunnel', 'rotate', 'edge-node', '--yes', '-f', '-'], alone);
  expect(refused.stderr).toContain('its end neighbour does not answer or is not among the documents');
  expect([refused.status, (await keys())[0]]).toEqual([1, edge]);
  expect(await sallyport(['destroy', '--yes', '--all', '-f', '-'], written)).toMatchObject({ status: 0 });
}, 120_000);
