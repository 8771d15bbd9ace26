/** Sets of resources with the hosts they are for: the shapes of the slim edge. */
import type { HostFacts } from '../../host/index.ts';
import { edge, forwardText, hostText, node, sketch, SLIM_EDGE, tunnelText, WEB } from './sketch.ts';

export interface Scene {
  readonly text: string;
  readonly hosts: Readonly<Record<string, HostFacts>>;
}

const KEYS = {
  'sp-wg51820': 'ZWRnMmVkZzJlZGcyZWRnMmVkZzJlZGcyZWRnMmVkZzI=',
  'sp-edge-node2': 'bm9kMm5vZDJub2Qybm9kMm5vZDJub2Qybm9kMm5vZDI=',
};

const secondEdge = edge({
  interfaces: { eth0: ['203.0.113.10/24', '2001:db8:f::10/64'] },
  routes: [
    ['default', '203.0.113.1', 'eth0'],
    ['default', '2001:db8:f::1', 'eth0'],
  ],
  keys: { 'sp-wg51820': KEYS['sp-wg51820'] },
});

const secondTunnel = tunnelText(
  'edge-node2',
  'WireGuard',
  '{ host: edge2, addresses: [10.90.1.1/30, "fd91::1/64"], endpoint: "203.0.113.10:51820" }',
  '{ host: node, addresses: [10.90.1.2/30, "fd91::2/64"] }',
);

const privateEdge = edge({
  interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24', 'fd31::1/64'] },
});
const privateNode = node({
  interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], priv0: ['172.31.0.2/24', 'fd31::2/64'] },
});

const hosts = hostText('edge') + hostText('node');

const routers = {
  'net/ipv4/ip_forward': '1',
  'net/ipv4/conf/all/forwarding': '1',
  'net/ipv6/conf/all/forwarding': '1',
  'net/ipv4/conf/eth0/forwarding': '1',
  'net/ipv4/conf/default/forwarding': '1',
};

/** What is not known of a sound scene, and why. */
export const doubts: Readonly<Record<string, readonly string[]>> = {
  // Who is asked by a neighbour of the node answers from the address on that network.
  direct: ['a UDP server on node that is bound to no address answers from 172.31.0.2, and was asked at 192.168.1.20'],
};

