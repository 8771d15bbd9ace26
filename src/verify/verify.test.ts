import { describe, expect, test } from 'vitest';
import { verifyPlan } from './index.ts';
import { mutantsOf } from './testdata/mutants.ts';
import { planned } from './testdata/plan.ts';
import { doubts, scenes } from './testdata/scenes.ts';

describe('all promises of a sound plan hold', () => {
  for (const [name, { text, hosts }] of Object.entries(scenes))
    test(name, () => {
      const promises = verifyPlan(planned(text, hosts));
      expect(promises.length).toBeGreaterThan(4);
      expect(promises.filter(({ holds }) => holds === false)).toEqual([]);
      const undecided = promises.filter(({ holds }) => holds === 'undecided').map(({ reason }) => reason);
      expect(undecided).toEqual(doubts[name] ?? []);
    });
});

test('without traces the same is said of every promise', () => {
  for (const { text, hosts } of Object.values(scenes)) {
    const plan = planned(text, hosts);
    const plans = [plan, ...mutantsOf(plan.compiled).map(({ compiled }) => ({ ...plan, compiled }))].slice(0, 20);
    for (const each of plans) {
      const told = verifyPlan(each).map(({ trace: _, ...promise }) => promise);
      expect(verifyPlan({ ...each, traces: false })).toEqual(told);
    }
  }
});

test('with the fast path the same is said of every promise', () => {
  for (const { text, hosts } of Object.values(scenes)) {
    const facts = Object.entries(hosts).map(([name, each]) => [name, { ...each, flowtables: 'kernel' as const }]);
    const fast = planned(text, Object.fromEntries(facts));
    const standing = [...fast.compiled.hosts.values()].flatMap(({ state }) => state.tables);
    expect(standing.some(({ flowtables }) => flowtables !== undefined)).toBe(true);
    const said = (plan: typeof fast) => verifyPlan({ ...plan, traces: false });
    expect(said(fast)).toEqual(said(planned(text, hosts)));
  }
});

/** What may be missing without a promise broken, and why: everything else must be noticed. */
const spared: readonly (readonly [scenes: RegExp, missing: RegExp, why: string])[] = [
  [/./, /maxseg size set|base chain sp_clamp/, 'both ends clamp both ways: one of them is enough'],
  [/./, /ct state == related|icmp type/, 'no link beside the tunnel is narrower than it: sizes.test.ts has one'],
  [
    /./,
    /sp_clamp: .*meta mark set/,
    "by which way a tunnel's own packets go is not simulated: src/cli/tunnels.test.ts",
  ],
  [/./, /sp_self4|node2?: sp_far4\w+: (198\.51|203\.0)/, "the Internet does not know the nodes' IPv4 addresses"],
  [/share/, /sp_self6|edge: base chain sp_masquerade/, 'no node is led to itself'],
  [/some clients/, /sp_self6|edge: base chain sp_masquerade/, 'no node is among the clients'],
  [/pod/, /edge: base chain sp_masquerade/, 'the pod has no IPv6 address'],
  [/./, /: (address|allowed IP|sp_far\w+:) ?(10\.90\.|fd9\d::|fe80:)/, 'no forward aims at the tunnel addresses'],
  [/./, /node2?: sp_from_\w+: .*@sp_far/, 'the edge takes no connections from the tunnel, so it answers none'],
  [/./, /edge2?: sp_from_\w+: .*direction original/, 'the edge takes no connections from the tunnel'],
  [/./, /node2?: (sp_into: |sp_forward: |base chain sp_forward)/, 'what the node lets into the tunnel the edge drops'],
  [/./, /edge2?: sp_into: ct direction reply/, 'no connection comes to the edge by the tunnel'],
  [
    /share|some clients|strict|edges|vxlan|pod|tracks/,
    /edge2?: (sp_into: counter drop|sp_forward: oifname|sp_forwards: ct mark set ct mark & 0xffffff00$)/,
    'the guard of a link that carried nothing before drops strangers too',
  ],
  [
    /share|some clients|strict|vxlan|routers|pod|tracks/,
    /node: (sp_zone|base chain sp_zone|base chain sp_clash)/,
    'one edge alone',
  ],
  [/./, /sp_loop/, "a tunnel's own packets are not simulated: src/cli/routed.test.ts sends one"],
  [/edges/, /node: sp_zone/, 'of two zones one is enough'],
  [/share/, /sp_zone|sp_clash/, 'one edge alone'],
  [/share|some clients|strict|edges|vxlan|routers|tracks/, /suppress_prefixlength/, 'no pod stands behind the node'],
  [
    /share|some clients|strict|edges|vxlan|routers|tracks/,
    /node2?: sp_pre: ct direction reply/,
    'no pod stands behind the node',
  ],
  [/share|some clients|edges|vxlan|routers|tracks/, /rp_filter/, 'it is off everywhere'],
  [/routers/, /sysctl .*forwarding/, 'it was on before'],
  [/some clients/, /limit rate|ct count/, 'one packet by itself is over no limit'],
  [/some clients/, /:: . tcp . 4000|e::10 . tcp . 4000|1::20 . tcp . 4000/, 'nobody of IPv6 is allowed there'],
  [/tracks/, /unsummed/, 'every datagram of the model has a checksum'],
  [/pod/, /node: (sp_out|base chain sp_out)/, 'the pod answers, and no socket of the node'],
  [/pod/, /ip6 saddr @sp_far6/, 'the pod has no IPv6 address'],
];

describe('one thing missing breaks a promise', () => {
  for (const name of [
    'two nodes that share the clients',
    'some clients, so many',
    'rp_filter strict everywhere',
    'two edges',
    'connections that nobody tracks',
    'vxlan',
    'routers already',
    'a pod behind the node',
  ])
    test(name, () => {
      const { text, hosts } = scenes[name] ?? { text: '', hosts: {} };
      const plan = planned(text, hosts);
      const unnoticed = mutantsOf(plan.compiled).filter(({ compiled }) =>
        verifyPlan({ ...plan, compiled }).every(({ holds }) => holds !== false),
      );
      const isSpared = (missing: string): boolean =>
        spared.some(([where, what]) => where.test(name) && what.test(missing));
      expect(unnoticed.map((mutant) => mutant.name).filter((missing) => !isSpared(missing))).toEqual([]);
    });
});
