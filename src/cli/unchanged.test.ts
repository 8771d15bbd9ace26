/** A plain `doctor` changes nothing, however it gets at the host: neither the kernel's state nor a file. */
import { expect, test } from 'vitest';
import { type Lab, slimEdge } from '../lab/index.ts';
import { dumpWithTunnels, filesOf } from './testdata/lab-doctor.ts';
import { documents, SALLYPORT, startStory } from './testdata/story.ts';

/** All that stands: of both hosts, and of the machine on which the command runs. */
async function everything(lab: Lab): Promise<Readonly<Record<string, string>>> {
  const [edge, node, files] = [
    await dumpWithTunnels(lab, 'edge'),
    await dumpWithTunnels(lab, 'node'),
    await filesOf(lab),
  ];
  return { edge, node, files };
}

test('locally, in a namespace, of documents, collected and read from a bundle: after each all is as it was', async () => {
  await using story = await startStory(slimEdge());
  const { lab } = story;
  const text = documents();
  await using _server = await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await story.apply(text);
  expect(await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 })).toBe('seen from 192.0.2.10');
  // A fault, so that it has something to say.
  const theirs =
    'table ip theirs { chain pre { type nat hook prerouting priority -100; tcp dport 8443 dnat to 192.168.1.20:443; }; }\n';
  await lab.host('edge').run(['nft', '-f', '-'], { stdin: theirs });
  await lab.host('edge').run(['sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=0']);
  await lab.run(['mkdir', '-p', '/run/bundles']);
  const inside = ['nsenter', '--net=/run/netns/edge'];
  const collect = `${process.execPath} ${SALLYPORT} doctor --collect | nsenter --net=/run/netns/edge sh >/run/bundles/edge`;
  const looks: readonly (readonly [string, () => Promise<{ readonly stdout: string; readonly status: number }>])[] = [
    [
      'locally',
      () => lab.run([...inside, process.execPath, SALLYPORT, 'doctor'], { allowFailure: true, timeoutMs: 60_000 }),
    ],
    ['--netns', () => story.sallyport(['doctor', '--netns', 'edge'])],
    ['-f', () => story.sallyport(['doctor', '-f', '-'], text)],
    ['-o json', () => story.sallyport(['doctor', '-f', '-', '-o', 'json'], text)],
    ['--collect', () => lab.run(['sh', '-c', `${collect}; cat /run/bundles/edge`], { timeoutMs: 60_000 })],
    ['--bundle', () => story.sallyport(['doctor', '--bundle', '/run/bundles/edge'])],
  ];
  const before = await everything(lab);
  expect(before.edge).toContain('table inet sallyport');
  for (const [how, look] of looks) {
    const { stdout, status } = await look();
    if (how === '--collect') expect(stdout).toMatch(/^sallyport-bundle 1 /);
    else expect([how, status, stdout]).toEqual([how, 1, expect.stringContaining('forwardingOff')]);
    expect(await everything(lab), how).toEqual(before);
  }
  await lab.host('edge').run(['sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=1']);
  await lab.host('edge').run(['nft', 'delete', 'table', 'ip', 'theirs']);
  await story.destroy(text);
}, 240_000);
