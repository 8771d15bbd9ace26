import {
  addressText,
  type Cable,
  type HostSpec,
  type LeasedAddress,
  type Plug,
  type RouteSpec,
  type Topology,
} from './topology.ts';

export interface SlimEdgeOptions {
  /** What runs anywhere in the network; both unless given. */
  readonly families?: 'both' | 'IPv4' | 'IPv6';
  /** false: the node (and what stands behind it) speaks IPv4 alone. */
  readonly nodeIPv6?: boolean;
  /** false: the node has no default route and reaches the edge by a private link alone. */
  readonly nodeDefaultRoute?: boolean;
  /** false: the node stands on the Internet itself, as 192.0.2.140 and 2001:db8:f::20. */
  readonly home?: boolean;
  /** The edge has 10.0.0.5; the router before it maps 203.0.113.9 to it. IPv6 is not translated. */
  readonly edgeBehindNat?: boolean;
  /** The edge's addresses are leased. */
  readonly edgeDynamic?: boolean;
  /** How many public addresses of each family the edge has: .10, .11, …; 1 unless given. */
  readonly edgeAddresses?: number;
  /** `priv0` on edge and node: 172.31.0.1 and .2, fd31::1 and ::2. */
  readonly privateLink?: boolean;
  /** A host `pod` behind the node (`pod0`): 10.42.0.10, fd42::10. The node forwards. */
  readonly pod?: boolean;
  /** A host `nas` on the home LAN, 192.168.1.30 and 2001:db8:1::30, that knows no way but the home router. */
  readonly nas?: boolean;
  /** false: none on the edge's segment. */
  readonly neighbour?: boolean;
}

/**
 * The network of the story "slim edge", by options the harder ones of the field:
 * client 192.0.2.10, 2001:db8:c::10 - internet - edge 198.51.100.10, 2001:db8:e::10 (with neighbour, .99 and ::99);
 * internet - home (masquerades IPv4, lets in only answers) - node 192.168.1.20, 2001:db8:1::20.
 */
export function slimEdge(options: SlimEdgeOptions = {}): Topology {
  const home = options.home !== false;
  const neighbour = options.neighbour !== false;
  const privateLink = options.privateLink === true || options.nodeDefaultRoute === false;
  const edgeRouter = options.edgeBehindNat === true ? 'cloud' : 'internet';
  const hosts: HostSpec[] = [
    { name: 'client', title: 'someone on the Internet', routes: by('192.0.2.1', '2001:db8:c::1') },
    { name: 'internet', title: 'routes', sysctls: forwards, routes: internetRoutes(home, edgeRouter) },
    { name: 'edge', title: 'the small VPS', routes: edgeWay(options) },
    ...(neighbour ? [{ name: 'neighbour', title: "the edge's neighbour", routes: edgeWay(options) }] : []),
    ...(edgeRouter === 'cloud' ? [cloud] : []),
    ...(home ? [homeRouter] : []),
    node(options, home),
    ...(options.nas === true ? [{ name: 'nas', title: 'a server at home', routes: byHome }] : []),
    ...(options.pod === true ? [{ name: 'pod', title: 'a pod', routes: by('10.42.0.1', 'fd42::1') }] : []),
  ];
  const cables: Cable[] = [
    cable(
      plug('client', 'eth0', ['192.0.2.10/25', '2001:db8:c::10/64']),
      plug('internet', 'client0', ['192.0.2.1/25', '2001:db8:c::1/64']),
    ),
    ...edgeCables(options, edgeRouter, neighbour),
    ...homeCables(options, home),
    ...(privateLink
      ? [
          cable(
            plug('edge', 'priv0', ['172.31.0.1/24', 'fd31::1/64']),
            plug('node', 'priv0', ['172.31.0.2/24', 'fd31::2/64']),
          ),
        ]
      : []),
    ...(options.pod === true
      ? [
          cable(
            plug('node', 'pod0', ['10.42.0.1/24', 'fd42::1/64']),
            plug('pod', 'eth0', ['10.42.0.10/24', 'fd42::10/64']),
          ),
        ]
      : []),
  ];
  const switches = [
    ...(neighbour ? [{ name: 'rack', title: 'a switch in the data centre' }] : []),
    ...(options.nas === true ? [{ name: 'lan', title: 'the switch at home' }] : []),
  ];
  return inFamilies({ name: 'slim-edge', hosts, switches, cables }, options);
}

const forwards = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };

const by = (ipv4: string, ipv6: string): readonly RouteSpec[] => [
  { to: 'default', via: ipv4 },
  { to: 'default', via: ipv6 },
];
const byHome = by('192.168.1.1', '2001:db8:1::1');

const edgeWay = ({ edgeBehindNat }: SlimEdgeOptions): readonly RouteSpec[] =>
  by(edgeBehindNat === true ? '10.0.0.1' : '198.51.100.1', '2001:db8:e::1');

const internetRoutes = (home: boolean, edgeRouter: string): readonly RouteSpec[] => [
  ...(home ? [{ to: '2001:db8:1::/64', via: '2001:db8:f::2' }] : []),
  ...(edgeRouter === 'cloud' ? [{ to: '2001:db8:e::/64', via: '2001:db8:9::9' }] : []),
];

