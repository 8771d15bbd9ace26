/** Two edges before one node, each by a network of its own on the Internet's one router: the ground of tests that ask by both at once. */
import { expect } from 'vitest';
import type { HostSpec, Lab, Topology } from '../../lab/index.ts';
import { FROM_ONE_PORT } from './one-port.ts';
import { SALLYPORT, waitFor } from './story.ts';

const CLIENT = { 4: '192.0.2.10', 6: '2001:db8:c::10' } as const;
export const EDGES = { 4: ['198.51.100.10', '203.0.113.10'], 6: ['2001:db8:e0::10', '2001:db8:e1::10'] } as const;

const FORWARDS = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.conf.all.rp_filter': '1',
};

export const hostBy = (name: string, via: readonly string[], sysctls: HostSpec['sysctls'] = {}): HostSpec => ({
  name,
  routes: via.map((each) => ({ to: 'default', via: each })),
  sysctls,
});

/** client, internet, edge0, edge1 and a node that forwards, 192.168.1.20 and fd00:1::20, whom the router masquerades; and what more there is. */
export const twoEdges = (name: string, more: Pick<Topology, 'hosts' | 'cables'>): Topology => ({
  name,
  hosts: [
    hostBy('client', ['192.0.2.1', '2001:db8:c::1']),
    {
      name: 'internet',
      sysctls: FORWARDS,
      // The home router, in the same box: nobody outside sees the node's own addresses.
      nft: `table inet home {
  chain post { type nat hook postrouting priority 100; ip saddr 192.168.1.20 masquerade; ip6 saddr fd00:1::20 masquerade; }
}`,
    },
    hostBy('edge0', ['198.51.100.1', '2001:db8:e0::1']),
    hostBy('edge1', ['203.0.113.1', '2001:db8:e1::1']),
    hostBy('node', ['192.168.1.1', 'fd00:1::1'], FORWARDS),
    ...more.hosts,
  ],
  switches: [],
  cables: [
    ...(
      [
        ['client', ['192.0.2.10/24', '2001:db8:c::10/64'], ['192.0.2.1/24', '2001:db8:c::1/64']],
        ['edge0', ['198.51.100.10/24', '2001:db8:e0::10/64'], ['198.51.100.1/24', '2001:db8:e0::1/64']],
        ['edge1', ['203.0.113.10/24', '2001:db8:e1::10/64'], ['203.0.113.1/24', '2001:db8:e1::1/64']],
        ['node', ['192.168.1.20/24', 'fd00:1::20/64'], ['192.168.1.1/24', 'fd00:1::1/64']],
      ] as const
    ).map(([at, own, far], index): Topology['cables'][number] => ({
      ends: [
        { at, interface: 'eth0', addresses: own },
        { at: 'internet', interface: `net${index}`, addresses: far },
      ],
    })),
    ...more.cables,
  ],
});

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

/** The three hosts, and a tunnel from each edge to the node. */
export const HOSTS: readonly string[] = [
  ...['edge0', 'edge1', 'node'].map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
  ...EDGES[4].map((address, index) =>
    resource(
      'Tunnel',
      `t${index}`,
      `{ type: WireGuard, ends: [{ host: edge${index}, addresses: [10.90.${index}.1/30, "fd90:${index}::1/64"], endpoint: "${address}:51820" }, { host: node, addresses: [10.90.${index}.2/30, "fd90:${index}::2/64"] }] }`,
    ),
  ),
];

/** At both edges, to the node or what is `behind` it: `, address: ADDRESS`. */
export const forward = (name: string, ports: string, behind = '', more = ''): string =>
  resource(
    'PortForward',
    name,
    `{ at: { hosts: [edge0, edge1] }, ports: [${ports}], to: [{ host: node${behind} }]${more} }`,
  );

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}
export type Sallyport = (args: readonly string[], documents: string) => Promise<Run>;

/** The command line beside the hosts of the lab, given its documents on stdin. */
export const sallyportIn =
  (lab: Lab): Sallyport =>
  (args, documents) =>
    lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
      stdin: documents,
      allowFailure: true,
      timeoutMs: 60_000,
    });

/** Applies, and waits until both tunnels are up. */
export async function applyTwo(sallyport: Sallyport, documents: string, ...more: readonly string[]): Promise<void> {
  const applied = await sallyport(['apply', '--yes', ...more], documents);
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
  await waitFor('both tunnels up', async () => {
    const { hosts } = JSON.parse((await sallyport(['status', '-o', 'json'], documents)).stdout);
    return hosts.every((each: { tunnels: readonly { up: boolean }[] }) => each.tunnels.every(({ up }) => up));
  });
}

/** What the servers saw of a client that asked both edges at once from one port. */
export async function askFromOnePort(
  lab: Lab,
  family: 4 | 6,
  protocol: string,
  port: number,
  sourcePort: number,
): Promise<readonly unknown[]> {
  const asked = [protocol, CLIENT[family], String(sourcePort), String(port), ...EDGES[family]];
  const { stdout } = await lab.host('client').run(['perl', '-e', FROM_ONE_PORT, ...asked]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** Each edge's question is answered by it, from three ports; the server saw the client's own address and what was asked of that edge. */
export async function expectByOwnEdge(
  lab: Lab,
  protocol: 'tcp' | 'udp',
  port: number,
  families: readonly (4 | 6)[] = [4, 6],
): Promise<void> {
  for (const family of families)
    for (const sourcePort of [40001, 40002, 40003]) {
      const seen = await askFromOnePort(lab, family, protocol, port, sourcePort);
      const wanted = EDGES[family].map((to) => ({ client: { address: CLIENT[family] }, payload: `to ${to}` }));
      expect(seen, `${protocol}/${port} over IPv${family} from port ${sourcePort}`).toMatchObject(wanted);
    }
}
