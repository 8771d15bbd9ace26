/** Forwards that differ in their ports alone are judged by one of them: not where a rule of routing asks for the port. */
import { expect, test } from 'vitest';
import { baseChain, drop, match, number, payload, rule, type Table } from '../nftables/index.ts';
import { verifyPlan } from './index.ts';
import { planned, unkept } from './testdata/plan.ts';
import { edge, forwardText, node, SLIM_EDGE } from './testdata/sketch.ts';

const forward = (port: number): string =>
  forwardText(
    `to-${port}`,
    'edge',
    [`protocol: TCP, port: ${port}, targetPort: ${port + 8000}`],
    '{ host: node, via: edge-node }',
  );

/** Of one host's routing: a packet to this port goes nowhere. */
const blackhole = (port: number): string =>
  `[{"priority":10,"src":"all","ipproto":"tcp","dport":${port},"action":"blackhole"}]`;

/** A node that no NAT hides, and that asks for its own services. */
const PUBLIC = {
  interfaces: { eth0: ['198.18.7.20/24'] },
  routes: [['default', '198.18.7.1', 'eth0']],
} as const;

test('a rule of the edge for one port of a target breaks the forward to it, and no other', () => {
  const plan = planned(SLIM_EDGE + forward(80) + forward(81), { edge: edge({ rules: blackhole(8081) }), node: node() });
  const broken = unkept(verifyPlan(plan));
  expect(broken.join('\n')).toContain('PortForward/to-81: reachable from outside by edge');
  expect(broken.filter((line) => line.startsWith('PortForward/to-80'))).toEqual([]);
});

const silent = (port: number): Table => ({
  ...{ family: 'inet', name: 'mine', sets: [], maps: [], opaque: [] },
  chains: [
    {
      ...baseChain('output', { type: 'filter', hook: 'output', priority: 0 }),
      rules: [rule(match(payload('tcp', 'dport'), '==', number(port)), drop)],
    },
  ],
});

for (const port of [80, 81])
  for (const [what, more] of [
    ['of routing', { rules: blackhole(port) }],
    ['of its firewall', { tables: [silent(port)] }],
  ] as const)
    test(`a rule ${what} that keeps the node from asking for ${port} itself breaks no forward`, () => {
      const plan = planned(SLIM_EDGE + forward(80) + forward(81), {
        ...{ edge: edge(), node: node({ ...PUBLIC, ...more }) },
      });
      expect(unkept(verifyPlan(plan))).toEqual([]);
    });
