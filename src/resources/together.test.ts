import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadResources, printProblem } from './index.ts';
import { printReference } from './reference.ts';
import { kinds, schemas } from './schema.ts';
import { fieldsOf, itemOf } from './schema-walk.ts';

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
const host = (name: string, more = ''): string =>
  document('Host', name, `{ access: { netns: { name: ${name} } }${more} }`);
const tunnel = (name: string, ends: string, type = 'WireGuard'): string =>
  document('Tunnel', name, `{ type: ${type}, ends: ${ends} }`);
const forward = (name: string, at: string, ports: string, more = ''): string =>
  document('PortForward', name, `{ at: { ${at} }, ports: [${ports}], to: [{ address: 192.168.1.240 }]${more} }`);

const problemsOf = (...documents: string[]): readonly string[] =>
  loadResources([{ name: 'f.yaml', text: documents.join('---\n') }]).problems.map(printProblem);

const hosts = [host('edge'), host('node'), host('other')];
const ends = (left: string, leftAddress: string, right: string, rightAddress: string, port = 51_820): string =>
  `[{ host: ${left}, addresses: [${leftAddress}], endpoint: "198.51.100.10:${port}" }, { host: ${right}, addresses: [${rightAddress}] }]`;

test('a name stands for one resource of its kind', () => {
  expect(problemsOf(host('edge'), host('node'), host('edge'))).toEqual([
    'f.yaml:13:19: metadata.name: Host edge is already declared at f.yaml:3:19',
  ]);
  const same = [host('edge'), host('node'), tunnel('edge', ends('edge', '10.9.0.1/30', 'node', '10.9.0.2/30'))];
  expect(problemsOf(...same)).toEqual([]);
});

test('a hundred nodes share one port of an edge, each with its own address', () => {
  const shared = [
    tunnel('a', ends('edge', '10.9.0.1/24', 'node', '10.9.0.2/24')),
    tunnel('b', ends('edge', '10.9.0.1/24', 'other', '10.9.0.3/24')),
  ];
  expect(problemsOf(...hosts, ...shared)).toEqual([]);
  expect(problemsOf(...hosts, ...shared.map((text) => text.replace('10.9.0.3', '10.9.0.2')))).toEqual([
    'f.yaml:24:134: spec.ends[1].addresses: a peer with 10.9.0.2 at port 51820 of edge is already taken by Tunnel a (f.yaml:18:19)',
  ]);
});

test('two links of one host have no address and no port in common', () => {
  expect(
    problemsOf(
      ...hosts,
      tunnel('a', ends('edge', '10.9.0.1/30', 'node', '10.9.0.2/30')),
      tunnel('b', ends('edge', '10.9.0.1/30', 'other', '10.9.0.2/30', 51_821)),
    ),
  ).toEqual([expect.stringContaining('10.9.0.1 of edge is already taken by Tunnel a (f.yaml:18:19)')]);
  const vxlan = `[{ host: edge, addresses: [10.8.0.1/30], endpoint: 198.51.100.10, listenPort: 51820 }, { host: other, addresses: [10.8.0.2/30], endpoint: 198.51.100.12 }]`;
  expect(
    problemsOf(...hosts, tunnel('a', ends('edge', '10.9.0.1/30', 'node', '10.9.0.2/30')), tunnel('b', vxlan, 'VXLAN')),
  ).toEqual([expect.stringContaining('UDP port 51820 of edge is already taken by Tunnel a (f.yaml:18:19)')]);
});

test('VXLAN listens on 4789 unless told otherwise, and no forward takes it', () => {
  const vxlan = `[{ host: edge, addresses: [10.8.0.1/30], endpoint: 198.51.100.10 }, { host: node, addresses: [10.8.0.2/30], endpoint: 198.51.100.12 }]`;
  expect(
    problemsOf(...hosts, tunnel('a', vxlan, 'VXLAN'), forward('f', 'hosts: [edge]', '{ protocol: UDP, port: 4789 }')),
  ).toEqual(['f.yaml:24:63: spec.ports[0].port: takes UDP 4789, on which Tunnel a listens at edge']);
});

test('Direct takes addresses without lengths, in no common prefix', () => {
  const direct = '[{ host: edge, addresses: [192.168.1.20] }, { host: node, addresses: [10.0.0.7/24] }]';
  expect(problemsOf(...hosts, tunnel('a', direct, 'Direct'))).toEqual([]);
});

