/**
 * Every kind of tunnel, over both families: one edge, a node for each, all applied at once. A kind that this kernel has not is asked
 * for alone: then the plan names what is missing, and nothing is changed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Capture, slimEdge, type Topology } from '../lab/index.ts';
import { makes, type Story, documents as slimEdgeDocuments, startStory } from './testdata/story.ts';

interface Kind {
  readonly name: string;
  readonly type: 'IPIP' | 'GRE' | 'VXLAN' | 'WireGuard' | 'Direct';
  readonly outside: 4 | 6;
  readonly inside: readonly (4 | 6)[];
  /** As `ip -d link` names it, and its MTU on a network of 1,500 bytes; none for Direct, that makes no link. */
  readonly link?: readonly [kind: string, mtu: number];
}

const KINDS: readonly Kind[] = [
  { name: 'sit', type: 'IPIP', outside: 4, inside: [4, 6], link: ['sit', 1480] },
  { name: 'ipip', type: 'IPIP', outside: 4, inside: [4], link: ['ipip', 1480] },
  { name: 'ip6tnl', type: 'IPIP', outside: 6, inside: [4, 6], link: ['ip6tnl', 1460] },
  { name: 'gre', type: 'GRE', outside: 4, inside: [4, 6], link: ['gre', 1476] },
  { name: 'ip6gre', type: 'GRE', outside: 6, inside: [4, 6], link: ['ip6gre', 1456] },
  { name: 'vxlan4', type: 'VXLAN', outside: 4, inside: [4, 6], link: ['vxlan', 1450] },
  { name: 'vxlan6', type: 'VXLAN', outside: 6, inside: [4, 6], link: ['vxlan', 1430] },
  { name: 'wg4', type: 'WireGuard', outside: 4, inside: [4, 6], link: ['wireguard', 1440] },
  { name: 'wg6', type: 'WireGuard', outside: 6, inside: [4, 6], link: ['wireguard', 1420] },
  { name: 'direct', type: 'Direct', outside: 4, inside: [4, 6] },
];
const numberOf = (kind: Kind): number => KINDS.indexOf(kind) + 1;
/** The same port before and behind the edge, another for each kind: it tells whose a packet is. */
const portOf = (kind: Kind): number => 7000 + numberOf(kind);
const EDGE = { 4: '198.51.100.10', 6: '2001:db8:e::10' } as const;
const CLIENT = { 4: '198.51.100.200', 6: '2001:db8:e::200' } as const;

