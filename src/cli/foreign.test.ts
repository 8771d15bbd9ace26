/** Issue 3, line 5: firewalls of others on the hosts. Our traffic comes through, nobody else's does, and what they wrote stays to the byte. */
import { describe, expect, test } from 'vitest';
import { type Lab, type SlimEdgeOptions, slimEdge } from '../lab/index.ts';
import { CLOUD_IMAGE, DOCKER_20, DOCKER_28, LEGACY, NFT, NFT_STATELESS } from './testdata/firewalls.ts';
import { DIRECT, type Documents, documents, type Story, startStory } from './testdata/story.ts';

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

const VXLAN = `type: VXLAN
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "172.31.0.1:4789" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "172.31.0.2:4789" }`;

const CASES: readonly (readonly [
  string,
  { edge?: string; node?: string; options?: SlimEdgeOptions; parts?: Documents; places: readonly string[] },
])[] = [
  [
    'dockerd 20 on the edge, a cloud image at home',
    {
      ...{ edge: DOCKER_20, node: CLOUD_IMAGE },
      places: ['iptables -t filter DOCKER-USER', 'iptables -t filter INPUT', 'ip6tables -t filter INPUT'],
    },
  ],
  [
    'dockerd 28 on the edge, nft by hand at home',
    {
      ...{ edge: DOCKER_28, node: NFT },
      places: [
        ...['iptables -t filter DOCKER-USER', 'ip6tables -t filter DOCKER-USER'],
        ...['inet fw early', 'inet fw input', 'inet fw output'],
      ],
    },
  ],
  [
    'a cloud image on the edge',
    {
      edge: CLOUD_IMAGE,
      places: ['iptables -t filter INPUT', 'iptables -t filter FORWARD', 'ip6tables -t filter FORWARD'],
    },
  ],
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
  [
    'a cloud image on both, over VXLAN',
    {
      ...{ edge: CLOUD_IMAGE, node: CLOUD_IMAGE, options: { privateLink: true }, parts: { tunnel: VXLAN } },
      places: [
        ...['iptables -t filter INPUT', 'iptables -t filter FORWARD', 'ip6tables -t filter FORWARD'],
        ...['iptables -t filter INPUT', 'ip6tables -t filter INPUT'],
      ],
    },
  ],
  [
    'a cloud image on both, over a private network',
    {
      ...{ edge: CLOUD_IMAGE, node: CLOUD_IMAGE, options: { privateLink: true }, parts: { tunnel: DIRECT } },
      places: [
        ...['iptables -t filter FORWARD', 'ip6tables -t filter FORWARD'],
        ...['iptables -t filter INPUT', 'ip6tables -t filter INPUT'],
      ],
    },
  ],
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
      // Directly, a server that is bound to no address may answer from the private network.
      const isSure = parts.tunnel !== DIRECT;
      const doubts = promises.filter(({ holds }: { holds: unknown }) => holds === false || (isSure && holds !== true));
      expect(doubts.map(({ promise, reason }: { promise: string; reason: string }) => `${promise}: ${reason}`)).toEqual(
        [],
      );
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

test('a container behind a node with Docker on it is reached, and sees the client', async () => {
  await using story = await startWith(':', DOCKER_28, { pod: true });
  const text = documents({
    forward:
      'ports: [{ protocol: TCP, port: 443, targetPort: 8443 }]\n  to: [{ host: node, via: edge-node, address: 10.42.0.10 }]',
    at: `{ hosts: [edge], addresses: [${V4}] }`,
  });
  await story.lab.serve('pod', { protocol: 'tcp', port: 8443 });
  await story.apply(text);
  expect(await story.ask('client', { protocol: 'tcp', to: V4, port: 443 })).toBe(CLIENT[V4]);
  await story.destroy(text);
}, 120_000);

describe('nobody else comes through', () => {
  const shut = /^(timeout|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH)$/;
  for (const [name, edge] of [
    ['in a set of nft', NFT],
    ['in DOCKER-USER', DOCKER_20],
  ] as const)
    test(`whom the owner bans ${name} stays banned, and a neighbour and the edge itself stay out`, async () => {
      await using story = await startWith(edge, NFT);
      const { lab } = story;
      await lab.host('client').run(['ip', 'address', 'add', '192.0.2.66/25', 'dev', 'eth0']);
      await lab.host('neighbour').run(['ip', 'route', 'add', '192.168.1.0/24', 'via', V4]);
      await lab.serve('node', { protocol: 'tcp', port: 2222 });
      await lab.serve('edge', { protocol: 'tcp', port: 2222 });
      await story.apply(documents());
      await expectThrough(story);
      const banned = { protocol: 'tcp', to: V4, port: 80, sourceAddress: '192.0.2.66', timeoutMs: 1_000 } as const;
      expect(await story.ask('client', banned)).toMatch(shut);
      for (const [host, to, port] of [
        ['neighbour', '192.168.1.20', 8080],
        ['edge', '10.90.0.2', 2222],
        ['edge', '192.168.1.20', 2222],
        ['node', '10.90.0.1', 2222],
      ] as const)
        expect(await story.ask(host, { protocol: 'tcp', to, port, timeoutMs: 700 }), `${host} to ${to}`).toMatch(shut);
      await story.destroy(documents());
    }, 120_000);
});

test('what the owner does away with is seen by status, and an apply puts it back', async () => {
  await using story = await startWith(CLOUD_IMAGE, ':');
  const { lab } = story;
  const text = documents();
  const edge = (...argv: readonly string[]) => lab.host('edge').run(argv);
  const drift = async (): Promise<readonly string[]> => {
    const { stdout, status } = await story.sallyport(['status', '-o', 'json', '-f', '-'], text);
    const { hosts } = JSON.parse(stdout);
    const found = hosts[0].drift.map(
      (each: { action: string; object: string; name: string }) => `${each.action} ${each.object} ${each.name}`,
    );
    expect(status).toBe(found.length > 0 ? 1 : 0);
    return found;
  };
  await story.apply(text);
  expect(await drift()).toEqual([]);
  // A reload of the image's own rules.
  await edge('iptables-nft', '-F', 'FORWARD');
  await edge('iptables-nft', '-A', 'FORWARD', '-j', 'REJECT', '--reject-with', 'icmp-host-prohibited');
  expect(await drift()).toEqual(['add accept iptables -t filter FORWARD']);
  expect(await story.ask('client', { protocol: 'tcp', to: V4, port: 80, timeoutMs: 700 })).not.toBe(CLIENT[V4]);
  await story.apply(text);
  await expectThrough(story);
  // What comes before ours and does no harm is left; what does, ours goes before.
  await edge('iptables-nft', '-I', 'FORWARD', '-s', '192.0.2.66', '-j', 'DROP');
  expect(await drift()).toEqual([]);
  await edge('iptables-nft', '-I', 'FORWARD', '2', '-p', 'tcp', '-j', 'DROP');
  // After a boot it would be put where it stood.
  const written = expect.stringMatching(/^change file \S+\/restore\.sh$/);
  expect(await drift()).toEqual(['change accept iptables -t filter FORWARD', written]);
  await story.apply(text);
  await expectThrough(story);
  const { stdout } = await edge('iptables-nft', '-S', 'FORWARD');
  expect(stdout.split('\n').map((line) => line.replace('-A FORWARD ', ''))).toEqual([
    '-P FORWARD ACCEPT',
    '-s 192.0.2.66/32 -j DROP',
    '-i sp-wg51820 -m comment --comment sallyport -j ACCEPT',
    '-o sp-wg51820 -m comment --comment sallyport -j ACCEPT',
    '-p tcp -j DROP',
    '-j REJECT --reject-with icmp-host-prohibited',
    '',
  ]);
}, 120_000);

test('dockerd that starts again leaves DOCKER-USER as it is, and ours in it', async () => {
  await using story = await startWith(DOCKER_28, ':');
  const { lab } = story;
  await story.apply(documents());
  // As dockerd does: its jumps go and come, its own chains are written anew, DOCKER-USER is made where it is missing.
  await lab
    .host('edge')
    .run([
      'sh',
      '-ec',
      'for t in iptables-nft ip6tables-nft; do $t -D FORWARD -j DOCKER-USER; $t -D FORWARD -j DOCKER-FORWARD; $t -N DOCKER-USER 2>/dev/null || :; $t -F DOCKER-CT; $t -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; $t -I FORWARD -j DOCKER-FORWARD; $t -I FORWARD -j DOCKER-USER; $t -P FORWARD DROP; done',
    ]);
  await expectThrough(story);
  expect(await planStatus(story, documents())).toBe(0);
}, 120_000);

test('undo.sh takes ours from every firewall, without us', async () => {
  await using story = await startWith(`${CLOUD_IMAGE}\n${NFT}`, `${LEGACY}\n${CLOUD_IMAGE}`);
  const { lab } = story;
  const before = await Promise.all(['edge', 'node'].map((host) => lab.dump(host)));
  const rulesBefore = await rules(lab);
  await story.apply(documents());
  expect(await rules(lab)).toContain('sallyport');
  for (const host of ['edge', 'node']) {
    const inode = (await lab.host(host).run(['stat', '-L', '-c', '%i', '/proc/self/ns/net'])).stdout.trim();
    expect((await lab.host(host).run(['sh', `/run/sallyport/netns/${inode}/undo.sh`])).stderr).toBe('');
  }
  expect(await Promise.all(['edge', 'node'].map((host) => lab.dump(host)))).toEqual(before);
  expect(await rules(lab)).toBe(rulesBefore);
}, 120_000);

test('foreignFirewall: Refuse names the rule, and changes nothing', async () => {
  await using story = await startWith(CLOUD_IMAGE, ':');
  const { lab } = story;
  const before = await lab.dump('edge');
  const text = documents({ edge: ', foreignFirewall: Refuse' }).replace(
    'access: { netns: { name: edge } }, foreignFirewall: Refuse',
    'access: { netns: { name: edge } }\n  foreignFirewall: Refuse',
  );
  for (const command of [['plan'], ['apply', '--yes']]) {
    const { status, stderr } = await story.sallyport([...command, '-f', '-'], text);
    expect(stderr).toContain(
      'spec.foreignFirewall: edge: ip filter FORWARD: -A FORWARD -j REJECT --reject-with icmp-host-prohibited (handle ',
    );
    expect(stderr).toContain('stops what leaves by sp-wg51820, and foreignFirewall is Refuse');
    expect(status).toBe(2);
  }
  expect(await lab.dump('edge')).toBe(before);
}, 60_000);

test('where one of the firewalls takes nothing of ours, what stands in the others is taken back', async () => {
  // nft reads the name by JSON alone: as text it is a word of its language.
  const odd = `printf '%s' '{"nftables":[{"add":{"table":{"family":"inet","name":"odd"}}},{"add":{"chain":{"family":"inet","table":"odd","name":"fwd","type":"filter","hook":"forward","prio":7,"policy":"drop"}}}]}' | nft -j -f -`;
  await using story = await startWith(`${CLOUD_IMAGE}\n${odd}`, ':');
  const { lab } = story;
  const before = await Promise.all(['edge', 'node'].map((host) => lab.dump(host)));
  const { status, stderr } = await story.sallyport(['apply', '--yes', '-f', '-'], documents());
  expect(stderr).toContain('unexpected fwd');
  expect(stderr).toContain('node and edge are as they were');
  expect(status).toBe(1);
  // The keys are kept.
  const withoutKeys = (dump: string): string => dump.replaceAll(/^.*\/keys\/.*\n/gm, '');
  const after = await Promise.all(['edge', 'node'].map((host) => lab.dump(host)));
  expect(after.map(withoutKeys)).toEqual(before.map(withoutKeys));
}, 60_000);
