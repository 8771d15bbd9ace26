import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { printAddress } from '../net/index.ts';
import { loadResources, printProblem, type ResourceSet } from './index.ts';

const read = (name: string): string => readFileSync(new URL(`testdata/${name}`, import.meta.url), 'utf8');
const example = read('slim-edge.yaml');

/** The problems of texts, as people see them; a single text is called f.yaml. */
const problemsOf = (...texts: string[]): readonly string[] =>
  loadResources(texts.map((text, index) => ({ name: index === 0 ? 'f.yaml' : `f${index}.yaml`, text }))).problems.map(
    printProblem,
  );

function load(text: string, name = 'f.yaml'): ResourceSet {
  const { set, problems } = loadResources([{ name, text }]);
  expect(problems.map(printProblem)).toEqual([]);
  if (set === undefined) throw new Error('no set and no problem');
  return set;
}

test('the example becomes parsed resources with the defaults of the design', () => {
  const { hosts, tunnels, forwards } = load(example);
  const edge = hosts.get('edge');
  expect(edge).toMatchObject({
    driver: 'linux',
    foreignFirewall: 'Accommodate',
    access: { kind: 'netns', name: 'edge' },
  });
  expect(edge?.at).toMatchObject({ file: 'f.yaml', line: 4, column: 19 });
  expect(edge?.positionOf('spec.interfaces[0].addresses[1]')).toEqual({ file: 'f.yaml', line: 9, column: 65 });
  expect(tunnels.get('edge-node')).toMatchObject({
    type: 'WireGuard',
    presharedKeys: false,
    families: [4, 6],
    ends: [{ host: 'edge', listenPort: 51_820, endpoint: { port: 51_820 } }, { host: 'node' }],
  });
  expect(tunnels.get('edge-node')?.ends[1].listenPort).toBeUndefined();
  expect(forwards.get('web')).toMatchObject({
    atHosts: ['edge'],
    families: [4, 6],
    ports: [
      { protocol: 'tcp', ports: { first: 80, last: 80 }, targetPorts: { first: 8080, last: 8080 } },
      { protocol: 'udp', ports: { first: 30_000, last: 30_100 }, targetPorts: { first: 30_000, last: 30_100 } },
    ],
    to: [{ kind: 'host', host: 'node', via: new Map([['edge', 'edge-node']]) }],
    policy: 'Failover',
    clientAddress: 'Preserve',
    tracking: 'Stateful',
    hairpin: true,
    allow: [{ length: 0 }, { length: 0 }],
    drain: true,
    fastPath: 'Auto',
    allowAccessPort: false,
  });
});

test('JSON, a stream of JSON values, a List and flow style are the same resources', () => {
  const documents = example.split('---\n').map((text): unknown => parse(text));
  const print = ({ hosts, tunnels, forwards }: ResourceSet): string =>
    JSON.stringify([...hosts.values(), ...tunnels.values(), ...forwards.values()], (key, value: unknown) =>
      key === 'at' ? undefined : typeof value === 'bigint' ? String(value) : value instanceof Map ? [...value] : value,
    );
  const wanted = print(load(example));
  const list = { apiVersion: 'v1', kind: 'List', items: documents, metadata: { resourceVersion: '' } };
  expect(print(load(JSON.stringify(list, null, 2), 'f.json'))).toBe(wanted);
  expect(print(load(documents.map((document) => JSON.stringify(document)).join('\n'), '<stdin>'))).toBe(wanted);
  expect(print(load(stringify(list)))).toBe(wanted);
  expect(print(load(documents.map((document) => stringify(document, { collectionStyle: 'flow' })).join('---\n')))).toBe(
    wanted,
  );
  expect(print(load(`\ufeff# all\r\n${example.replaceAll('\n', '\r\n')}---\n---\n# nothing\n`))).toBe(wanted);
});

test('anchors, aliases and merges are followed, to a bound', () => {
  const anchored = example
    .replace('metadata: { name: edge }', 'metadata: &edge { name: edge }')
    .replace('netns: { name: edge }', 'netns: *edge');
  expect(load(anchored).hosts.get('edge')?.access).toEqual({ kind: 'netns', name: 'edge' });
  const laughs = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
  for (const [from, to] of ['ab', 'bc', 'cd', 'de', 'ef', 'fg'])
    laughs.push(`${to}: &${to} [${`*${from},`.repeat(10)}]`);
  expect(problemsOf(laughs.join('\n'))).toEqual([
    'f.yaml:1:1: Excessive alias count indicates a resource exhaustion attack',
  ]);
});

