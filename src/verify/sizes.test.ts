import { describe, expect, test } from 'vitest';
import type { HostFacts } from '../host/index.ts';
import { baseChain, drop, match, meta, number, rule, type Table } from '../nftables/index.ts';
import { type Promised, verifyPlan } from './index.ts';
import { mutantsOf } from './testdata/mutants.ts';
import { planned } from './testdata/plan.ts';
import { edge, forwardText, hostText, node, SLIM_EDGE, sketch } from './testdata/sketch.ts';

const forwardOf = (protocol: string, more = ''): string =>
  forwardText('web', 'edge', [`protocol: ${protocol}, port: 443`], `{ host: node, via: edge-node${more} }`);

const sizes = (promises: readonly Promised[]): Promised =>
  promises.find(({ promise }) => promise.startsWith('who sends packets too large')) ??
  expect.fail('nothing is promised of large packets');

const narrow = (facts: HostFacts, name: string, mtu: number): HostFacts => ({
  ...facts,
  state: { ...facts.state, links: facts.state.links.map((link) => (link.name === name ? { ...link, mtu } : link)) },
});

/** As people write who have read that ICMP is dangerous. */
const noErrors = (hook: 'output' | 'input' | 'forward'): Table => ({
  ...{ family: 'inet', name: 'theirs', sets: [], maps: [], opaque: [] },
  chains: [
    baseChain(
      'no_icmp',
      { type: 'filter', hook, priority: 0 },
      ...[1, 58].map((protocol) => rule(match(meta('l4proto'), '==', number(protocol)), drop)),
    ),
  ],
});

/** A pod behind the node, its link narrower than the tunnel where that is said. */
const withPod = (mtu: number, onNode: readonly Table[] = []) => {
  const interfaces = { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'], pod0: ['10.42.0.1/24'] };
  return planned(SLIM_EDGE + hostText('pod') + forwardOf('UDP', ', address: 10.42.0.10'), {
    edge: edge(),
    node: narrow(node({ interfaces, tables: onNode }), 'pod0', mtu),
    pod: narrow(
      sketch({ interfaces: { eth0: ['10.42.0.10/24'] }, routes: [['default', '10.42.0.1', 'eth0']] }),
      'eth0',
      mtu,
    ),
  });
};

describe('a datagram of 1500 bytes that nobody may fragment', () => {
  test('does not fit the tunnel: its sender is told, and what fits arrives', () => {
    expect(sizes(verifyPlan(planned(SLIM_EDGE + forwardOf('UDP'), { edge: edge(), node: node() }))).holds).toBe(true);
  });

  test('is lost where the edge lets no ICMP out: a black hole, with the packet and the rule', () => {
    const hosts = { edge: edge({ tables: [noErrors('output')] }), node: node() };
    const { holds, reason, trace } = sizes(verifyPlan(planned(SLIM_EDGE + forwardOf('UDP'), hosts)));
    expect(holds).toBe(false);
    expect(reason).toMatch(
      /of 1500 bytes is larger than the MTU 1440 of sp-wg51820 on edge, which tells its sender \(ICMP.*\); that does not reach its sender: edge drops .* in output: inet theirs no_icmp/,
    );
    expect(trace?.fix).toContain('let ICMP errors through to it');
    expect(trace?.reply?.hops.at(-1)?.decidedBy).toContain('no_icmp');
  });

  test('matters to nobody who speaks TCP, whose segments are clamped: that is enough', () => {
    const hosts = { edge: edge({ tables: [noErrors('output')] }), node: node() };
    expect(verifyPlan(planned(SLIM_EDGE + forwardOf('TCP'), hosts)).filter(({ holds }) => holds !== true)).toEqual([]);
  });

  test('is no promise of a stateless forward, whose errors speak of packets that nobody sent', () => {
    const forward = forwardOf('UDP').replace('---\n', '  tracking: Stateless\n---\n');
    const promises = verifyPlan(planned(SLIM_EDGE + forward, { edge: edge(), node: node() }));
    expect(promises.some(({ promise }) => promise.startsWith('who sends packets'))).toBe(false);
  });
});

describe('a link behind the node that is narrower than the tunnel', () => {
  test('is told of through the tunnel, step by step', () => expect(sizes(verifyPlan(withPod(1300))).holds).toBe(true));

  test('by packets without which it would be a black hole: each rule that lets them through is needed', () => {
    const plan = withPod(1300);
    const noticed = mutantsOf(plan.compiled).filter(
      ({ name, compiled }) =>
        /ct state == related|icmp type/.test(name) && sizes(verifyPlan({ ...plan, compiled })).holds === false,
    );
    expect(noticed.map(({ name }) => name.replace(/ meta .*/, ''))).toEqual([
      'edge: sp_from_wg51820: ct state == related',
      'node: sp_clamp: oifname "sp-edge-node"',
    ]);
  });

  test('of a pod that is no host of ours is told of all the same, though how it answers is not known', () => {
    const interfaces = { eth0: ['192.168.1.20/24', '2001:db8:1::20/64'] };
    const said = (tables: readonly Table[]) => {
      const hosts = {
        edge: edge({ tables }),
        node: node({ interfaces, routes: [['default', '192.168.1.1', 'eth0']] }),
      };
      return sizes(verifyPlan(planned(SLIM_EDGE + forwardOf('UDP', ', address: 10.42.0.10'), hosts))).holds;
    };
    expect([said([]), said([noErrors('output')])]).toEqual([true, false]);
  });

  test('is a black hole for what the pod answers, where the node does not tell the pod', () => {
    const { holds, reason } = sizes(verifyPlan(withPod(1500, [noErrors('output')])));
    expect([holds, reason]).toEqual([false, expect.stringMatching(/^10\.42\.0\.10:443 .* of 1500 bytes .*no_icmp/)]);
  });

  test('nobody tells of at all, where a veth drops what does not fit: its ends differ', () => {
    const narrowed = withPod(1300);
    const pod = narrowed.facts.get('pod') ?? expect.fail('no pod');
    const links = pod.state.links.map((link) => ({ ...link, kind: 'veth' as const, mtu: 1200 }));
    const state = { ...pod.state, links };
    const facts = new Map(narrowed.facts).set('pod', { ...pod, state });
    const { holds, reason } = sizes(verifyPlan({ ...narrowed, facts }));
    expect([holds, reason]).toEqual([false, expect.stringMatching(/and tells nobody; its sender is told nothing$/)]);
  });
});
