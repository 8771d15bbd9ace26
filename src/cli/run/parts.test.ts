/** Of a set, what is thought over by itself is as if all of it were thought over. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compile, declaredFacts } from '../../compile/index.ts';
import { loadResources, printProblem, type ResourceSet } from '../../resources/index.ts';
import { partsOf } from './parts.ts';

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

const host = (name: string, zone: string, address: string): string =>
  resource(
    'Host',
    name,
    `{ access: { netns: { name: ${name} } }, interfaces: [{ name: eth0, zone: ${zone}, addresses: [${address}] }] }`,
  );

interface Drawn {
  readonly edges: number;
  readonly nodes: number;
  /** Edge and node of each tunnel. */
  readonly tunnels: readonly (readonly [number, number])[];
  /** The tunnels that each forward goes by; none: to an address behind the edge. */
  readonly forwards: readonly (readonly number[])[];
  readonly policy: string;
}

/** A forward stands at the edge of its first tunnel, and leads to the nodes of all that begin there. */
function documents({ edges, nodes, tunnels, forwards, policy }: Drawn): string {
  const places = tunnels.map(([edge, node]) => [edge % edges, node % nodes] as const);
  const pairs = places.filter(
    ([edge, node], index) => places.findIndex(([e, n]) => e === edge && n === node) === index,
  );
  return [
    ...Array.from({ length: edges }, (_, index) => host(`edge${index}`, 'public', `198.51.100.${10 + index}/24`)),
    ...Array.from({ length: nodes }, (_, index) => host(`node${index}`, 'private', `192.168.${index}.20/24`)),
    ...pairs.map(([edge, node], index) =>
      resource(
        'Tunnel',
        `tunnel${index}`,
        `{ type: WireGuard, ends: [{ host: edge${edge}, addresses: [10.90.${index}.1/30], endpoint: "198.51.100.${10 + edge}:51820" }, { host: node${node}, addresses: [10.90.${index}.2/30] }] }`,
      ),
    ),
    ...forwards.map((by, index) => {
      const edge = pairs[(by[0] ?? 0) % Math.max(1, pairs.length)]?.[0] ?? 0;
      const own = pairs.filter(([at], place) => at === edge && by.some((each) => each % pairs.length === place));
      const to = by.length === 0 ? ['{ address: 10.7.7.7 }'] : own.map(([, node]) => `{ host: node${node} }`);
      return resource(
        'PortForward',
        `forward${index}`,
        `{ at: { hosts: [edge${edge}] }, ports: [{ protocol: TCP, port: ${1_000 + index} }], to: [${to.join(', ')}], policy: ${policy} }`,
      );
    }),
  ].join('---\n');
}

const anyDrawn = fc.record({
  edges: fc.integer({ min: 1, max: 4 }),
  nodes: fc.integer({ min: 1, max: 4 }),
  tunnels: fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { minLength: 1, maxLength: 6 }),
  forwards: fc.array(fc.array(fc.nat(5), { maxLength: 3 }), { maxLength: 6 }),
  policy: fc.constantFrom('Failover', 'Balance'),
});

const compiled = (set: ResourceSet) => {
  const facts = new Map([...set.hosts].map(([name, each]) => [name, declaredFacts(each)]));
  return compile(set, facts, { setName: 'default', version: '0.0.0' });
};

test('each host becomes by its part what it becomes by the whole set, and no two parts share one', () => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(anyDrawn, (drawn) => {
      const { set, problems } = loadResources([{ name: 'drawn.yaml', text: documents(drawn) }]);
      if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
      const whole = compiled(set);
      const parts = partsOf(set);
      seen.add(parts.length);
      expect(parts.flatMap(({ hosts }) => [...hosts.keys()]).sort()).toEqual([...set.hosts.keys()].sort());
      for (const kind of ['tunnels', 'forwards'] as const)
        expect(parts.reduce((sum, part) => sum + part[kind].size, 0)).toBe(set[kind].size);
      const all = parts.map(compiled);
      expect(new Map(all.flatMap(({ hosts }) => [...hosts]))).toEqual(whole.hosts);
      expect(new Set(all.flatMap(({ probes }) => probes))).toEqual(new Set(whole.probes));
      expect(all.flatMap((part) => part.problems.map(printProblem)).sort()).toEqual(
        whole.problems.map(printProblem).sort(),
      );
    }),
    { numRuns: 200 },
  );
  expect(seen.size).toBeGreaterThan(3);
});
