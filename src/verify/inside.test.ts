import { describe, expect, test } from 'vitest';
import { type Promised, verifyPlan } from './index.ts';
import { planned, unkept } from './testdata/plan.ts';
import { edge, node, SLIM_EDGE, WEB } from './testdata/sketch.ts';

/** A node that no NAT hides. */
const PUBLIC = node({
  interfaces: { eth0: ['198.18.7.20/24', '2001:db8:1::20/64'] },
  routes: [
    ['default', '198.18.7.1', 'eth0'],
    ['default', '2001:db8:1::1', 'eth0'],
  ],
});

const withSpec = (text: string): string => WEB.replace('  to:\n', `  ${text}\n  to:\n`);

/** What is said of a plan whose edge's elements, rules and chains are those that `keeps` tells. */
function verified(forward: string, keeps: (name: string) => boolean): readonly Promised[] {
  const plan = planned(SLIM_EDGE + forward, { edge: edge(), node: PUBLIC });
  const { compiled } = plan;
  const own = compiled.hosts.get('edge');
  if (own === undefined) throw new TypeError('no edge');
  const tables = own.state.tables.map((table) => ({
    ...table,
    sets: table.sets.map((set) => ({ ...set, elements: keeps(set.name) ? set.elements : [] })),
    chains: table.chains.map((chain) => ({ ...chain, rules: keeps(chain.name) ? chain.rules : [] })),
  }));
  const state = { ...own.state, tables };
  return verifyPlan({
    ...plan,
    compiled: { ...compiled, hosts: new Map(compiled.hosts).set('edge', { ...own, state }) },
  });
}

const broken = (promises: readonly Promised[]): readonly string[] =>
  promises.flatMap(({ promise, holds }) => (holds === false ? [promise] : []));

const INSIDE = "reachable from edge itself and from the target's network";

describe('a node that no NAT hides asks for its own service', () => {
  for (const [what, spec] of [
    ['by default', ''],
    ['with hairpin: false, as anybody on the Internet', 'hairpin: false'],
    ['where it is allowed', 'allow: [198.18.7.20/32, "2001:db8:1::20/128"]'],
    ['hidden', 'clientAddress: Masquerade'],
  ] as const)
    test(`${what}: it is led back to itself`, () =>
      expect(unkept(verified(spec === '' ? WEB : withSpec(spec), () => true))).toEqual([]));

  test('and would answer itself if the edge did not ask in its own name', () => {
    const told = verified(WEB, (name) => !name.startsWith('sp_self'));
    expect(broken(told)).toEqual([INSIDE]);
    expect(told.find(({ holds }) => holds === false)?.reason).toMatch(/its own address|not for who asked/);
  });

  test('with hairpin: false too: it comes in by the public link', () =>
    expect(broken(verified(withSpec('hairpin: false'), (name) => !name.startsWith('sp_self'))).join()).toMatch(
      /^reachable from outside|^answers leave by edge/,
    ));
});

describe('who is inside and not allowed', () => {
  const few = withSpec('allow: [203.0.113.0/24]');
  test('ends on the edge, the edge itself and the node among them', () =>
    expect(unkept(verified(few, () => true))).toEqual([]));

  test('does not meet what listens on the edge itself', () => {
    const told = verified(few, (name) => name !== 'sp_dnat_own');
    expect(broken(told)).toEqual([INSIDE]);
    expect(told.find(({ holds }) => holds === false)?.reason).toBe('edge itself comes as far as 198.51.100.10 on edge');
  });

  test('nor do strangers who are not', () => {
    const told = verified(few, (name) => name !== 'sp_judge_web');
    expect(broken(told)).toContain('nobody outside allow comes in by edge');
  });
});

test('the segments of what the edge itself asks fit the tunnel', () => {
  // Neither end says how large they may be: the edge would send what fits its own way, which is lo.
  const plan = planned(SLIM_EDGE + WEB, { edge: edge(), node: node() });
  const unclamped = new Map(
    [...plan.compiled.hosts].map(([name, host]) => {
      const tables = host.state.tables.map((table) => ({
        ...table,
        chains: table.chains.map((chain) => ({
          ...chain,
          rules: chain.rules.filter(({ statements }) =>
            statements.every(({ kind, ...more }) => kind !== 'set' || !JSON.stringify(more, bare).includes('maxseg')),
          ),
        })),
      }));
      return [name, { ...host, state: { ...host.state, tables } }] as const;
    }),
  );
  const told = verifyPlan({ ...plan, compiled: { ...plan.compiled, hosts: unclamped } });
  expect(broken(told)).toEqual(['TCP segments fit the tunnels on the way', INSIDE]);
});

const bare = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);
