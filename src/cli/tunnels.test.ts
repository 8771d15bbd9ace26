/**
 * Tunnels that put packets into packets: each kind over both families, on a kernel that has it. One that has not is asked too: then the
 * plan names what is missing, and nothing is changed.
 */
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, makes, type Story, startStory } from './testdata/story.ts';

const V4 = '198.51.100.10';
const V6 = '2001:db8:e::10';

const tunnel = (type: string, outside: 4 | 6): string => {
  const [edge, node] = outside === 4 ? ['172.31.0.1', '172.31.0.2'] : ['fd31::1', 'fd31::2'];
  return `type: ${type}
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "${edge}" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "${node}" }`;
};

async function refused({ lab, sallyport }: Story, text: string, says: string): Promise<void> {
  const before = await lab.dump('edge');
  for (const command of [['plan'], ['apply', '--yes']]) {
    const { status, stdout, stderr } = await sallyport([...command, '-f', '-'], text);
    expect(stdout + stderr).toContain(says);
    expect(status).not.toBe(0);
  }
  expect(await lab.dump('edge')).toBe(before);
}

for (const [type, outside, kind, mtu] of [
  ['IPIP', 4, 'sit', 1480],
  ['IPIP', 6, 'ip6tnl', 1460],
  ['GRE', 4, 'gre', 1476],
  ['GRE', 6, 'ip6gre', 1456],
] as const)
  test(`${type} over IPv${outside} carries both families, or is refused by name`, { tags: ['vm'] }, async () => {
    await using story = await startStory(slimEdge({ privateLink: true }));
    const { lab } = story;
    const text = documents({ tunnel: tunnel(type, outside) });
    if (!(await makes(lab, kind, outside))) {
      const says = `edge: ${type} over IPv${outside} is not supported by this kernel: it has no ${kind} links`;
      return await refused(story, text, says);
    }
    await lab.serve('node', { protocol: 'tcp', port: 8080 });
    await lab.serve('node', { protocol: 'udp', port: 5353 });
    await story.apply(text);
    const { stdout } = await lab.host('edge').run(['ip', '-j', '-d', 'link', 'show', 'dev', 'sp-edge-node']);
    expect(JSON.parse(stdout)).toMatchObject([{ mtu, linkinfo: { info_kind: kind } }]);
    await using wire = await lab.capture('edge', 'priv0');
    for (const [to, client] of [
      [V4, '192.0.2.10'],
      [V6, '2001:db8:c::10'],
    ] as const) {
      expect(await story.ask('client', { protocol: 'tcp', to, port: 80 })).toBe(`seen from ${client}`);
      expect(await story.ask('client', { protocol: 'udp', to, port: 53 })).toBe(`seen from ${client}`);
    }
    const bare = (await wire.stop()).filter(({ protocol }) => protocol === 'tcp' || protocol === 'udp');
    expect(bare, 'all of it went by the tunnel').toEqual([]);
    expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
    await story.destroy(text);
  });
