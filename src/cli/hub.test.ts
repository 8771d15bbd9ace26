/** One edge, one UDP port, many nodes: each a peer on one link, and what is done to one of them the others never notice. */
import { expect, test } from 'vitest';
import type { Topology } from '../lab/index.ts';
import { type Story, startStory, waitFor, wg } from './testdata/story.ts';

/** Thirty take a minute and a half and show the same. */
const NODES = 12;
const EDGE = { 4: '198.51.100.10', 6: '2001:db8:e::10' } as const;
const names = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `n${index + 1}`);
const numberOf = (node: string): number => Number(node.slice(1));

/** All nodes, and one to come, stand in one network behind one NAT. */
const network: Topology = {
  name: 'hub',
  hosts: [
    { name: 'client' },
    { name: 'edge' },
    {
      name: 'home',
      sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' },
      nft: 'table ip home {\n  chain post { type nat hook postrouting priority 100; oifname "wan0" masquerade; }\n}',
    },
    ...[...names(NODES + 1)].map((name) => ({
      name,
      routes: [
        { to: 'default', via: '10.20.0.1' },
        { to: 'default', via: '2001:db8:1::1' },
      ],
    })),
  ],
  switches: [{ name: 'net' }, { name: 'lan' }],
  cables: [
    ...(
      [
        ['client', 'eth0', 'net', ['198.51.100.200/24', '2001:db8:e::200/64']],
        ['edge', 'eth0', 'net', ['198.51.100.10/24', '198.51.100.11/24', '2001:db8:e::10/64']],
        ['home', 'wan0', 'net', ['198.51.100.2/24', '2001:db8:e::2/64']],
        ['home', 'lan0', 'lan', ['10.20.0.1/16', '2001:db8:1::1/64']],
        ...names(NODES + 1).map(
          (name) =>
            [name, 'eth0', 'lan', [`10.20.1.${numberOf(name)}/16`, `2001:db8:1::${numberOf(name) + 100}/64`]] as const,
        ),
      ] as const
    ).map(([at, link, to, addresses]): Topology['cables'][number] => ({
      ends: [
        { at, interface: link, addresses },
        { at: to, interface: `to-${at}-${link}` },
      ],
    })),
  ],
};

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`;

interface Written {
  readonly nodes: readonly string[];
  /** Nodes without a tunnel: they stay Hosts. */
  readonly idle?: readonly string[];
  /** The node that dials the edge's second address. */
  readonly elsewhere?: string;
  /** The node with a pod behind it. */
  readonly pod?: string;
}

const documents = ({ nodes, idle = [], elsewhere, pod }: Written): string =>
  [
    document('Host', 'edge', 'access: { netns: { name: edge } }, interfaces: [{ name: eth0, zone: public }]'),
    ...[...nodes, ...idle].map((name) => document('Host', name, `access: { netns: { name: ${name} } }`)),
    ...nodes.flatMap((name) => {
      const number = numberOf(name);
      const address = name === elsewhere ? '198.51.100.11' : EDGE[4];
      return [
        document(
          'Tunnel',
          `to-${name}`,
          `type: WireGuard, ends: [{ host: edge, addresses: [10.90.0.1/16, "fd90::1/64"], endpoint: "${address}:51820" }, { host: ${name}, addresses: [10.90.1.${number}/16, "fd90::${number + 100}/64"] }]`,
        ),
        document(
          'PortForward',
          `web-${name}`,
          `at: { hosts: [edge] }, ports: [{ protocol: UDP, port: ${8000 + number}, targetPort: 5353 }], to: [{ host: ${name} }]`,
        ),
        ...(name === pod
          ? [
              document(
                'PortForward',
                'pod',
                `at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 9000 }], to: [{ host: ${name}, address: 10.20.0.1 }], clientAddress: Masquerade`,
              ),
            ]
          : []),
      ];
    }),
  ].join('---\n');

interface Peer {
  readonly key: string;
  readonly handshake: number;
  readonly received: number;
  readonly sent: number;
  readonly allowed: string;
  readonly keepalive: string;
}

/** The peers of the edge, as its kernel or its wireguard-go has them. */
const peersOf = async ({ lab }: Story): Promise<ReadonlyMap<string, Peer>> =>
  new Map(
    (await wg(lab, 'edge', 'show', 'sp-wg51820', 'dump'))
      .split('\n')
      .slice(1)
      .map((line) => {
        const [key = '', , , allowed = '', handshake, received, sent, keepalive = ''] = line.split('\t');
        return [
          key,
          { key, allowed, handshake: Number(handshake), received: Number(received), sent: Number(sent), keepalive },
        ];
      }),
  );

const linkIndex = async ({ lab }: Story): Promise<string> =>
  (await lab.host('edge').run(['ip', '-o', 'link', 'show', 'dev', 'sp-wg51820'])).stdout.split(':')[0] ?? '';

test(`${NODES} nodes by one port: one comes, changes and goes, and a flow to another loses nothing`, async () => {
  await using story = await startStory(network, undefined, ['edge', 'n1', 'n2']);
  const { lab, sallyport } = story;
  await Promise.all(names(NODES + 1).map((name) => lab.serve(name, { protocol: 'udp', port: 5353 })));
  const all = names(NODES);
  const apply = async (written: Written, changed: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await sallyport(['apply', '--yes', '-f', '-'], documents(written));
    expect(status, stderr).toBe(0);
    for (const name of written.nodes)
      if (!changed.includes(name)) expect(stdout).toContain(`${name} (netns ${name}): nothing to change`);
    return stdout;
  };
  const ask = (family: 4 | 6, node: string): Promise<string> =>
    story.ask('client', { protocol: 'udp', to: EDGE[family], port: 8000 + numberOf(node) });

  await apply({ nodes: all }, all);
  await waitFor('every peer has shaken hands', async () =>
    [...(await peersOf(story)).values()].every(({ handshake }) => handshake > 0),
  );
  for (const node of all) {
    expect([node, await ask(4, node)]).toEqual([node, 'seen from 198.51.100.200']);
    expect([node, await ask(6, node)]).toEqual([node, 'seen from 2001:db8:e::200']);
  }

  // From here on a datagram goes to n1 every 10 ms; one that does not come back ends the flow.
  const [index, first] = [await linkIndex(story), await peersOf(story)];
  expect(first.size).toBe(NODES);
  const flow = await lab.holdFlows('client', { protocol: 'udp', to: EDGE[4], port: 8001, count: 1, intervalMs: 10 });
  const others = async (...except: readonly string[]): Promise<void> => {
    expect(await linkIndex(story), 'the link is the same').toBe(index);
    const now = await peersOf(story);
    for (const [key, { handshake, received, sent, allowed }] of first) {
      if (except.includes(key)) continue;
      const then = now.get(key);
      expect(then?.allowed).toBe(allowed);
      expect(then?.handshake).toBeGreaterThanOrEqual(handshake);
      expect(then?.received).toBeGreaterThanOrEqual(received);
      expect(then?.sent).toBeGreaterThanOrEqual(sent);
    }
    expect((await flow.report()).lost).toBe(0);
  };
  const keyOf = (node: string): Promise<string> => wg(lab, node, 'show', `sp-to-${node}`, 'public-key');

  // One more.
  const [more, added] = [names(NODES + 1), `n${NODES + 1}`];
  const coming = await apply({ nodes: more }, [added]);
  expect(coming.match(/^ {2}[+~-] peer {4}sp-wg51820 .*$/gm)).toEqual([expect.stringMatching(/^ {2}\+ /)]);
  await waitFor('the new one answers', async () => (await ask(4, added)) === 'seen from 198.51.100.200');
  await others();

  // Another endpoint for n2, an address more behind it, and a keepalive that somebody set.
  const n2 = await keyOf('n2');
  await wg(lab, 'edge', 'set', 'sp-wg51820', 'peer', n2, 'persistent-keepalive', '7');
  const session = await wg(lab, 'n2', 'show', 'sp-to-n2', 'latest-handshakes');
  await apply({ nodes: more, elsewhere: 'n2', pod: 'n2' }, ['n2']);
  expect(await wg(lab, 'n2', 'show', 'sp-to-n2', 'endpoints')).toMatch(/\t198\.51\.100\.11:51820$/);
  expect(await wg(lab, 'n2', 'show', 'sp-to-n2', 'latest-handshakes'), 'its session stays').toBe(session);
  const changed = (await peersOf(story)).get(n2);
  expect([changed?.keepalive, changed?.allowed.split(',').includes('10.20.0.1/32')]).toEqual(['off', true]);
  expect(changed?.handshake).toBe(first.get(n2)?.handshake);
  expect(await ask(4, 'n2')).toBe('seen from 198.51.100.200');
  await others(n2);

  // One less.
  const gone = await keyOf('n3');
  const rest = more.filter((name) => name !== 'n3');
  const going = await apply({ nodes: rest, idle: ['n3'], elsewhere: 'n2', pod: 'n2' }, []);
  expect(going.match(/^ {2}[+~-] peer {4}sp-wg51820 .*$/gm)).toEqual([expect.stringMatching(/^ {2}- /)]);
  expect((await peersOf(story)).has(gone)).toBe(false);
  await others(n2, gone);
  const { lost, echoes } = await flow.stop();
  expect(lost).toBe(0);
  expect(echoes).toBeGreaterThan(100);
  const end = documents({ nodes: rest, idle: ['n3'], elsewhere: 'n2', pod: 'n2' });
  expect((await sallyport(['plan', '--detailed-exitcode', '-f', '-'], end)).status).toBe(0);
  await story.destroy(end);
}, 600_000);

test('a hundred nodes are compiled, planned and proven by their documents alone', async () => {
  const nodes = names(100);
  const home = (text: string): string =>
    text.replaceAll(
      /name: (n\d+) \} \} \}/g,
      (_, name: string) =>
        `name: ${name} } }, interfaces: [{ name: eth0, zone: private, addresses: [10.20.2.${numberOf(name)}/16, "2001:db8:1::${numberOf(name)}/64"] }] }`,
    );
  const text = home(documents({ nodes })).replace(
    'zone: public }',
    'zone: public, addresses: [198.51.100.10/24, "2001:db8:e::10/64"] }',
  );
  await using story = await startStory({ ...network, hosts: [], switches: [], cables: [] }, undefined, []);
  const { status, stdout, stderr } = await story.sallyport(['plan', '--offline', '-o', 'json', '-f', '-'], text);
  expect(status, stderr).toBe(0);
  const { hosts, promises } = JSON.parse(stdout);
  const made = hosts.flatMap(({ changes }: { readonly changes: readonly { object: string; name: string }[] }) =>
    changes.map(({ object, name }) => `${object} ${name}`),
  );
  const count = (what: RegExp): number => made.filter((each: string) => what.test(each)).length;
  expect([/^link sp-wg51820$/, /^peer sp-wg51820 /, /^peer sp-to-n/].map(count)).toEqual([1, 100, 100]);
  expect(new Set(promises.map(({ holds }: { readonly holds: unknown }) => holds))).toEqual(new Set([true]));
}, 60_000);
