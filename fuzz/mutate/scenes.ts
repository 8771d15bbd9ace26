/** Sets whose rendered state is broken. */

import type { HostFacts } from '../../src/host/index.ts';
import type { Planned } from '../../src/verify/index.ts';
import { planned } from '../../src/verify/testdata/plan.ts';
import {
  edge,
  forwardText,
  hostText,
  node,
  SLIM_EDGE,
  sketch,
  tunnelText,
  WEB,
} from '../../src/verify/testdata/sketch.ts';

const VXLAN = tunnelText(
  'edge-node',
  'VXLAN',
  '{ host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "172.31.0.1:4789" }',
  '{ host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "172.31.0.2:4789" }',
);
const beside = (host: typeof edge, address: string, own: readonly string[]) =>
  host({ interfaces: { eth0: own, eth1: [address] } });
const EDGE = ['198.51.100.10/24', '2001:db8:e::10/64'];
const NODE = ['192.168.1.20/24', '2001:db8:1::20/64'];

const web = (more: string, target = '{ host: node, via: edge-node }'): string =>
  forwardText(
    'web',
    'edge',
    ['protocol: TCP, port: 80, targetPort: 8080', 'protocol: UDP, port: 30000-30100'],
    target,
    more,
  );

const narrow = (facts: HostFacts, name: string): HostFacts => ({
  ...facts,
  state: {
    ...facts.state,
    links: facts.state.links.map((link) => (link.name === name ? { ...link, mtu: 1300 } : link)),
  },
});

const slim = (forward: string): Planned => planned(SLIM_EDGE + forward, { edge: edge(), node: node() });

export const SCENES: Readonly<Record<string, () => Planned>> = {
  plain: () => slim(WEB),
  allow: () => slim(web('  allow: ["203.0.113.0/24", "2001:db8:ffff::/48"]\n')),
  masquerade: () => slim(web('  clientAddress: Masquerade\n')),
  noHairpin: () => slim(web('  hairpin: false\n')),
  // A node that no NAT hides: what it asks comes to the edge as it was sent.
  publicNode: () =>
    planned(SLIM_EDGE + WEB, {
      edge: edge(),
      node: node({
        interfaces: { eth0: ['198.18.7.20/24', '2001:db8:1::20/64'] },
        routes: [
          ['default', '198.18.7.1', 'eth0'],
          ['default', '2001:db8:1::1', 'eth0'],
        ],
      }),
    }),
  pod: () => slim(web('', '{ host: node, via: edge-node, address: 10.42.0.10 }')),
  // What fits the tunnel does not fit what lies behind the node.
  narrowPod: () =>
    planned(SLIM_EDGE + hostText('pod') + web('', '{ host: node, via: edge-node, address: 10.42.0.10 }'), {
      edge: edge(),
      node: narrow(node({ interfaces: { eth0: NODE, pod0: ['10.42.0.1/24'] } }), 'pod0'),
      pod: narrow(
        sketch({ interfaces: { eth0: ['10.42.0.10/24'] }, routes: [['default', '10.42.0.1', 'eth0']] }),
        'eth0',
      ),
    }),
  vxlan: () =>
    planned(hostText('edge') + hostText('node') + VXLAN + WEB, {
      edge: beside(edge, '172.31.0.1/24', EDGE),
      node: beside(node, '172.31.0.2/24', NODE),
    }),
};
