import { expect, test } from 'vitest';
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
  const bent = own.state.routes.map((route) => ({ ...route, destination: { ...route.destination, length: 0 } }));
  const rules = plan.facts.get('edge')?.state.rules ?? [];
  expect(rules.length).toBeGreaterThan(0);
  expect(found(verifyPlan(withState({ ...own.state, routes: bent })), 'edge')?.holds).not.toBe(true);
});