test('what kubectl leaves in a document is accepted', () => {
  const left =
    'metadata:\n  name: edge\n  namespace: net\n  labels: { app: x }\n  annotations: { a.b/c: "1" }\n  creationTimestamp: null\n  uid: x\n  managedFields: []\nstatus: { ready: true }';
  expect(load(example.replace('metadata: { name: edge }', left)).hosts.has('edge')).toBe(true);
});

test('a forward may leave out the tunnel, name an address behind the host, or an address alone', () => {
  const targetOf = (to: string): unknown =>
    load(example.replace('{ host: node, via: edge-node }', to)).forwards.get('web')?.to[0];
  expect(targetOf('{ host: node }')).toMatchObject({ via: new Map([['edge', 'edge-node']]) });
  expect(targetOf('{ host: node, address: 10.42.0.7 }')).toMatchObject({ address: { family: 4 } });
  expect(targetOf('{ address: 192.168.1.240 }')).toMatchObject({ kind: 'address' });
});

test('families: those that a target can carry, or those of the named addresses', () => {
  const familiesOf = (text: string): unknown => load(text).forwards.get('web')?.families;
  expect(familiesOf(example.replace('via: edge-node', 'address: 10.42.0.7'))).toEqual([4]);
  expect(familiesOf(example.replaceAll(', fd90::1/64', '').replace(', fd90::2/64', ''))).toEqual([4]);
  expect(familiesOf(example.replace('hosts: [edge]', 'hosts: [edge], addresses: ["2001:db8:e::10"]'))).toEqual([6]);
});

test('what depends on the host is parsed: outside addresses, marks, ranges, MAC addresses', () => {
  const text = example.replace(
    '    - { name: eth0, zone: public, addresses: [198.51.100.10/24, 2001:db8:e::10/64] }',
    [
      '    - { mac: 02-00-00-00-00-AB, addresses: [10.0.0.5/24], outside: { 10.0.0.5: 203.0.113.9 } }',
      '  mainAddresses: [10.0.0.5]',
      '  forwarding: { tables: 5000-5099, priorities: 5000, mark: { value: 0x10000, mask: "0x00ff0000" } }',
    ].join('\n'),
  );
  const edge = load(text).hosts.get('edge');
  expect(edge?.interfaces[0]?.match).toEqual({ mac: '02:00:00:00:00:ab' });
  expect(edge?.interfaces[0]?.outside.map(({ inner, outer }) => [printAddress(inner), printAddress(outer)])).toEqual([
    ['10.0.0.5', '203.0.113.9'],
  ]);
  expect(edge?.forwarding).toEqual({
    tables: { first: 5000, last: 5099 },
    priorities: { first: 5000, last: 5000 },
    mark: { value: 0x1_0000, mask: 0xff_0000 },
  });
});

