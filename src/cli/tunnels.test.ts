/**
 * Tunnels that put packets into packets: each kind over both families, on a kernel that has it. One that has not is asked too: then the
 * plan names what is missing, and nothing is changed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { DIRECT, documents, makes, type Story, startStory } from './testdata/story.ts';

const ASKED = { 4: ['198.51.100.10', '192.0.2.10'], 6: ['2001:db8:e::10', '2001:db8:c::10'] } as const;

const tunnel = (type: string, outside: 4 | 6, inside: readonly (4 | 6)[]): string => {
  const [edge, node] = outside === 4 ? ['172.31.0.1', '172.31.0.2'] : ['fd31::1', 'fd31::2'];
  const addresses = (host: 1 | 2): string =>
    inside.map((family) => (family === 4 ? `10.90.0.${host}/30` : `"fd90::${host}/64"`)).join(', ');
  const endpoint = (address: string): string =>
    type !== 'WireGuard' ? address : outside === 4 ? `${address}:51820` : `[${address}]:51820`;
  return `type: ${type}
  ends:
    - { host: edge, addresses: [${addresses(1)}], endpoint: "${endpoint(edge)}" }
    - { host: node, addresses: [${addresses(2)}], endpoint: "${endpoint(node)}" }`;
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

// One network for all: on an emulated machine its start and its servers take longer than a tunnel.
describe('tunnels on one private link', () => {
  let story: Story;
  beforeAll(async () => {
    story = await startStory(slimEdge({ privateLink: true }));
    await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
    await story.lab.serve('node', { protocol: 'udp', port: 5353 });
  });
  afterAll(async () => story[Symbol.asyncDispose]());

  /** Applies, asks by both protocols, plans again, destroys. Gives the packets of the private link that were in no tunnel. */
  async function serves(text: string, families: readonly (4 | 6)[], look?: () => Promise<void>) {
    await story.apply(text);
    await look?.();
    await using wire = await story.lab.capture('edge', 'priv0');
    for (const family of families) {
      const [to, client] = ASKED[family];
      expect(await story.ask('client', { protocol: 'tcp', to, port: 80 })).toBe(`seen from ${client}`);
      expect(await story.ask('client', { protocol: 'udp', to, port: 53 })).toBe(`seen from ${client}`);
    }
    const bare = (await wire.stop()).filter(({ protocol }) => protocol === 'tcp' || protocol === 'udp');
    expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
    await story.destroy(text);
    return bare;
  }

  for (const [type, outside, kind, mtu, inside] of [
    ['IPIP', 4, 'sit', 1480, [4, 6]],
    ['IPIP', 4, 'ipip', 1480, [4]],
    ['IPIP', 6, 'ip6tnl', 1460, [4, 6]],
    ['GRE', 4, 'gre', 1476, [4, 6]],
    ['GRE', 6, 'ip6gre', 1456, [4, 6]],
    ['VXLAN', 4, 'vxlan', 1450, [4, 6]],
    ['VXLAN', 6, 'vxlan', 1430, [4, 6]],
    ['WireGuard', 4, 'wireguard', 1440, [4, 6]],
    ['WireGuard', 6, 'wireguard', 1420, [4, 6]],
  ] as const)
    test(`${type} over IPv${outside} carries ${inside.length === 2 ? 'both families' : 'IPv4 alone'}, or is refused by name`, {
      // The others there by FILES=src/cli/tunnels.test.ts: a kind takes two minutes.
      tags: type === 'IPIP' && outside === 4 ? ['vm'] : [],
    }, async () => {
      const text = documents({ tunnel: tunnel(type, outside, inside) });
      if ((type === 'IPIP' || type === 'GRE') && !(await makes(story.lab, kind, outside))) {
        const says = `edge: ${type} over IPv${outside} is not supported by this kernel: it has no ${kind} links`;
        return await refused(story, text, says);
      }
      const bare = await serves(text, inside, async () => {
        const links = await story.lab.host('edge').run(['ip', '-j', '-d', 'link', 'show']);
        const ours = JSON.parse(links.stdout).filter(({ ifname }: { ifname: string }) => ifname.startsWith('sp-'));
        // What wireguard-go serves is a tun device to the kernel.
        const info_kind = kind === 'wireguard' && process.env.LAB_LANE !== 'vm' ? 'tun' : kind;
        expect(ours).toMatchObject([{ mtu, linkinfo: { info_kind } }]);
      });
      const wrapped = type === 'VXLAN' ? 4789 : type === 'WireGuard' ? 51820 : 0;
      expect(
        bare.filter(
          ({ sourcePort, destinationPort }) => wrapped === 0 || ![sourcePort, destinationPort].includes(wrapped),
        ),
        'all of it went by the tunnel',
      ).toEqual([]);
    });

  test('Direct carries both families', async () => {
    expect((await serves(documents({ tunnel: DIRECT }), [4, 6])).length).toBeGreaterThan(4);
  });
});
