/** How long a trace takes: once all is read, over five hosts, at an edge with many forwards; and as a command that looks at five hosts first. */

import { placeQuestion, readQuestion } from '../src/cli/trace-question.ts';
import { compile, declaredFacts } from '../src/compile/index.ts';
import { type Lab, startLab, type Topology } from '../src/lab/index.ts';
import { loadResources } from '../src/resources/index.ts';
import { reportTrace, simulate, simulateAll, startDraws } from '../src/simulate/index.ts';
import { futureNetwork } from '../src/verify/index.ts';
import { forward } from './documents.ts';
import { atMost, inTurns, type Line, median } from './measure.ts';

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

const NAMES = ['client', 'one', 'two', 'three', 'server'] as const;

/** Five hosts in a row, the three in the middle with a firewall each. */
const ROW: Topology = {
  name: 'row',
  hosts: NAMES.map((name, at) => ({
    name,
    ...(at > 0 &&
      at < 4 && {
        sysctls: { 'net.ipv4.ip_forward': '1' },
        nft: 'table inet f { chain f { type filter hook forward priority 0; policy drop; ct state established,related accept; tcp dport 80 accept; }; }\n',
      }),
    routes: [
      ...NAMES.slice(at + 2).map((_, behind) => ({ to: `10.${at + behind + 2}.0.0/24`, via: `10.${at + 1}.0.2` })),
      ...Array.from({ length: Math.max(0, at - 1) }, (_, before) => ({
        to: `10.${before + 1}.0.0/24`,
        via: `10.${at}.0.1`,
      })),
    ],
  })),
  switches: [],
  cables: NAMES.slice(1).map((name, at) => ({
    ends: [
      { at: NAMES[at] ?? '', interface: 'right', addresses: [`10.${at + 1}.0.1/24`] },
      { at: name, interface: 'left', addresses: [`10.${at + 1}.0.2/24`] },
    ],
  })),
};

export async function measureLive(sallyport: string, rounds: number): Promise<readonly Line[]> {
  await using lab: Lab = await startLab(ROW);
  await lab.serve('server', { protocol: 'tcp', port: 80 });
  const stdin = NAMES.map((name) => `${host(name).split('  interfaces:')[0]}`).join('---\n');
  const trace = ['trace', '--live', '-f', '-', '--from', '10.1.0.1', '--to', '10.4.0.2:80/tcp'];
  const times = await inTurns(rounds, {
    nothing: () => lab.run([process.execPath, '-e', '0']),
    trace: () => lab.run([process.execPath, sallyport, ...trace], { stdin }),
  });
  const value = median(times('trace'));
  return [
    {
      what: 'sallyport trace --live over 5 hosts',
      value,
      unit: 'ms',
      beside: { what: 'node -e 0', value: median(times('nothing')) },
      goal: atMost(1500, 'ms', value),
    },
  ];
}
