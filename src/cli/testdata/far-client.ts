/** Two edges before one node, and a client far away: for what must go back by the edge it came by. */
import type { HostSpec, Topology } from '../../lab/index.ts';

export const CLIENT = { 4: '192.0.2.10', 6: '2001:db8:c::10' } as const;
export const EDGES = {
  4: ['198.51.100.10', '203.0.113.10'],
  6: ['2001:db8:e0::10', '2001:db8:e1::10'],
} as const;

const host = (name: string, vias: readonly string[], sysctls: HostSpec['sysctls'] = {}): HostSpec => ({
  name,
  routes: vias.map((via) => ({ to: 'default', via })),
  sysctls,
});
const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };
const STRICT = { 'net.ipv4.conf.all.rp_filter': '1', 'net.ipv4.conf.default.rp_filter': '1' };
const NETWORKS = ['192.0.2.0/24', '2001:db8:c::/64'];
/** The kernel sends errors at a measured pace (icmp(7)); a test asks faster than people do. */
const TALKS = { 'net.ipv4.icmp_ratelimit': '0', 'net.ipv6.icmp.ratelimit': '0' };

/**
 * client - far (its router) - internet - two edges - node, each by the Internet and by a private link; a pod behind the node. `knows`: the
 * node has a route of its own to the client's network.
 */
export const farClient = (settings: HostSpec['sysctls'] = STRICT, knows = false): Topology => ({
  name: 'far-client',
  hosts: [
    host('client', ['192.0.2.1', '2001:db8:c::1']),
    host('far', ['192.0.3.1', '2001:db8:fa::1'], { ...FORWARDS, ...TALKS }),
    {
      name: 'internet',
      sysctls: FORWARDS,
      routes: [
        { to: '192.0.2.0/24', via: '192.0.3.2' },
        { to: '2001:db8:c::/64', via: '2001:db8:fa::2' },
      ],
      // As every carrier with addresses of 100.64.0.0/10 does; unhidden, the tunnel's own packets would follow the route to the target into it.
      // What it does not hide it only routes: fragments come through as they are.
      nft: `table ip carrier {
  chain pre { type filter hook prerouting priority -450; ip saddr 192.0.2.10 notrack; ip daddr 192.0.2.10 notrack; }
  chain post { type nat hook postrouting priority 100; ip saddr 100.64.0.20 masquerade; }
}`,
    },
    host('edge0', ['198.51.100.1', '2001:db8:e0::1'], { ...STRICT, ...TALKS }),
    host('edge1', ['203.0.113.1', '2001:db8:e1::1'], { ...STRICT, ...TALKS }),
    {
      name: 'node',
      routes: (knows ? ['default', ...NETWORKS] : ['default']).flatMap((to) =>
        [...(to.includes(':') ? [] : ['100.64.0.1']), ...(to.includes('.') ? [] : ['2001:db8:4e::1'])].map((via) => ({
          to,
          via,
        })),
      ),
      sysctls: { ...FORWARDS, ...settings, ...TALKS },
    },
    host('pod', ['10.42.0.1', 'fd42::1']),
  ],
  switches: [],
  cables: (
    [
      [
        'client',
        'eth0',
        ['192.0.2.10/24', '2001:db8:c::10/64'],
        'far',
        'client0',
        ['192.0.2.1/24', '2001:db8:c::1/64'],
      ],
      ['far', 'wan0', ['192.0.3.2/24', '2001:db8:fa::2/64'], 'internet', 'far0', ['192.0.3.1/24', '2001:db8:fa::1/64']],
      [
        'edge0',
        'eth0',
        ['198.51.100.10/24', '2001:db8:e0::10/64'],
        'internet',
        'e0',
        ['198.51.100.1/24', '2001:db8:e0::1/64'],
      ],
      [
        'edge1',
        'eth0',
        ['203.0.113.10/24', '2001:db8:e1::10/64'],
        'internet',
        'e1',
        ['203.0.113.1/24', '2001:db8:e1::1/64'],
      ],
      [
        'node',
        'eth0',
        ['100.64.0.20/24', '2001:db8:4e::20/64'],
        'internet',
        'node0',
        ['100.64.0.1/24', '2001:db8:4e::1/64'],
      ],
      ['edge0', 'priv0', ['172.31.0.1/24', 'fd31:0::1/64'], 'node', 'priv0', ['172.31.0.2/24', 'fd31:0::2/64']],
      ['edge1', 'priv0', ['172.31.1.1/24', 'fd31:1::1/64'], 'node', 'priv1', ['172.31.1.2/24', 'fd31:1::2/64']],
      ['node', 'pod0', ['10.42.0.1/24', 'fd42::1/64'], 'pod', 'eth0', ['10.42.0.10/24', 'fd42::10/64']],
    ] as const
  ).map(([at, name, own, far, link, theirs]) => ({
    ends: [
      { at, interface: name, addresses: own },
      { at: far, interface: link, addresses: theirs },
    ],
  })),
});

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

export type Type = 'WireGuard' | 'VXLAN' | 'Direct' | 'IPIP' | 'GRE';
const ends = (type: Type, at: number): string => {
  if (type === 'Direct')
    return `{ host: edge${at}, addresses: [172.31.${at}.1, "fd31:${at}::1"] }, { host: node, addresses: [172.31.${at}.2, "fd31:${at}::2"] }`;
  const outer =
    type === 'WireGuard'
      ? [`, endpoint: "${EDGES[4][at]}:51820"`, '']
      : [1, 2].map((end) => `, endpoint: "172.31.${at}.${end}"`);
  return `{ host: edge${at}, addresses: [10.90.${at}.1/30, "fd90:${at}::1/64"]${outer[0]} }, { host: node, addresses: [10.90.${at}.2/30, "fd90:${at}::2/64"]${outer[1]} }`;
};
/** Port 80 leads to 8080 of the node, 81 to that of the pod; UDP 180 and 181 to their port 9, where nobody listens. */
export const documents = (type: Type, more = ''): string =>
  [
    ...['edge0', 'edge1', 'node'].map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
    ...[0, 1].map((at) => resource('Tunnel', `t${at}`, `{ type: ${type}, ends: [${ends(type, at)}] }`)),
    ...(
      [
        ['own', 80, ''],
        ['pod4', 81, ', address: 10.42.0.10'],
        ['pod6', 81, ', address: "fd42::10"'],
      ] as const
    ).map(([name, port, behind]) =>
      resource(
        'PortForward',
        name,
        `{ at: { hosts: [edge0, edge1] }, ports: [{ protocol: TCP, port: ${port}, targetPort: 8080 }, { protocol: UDP, port: ${port}, targetPort: 8080 }, { protocol: UDP, port: ${port + 100}, targetPort: 9 }], to: [{ host: node${behind} }]${more} }`,
      ),
    ),
  ].join('---\n');