/** A provider's 1:1 NAT: the machine behind it never sees its public address. */
const cloud: HostSpec = {
  name: 'cloud',
  title: 'maps 203.0.113.9 to 10.0.0.5',
  sysctls: forwards,
  routes: by('203.0.113.1', '2001:db8:9::1'),
  nft: `table ip cloud {
  chain pre { type nat hook prerouting priority -100; iifname "wan0" ip daddr 203.0.113.9 dnat to 10.0.0.5; }
  chain post { type nat hook postrouting priority 100; oifname "wan0" ip saddr 10.0.0.5 snat to 203.0.113.9; }
}`,
};

const homeRouter: HostSpec = {
  name: 'home',
  title: 'the home router, masquerades',
  sysctls: forwards,
  routes: by('192.0.2.129', '2001:db8:f::1'),
  nft: `table ip home {
  chain post { type nat hook postrouting priority 100; oifname "wan0" masquerade; }
}
table inet guard {
  chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "lan0" accept; }
}`,
};

function node(options: SlimEdgeOptions, home: boolean): HostSpec {
  const out = home ? byHome : by('192.0.2.129', '2001:db8:f::1');
  return {
    name: 'node',
    title: 'the strong machine at home',
    routes: options.nodeDefaultRoute === false ? [] : out,
    ipv6: options.nodeIPv6 !== false,
    ...(options.pod === true ? { sysctls: forwards } : {}),
  };
}

function edgeCables(options: SlimEdgeOptions, edgeRouter: string, neighbour: boolean): readonly Cable[] {
  const natted = options.edgeBehindNat === true;
  const count = options.edgeAddresses ?? 1;
  const fixed = Array.from({ length: count }, (_, i) => [
    natted ? `10.0.0.${5 + i}/24` : `198.51.100.${10 + i}/24`,
    `2001:db8:e::${10 + i}/64`,
  ]).flat();
  const leased = fixed.map((address): string | LeasedAddress =>
    options.edgeDynamic === true ? { address, validSeconds: 3600 } : address,
  );
  const gateway = plug(edgeRouter, edgeRouter === 'cloud' ? 'lan0' : 'edge0', [
    natted ? '10.0.0.1/24' : '198.51.100.1/24',
    '2001:db8:e::1/64',
  ]);
  const edge = plug('edge', 'eth0', leased);
  const wan = cable(
    plug('cloud', 'wan0', ['203.0.113.9/24', '2001:db8:9::9/64']),
    plug('internet', 'cloud0', ['203.0.113.1/24', '2001:db8:9::1/64']),
  );
  const other = plug('neighbour', 'eth0', [natted ? '10.0.0.99/24' : '198.51.100.99/24', '2001:db8:e::99/64']);
  return [
    ...(natted ? [wan] : []),
    ...(neighbour
      ? [cable(gateway, plug('rack', 'port0')), cable(edge, plug('rack', 'port1')), cable(other, plug('rack', 'port2'))]
      : [cable(gateway, edge)]),
  ];
}

function homeCables(options: SlimEdgeOptions, home: boolean): readonly Cable[] {
  const internet = plug('internet', 'home0', ['192.0.2.129/25', '2001:db8:f::1/64']);
  if (!home) return [cable(internet, plug('node', 'eth0', ['192.0.2.140/25', '2001:db8:f::20/64']))];
  const lan = plug('home', 'lan0', ['192.168.1.1/24', '2001:db8:1::1/64']);
  const inside = plug('node', 'eth0', ['192.168.1.20/24', '2001:db8:1::20/64']);
  const nas = plug('nas', 'eth0', ['192.168.1.30/24', '2001:db8:1::30/64']);
  return [
    cable(internet, plug('home', 'wan0', ['192.0.2.130/25', '2001:db8:f::2/64'])),
    ...(options.nas === true
      ? [cable(lan, plug('lan', 'port0')), cable(inside, plug('lan', 'port1')), cable(nas, plug('lan', 'port2'))]
      : [cable(lan, inside)]),
  ];
}

const cable = (from: Plug, to: Plug): Cable => ({ ends: [from, to] });
const plug = (at: string, name: string, addresses: readonly (string | LeasedAddress)[] = []): Plug => ({
  at,
  interface: name,
  addresses,
});

/** Takes the addresses and routes out that a family not spoken would have. */
function inFamilies(topology: Topology, options: SlimEdgeOptions): Topology {
  const speaks = (host: string, address: string): boolean => {
    const isIPv6 = address.includes(':');
    if ((options.families ?? 'both') !== 'both') return isIPv6 === (options.families === 'IPv6');
    return !isIPv6 || options.nodeIPv6 !== false || (host !== 'node' && host !== 'pod');
  };
  return {
    ...topology,
    hosts: topology.hosts.map((host) => ({
      ...host,
      ...(options.families === 'IPv4' ? { ipv6: false } : {}),
      routes: (host.routes ?? []).filter((route) => speaks(host.name, route.via)),
    })),
    cables: topology.cables.map((cable) => {
      const [left, right] = cable.ends;
      const trim = (plug: Plug): Plug => ({
        ...plug,
        addresses: (plug.addresses ?? []).filter((a) => speaks(plug.at, addressText(a))),
      });
      return { ...cable, ends: [trim(left), trim(right)] };
    }),
  };
}
