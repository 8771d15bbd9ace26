import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { HostFacts } from '../host/index.ts';
import { readIptablesSave } from '../iptables/index.ts';
import type { Table } from '../nftables/index.ts';
import { loadResources, printProblem } from '../resources/index.ts';
import type { RoutingRule } from '../routing/index.ts';
import { bitsOf, foreignMarks } from './foreign-marks.ts';
import { type Compiled, compile } from './index.ts';
import { chooseNumbers } from './numbers.ts';
import { edge, node } from './testdata/facts.ts';

const FILES = {
  'kube-proxy': '../iptables/testdata/kube-proxy-1.36/iptables.iptables-save',
  calico: 'testdata/foreign/calico.iptables-save',
  cilium: 'testdata/foreign/cilium.iptables-save',
  tailscale: 'testdata/foreign/tailscale.iptables-save',
  docker: 'testdata/foreign/docker.iptables-save',
  'wg-quick': 'testdata/foreign/wg-quick.iptables-save',
  istio: 'testdata/foreign/istio.iptables-save',
} as const;
type Owner = keyof typeof FILES;

function tablesOf(owner: Owner): readonly Table[] {
  const text = readFileSync(new URL(FILES[owner], import.meta.url), 'utf8');
  const { tables, problems } = readIptablesSave(text, { family: 4, origin: 'iptables-nft' });
  expect(problems).toEqual([]);
  return tables;
}
const lookup = (
  priority: number,
  table: number,
  mark: RoutingRule['mark'],
  more: Partial<RoutingRule> = {},
): RoutingRule => ({
  ...{ family: 4, priority, protocol: 3, action: { kind: 'lookup', table } },
  ...(mark && { mark }),
  ...more,
});
const RULES: Partial<Record<Owner, readonly RoutingRule[]>> = {
  tailscale: [5210, 5230, 5250].map((priority) => lookup(priority, 52, { value: 0x80000, mask: 0xff0000 })),
  cilium: [lookup(9, 2004, { value: 0x200, mask: 0xf00 })],
  istio: [lookup(32764, 100, { value: 0x539, mask: 0xfff })],
  'wg-quick': [lookup(32764, 51820, { value: 0xca6c, mask: 0xffffffff }, { not: true })],
};

function hostWith(...owners: readonly Owner[]): HostFacts {
  const facts = node({ rules: owners.flatMap((owner) => RULES[owner] ?? []) });
  return { ...facts, state: { ...facts.state, tables: owners.flatMap(tablesOf) } };
}

describe('our marks are free of what others use by default', () => {
  for (const [owner, bits, mask] of [
    ['kube-proxy', 0x4000, 0xff],
    ['calico', 0xf0000, 0xff],
    ['cilium', 0x3d9a0f00, 0xff],
    ['tailscale', 0xff0000, 0xff],
    ['docker', 0, 0xff],
    ['wg-quick', 0xca6c, 0xff0000],
    ['istio', 0xfff, 0xff0000],
  ] as const)
    test(owner, () => {
      const facts = hostWith(owner);
      expect(bitsOf(foreignMarks(facts)).toString(16)).toBe(bits.toString(16));
      const { numbers, clashes } = chooseNumbers(facts, {}, ['default/a']);
      expect(clashes).toEqual([]);
      expect(numbers.mark.mask).toBe(mask);
      expect(numbers.mark.mask & bits).toBe(0);
    });

  test('all of them on one host', () => {
    const { numbers, clashes } = chooseNumbers(
      hostWith('kube-proxy', 'calico', 'cilium', 'tailscale', 'docker', 'wg-quick', 'istio'),
      {},
      ['default/a'],
    );
    expect(clashes).toEqual([]);
    expect(numbers.mark.mask).toBe(0x3000);
  });
});

describe('a mask that the user fixed and another has is refused with his rule', () => {
  for (const [owner, mask, bits, by] of [
    [
      'kube-proxy',
      0xf000,
      0x4000,
      'iptables -t filter -A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
    ],
    [
      'calico',
      0xff0000,
      0xf0000,
      'iptables -t mangle -A cali-PREROUTING -m comment --comment "cali:KX7AGNd6rMcDUai6" -m mark --mark 0x10000/0x10000 -j ACCEPT',
    ],
    ['istio', 0xf, 0xf, 'ip rule 32764: from all fwmark 0x539/0xfff lookup 100 proto boot'],
    ['tailscale', 0xf00000, 0xf00000, 'ip rule 5210: from all fwmark 0x80000/0xff0000 lookup 52 proto boot'],
    ['wg-quick', 0xff, 0x6c, 'ip rule 32764: not from all fwmark 0xca6c lookup 51820 proto boot'],
  ] as const)
    test(owner, () =>
      expect(chooseNumbers(hostWith(owner), { mark: { value: mask & -mask, mask } }, ['default/a']).clashes).toEqual([
        {
          path: 'spec.forwarding.mark.mask',
          what: `0x${mask.toString(16)} overlaps the mark bits 0x${bits.toString(16)} that others use: ${by}`,
        },
      ]),
    );
});

const SLIM_EDGE = readFileSync(new URL('testdata/slim-edge.yaml', import.meta.url), 'utf8');
function compiled(text: string, ofNode: HostFacts): Compiled {
  const { set, problems } = loadResources([{ name: 'test.yaml', text }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  return compile(
    set,
    new Map([
      ['edge', edge()],
      ['node', ofNode],
    ]),
    { setName: 'default', version: '0.0.0' },
  );
}

test('marks of an earlier apply that a new rule uses are a problem, until the Host names others', () => {
  const first = compiled(SLIM_EDGE, node());
  expect(first.problems).toEqual([]);
  const record = first.hosts.get('node')?.record;
  const later: HostFacts = { ...hostWith('istio'), ...(record !== undefined && { record }) };
  expect(compiled(SLIM_EDGE, later).problems.map(printProblem)).toEqual([
    'test.yaml:11:1: spec.forwarding.mark: node: 0xff overlaps the mark bits 0xff that others use: ip rule 32764: from all fwmark 0x539/0xfff lookup 100 proto boot; the marks were chosen by an earlier apply, when it was not there: name bits that are free with mark: {value, mask}',
  ]);
  const mended = SLIM_EDGE.replace(
    'netns: { name: node }',
    'netns: { name: node }\n  forwarding: { mark: { value: 0x10000, mask: 0xff0000 } }',
  );
  expect(compiled(mended, later).problems.map(printProblem)).toEqual([]);
});