/** One change to the example, and what is said of it. */
const wrongs: readonly (readonly [title: string, from: string | RegExp, to: string, says: readonly string[]])[] = [
  ['misspelt field', 'access:', 'acces:', ['f.yaml:6:3: spec.acces: unknown field; did you mean "access"?']],
  [
    'misspelt kind',
    'kind: Tunnel',
    'kind: Tunel',
    [
      'f.yaml:18:7: kind: "Tunel" is none of Host, Tunnel, PortForward, EgressRoute, Site, DNSRecord; did you mean "Tunnel"?',
      'f.yaml:37:26: spec.to[0].via: there is no Tunnel "edge-node"',
    ],
  ],
  [
    'misspelt reference',
    'hosts: [edge]',
    'hosts: [egde]',
    ['f.yaml:32:17: spec.at.hosts[0]: there is no Host "egde"; did you mean "edge"?'],
  ],
  [
    'misspelt value',
    'type: WireGuard',
    'type: Wireguard',
    ['f.yaml:22:9: spec.type: "Wireguard" is none of WireGuard, IPIP, GRE, VXLAN, Direct; did you mean "WireGuard"?'],
  ],
  [
    'other version',
    'v1alpha1\nkind: Tunnel',
    'v1\nkind: Tunnel',
    ['f.yaml:17:13: apiVersion: "sallyport.dev/v1" is not sallyport.dev/v1alpha1'],
  ],
  [
    'missing name',
    'metadata: { name: node }',
    'metadata: {}',
    [
      'f.yaml:13:1: metadata.name: is missing',
      'f.yaml:25:15: spec.ends[1].host: there is no Host "node"',
      'f.yaml:37:15: spec.to[0].host: there is no Host "node"',
    ],
  ],
  [
    'no access',
    '  access: { netns: { name: node } }',
    '  access: {}',
    ['f.yaml:15:11: spec.access: needs exactly one of local, ssh, netns, http or agent; none is given'],
  ],
  [
    'two accesses',
    '{ netns: { name: node } }',
    '{ netns: { name: node }, local: {} }',
    ['f.yaml:15:11: spec.access: needs exactly one of local, ssh, netns, http or agent; local and netns are given'],
  ],
  [
    'become beside netns',
    '{ netns: { name: node } }',
    '{ netns: { name: node }, become: sudo }',
    ['f.yaml:15:44: spec.access.become: stands only beside local or ssh'],
  ],
  [
    'port 0',
    'port: 80,',
    'port: 0,',
    ['f.yaml:34:30: spec.ports[0].port: 0 is no port (1 to 65535) or range of ports (FIRST-LAST)'],
  ],
  [
    'range backwards',
    '30000-30100',
    '30100-30000',
    ['f.yaml:35:30: spec.ports[1].port: "30100-30000" is no port (1 to 65535) or range of ports (FIRST-LAST)'],
  ],
  [
    'ranges of different length',
    '30000-30100',
    '30000-30100, targetPort: 1-100',
    ['f.yaml:35:55: spec.ports[1].targetPort: 30000-30100 are 101 ports, 1-100 are 100'],
  ],
  [
    'number for text',
    'name: web',
    'name: 123',
    ['f.yaml:30:9: metadata.name: expected text, got 123; write it in quotes'],
  ],
  ['no value', 'hosts: [edge]', 'hosts: ', ['f.yaml:32:9: spec.at.hosts: has no value, expected a list']],
  [
    'bare 010',
    'port: 80,',
    'port: 010,',
    ['f.yaml:34:30: spec.ports[0].port: a bare 010 is an octal number to kubectl; write "010" or 10'],
  ],
  [
    'bare yes',
    'name: web',
    'name: yes',
    ['f.yaml:30:9: metadata.name: a bare yes is true to kubectl; write "yes" or true'],
  ],
  [
    'on as a field',
    '  at: {',
    '  on: {',
    [
      'f.yaml:31:1: spec.at: is missing',
      'f.yaml:32:3: spec.on: a bare on is true to kubectl; write "on" or true',
      'f.yaml:32:3: spec.on: unknown field',
    ],
  ],
  ['duplicate key', 'name: web', 'name: web\n  name: web', ['f.yaml:31:3: this key stands here twice']],
  [
    'broken YAML',
    'hosts: [edge] }',
    'hosts: [edge }',
    ['f.yaml:32:22: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  ['host twice', 'hosts: [edge]', 'hosts: [edge, edge]', ['f.yaml:32:23: spec.at.hosts[1]: edge stands here twice']],
  [
    'misspelt tunnel',
    'via: edge-node',
    'via: edge-nod',
    ['f.yaml:37:26: spec.to[0].via: there is no Tunnel "edge-nod"; did you mean "edge-node"?'],
  ],
  [
    'target at the host itself',
    '{ host: node, via: edge-node }',
    '{ host: edge }',
    ['f.yaml:37:15: spec.to[0].host: edge is where the forward is at; leave host out and give an address'],
  ],
  [
    'via alone',
    '{ host: node, via: edge-node }',
    '{ via: edge-node, address: 10.0.0.1 }',
    ['f.yaml:37:14: spec.to[0].via: needs host beside it: the Host at its other end'],
  ],
  [
    'loopback target',
    '{ host: node, via: edge-node }',
    '{ address: 127.0.0.1 }',
    ['f.yaml:37:18: spec.to[0].address: a loopback address, which no packet can be sent to'],
  ],
  [
    'families no target can carry',
    /hosts: \[edge\](.*)$/ms,
    'hosts: [edge], addresses: [198.51.100.10, "2001:db8:e::10"] }\n  ports: [{ protocol: TCP, port: 80 }]\n  to: [{ address: 192.168.1.240 }]',
    ['f.yaml:32:51: spec.at.addresses[1]: 2001:db8:e::10 is IPv6, which no target can carry'],
  ],
  [
    'target of a family the tunnel has not',
    /(, fd90::1\/64)(.*)(, fd90::2\/64)(.*)via: edge-node/s,
    '$2$4address: "fd00::1"',
    ['f.yaml:37:30: spec.to[0].address: fd00::1 is IPv6, which Tunnel edge-node does not carry'],
  ],
  ['one end', /\n {4}- \{ host: node, addresses.*\] }/, '', ['f.yaml:24:5: spec.ends: needs exactly two ends, has 1']],
  [
    'both ends one host',
    '{ host: node, addresses',
    '{ host: edge, addresses',
    ['f.yaml:25:15: spec.ends[1].host: both ends are edge'],
  ],
  [
    'no endpoint',
    ', endpoint: "198.51.100.10:51820"',
    '',
    [
      'f.yaml:24:5: spec.ends: WireGuard needs an endpoint at one end at least: an end without one dials the other, and here neither knows where',
    ],
  ],
  [
    'endpoint without port',
    ':51820"',
    '"',
    ['f.yaml:24:70: spec.ends[0].endpoint: has no port; WireGuard has none of its own'],
  ],
  ...['VXLAN', 'IPIP', 'GRE'].map(
    (type) =>
      [
        `${type} with one endpoint`,
        'type: WireGuard',
        `type: ${type}`,
        [
          `f.yaml:25:7: spec.ends[1]: has no endpoint; ${type} needs one at both ends: nobody dials, each sends to the other's address`,
        ],
      ] as const,
  ),
  ...['VXLAN', 'IPIP', 'GRE'].map(
    (type) =>
      [
        `${type} to a name`,
        /type: WireGuard([\s\S]*)endpoint: "198.51.100.10:51820"([\s\S]*)fd90::2\/64\] }/,
        `type: ${type}$1endpoint: edge.example.org$2fd90::2/64], endpoint: 198.51.100.12 }`,
        [
          `f.yaml:24:70: spec.ends[0].endpoint: "edge.example.org" is a name; ${type} needs an address, to which its link is bound: only WireGuard follows a name`,
        ],
      ] as const,
  ),
  [
    'Direct with an endpoint',
    'type: WireGuard',
    'type: Direct',
    ['f.yaml:24:70: spec.ends[0].endpoint: means nothing for type Direct'],
  ],
  [
    'vni for WireGuard',
    'type: WireGuard',
    'type: WireGuard\n  vni: 7',
    ['f.yaml:23:8: spec.vni: means nothing for type WireGuard'],
  ],
  [
    'ends of other families',
    ', fd90::2/64',
    '',
    ['f.yaml:25:32: spec.ends[1].addresses: has no IPv6 address, but the other end has one'],
  ],
  [
    'no common prefix',
    '10.90.0.2/30',
    '10.90.0.6/30',
    ["f.yaml:25:33: spec.ends[1].addresses[0]: 10.90.0.6/30 shares no prefix with the other end's 10.90.0.1/30"],
  ],
  [
    'same address at both ends',
    '10.90.0.2/30',
    '10.90.0.1/30',
    ["f.yaml:25:33: spec.ends[1].addresses[0]: 10.90.0.1 is the other end's address too"],
  ],
  [
    'broadcast address',
    '10.90.0.2/30',
    '10.90.0.3/30',
    ['f.yaml:25:33: spec.ends[1].addresses[0]: 10.90.0.3/30 is the broadcast address of its network'],
  ],
  [
    'address without length',
    '10.90.0.2/30',
    '10.90.0.2',
    [
      'f.yaml:25:33: spec.ends[1].addresses[0]: 10.90.0.2 has no prefix length; both ends stand in one prefix, as 10.90.0.2/30',
    ],
  ],
  [
    'range and port',
    'port: 80,',
    'port: 20-30,',
    ['f.yaml:34:49: spec.ports[0].targetPort: 20-30 are 11 ports, 8080 are 1'],
  ],
  [
    'reserved access port',
    'port: 80,',
    'port: 22,',
    ['f.yaml:34:30: spec.ports[0].port: takes TCP 22, the access port of edge; allowAccessPort: true lets it'],
  ],
  ['nothing: access port, allowed', 'UDP, port: 30000-30100 }', 'TCP, port: 22 }\n  allowAccessPort: true', []],
  [
    'reserved tunnel port',
    'UDP, port: 30000-30100',
    'UDP, port: 51000-52000',
    ['f.yaml:35:30: spec.ports[1].port: takes UDP 51820, on which Tunnel edge-node listens at edge'],
  ],
  [
    'claimed in one forward',
    'UDP, port: 30000-30100',
    'TCP, port: 70-90',
    ['f.yaml:35:30: spec.ports[1].port: TCP 80 at edge is already claimed by PortForward web (f.yaml:34:30)'],
  ],
  [
    'name of a network',
    'addresses: [198.51.100.10/24',
    'network: Home, addresses: [198.51.100.10/24',
    [
      'f.yaml:9:44: spec.interfaces[0].network: "Home" is no name: lower-case letters, digits and inner hyphens, at most 63',
    ],
  ],
  [
    'mixed families in outside',
    'zone: public,',
    'outside: { 10.0.0.5: "2001:db8::1" },',
    ['f.yaml:9:42: spec.interfaces[0].outside["10.0.0.5"]: 10.0.0.5 is IPv4, 2001:db8::1 is IPv6'],
  ],
  [
    'mark outside its mask',
    '  interfaces:',
    '  forwarding: { mark: { value: 1, mask: 0xff0000 } }\n  interfaces:',
    ['f.yaml:8:32: spec.forwarding.mark.value: has bits outside the mask 0xff0000'],
  ],
  [
    "the kernel's tables",
    '  interfaces:',
    '  forwarding: { tables: 200-300 }\n  interfaces:',
    ["f.yaml:8:25: spec.forwarding.tables: takes the kernel's own tables 253 to 255"],
  ],
  [
    'no document',
    /^.*?---\n/s,
    'just text\n---\n',
    [
      'f.yaml:1:1: expected a map with apiVersion, kind, metadata and spec',
      'f.yaml:16:15: spec.ends[0].host: there is no Host "edge"',
      'f.yaml:24:17: spec.at.hosts[0]: there is no Host "edge"',
    ],
  ],
];

