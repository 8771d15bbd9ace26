/** A tunnel in a tunnel of the same set: what does not encrypt goes by what does. */
import { expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, makes, startStory } from './testdata/story.ts';

const CARRIER = `---
apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: carrier }
spec:
  type: WireGuard
  ends:
    - { host: edge, addresses: [10.91.0.1/30, "fd91::1/64"], endpoint: "198.51.100.10:51820" }
    - { host: node, addresses: [10.91.0.2/30, "fd91::2/64"] }
`;
const carried = (type: string, edge: string, node: string): string => `type: ${type}
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "${edge}" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "${node}" }`;

for (const [type, outside, edge, node, mtu, kind] of [
  ['VXLAN', 4, '10.91.0.1', '10.91.0.2', 1390],
  ['VXLAN', 6, 'fd91::1', 'fd91::2', 1370],
  ['IPIP', 4, '10.91.0.1', '10.91.0.2', 1420, 'sit'],
  ['GRE', 6, 'fd91::1', 'fd91::2', 1396, 'ip6gre'],
] as const)
  test(`${type} over IPv${outside} in WireGuard`, async () => {
    await using story = await startStory(slimEdge());
    const { lab } = story;
    const text = documents({ tunnel: carried(type, edge, node) }) + CARRIER;
    if (kind !== undefined && !(await makes(lab, kind, outside))) {
      // That it is refused by name, tunnels.test.ts shows.
      expect((await story.sallyport(['plan', '-f', '-'], text)).stderr).toContain(`it has no ${kind} links`);
      return;
    }
    await lab.serve('node', { protocol: 'tcp', port: 8080 });
    await lab.serve('node', { protocol: 'udp', port: 5353 });
    await story.apply(text);
    const { stdout } = await lab.host('edge').run(['ip', '-j', 'link', 'show', 'dev', 'sp-edge-node']);
    expect(JSON.parse(stdout)).toMatchObject([{ mtu }]);
    for (const [to, client] of [
      ['198.51.100.10', '192.0.2.10'],
      ['2001:db8:e::10', '2001:db8:c::10'],
    ] as const) {
      expect(await story.ask('client', { protocol: 'tcp', to, port: 80 })).toBe(`seen from ${client}`);
      expect(await story.ask('client', { protocol: 'udp', to, port: 53 })).toBe(`seen from ${client}`);
    }
    expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
    await story.destroy(text);
  }, 120_000);
