import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { HostFacts } from '../host/index.ts';
import { loadResources, printProblem } from '../resources/index.ts';
import { type Compiled, compile } from './index.ts';
import { edge, node } from './testdata/facts.ts';

const EDGE_AND_NODE = readFileSync(new URL('testdata/slim-edge.yaml', import.meta.url), 'utf8');
const document = (kind: string, name: string, spec: string): string =>
  `---\napiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n  ${spec}\n`;
const host = (name: string): string => document('Host', name, `access: { netns: { name: ${name} } }`);
const end = (host: string, address: string, endpoint?: string): string =>
  `{ host: ${host}, addresses: [${address}]${endpoint === undefined ? '' : `, endpoint: "${endpoint}"`} }`;
const tunnel = (name: string, left: string, right: string, type = 'WireGuard'): string =>
  document('Tunnel', name, `type: ${type}\n  ends: [${left}, ${right}]`);
const forward = (name: string, at: string, port: number, target: string): string =>
  document(
    'PortForward',
    name,
    `at: { hosts: [${at}] }\n  ports: [{ protocol: TCP, port: ${port} }]\n  to: [{ ${target} }]`,
  );

function run(text: string, setName = 'default', known: Readonly<Record<string, HostFacts>> = {}): Compiled {
  const { set, problems } = loadResources([{ name: 'f.yaml', text }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  const facts = [...set.hosts.keys()].map((name, index): readonly [string, HostFacts] => {
    const own = node({
      interfaces: { eth0: [`192.168.${index}.20/24`] },
      routes: [['default', `192.168.${index}.1`, 'eth0']],
    });
    const online = edge({
      interfaces: { eth0: [`198.51.100.${10 + index}/24`] },
      routes: [['default', '198.51.100.1', 'eth0']],
    });
    return [name, known[name] ?? (name.startsWith('edge') ? online : own)];
  });
  return compile(set, new Map(facts), { setName, version: '0.0.0' });
}
const problemsOf = (...documents: readonly string[]): readonly string[] =>
  run(documents.join('')).problems.map(printProblem);

/** A node that two edges dial, at one port or at two. */
const dialled = (second: number): readonly string[] => [
  ...[host('edge1'), host('edge2'), host('node')],
  tunnel('one', end('edge1', '10.90.0.1/30'), end('node', '10.90.0.2/30', '203.0.113.7:51820')),
  tunnel('two', end('edge2', '10.90.1.1/30'), end('node', '10.90.1.2/30', `203.0.113.7:${second}`)),
  forward('web1', 'edge1', 80, 'host: node, via: one'),
  forward('web2', 'edge2', 80, 'host: node, via: two'),
];

test('two edges cannot both send everybody to a node by one port of it: WireGuard would believe the last alone', () => {
  expect(problemsOf(...dialled(51_820))).toEqual([
    'f.yaml:32:9: spec.ends: node: 0.0.0.0/0 behind Tunnel two and 0.0.0.0/0 behind Tunnel one (f.yaml:25:9) overlap on one link (sp-wg51820), where WireGuard has one peer for an address; one of the two needs a listen port of its own here',
  ]);
});

test('by two ports they can: each has a link, and the mark tells them apart', () => {
  const { problems, hosts } = run(dialled(51_821).join(''));
  expect(problems).toEqual([]);
  expect(hosts.get('node')?.state.devices.map(({ link, peers }) => [link, peers.length])).toEqual([
    ['sp-wg51820', 1],
    ['sp-wg51821', 1],
  ]);
});

test('nor can an edge and another node share a port where the edge sends everybody', () => {
  expect(
    problemsOf(
      ...[host('edge1'), host('node'), host('other')],
      tunnel('a', end('node', '10.90.1.1/30', '203.0.113.7:51820'), end('other', '10.90.1.2/30')),
      tunnel('b', end('edge1', '10.90.0.1/30'), end('node', '10.90.0.2/30', '203.0.113.7:51820')),
      forward('web', 'edge1', 80, 'host: node, via: b'),
    ),
  ).toEqual([
    'f.yaml:32:9: spec.ends: node: 0.0.0.0/0 behind Tunnel b and 10.90.1.2/32 behind Tunnel a (f.yaml:25:9) overlap on one link (sp-wg51820), where WireGuard has one peer for an address; one of the two needs a listen port of its own here',
  ]);
});

test('two nodes of an edge have no pod address in common, on one link or on two', () => {
  for (const [port, says] of [
    [
      51_820,
      /10\.42\.0\.10\/32 behind Tunnel b and 10\.42\.0\.10\/32 behind Tunnel a \(f\.yaml:25:9\) overlap on one link/,
    ],
    [
      51_821,
      /10\.42\.0\.10\/32 would be routed into Tunnel b and into Tunnel a \(f\.yaml:25:9\); one address has one way/,
    ],
  ] as const)
    expect(
      problemsOf(
        ...[host('edge1'), host('node'), host('other')],
        tunnel('a', end('edge1', '10.90.0.1/24', '198.51.100.10:51820'), end('node', '10.90.0.2/24')),
        tunnel(
          'b',
          end('edge1', port === 51_820 ? '10.90.0.1/24' : '10.91.0.1/24', `198.51.100.10:${port}`),
          end('other', port === 51_820 ? '10.90.0.3/24' : '10.91.0.3/24'),
        ),
        forward('web1', 'edge1', 80, 'host: node, via: a, address: 10.42.0.10'),
        forward('web2', 'edge1', 81, 'host: other, via: b, address: 10.42.0.10'),
      ),
    ).toEqual([expect.stringMatching(says)]);
});

test('the networks of two links do not overlap, whichever set has them', () => {
  const one = [host('edge1'), host('node'), host('other')].join('');
  const wide = tunnel('wide', end('edge1', '10.90.0.1/24', '198.51.100.10:51820'), end('node', '10.90.0.5/24'));
  const narrow = tunnel('narrow', end('edge1', '10.90.0.6/30', '198.51.100.10:51821'), end('other', '10.90.0.5/30'));
  const says = (first: string, second: string): RegExp =>
    new RegExp(
      `edge1: 10\\.90\\.0\\.5, the other end of ${first}, lies in 10\\.90\\.0\\.4/30 of ${second}( \\(.*\\))?, which is another link \\(sp-wg51821\\)`,
    );
  expect(problemsOf(one, narrow, wide)).toEqual([expect.stringMatching(says('Tunnel wide', 'Tunnel narrow'))]);
  const before = run(one + wide, 'before');
  const known = Object.fromEntries(
    [...before.hosts].map(([name, { record }]) => [name, { ...edge(), ...(record && { record }) }]),
  );
  expect(run(one + narrow, 'default', known).problems.map(printProblem)).toEqual([
    expect.stringMatching(says('tunnel before/wide', 'Tunnel narrow')),
  ]);
});

test('a peer of another set is named by its set', () => {
  const node1 = run(EDGE_AND_NODE, 'before').hosts.get('edge')?.record ?? expect.fail();
  const again = EDGE_AND_NODE.replaceAll('edge-node', 'second')
    .replaceAll('web', 'mail')
    .replace('port: 80,', 'port: 25,');
  const found = run(again.replace('30000-30100', '40000'), 'default', { edge: { ...edge(), record: node1 } });
  expect(found.problems.map(printProblem).join('\n')).toMatch(
    /edge: 10\.90\.0\.2\/32 behind Tunnel second and 10\.90\.0\.2\/32 behind tunnel before\/edge-node overlap on one link/,
  );
});
