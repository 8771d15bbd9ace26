import fc from 'fast-check';
import { expect, test } from 'vitest';
import { verifyPlan } from './index.ts';
import { planned } from './testdata/plan.ts';
import { edge, forwardText, hostText, node, sketch, tunnelText } from './testdata/sketch.ts';

/** Ports of one forward, none in the way of another's: the n-th has hundred ports of its own. */
const anyPorts = (forward: number): fc.Arbitrary<string> =>
  fc
    .record({
      protocol: fc.constantFrom('TCP', 'UDP'),
      first: fc.integer({ min: 0, max: 90 }),
      count: fc.integer({ min: 1, max: 9 }),
      shift: fc.constantFrom(0, 0, 1, 20_000),
    })
    .map(({ protocol, first, count, shift }) => {
      const from = 20_000 + forward * 100 + first;
      const range = (start: number): string => (count === 1 ? `${start}` : `${start}-${start + count - 1}`);
      return `protocol: ${protocol}, port: ${range(from)}, targetPort: ${range(from + shift)}`;
    });

const anyTunnel = fc.constantFrom(
  tunnelText(
    'edge-node',
    'WireGuard',
    '{ host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "198.51.100.10:51820" }',
    '{ host: node, addresses: [10.90.0.2/30, "fd90::2/64"] }',
  ),
  tunnelText(
    'edge-node',
    'WireGuard',
    '{ host: edge, addresses: [10.90.0.1/30], endpoint: "198.51.100.10:51820" }',
    '{ host: node, addresses: [10.90.0.2/30], endpoint: "172.31.0.2:51821" }',
  ),
  tunnelText(
    'edge-node',
    'VXLAN',
    '{ host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "172.31.0.1:4789" }',
    '{ host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: "172.31.0.2:4789" }',
  ),
);

const anyForward = (index: number): fc.Arbitrary<string> =>
  fc
    .record({
      ports: fc.array(anyPorts(index), { minLength: 1, maxLength: 1 }),
      masquerade: fc.boolean(),
      pod: fc.boolean(),
    })
    .map(({ ports, masquerade, pod }) =>
      forwardText(
        `web${index}`,
        'edge',
        ports,
        `{ host: node, via: edge-node${pod ? ', address: 10.42.0.10' : ''} }`,
        masquerade ? '  clientAddress: Masquerade\n' : '',
      ),
    );

const anySysctls = fc.record({
  'net/ipv4/conf/all/rp_filter': fc.constantFrom('0', '1', '2'),
  'net/ipv4/conf/default/rp_filter': fc.constantFrom('0', '1', '2'),
  'net/ipv4/conf/all/src_valid_mark': fc.constantFrom('0', '1'),
  'net/ipv4/conf/eth0/forwarding': fc.constantFrom('0', '1'),
  'net/ipv6/conf/all/forwarding': fc.constantFrom('0', '1'),
});

const anyScene = fc.record({
  tunnel: anyTunnel,
  forwards: fc.tuple(anyForward(0), anyForward(1), anyForward(2)).map((all) => all.join('')),
  edge: fc.record({ sysctls: anySysctls, leased: fc.boolean() }),
  node: fc.record({ sysctls: anySysctls, hasDefault: fc.boolean(), hasIPv6: fc.boolean() }),
});

/** make healthy asks for a thousand, and SEED for others. */
const RUNS = Number(process.env.HEALTHY_PLANS ?? 500);
const SEED = Number(process.env.HEALTHY_SEED ?? 20_261_127);

test(`what compiles on ${RUNS} healthy hosts keeps its promises (seed ${SEED})`, () => {
  let proven = 0;
  let undecided = 0;
  fc.assert(
    fc.property(anyScene, (scene) => {
      const lease = scene.edge.leased ? ' dynamic' : '';
      const addresses = ['192.168.1.20/24', ...(scene.node.hasIPv6 ? ['2001:db8:1::20/64'] : [])];
      const hosts = {
        edge: edge({
          interfaces: {
            eth0: [`198.51.100.10/24${lease}`, `2001:db8:e::10/64${lease}`],
            priv0: ['172.31.0.1/24'],
          },
          sysctls: scene.edge.sysctls,
        }),
        node: node({
          interfaces: { eth0: addresses, priv0: ['172.31.0.2/24'], pod0: ['10.42.0.1/24'] },
          routes: scene.node.hasDefault ? [['default', '192.168.1.1', 'eth0']] : [],
          sysctls: scene.node.sysctls,
        }),
        pod: sketch({ interfaces: { eth0: ['10.42.0.10/24'] }, routes: [['default', '10.42.0.1', 'eth0']] }),
      };
      const text = hostText('edge') + hostText('node') + hostText('pod') + scene.tunnel + scene.forwards;
      const promises = verifyPlan(planned(text, hosts));
      expect(promises.filter(({ holds }) => holds === false)).toEqual([]);
      proven += promises.filter(({ holds }) => holds === true).length;
      undecided += promises.filter(({ holds }) => holds === 'undecided').length;
    }),
    { numRuns: RUNS, seed: SEED },
  );
  expect(undecided).toBeLessThan(proven / 20);
});