/** The nodes stand behind one home router, and beside the edge on a private network, by which the tunnels go. */
const network: Topology = {
  name: 'kinds',
  hosts: [
    { name: 'client' },
    { name: 'edge' },
    {
      name: 'home',
      sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' },
      nft: 'table ip home {\n  chain post { type nat hook postrouting priority 100; oifname "wan0" masquerade; }\n}',
    },
    ...KINDS.map(({ name }) => ({
      name,
      routes: [
        { to: 'default', via: '10.20.0.1' },
        { to: 'default', via: '2001:db8:1::1' },
      ],
    })),
  ],
  switches: [{ name: 'net' }, { name: 'lan' }, { name: 'rack' }],
  cables: (
    [
      ['client', 'eth0', 'net', [`${CLIENT[4]}/24`, `${CLIENT[6]}/64`]],
      ['edge', 'eth0', 'net', [`${EDGE[4]}/24`, `${EDGE[6]}/64`]],
      ['edge', 'priv0', 'rack', ['172.31.0.1/24', 'fd31::1/64']],
      ['home', 'wan0', 'net', ['198.51.100.2/24', '2001:db8:e::2/64']],
      ['home', 'lan0', 'lan', ['10.20.0.1/16', '2001:db8:1::1/64']],
      ...KINDS.flatMap((kind) => {
        const number = numberOf(kind);
        return [
          [kind.name, 'eth0', 'lan', [`10.20.1.${number}/16`, `2001:db8:1::1:${number}/64`]],
          [kind.name, 'priv0', 'rack', [`172.31.0.1${number}/24`, `fd31::1${number}/64`]],
        ] as const;
      }),
    ] as const
  ).map(([at, link, to, addresses]): Topology['cables'][number] => ({
    ends: [
      { at, interface: link, addresses },
      { at: to, interface: `${at}-${link}` },
    ],
  })),
};

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`;

function ends(kind: Kind): string {
  const number = numberOf(kind);
  const outer = kind.outside === 4 ? ['172.31.0.1', `172.31.0.1${number}`] : ['fd31::1', `fd31::1${number}`];
  const end = (host: string, index: 0 | 1): string => {
    if (kind.type === 'Direct') {
      const addresses = index === 0 ? '172.31.0.1, "fd31::1"' : `172.31.0.1${number}, "fd31::1${number}"`;
      return `{ host: ${host}, addresses: [${addresses}] }`;
    }
    const inner = kind.inside.map((family) =>
      family === 4 ? `10.90.${number}.${index + 1}/30` : `"fd90:${number}::${index + 1}/64"`,
    );
    const port = kind.type === 'WireGuard' ? `:${51820 + number}` : '';
    const endpoint = port !== '' && kind.outside === 6 ? `[${outer[index]}]${port}` : `${outer[index]}${port}`;
    return `{ host: ${host}, addresses: [${inner.join(', ')}], endpoint: "${endpoint}" }`;
  };
  return `type: ${kind.type}, ends: [${end('edge', 0)}, ${end(kind.name, 1)}]`;
}

const documents = (kinds: readonly Kind[]): string =>
  [
    document('Host', 'edge', 'access: { netns: { name: edge } }, interfaces: [{ name: eth0, zone: public }]'),
    ...kinds.flatMap((kind) => {
      const port = portOf(kind);
      const ports = `{ protocol: TCP, port: ${port} }, { protocol: UDP, port: ${port} }`;
      return [
        document('Host', kind.name, `access: { netns: { name: ${kind.name} } }`),
        document('Tunnel', `to-${kind.name}`, ends(kind)),
        document('PortForward', kind.name, `at: { hosts: [edge] }, ports: [${ports}], to: [{ host: ${kind.name} }]`),
      ];
    }),
  ].join('---\n');

async function refused({ lab, sallyport }: Story, made: readonly Kind[], kind: Kind): Promise<void> {
  const before = await lab.dump('edge');
  for (const command of [['plan'], ['apply', '--yes']]) {
    const { status, stdout, stderr } = await sallyport([...command, '-f', '-'], documents([...made, kind]));
    expect(stdout + stderr).toContain(
      `edge: ${kind.type} over IPv${kind.outside} is not supported by this kernel: it has no ${kind.link?.[0]} links`,
    );
    expect(status).not.toBe(0);
  }
  expect(await lab.dump('edge')).toBe(before);
}

describe('every kind of tunnel', { tags: ['vm'] }, () => {
  let story: Story;
  let wire: Capture;
  const made: Kind[] = [];
  beforeAll(async () => {
    story = await startStory(network, undefined, ['edge', ...KINDS.map(({ name }) => name)]);
    for (const kind of KINDS) {
      const asked = kind.type === 'IPIP' || kind.type === 'GRE' ? kind.link : undefined;
      if (asked === undefined || (await makes(story.lab, asked[0], kind.outside, 'client'))) made.push(kind);
    }
    for (const kind of made)
      for (const protocol of ['tcp', 'udp'] as const)
        await story.lab.serve(kind.name, { protocol, port: portOf(kind) });
  });
  afterAll(async () => story[Symbol.asyncDispose]());

  test('all are applied at once, each with its link and the MTU that its way leaves', async () => {
    await story.apply(documents(made));
    wire = await story.lab.capture('edge', 'priv0');
    for (const { name, link } of made) {
      const links = await story.lab.host(name).run(['ip', '-j', '-d', 'link', 'show']);
      const ours = JSON.parse(links.stdout).filter(({ ifname }: { ifname: string }) => ifname.startsWith('sp-'));
      if (link === undefined) {
        expect(ours, name).toEqual([]);
        continue;
      }
      // What wireguard-go serves is a tun device to the kernel.
      const info_kind = link[0] === 'wireguard' && process.env.LAB_LANE !== 'vm' ? 'tun' : link[0];
      expect(ours, name).toMatchObject([{ mtu: link[1], linkinfo: { info_kind } }]);
    }
  });

  for (const kind of KINDS)
    test(`${kind.name} carries ${kind.inside.length === 2 ? 'both families' : 'IPv4 alone'}, or is refused by name`, async () => {
      if (!made.includes(kind)) return await refused(story, made, kind);
      for (const family of kind.inside)
        for (const protocol of ['tcp', 'udp'] as const)
          expect(
            await story.ask('client', { protocol, to: EDGE[family], port: portOf(kind) }),
            `${protocol} over IPv${family}`,
          ).toBe(`seen from ${CLIENT[family]}`);
    });

  test('all of it went by the tunnels, only Direct bare', async () => {
    const bare = (await wire.stop()).filter(({ protocol }) => protocol === 'tcp' || protocol === 'udp');
    const ports = new Set(bare.flatMap(({ sourcePort, destinationPort }) => [sourcePort, destinationPort]));
    expect(KINDS.filter((kind) => ports.has(portOf(kind))).map(({ name }) => name)).toEqual(['direct']);
  });

  test('the second plan is empty, and destroy leaves nothing', async () => {
    const text = documents(made);
    expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
    await story.destroy(text);
  });
});

// On a network of its own, a tunnel's packets find their way by a route of it; here only the default one is left.
for (const [outside, edge, node] of [
  [4, '198.51.100.10', '192.0.2.140'],
  [6, '2001:db8:e::10', '2001:db8:f::20'],
] as const)
  test(`VXLAN across the Internet, over IPv${outside}`, async () => {
    await using story = await startStory(slimEdge({ home: false }));
    const text = slimEdgeDocuments({
      tunnel: `type: VXLAN
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "${edge}" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "${node}" }`,
    });
    for (const [protocol, port] of [
      ['tcp', 8080],
      ['udp', 5353],
    ] as const)
      await story.lab.serve('node', { protocol, port });
    await story.apply(text);
    for (const [to, client] of [
      ['198.51.100.10', '192.0.2.10'],
      ['2001:db8:e::10', '2001:db8:c::10'],
    ] as const) {
      expect(await story.ask('client', { protocol: 'tcp', to, port: 80 })).toBe(`seen from ${client}`);
      expect(await story.ask('client', { protocol: 'udp', to, port: 53 })).toBe(`seen from ${client}`);
    }
    await story.destroy(text);
  });
