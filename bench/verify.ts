/** How long the proof of a plan takes, once all is read and compiled: of many forwards to one target and to many, and of as many connections. */
import { compile, declaredFacts } from '../src/compile/index.ts';
import type { HostFacts } from '../src/host/index.ts';
import { readConntrack } from '../src/nftables/index.ts';
import { loadResources } from '../src/resources/index.ts';
import { type Planned, verifyPlan } from '../src/verify/index.ts';
import { forward } from './documents.ts';
import { atMost, type Line, median } from './measure.ts';

const EDGE = `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec:
  access: { netns: { name: edge } }
  interfaces:
    - { name: eth0, zone: public, addresses: [198.51.100.10/24] }
    - { name: priv0, zone: private, addresses: [172.16.0.1/16] }
`;

const SYSCTLS: ReadonlyMap<string, string> = new Map(
  ['all', 'default', 'eth0', 'priv0'].flatMap((link) => [
    [`net/ipv4/conf/${link}/forwarding`, '0'] as const,
    [`net/ipv4/conf/${link}/rp_filter`, '0'] as const,
  ]),
);

/** As a host that was looked at, `count` forwards to `targets` addresses of its private network by turns. */
function plan(count: number, targets: number): Planned {
  const forwards = Array.from({ length: count }, (_, index) => {
    const target = 2 + (index % targets);
    const ports = `{ protocol: ${index % 2 === 0 ? 'TCP' : 'UDP'}, port: ${1024 + (index >> 1)}, targetPort: ${20_000 + (index >> 1)} }`;
    return forward(index, ports, `{ address: 172.16.${target >> 8}.${target & 0xff} }`);
  });
  const { set, problems } = loadResources([{ name: 'bench.yaml', text: [EDGE, ...forwards].join('---\n') }]);
  if (set === undefined || problems.length > 0) throw new Error(problems.map(({ what }) => what).join('\n'));
  const facts = new Map(
    [...set.hosts.values()].map((host): [string, HostFacts] => {
      const declared = declaredFacts(host);
      return [host.name, { ...declared, state: { ...declared.state, sysctls: SYSCTLS } }];
    }),
  );
  const compiled = compile(set, facts, { setName: 'default', version: 'bench' });
  if (compiled.problems.length > 0) throw new Error(compiled.problems.map(({ what }) => what).join('\n'));
  return { set, compiled, facts, traces: false };
}

/** As `conntrack -L` lists strangers at two ports of the edge, of which nobody forwards one. */
const connections = (count: number): string =>
  Array.from({ length: count }, (_, index) => {
    const [client, port] = [`203.${index >> 16}.${(index >> 8) & 0xff}.${index & 0xff}`, index % 2 === 0 ? 22 : 2000];
    const source = 1024 + (index % 60_000);
    return (
      `ipv4     2 tcp      6 431999 ESTABLISHED src=${client} dst=198.51.100.10 sport=${source} dport=${port} ` +
      `src=198.51.100.10 dst=${client} sport=${port} dport=${source} [ASSURED] mark=0 use=1`
    );
  }).join('\n');

/** Milliseconds a round, the first not counted: as warm as a loop is. */
function measure(planned: Planned, rounds: number): number {
  const taken: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const began = performance.now();
    const broken = verifyPlan(planned).find(({ holds }) => holds === false);
    if (round > 0) taken.push(performance.now() - began);
    if (broken !== undefined) throw new Error(`${broken.promise}: ${broken.reason}`);
  }
  return median(taken);
}

/** Of twice as many, at most so much more: noise of the machine included. */
const LINEAR = 2.5;

export function measureVerify(rounds: number): readonly Line[] {
  const of = (count: number, targets: number): number => measure(plan(count, targets), rounds);
  const line = (what: string, value: number, limit?: number): Line => ({
    ...{ what: `verify: ${what}`, value, unit: 'ms' },
    ...(limit !== undefined && { goal: atMost(limit, 'ms', value) }),
  });
  const [one, twice, many] = [of(10_000, 1), of(20_000, 1), of(10_000, 1_000)];
  const began = performance.now();
  const entries = readConntrack(connections(100_000));
  const read = performance.now() - began;
  const seen = { sockets: new Map(), entries: new Map([['edge', entries]]) };
  const flows = measure({ ...plan(10_000, 1), seen }, rounds);
  return [
    line('10000 forwards to one target', one, 300),
    line('20000 forwards to one target', twice),
    {
      ...{ what: 'verify: 20000 forwards to 10000', value: twice / one, unit: 'x' },
      goal: { text: `at most ${LINEAR}, for twice as many`, met: twice / one <= LINEAR },
    },
    line('10000 forwards to 1000 targets', many, 5_000),
    line('the same to one target, and 100000 connections on the edge', flows),
    line('reading conntrack -L of them', read),
  ];
}
