/** Issue 3, line 5: firewalls of others on the hosts. Our traffic comes through, nobody else's does, and what they wrote stays to the byte. */
import { describe, expect, test } from 'vitest';
import { type Lab, type SlimEdgeOptions, slimEdge } from '../lab/index.ts';
import { CLOUD_IMAGE, DOCKER_20, DOCKER_28, LEGACY, NFT, NFT_STATELESS } from './testdata/firewalls.ts';
import { type Documents, documents, type Story, startStory } from './testdata/story.ts';

const V4 = '198.51.100.10';
const V6 = '2001:db8:e::10';
const CLIENT = { [V4]: 'seen from 192.0.2.10', [V6]: 'seen from 2001:db8:c::10' };

/** Every rule on the host by the tools that made them, without counters; a table that iptables cannot list any more says so. */
const RULES =
  'nft -s list ruleset 2>/dev/null; for f in ip ip6; do for b in nft legacy; do [ $b = nft ] || [ -n "$(cat /proc/net/"$f"_tables_names)" ] || continue; "$f"tables-$b-save | sed "/^# Generated\\|^# Completed/d; s/ \\[.*\\]$//"; done; done';

const rules = async (lab: Lab): Promise<string> =>
  (await Promise.all(['edge', 'node'].map((host) => lab.host(host).run(['sh', '-c', RULES]))))
    .map(({ stdout }) => stdout)
    .join('----\n');

async function startWith(onEdge: string, onNode: string, options: SlimEdgeOptions = {}): Promise<Story> {
  return await startStory(slimEdge(options), async (lab) => {
    await lab.host('edge').run(['sh', '-ec', onEdge]);
    await lab.host('node').run(['sh', '-ec', onNode]);
    await lab.serve('node', { protocol: 'tcp', port: 8080 });
    await lab.serve('node', { protocol: 'udp', port: 5353 });
  });
}

/** TCP and UDP over both families: who the server saw. */
async function expectThrough(story: Story): Promise<void> {
  for (const to of [V4, V6] as const)
    for (const [protocol, port] of [
      ['tcp', 80],
      ['udp', 53],
    ] as const)
      expect(await story.ask('client', { protocol, to, port }), `${protocol} to ${to}`).toBe(CLIENT[to]);
}

const planStatus = async (story: Story, text: string): Promise<number> =>
  (await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status;

const CASES: readonly (readonly [
  string,
  { edge?: string; node?: string; options?: SlimEdgeOptions; parts?: Documents; places: readonly string[] },
])[] = [
  ['dockerd 20 on the edge', { edge: DOCKER_20, places: ['iptables -t filter DOCKER-USER'] }],
  [
    'dockerd 28 on the edge',
    { edge: DOCKER_28, places: ['iptables -t filter DOCKER-USER', 'ip6tables -t filter DOCKER-USER'] },
  ],
  [
    'a cloud image on the edge',
    {
      edge: CLOUD_IMAGE,
      places: ['iptables -t filter INPUT', 'iptables -t filter FORWARD', 'ip6tables -t filter FORWARD'],
    },
  ],
  ['a cloud image at home', { node: CLOUD_IMAGE, places: ['iptables -t filter INPUT', 'ip6tables -t filter INPUT'] }],
  [
    'rules of the older kind on the edge',
    {
      edge: LEGACY,
      places: [
        'iptables-legacy -t filter INPUT',
        'iptables-legacy -t filter FORWARD',
        'ip6tables-legacy -t filter FORWARD',
      ],
    },
  ],
  [
    'nft by hand on the edge',
    { edge: NFT, places: ['inet fw early', 'inet fw input', 'inet fw forward', 'inet fw output'] },
  ],
  ['nft by hand at home', { node: NFT, places: ['inet fw early', 'inet fw input', 'inet fw output'] }],
  ['nft that refuses, on the edge', { edge: NFT_STATELESS, places: ['ip fw4 forward', 'ip6 fw6 forward'] }],
  [
    'both kinds and nft at once, on both',
    {
      edge: `${CLOUD_IMAGE}\n${NFT_STATELESS}`,
      node: `${LEGACY}\n${CLOUD_IMAGE}`,
      places: [
        'iptables -t filter INPUT',
        'iptables -t filter FORWARD',
        'ip6tables -t filter FORWARD',
        'ip fw4 forward',
        'ip6 fw6 forward',
        'iptables -t filter INPUT',
        'ip6tables -t filter INPUT',
        'iptables-legacy -t filter INPUT',
        'ip6tables-legacy -t filter INPUT',
      ],
    },
  ],
];

describe('our traffic comes through', () => {
  for (const [name, { edge = ':', node = ':', options = {}, parts = {}, places }] of CASES)
    test(`${name}`, async () => {
      await using story = await startWith(edge, node, options);
      const { lab } = story;
      const before = await rules(lab);
      const text = documents(parts);
      const { stdout } = await story.sallyport(['plan', '-o', 'json', '-f', '-'], text);
      const { hosts, promises } = JSON.parse(stdout);
      const accepts = hosts
        .flatMap(({ changes }: { changes: readonly { object: string; name: string }[] }) => changes)
        .filter(({ object }: { object: string }) => object === 'accept');
      expect(promises.filter(({ holds }: { holds: unknown }) => holds !== true)).toEqual([]);
      expect(accepts.map((each: { name: string }) => each.name).sort()).toEqual([...places].sort());
      for (const each of accepts) expect(each).toMatchObject({ action: 'add', transactional: false, reversible: true });
      await story.apply(text);
      await expectThrough(story);
      expect(await rules(lab)).not.toContain('incompatible');
      expect(await planStatus(story, text)).toBe(0);
      await story.destroy(text);
      expect(await rules(lab)).toBe(before);
    }, 240_000);
});