for (const [title, from, to, says] of wrongs) {
  test(`refused with its place: ${title}`, () => {
    const changed = example.replace(from, to);
    expect(changed).not.toBe(example);
    expect(problemsOf(changed)).toEqual(says);
  });
}

test('all problems at once, sorted by file, line and column', () => {
  const wrong = example
    .replace('publ', 'pulb')
    .replace('port: 80,', 'port: 0,')
    .replace('hosts: [edge]', 'hosts: [egde]');
  expect(problemsOf(wrong, 'a: [')).toEqual([
    'f.yaml:9:27: spec.interfaces[0].zone: "pulbic" is neither public nor private; did you mean "public"?',
    'f.yaml:32:17: spec.at.hosts[0]: there is no Host "egde"; did you mean "edge"?',
    'f.yaml:34:30: spec.ports[0].port: 0 is no port (1 to 65535) or range of ports (FIRST-LAST)',
    'f1.yaml:1:5: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ]);
});

test('a problem in JSON or in a List has its place too', () => {
  const document = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'Host',
    metadata: { name: 'edge' },
    spec: { access: { netns: {} } },
  };
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [document] }, null, 1);
  const problems = (name: string): unknown => loadResources([{ name, text }]).problems.map(printProblem);
  expect(problems('f.json')).toEqual(['f.json:13:6: items[0].spec.access.netns.name: is missing']);
  const { problems: twice } = loadResources([{ name: 'f.json', text: '{"a": 1,\n "a": 2}' }]);
  expect(twice.map(printProblem)).toEqual(['f.json:2:2: the key "a" stands here twice']);
  const { problems: broken } = loadResources([{ name: 'f.json', text: '{"a": 010}' }]);
  expect(broken.map(printProblem)).toEqual(['f.json:1:8: expected "," or "}", found "1"']);
});

test('what is wrong in different depths of one document is said at once', () => {
  const text = example
    .replace(/\n {4}- \{ host: node, addresses.*\] }/, '')
    .replace('type: WireGuard', 'type: WireGaurd')
    .replace('port: 30000-30100', 'port: 30000-30100, targetPort: 40000-40001')
    .replace('protocol: TCP', 'protocol: TPC');
  expect(problemsOf(text).map((line) => line.replace(/^f\.yaml:[\d:]+ /, ''))).toEqual([
    'spec.type: "WireGaurd" is none of WireGuard, IPIP, GRE, VXLAN, Direct; did you mean "WireGuard"?',
    'spec.ends: needs exactly two ends, has 1',
    'spec.ports[0].protocol: "TPC" is neither TCP nor UDP; did you mean "TCP"?',
    'spec.ports[1].targetPort: 30000-30100 are 101 ports, 40000-40001 are 2',
  ]);
});
