import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, startStory, WIREGUARD } from './testdata/story.ts';

test('a WireGuard tunnel is up after the apply where both ends can be dialled, and one alone dials', async () => {
  const tunnel = WIREGUARD.replace(/(host: node, addresses: \[[^\]]*\])/, '$1, endpoint: "192.0.2.140:51820"');
  expect(tunnel.match(/endpoint/g)).toHaveLength(2);
  await using story = await startStory(slimEdge({ home: false }));
  await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
  expect(await story.sallyport(['apply', '--yes', '-f', '-'], documents({ tunnel }))).toMatchObject({ status: 0 });
  // A session that was thrown away comes back by itself with the next keepalive and the handshake after it, 20 s later.
  const status = await story.sallyport(['status', '--wait', '10s', '-f', '-'], documents({ tunnel }));
  expect(status, status.stdout).toMatchObject({ status: 0 });
});