export const scenes: Readonly<Record<string, Scene>> = {
  wireguard: { text: SLIM_EDGE + WEB, hosts: { edge: edge(), node: node() } },
  'rp_filter strict everywhere': {
    text: SLIM_EDGE + WEB,
    hosts: {
      edge: edge({ sysctls: { 'net/ipv4/conf/all/rp_filter': '1' } }),
      node: node({ sysctls: { 'net/ipv4/conf/all/rp_filter': '1', 'net/ipv4/conf/all/src_valid_mark': '1' } }),
    },
  },
  'two edges': {
    text:
      SLIM_EDGE +
      hostText('edge2') +
      secondTunnel +
      forwardText(
        'web',
        'edge, edge2',
        ['protocol: TCP, port: 80, targetPort: 8080', 'protocol: UDP, port: 30000-30100'],
        '{ host: node }',
      ),
    hosts: {
      edge: edge(),
      edge2: secondEdge,
      node: node({ keys: { 'sp-edge-node': 'bm9kZW5vZGVub2Rlbm9kZW5vZGVub2Rlbm9kZW5vZGU=', 'sp-edge-node2': KEYS['sp-edge-node2'] } }),
    },
  },
  vxlan: {
    text:
      hosts +
      tunnelText(
        'edge-node',
        'VXLAN',
        '{ host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "fd31::1" }',
        '{ host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "fd31::2" }',
      ) +
      WEB,
    hosts: { edge: privateEdge, node: privateNode },
  },
  direct: {
    text:
      hosts +
      tunnelText('edge-node', 'Direct', '{ host: edge, addresses: [172.31.0.1, "fd31::1"] }', '{ host: node, addresses: [172.31.0.2, "fd31::2"] }') +
      WEB,
    hosts: { edge: privateEdge, node: privateNode },
  },
  'routers already': {
    text: SLIM_EDGE + WEB,
    hosts: { edge: edge({ sysctls: routers }), node: node({ sysctls: routers }) },
  },
  'a pod behind the node': {
    text:
      SLIM_EDGE +
      hostText('pod') +
      forwardText(
        'web',
        'edge',
        ['protocol: TCP, port: 80, targetPort: 8080', 'protocol: UDP, port: 53'],
        '{ host: node, via: edge-node, address: 10.42.0.10 }',
      ),
    hosts: {
      edge: edge(),
      node: node({
        interfaces: { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], pod0: ['10.42.0.1/24'] },
        // wg-quick was here, and a distribution that is strict.
        sysctls: {
          'net/ipv4/conf/all/rp_filter': '1',
          'net/ipv4/conf/all/src_valid_mark': '1',
        },
      }),
      pod: sketch({ interfaces: { eth0: ['10.42.0.10/24'] }, routes: [['default', '10.42.0.1', 'eth0']] }),
    },
  },
  'some clients, so many': {
    text:
      SLIM_EDGE +
      WEB.replace('  to:\n', '  allow: [203.0.113.0/25, 9.9.9.9/32, "2001:db8:77::/48"]\n  limits: { connections: 9, newConnectionsPerSecond: 5 }\n  to:\n') +
      forwardText('four', 'edge', ['protocol: TCP, port: 4000'], '{ host: node, via: edge-node }', '  allow: [0.0.0.0/0]\n'),
    hosts: { edge: edge(), node: node() },
  },
  'two nodes that share the clients': {
    text:
      SLIM_EDGE +
      hostText('node2') +
      tunnelText(
        'edge-node2',
        'WireGuard',
        '{ host: edge, addresses: [10.90.1.1/30, "fd91::1/64"], endpoint: "198.51.100.10:51820" }',
        '{ host: node2, addresses: [10.90.1.2/30, "fd91::2/64"] }',
      ) +
      forwardText(
        'web',
        'edge',
        ['protocol: TCP, port: 80, targetPort: 8080', 'protocol: TCP, port: 81', 'protocol: UDP, port: 30000-30100'],
        '{ host: node, weight: 3 }\n    - { host: node2 }',
        '  policy: Balance\n',
      ),
    hosts: {
      edge: edge(),
      node: node(),
      node2: node({
        interfaces: { eth0: ['192.168.7.20/24', '2001:db8:7::20/64'] },
        routes: [
          ['default', '192.168.7.1', 'eth0'],
          ['default', '2001:db8:7::1', 'eth0'],
        ],
        keys: { 'sp-edge-node2': KEYS['sp-edge-node2'] },
      }),
    },
  },
  'connections that nobody tracks': {
    text:
      SLIM_EDGE +
      forwardText(
        'bare',
        'edge',
        ['protocol: TCP, port: 80, targetPort: 8080', 'protocol: UDP, port: 2000-2001, targetPort: 3000-3001', 'protocol: UDP, port: 30000-30100'],
        '{ host: node }',
        '  tracking: Stateless\n  allow: [203.0.113.0/25, "::/0"]\n',
      ) +
      forwardText('kept', 'edge', ['protocol: TCP, port: 81, targetPort: 8081'], '{ host: node }'),
    hosts: { edge: edge({ interfaces: { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24', 'fd31::1/64'] } }), node: node() },
  },
  masquerade: { text: SLIM_EDGE + WEB.replace('  to:\n', '  clientAddress: Masquerade\n  to:\n'), hosts: { edge: edge(), node: node() } },
  leased: {
    text: SLIM_EDGE + WEB,
    hosts: { edge: edge({ interfaces: { eth0: ['198.51.100.10/24 dynamic', '2001:db8:e::10/64 dynamic'] } }), node: node() },
  },
  'a node of IPv4 alone': {
    text: SLIM_EDGE + WEB,
    hosts: { edge: edge(), node: sketch({ interfaces: { eth0: ['192.168.1.20/24'] }, routes: [['default', '192.168.1.1', 'eth0']] }) },
  },
  'two nodes with one main address': {
    text:
      SLIM_EDGE +
      hostText('node2') +
      tunnelText(
        'edge-node2',
        'WireGuard',
        '{ host: edge, addresses: [10.90.1.1/30, "fd91::1/64"], endpoint: "198.51.100.10:51820" }',
        '{ host: node2, addresses: [10.90.1.2/30, "fd91::2/64"] }',
      ) +
      WEB +
      forwardText('other', 'edge', ['protocol: TCP, port: 81', 'protocol: UDP, port: 53'], '{ host: node2, via: edge-node2 }'),
    hosts: { edge: edge(), node: node(), node2: node({ keys: { 'sp-edge-node2': KEYS['sp-edge-node2'] } }) },
  },
  'behind 1:1 NAT': {
    text:
      hostText(
        'edge',
        '  interfaces:\n    - { name: eth0, zone: public, outside: { 10.0.0.5: 203.0.113.9 } }\n',
      ) +
      hostText('node') +
      tunnelText(
        'edge-node',
        'WireGuard',
        '{ host: edge, addresses: [10.90.0.1/30], endpoint: "203.0.113.9:51820" }',
        '{ host: node, addresses: [10.90.0.2/30] }',
      ) +
      WEB,
    hosts: { edge: edge({ interfaces: { eth0: ['10.0.0.5/24'] }, routes: [['default', '10.0.0.1', 'eth0']] }), node: node() },
  },
};
