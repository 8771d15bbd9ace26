import { expect, test } from 'vitest';
import { printStatement } from '../nftables/index.ts';
import type { RoutingRule } from '../routing/index.ts';
import { liveNetwork } from './future.ts';
import { type Promised, verifyPlan } from './index.ts';
import { planned, unkept } from './testdata/plan.ts';
import { edge, node, SLIM_EDGE, WEB } from './testdata/sketch.ts';

const KEPT = 'what reached it before reaches it still, and it the Internet';
const found = (promises: readonly Promised[], host: string) =>
  promises.find(({ resource, promise }) => resource === `Host/${host}` && promise === KEPT);

test('of a sound plan it holds for both ends; on a network as it stands nothing is said of it', () => {
  const plan = planned(SLIM_EDGE + WEB, { edge: edge(), node: node() });
  const promises = verifyPlan(plan);
  expect(unkept(promises)).toEqual([]);
  for (const host of ['edge', 'node']) expect(found(promises, host)).toMatchObject({ holds: true });
  const network = liveNetwork(plan.set, plan.facts, new Map(), { sockets: new Map() });
  expect(found(verifyPlan({ ...plan, network }), 'edge')).toBeUndefined();
});

test('a plan that would shut others out of the edge, or bend its way out, is told', () => {
  const plan = planned(SLIM_EDGE + WEB, { edge: edge(), node: node() });
  const { compiled } = plan;
  const own = compiled.hosts.get('edge');
  if (own === undefined) throw new TypeError('no edge');
  const withState = (state: typeof own.state) => ({
    ...plan,
    compiled: { ...compiled, hosts: new Map(compiled.hosts).set('edge', { ...own, state }) },
  });
  const shut = own.state.tables.map((table) => ({
    ...table,
    chains: table.chains.map((chain) =>
      chain.kind === 'base' && chain.hook === 'prerouting' ? { ...chain, policy: 'drop' as const } : chain,
    ),
  }));
  expect(found(verifyPlan(withState({ ...own.state, tables: shut })), 'edge')).toMatchObject({
    holds: false,
    reason: expect.stringContaining('198.51.100.10:22/tcp: edge drops'),
  });
  // As wg-quick would: half of the Internet into the tunnel, and what strangers are answered with it.
  const bent = own.state.routes.map((route) => {
    const { family } = route.destination.address;
    return { ...route, destination: { address: { family, value: family === 4 ? 1n << 31n : 0n }, length: 1 } };
  });
  const { holds, reason } = found(verifyPlan(withState({ ...own.state, routes: bent })), 'edge') ?? {};
  expect(holds, reason).toBe(false);
  // Answers go as before, and what the edge itself asks the Internet for does not.
  const asks: RoutingRule = {
    ...{ family: 4, priority: 50, protocol: 83, action: { kind: 'blackhole' } },
    opaque: { ipproto: 'tcp', dport: 443 },
  };
  expect(found(verifyPlan(withState({ ...own.state, rules: [asks, ...own.state.rules] })), 'edge')).toMatchObject({
    holds: false,
    reason: expect.stringContaining('it left by eth0 of edge as 198.51.100.10, and would not leave'),
  });
});

test('what a node asks of its edge, and the edge of itself, is answered as before', () => {
  const plan = planned(SLIM_EDGE + WEB, { edge: edge(), node: node() });
  const without = (host: string, chain: string, words: RegExp) => {
    const own = plan.compiled.hosts.get(host);
    if (own === undefined) throw new TypeError(`no ${host}`);
    const tables = own.state.tables.map((table) => ({
      ...table,
      chains: table.chains.map((each) => ({
        ...each,
        rules: each.rules.filter(
          (rule) => each.name !== chain || !words.test(rule.statements.map(printStatement).join(' ')),
        ),
      })),
    }));
    const state = { ...own.state, tables };
    const hosts = new Map(plan.compiled.hosts).set(host, { ...own, state });
    return verifyPlan({ ...plan, compiled: { ...plan.compiled, hosts } });
  };
  // The edge answers the node by the tunnel, which knows the edge's own addresses alone.
  const { holds, reason } = found(without('node', 'sp_from_edge_node', /sp_far6/), 'edge') ?? {};
  expect([holds, reason]).toEqual([
    false,
    'node → [2001:db8:e::10]:22/tcp: node drops [2001:db8:e::10]:22 → [2001:db8:1::20]:40000/tcp in prerouting: inet sallyport sp_from_edge_node: counter drop',
  ]);
});