test('of several tunnels one must be named, and it must join the two hosts', () => {
  const two = [
    tunnel('a', ends('edge', '10.9.0.1/30', 'node', '10.9.0.2/30')),
    tunnel('b', ends('edge', '10.8.0.1/30', 'node', '10.8.0.2/30', 51_821)),
    tunnel('c', ends('edge', '10.7.0.1/30', 'other', '10.7.0.2/30', 51_822)),
  ];
  const to = (target: string): string =>
    document('PortForward', 'f', `{ at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 80 }], to: [${target}] }`);
  expect(problemsOf(...hosts, ...two, to('{ host: node, via: b }'))).toEqual([]);
  expect(problemsOf(...hosts, ...two, to('{ host: node }'))).toEqual([
    expect.stringContaining('spec.to[0]: several tunnels join edge and node; name one by via: a, b'),
  ]);
  expect(problemsOf(...hosts, ...two, to('{ host: node, via: c }'))).toEqual([
    expect.stringContaining('spec.to[0].via: Tunnel c joins edge and other, not edge and node; these do: a, b'),
  ]);
  expect(problemsOf(...hosts, two[2] ?? '', to('{ host: node }'))).toEqual([
    expect.stringContaining('spec.to[0].host: no tunnel joins edge and node'),
  ]);
  const edges = [...hosts, ...two.slice(1), tunnel('d', ends('other', '10.6.0.1/30', 'node', '10.6.0.2/30'))];
  expect(problemsOf(...edges, to('{ host: node }').replace('[edge]', '[edge, other]'))).toEqual([]);
});

const tcp = (port: string | number): string => `{ protocol: TCP, port: ${port} }`;
const natted = host(
  'edge',
  ', interfaces: [{ name: eth0, zone: public, addresses: [10.0.0.5/24], outside: { 10.0.0.5: 203.0.113.9 } }, { name: lan, zone: private, addresses: [192.168.1.1/24] }]',
);

test('tracking Stateless asks for nothing that needs connections', () => {
  const asking = (more: string): readonly string[] =>
    problemsOf(...hosts, forward('x', 'hosts: [edge]', tcp(80), `, tracking: Stateless${more}`));
  expect(asking('')).toEqual([]);
  expect(asking(', limits: { connections: 3 }, clientAddress: Masquerade')).toEqual([
    expect.stringContaining('spec.limits: counts connections, and tracking: Stateless keeps none on the edge'),
    expect.stringContaining('spec.clientAddress: remembers whom it hides, and tracking: Stateless keeps none'),
  ]);
});

for (const [title, first, second, clash] of [
  ['the same port', 'hosts: [edge]', 'hosts: [edge]', true],
  ['another host', 'hosts: [edge]', 'hosts: [node]', false],
  ['one host of several', 'hosts: [edge, node]', 'hosts: [node, other]', true],
  ['two addresses', 'hosts: [edge], addresses: [203.0.113.1]', 'hosts: [edge], addresses: [203.0.113.2]', false],
  ['all public addresses and one of them', 'hosts: [edge]', 'hosts: [edge], addresses: [10.0.0.5]', true],
  ['one of them and all public addresses', 'hosts: [edge], addresses: [10.0.0.5]', 'hosts: [edge]', true],
  [
    'the inner and the outside address',
    'hosts: [edge], addresses: [10.0.0.5]',
    'hosts: [edge], addresses: [203.0.113.9]',
    true,
  ],
  ['all public addresses and a private one', 'hosts: [edge]', 'hosts: [edge], addresses: [192.168.1.1]', false],
  ['twice a private one', 'hosts: [edge], addresses: [192.168.1.1]', 'hosts: [edge], addresses: [192.168.1.1]', true],
] as const) {
  test(`claims of ${title} ${clash ? 'meet' : 'keep apart'}`, () => {
    const all = [natted, host('node'), host('other'), forward('a', first, tcp(80)), forward('b', second, tcp('70-90'))];
    const found = problemsOf(...all);
    expect(found).toEqual(
      clash
        ? [
            expect.stringMatching(
              /^f\.yaml:24:\d+: spec\.ports\[0\]\.port: TCP 80 at .* is already claimed by PortForward a \(f\.yaml:19:\d+\)$/,
            ),
          ]
        : [],
    );
  });
}

