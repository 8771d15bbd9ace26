import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { asNobody, inAnotherProcess, withOpenTun } from './another-process.ts';
import { storyOf } from './index.ts';

const demoSlimEdge = storyOf('slim-edge').demo;
const here = new URL('./index.ts', import.meta.url).href;
const sallyport = [process.execPath, fileURLToPath(new URL('../cli/main.ts', import.meta.url))];

test('the story of the slim edge holds', async () => {
  let text = '';
  const out = (more: string): void => {
    text += more;
  };
  await demoSlimEdge({ sallyport, out, signal: new AbortController().signal });
  for (const line of [
    'client TCP to 198.51.100.10 port 80: connection refused',
    'you are 192.0.2.10',
    'you are 2001:db8:c::10',
    "the node's UDP server saw 192.0.2.10 port",
    "the node's UDP server saw 2001:db8:c::10 port",
    "every one WireGuard's",
    'edge is as it was',
    'node is as it was',
  ]) {
    expect(text).toContain(line);
  }
});

test('the story of a tunnel in a pod behind a balancer holds', async () => {
  let text = '';
  const out = (more: string): void => {
    text += more;
  };
  await storyOf('wireguard-behind-lb').demo({ sallyport, out, signal: new AbortController().signal });
  for (const line of [
    'balancer: 10.0.1.5 port 9000: DOWN, L4TOUT',
    'balancer: fd01::5 port 9000: DOWN, L4TOUT',
    'client through the tunnel, by 203.0.113.10: no answer',
    'on wg0 of the pod: tcp 10.0.1.5:9000 > 10.0.9.7:',
    'tunnelTakesReplies',
    'balancer: 10.0.1.5 port 9000: UP, L4OK',
    'client through the tunnel, by 203.0.113.10: answered',
    'seen there from 10.11.0.1',
    'pod is as it was',
  ])
    expect(text).toContain(line);
});

test('an abort ends the demo and its lab', async () => {
  const controller = new AbortController();
  const out = (text: string): void => {
    if (text.startsWith('$ sallyport plan')) controller.abort();
  };
  await expect(demoSlimEdge({ sallyport, out, signal: controller.signal })).rejects.toThrow(/abort/);
});

test('a command line that fails ends the demo with what it said', async () => {
  const demo = demoSlimEdge({
    sallyport: ['sh', '-c', 'echo broken >&2; exit 1'],
    out: () => {},
    signal: new AbortController().signal,
  });
  await expect(demo).rejects.toThrow(/status 1: broken/);
});

test.runIf(process.getuid?.() === 0)('the story holds for an ordinary user', async () => {
  const { said } = await inAnotherProcess(
    `import { storyOf } from '${here}';
    let text = '';
    const signal = new AbortController().signal;
    await storyOf('slim-edge').demo({ sallyport: ${JSON.stringify(sallyport)}, out: (more) => { text += more; }, signal });
    console.log(text.includes('node is as it was'));`,
    [...withOpenTun, ...asNobody],
  );
  expect(said).toBe('true');
});
