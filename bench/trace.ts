/** How long a trace takes once all is read: a packet and its answer over five hosts, at an edge with many forwards. */

import { placeQuestion, readQuestion } from '../src/cli/trace-question.ts';
import { compile, declaredFacts } from '../src/compile/index.ts';
import { loadResources } from '../src/resources/index.ts';
import { reportTrace, simulate, simulateAll, startDraws } from '../src/simulate/index.ts';
import { futureNetwork } from '../src/verify/index.ts';
import { forward } from './documents.ts';
import { atMost, type Line, median } from './measure.ts';

const host = (name: string, ...interfaces: readonly string[]): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec:\n  access: { netns: { name: ${name} } }\n  interfaces:\n${interfaces.map((each) => `    - { ${each} }\n`).join('')}`;

/** The edge with its forwards to a machine behind the node, the node, and three hosts more. */
function documents(count: number): string {
  const tunnel = `apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: edge-node }
spec:
  type: Direct
  ends:
    - { host: edge, addresses: [172.31.0.1] }
    - { host: node, addresses: [172.31.0.2] }
`;
  const forwards = Array.from({ length: count }, (_, index) =>
    forward(index, `{ protocol: TCP, port: ${1024 + index} }`, '{ host: node, via: edge-node }'),
  );
  return [
    host(
      'edge',
      'name: eth0, zone: public, addresses: [198.51.100.10/24]',
      'name: priv0, zone: private, addresses: [172.31.0.1/24]',
    ),
    host('node', 'name: priv0, zone: private, addresses: [172.31.0.2/24]'),
    ...[3, 4, 5].map((number) =>
      host(`host-${number}`, `name: eth0, zone: private, addresses: [172.31.0.${number}/24]`),
    ),
    tunnel,
    ...forwards,
  ].join('---\n');
}

/** Settings that nobody looked at would leave the answer undecided. */
const ROUTER: ReadonlyMap<string, string> = new Map([
  ['net/ipv4/conf/default/forwarding', '1'],
  ['net/ipv4/conf/all/rp_filter', '0'],
  ['net/ipv4/conf/default/rp_filter', '0'],
]);

export function measureTrace(count: number, rounds: number): readonly Line[] {
  const { set, problems } = loadResources([{ name: 'bench.yaml', text: documents(count) }]);
  if (set === undefined || problems.length > 0) throw new Error(problems.map(({ what }) => what).join('\n'));
  const facts = new Map(
    [...set.hosts.values()].map((each) => {
      const declared = declaredFacts(each);
      return [each.name, { ...declared, state: { ...declared.state, sysctls: ROUTER } }];
    }),
  );
  const compiled = compile(set, facts, { setName: 'default', version: 'bench' });
  if (compiled.problems.length > 0) throw new Error(compiled.problems.map(({ what }) => what).join('\n'));
  const question = readQuestion({ from: '192.0.2.10', to: `198.51.100.10:${1024 + count - 1}/tcp` }, [
    ...set.hosts.keys(),
  ]);
  const [prepared, traced]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    const network = futureNetwork(set, compiled, facts);
    const ready = performance.now();
    const flow = placeQuestion(network, question);
    const traces = simulateAll(network, flow).traces.map(({ ways }) =>
      reportTrace(simulate(network, flow, { hops: true, draws: startDraws(ways) })),
    );
    const ended = performance.now();
    if (traces.some(({ works }) => works !== true)) throw new Error(JSON.stringify(traces, undefined, 2));
    prepared.push(ready - began);
    traced.push(ended - began);
  }
  const what = `a trace over ${facts.size} hosts with ${count} forwards, once read`;
  return [
    { what, value: median(traced), unit: 'ms', goal: atMost(50, 'ms', median(traced)) },
    { what: `${what}: of it, indexing the rulesets`, value: median(prepared), unit: 'ms' },
  ];
}