test('TCP and UDP keep apart, and so do targets of different families', () => {
  const dual = forward('b', 'hosts: [edge]', tcp(80)).replace('192.168.1.240', '"fd00::1"');
  expect(problemsOf(...hosts, forward('a', 'hosts: [edge]', tcp(80)), dual)).toEqual([]);
  expect(problemsOf(...hosts, forward('a', 'hosts: [edge]', `${tcp(80)}, { protocol: UDP, port: 80 }`))).toEqual([]);
});

test('a range that an earlier, longer one covers is found behind a short one', () => {
  const found = problemsOf(
    ...hosts,
    ...['1000-2000', '1000', '1500'].map((ports, index) => forward(`f${index}`, 'hosts: [edge]', tcp(ports))),
  );
  expect(found.map((line) => line.replace(/.*: TCP/, 'TCP'))).toEqual([
    'TCP 1000 at edge is already claimed by PortForward f0 (f.yaml:19:63)',
    'TCP 1500 at edge is already claimed by PortForward f0 (f.yaml:19:63)',
  ]);
});

test('ten thousand forwards are compared with one another', () => {
  const many = Array.from({ length: 10_000 }, (_, index) => forward(`f${index}`, 'hosts: [edge]', tcp(10_000 + index)));
  const text = [...hosts, ...many].join('---\n');
  expect(loadResources([{ name: 'f.yaml', text }]).set?.forwards.size).toBe(10_000);
});

for (const [says, text] of [
  [
    'kind EgressRoute',
    document(
      'EgressRoute',
      'x',
      '{ at: { hosts: [edge] }, from: { cidrs: [10.20.1.0/24] }, via: { tunnel: vpn }, except: [10.0.0.0/8], translate: { to: 10.2.0.2 }, whenDown: Block, returnVia: { "10.20.0.0/16": 192.168.1.17 } }',
    ),
  ],
  [
    'kind Site',
    document(
      'Site',
      'x',
      '{ at: { hosts: [edge] }, hosts: ["*.example.com"], tls: { certificateFile: a.pem, keyFile: b.pem }, upstreams: [{ address: 192.168.1.240, port: 80 }], limits: { requestsPerSecond: 20, burst: 40, connections: 50 }, forwarded: { trust: [10.90.0.0/30] } }',
    ),
  ],
  [
    'kind DNSRecord',
    document(
      'DNSRecord',
      'x',
      '{ zone: example.com, names: ["*", "@"], server: { address: 192.0.2.53, tsigKeyFile: key }, addresses: { fromHost: edge }, ttl: 60 }',
    ),
  ],
  ['driver routeros', host('x', ', driver: routeros')],
  ['access.http', document('Host', 'x', '{ access: { http: { url: "https://192.168.88.1/rest" } } }')],
  [
    'ends[1].provider',
    tunnel('x', '[{ host: edge, addresses: [10.9.0.1/30] }, { provider: { configFile: vpn.conf } }]'),
  ],
] as const) {
  test(`not yet supported: ${says}`, () => {
    const { problems, set } = loadResources([{ name: 'f.yaml', text: [...hosts, text].join('---\n') }]);
    expect(problems.filter(({ code }) => code !== 'danglingReference').map(({ code, what }) => [code, what])).toEqual([
      ['notYetSupported', `not yet supported: ${says}`],
    ]);
    expect(set).toBeUndefined();
  });
}

test('what is the default may be written', () => {
  const written =
    ', policy: Failover, clientAddress: Preserve, tracking: Stateful, hairpin: true, allow: ["::/0", 0.0.0.0/0], drain: true, fastPath: Auto';
  expect(problemsOf(...hosts, forward('x', 'hosts: [edge]', tcp(80), written))).toEqual([]);
});

test('no field is another word to YAML 1.1, which kubectl reads', () => {
  const names = new Set<string>();
  const collect = (schema: Parameters<typeof fieldsOf>[0]): void => {
    const item = itemOf(schema);
    if (item !== undefined) collect(item);
    for (const [name, field] of Object.entries(fieldsOf(schema) ?? {})) {
      names.add(name);
      collect(field);
    }
  };
  for (const kind of kinds) collect(schemas[kind]);
  expect(names.size).toBeGreaterThan(80);
  for (const name of names) expect(parse(`[${name}]`, { version: '1.1' })).toEqual([name]);
});

test('docs/reference.md is what the schema says, and every field has its words', () => {
  const printed = printReference();
  expect(readFileSync(new URL('../../docs/reference.md', import.meta.url), 'utf8')).toBe(printed);
  expect(printed).not.toMatch(/\| {2}\|$/m);
});
