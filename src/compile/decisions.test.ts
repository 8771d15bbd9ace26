import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { HostFacts, HostShare } from '../host/index.ts';
import { parseEndpoint, printAddress, printPrefix } from '../net/index.ts';
import { loadResources, printProblem } from '../resources/index.ts';
import { parsePublicKey } from '../wireguard/index.ts';
import { type Compiled, compile, compileRemoval } from './index.ts';
import { edge, NODE_KEY, node, sketch } from './testdata/facts.ts';

const SLIM_EDGE = readFileSync(new URL('testdata/slim-edge.yaml', import.meta.url), 'utf8');
/** A second home like the first, behind the same edge port. */
const SECOND_NODE = SLIM_EDGE.slice(SLIM_EDGE.indexOf('---', SLIM_EDGE.indexOf('name: edge }')))
  .replaceAll('edge-node', 'edge-other')
  .replaceAll('name: node', 'name: other')
  .replaceAll('host: node', 'host: other')
  .replaceAll('10.90.0.', '10.90.1.')
  .replaceAll('fd90::', 'fd91::')
  .replace('name: web', 'name: web-other')
  .replace('port: 80,', 'port: 81,')
  .replace('30000-30100', '31000-31100');
/** The tunnel as VXLAN, with an endpoint at both ends. */
const VXLAN = SLIM_EDGE.replace('type: WireGuard', 'type: VXLAN').replace(
  'fd90::2/64] }',
  'fd90::2/64], endpoint: "192.168.1.20:51820" }',
);

function run(text: string, facts: Readonly<Record<string, HostFacts>>, setName = 'default'): Compiled {
  const { set, problems } = loadResources([{ name: 'test.yaml', text }]);
  if (set === undefined) throw new Error(problems.map(printProblem).join('\n'));
  return compile(set, new Map(Object.entries(facts)), { setName, version: '0.0.0' });
}

const problemsOf = (result: Compiled): readonly string[] => result.problems.map(printProblem);
const shareOf = (result: Compiled, host: string): HostShare => {
  const of = result.hosts.get(host);
  if (of === undefined) throw new Error(`${host} is not compiled`);
  return of.share;
};
const aimsOf = (result: Compiled): readonly string[] => [
  ...new Set(shareOf(result, 'edge').forwards.map(({ to }) => printAddress(to))),
];
const movesOf = (result: Compiled, host: string): readonly string[] => [
  ...new Set(
    shareOf(result, host).accepts.flatMap(({ moveTo }) => (moveTo === undefined ? [] : [printAddress(moveTo)])),
  ),
];

describe('a forward aims at', () => {
  const online = sketch({ interfaces: { eth0: ['203.0.113.20/24'] }, routes: [['default', '203.0.113.1', 'eth0']] });
  for (const [what, text, facts, aims, moves] of [
    ['the main address', SLIM_EDGE, { edge: edge(), node: node() }, ['192.168.1.20', '2001:db8:1::20'], []],
    [
      'the tunnel address where the node has none of the family',
      SLIM_EDGE,
      { edge: edge(), node: online },
      ['10.90.0.2', 'fd90::2'],
      ['203.0.113.20'],
    ],
    [
      'the tunnel address where the edge is in a network of that address itself',
      SLIM_EDGE,
      {
        edge: edge({
          interfaces: { eth0: ['198.51.100.10/24'], lan0: ['192.168.1.5/24'] },
          routes: [['default', '198.51.100.1', 'eth0']],
        }),
        node: node(),
      },
      ['10.90.0.2'],
      ['192.168.1.20'],
    ],
    [
      'the address the Host names',
      SLIM_EDGE.replace('netns: { name: node }', 'netns: { name: node }\n  mainAddresses: [192.168.1.77]'),
      { edge: edge(), node: node() },
      ['192.168.1.77', '2001:db8:1::20'],
      [],
    ],
    [
      "the tunnel address where the main one is where a VXLAN's packets go",
      VXLAN,
      { edge: edge(), node: node() },
      ['10.90.0.2', '2001:db8:1::20'],
      ['192.168.1.20'],
    ],
    [
      'the tunnel address where the client is hidden',
      SLIM_EDGE.replace('  to:\n', '  clientAddress: Masquerade\n  to:\n'),
      { edge: edge(), node: node() },
      ['10.90.0.2', 'fd90::2'],
      [],
    ],
  ] as const)
    test(what, () => {
      const result = run(text, facts);
      expect(problemsOf(result)).toEqual([]);
      expect([aimsOf(result), movesOf(result, 'node')]).toEqual([aims, moves]);
    });

  test('the tunnel address where the edge hears the node at its main one, also when nobody was heard since', () => {
    const heardAt = (host: string, facts = edge()): HostFacts => ({
      ...facts,
      state: {
        ...facts.state,
        devices: [
          {
            link: 'sp-wg51820',
            peers: [
              {
                publicKey: parsePublicKey(NODE_KEY) ?? expect.fail(),
                allowedIps: [],
                endpoint: parseEndpoint(`${host}:40000`) ?? expect.fail(),
              },
            ],
          },
        ],
      },
    });
    expect(aimsOf(run(SLIM_EDGE, { edge: heardAt('203.0.113.9'), node: node() }))[0]).toBe('192.168.1.20');
    const heard = run(SLIM_EDGE, { edge: heardAt('192.168.1.20'), node: node() });
    expect(aimsOf(heard)).toEqual(['10.90.0.2', '2001:db8:1::20']);
    const record = heard.hosts.get('node')?.record ?? expect.fail();
    const applied = { ...node(), record };
    expect(aimsOf(run(SLIM_EDGE, { edge: edge(), node: applied }))[0]).toBe('10.90.0.2');
    expect(aimsOf(run(SLIM_EDGE, { edge: heardAt('203.0.113.9'), node: applied }))[0]).toBe('192.168.1.20');
  });

  test('the tunnel addresses where two homes have one main address', () => {
    const v4 = { interfaces: { eth0: ['192.168.1.20/24'] }, routes: [['default', '192.168.1.1', 'eth0']] } as const;
    const result = run(`${SLIM_EDGE}${SECOND_NODE}`, { edge: edge(), node: sketch(v4), other: sketch(v4) });
    expect(problemsOf(result)).toEqual([]);
    expect(aimsOf(result)).toEqual(['10.90.0.2', 'fd90::2', '10.90.1.2', 'fd91::2']);
    expect([movesOf(result, 'node'), movesOf(result, 'other')]).toEqual([['192.168.1.20'], ['192.168.1.20']]);
    const peers = result.hosts
      .get('edge')
      ?.state.devices.map(({ link, peers: list }) => [link, list.map(({ allowedIps }) => allowedIps.map(printPrefix))]);
    expect(peers).toEqual([
      [
        'sp-wg51820',
        [
          ['10.90.0.2/32', 'fd90::2/128'],
          ['10.90.1.2/32', 'fd91::2/128'],
        ],
      ],
    ]);
  });
});

describe('what cannot be is a problem with its place', () => {
  for (const [what, text, facts, problems] of [
    [
      'an address that the edge does not have',
      SLIM_EDGE.replace('{ hosts: [edge] }', '{ hosts: [edge], addresses: [203.0.113.7] }'),
      { edge: edge(), node: node() },
      [
        /^test\.yaml:\d+:\d+: spec\.at\.addresses.*203\.0\.113\.7 is no public address of edge; known there: 198\.51\.100\.10 on eth0/,
      ],
    ],
    [
      'an edge without a public address',
      SLIM_EDGE,
      { edge: node({ interfaces: { eth0: ['192.168.1.20/24'] } }), node: node() },
      [/edge has no public address: name the interface/],
    ],
    [
      'a declared interface that is not there',
      SLIM_EDGE.replace('netns: { name: edge }', 'netns: { name: edge }\n  interfaces: [{ name: ens3, zone: public }]'),
      { edge: edge(), node: node() },
      [/spec\.interfaces\[0\].*edge has no interface ens3; it has eth0/],
    ],
    [
      'a declared address that is another on the host',
      SLIM_EDGE.replace(
        'netns: { name: edge }',
        'netns: { name: edge }\n  interfaces: [{ name: eth0, addresses: [198.51.100.11/24] }]',
      ),
      { edge: edge(), node: node() },
      [/declared 198\.51\.100\.11\/24; eth0 has 198\.51\.100\.10\/24/],
    ],
    [
      'an MTU that does not fit, with the sum',
      SLIM_EDGE.replace('type: WireGuard', 'type: WireGuard\n  mtu: 1450'),
      { edge: edge(), node: node({ mtu: 1492 }) },
      [
        /1450 is too large: the path carries 1492 bytes \(eth0 at node\), WireGuard over IPv4 takes 60, which leaves 1492 - 60 = 1432/,
      ],
    ],
    [
      'a Direct tunnel whose addresses are nowhere',
      SLIM_EDGE.replace(
        /type: WireGuard[\s\S]*?---/,
        'type: Direct\n  ends:\n    - { host: edge, addresses: [172.31.0.1] }\n    - { host: node, addresses: [172.31.0.2] }\n---',
      ),
      { edge: edge(), node: node() },
      [/no interface of edge has 172\.31\.0\.1/, /no interface of node has 172\.31\.0\.2/],
    ],
    [
      'a target without a route behind the node',
      SLIM_EDGE.replace('via: edge-node }', 'via: edge-node, address: 172.20.0.9 }').replace(
        '{ hosts: [edge] }',
        '{ hosts: [edge], addresses: [198.51.100.10] }',
      ),
      { edge: edge(), node: node({ routes: [] }) },
      [/198\.51\.100\.10: node has no route to 172\.20\.0\.9/],
    ],
  ] as const)
    test(what, () => {
      const found = problemsOf(run(text, facts));
      for (const problem of problems) expect(found.join('\n')).toMatch(problem);
      expect(new Set(found).size).toBe(found.length);
    });
});

describe('IPv6 switched off on the node', () => {
  const off = {
    edge: edge(),
    node: node({
      interfaces: { eth0: ['192.168.1.20/24'] },
      routes: [['default', '192.168.1.1', 'eth0']],
      sysctls: { 'net/ipv6/conf/default/disable_ipv6': '1' },
    }),
  };

  test('is left out of the tunnel and of its forwards, and said', () => {
    const result = run(SLIM_EDGE, off);
    expect(problemsOf(result)).toEqual([]);
    expect(aimsOf(result)).toEqual(['192.168.1.20']);
    expect(result.hosts.get('edge')?.notes).toEqual([
      'IPv6 is switched off on node: tunnel edge-node carries IPv4 alone',
      'forwards to node by edge-node aim at 192.168.1.20, its main address',
      'PortForward web: IPv6 is left out: tunnel edge-node carries no IPv6',
    ]);
    expect(result.hosts.get('node')?.state.addresses.map(({ address }) => address.address.family)).toEqual([4]);
  });

  test('is a problem where an IPv6 address is named, or nothing else is there', () => {
    const named = SLIM_EDGE.replace('{ hosts: [edge] }', '{ hosts: [edge], addresses: ["2001:db8:e::10"] }');
    expect(problemsOf(run(named, off)).join()).toMatch(/2001:db8:e::10: tunnel edge-node carries no IPv6/);
    const alone = SLIM_EDGE.replaceAll(/10\.90\.0\.[12]\/30, /g, '');
    expect(problemsOf(run(alone, off)).join()).toMatch(
      /IPv6 is switched off on node, and the tunnel has no other family/,
    );
  });
});

describe('two sets on one host', () => {
  const first = run(SLIM_EDGE, { edge: edge(), node: node() }, 'one');
  const applied = (name: 'edge' | 'node', facts: HostFacts): HostFacts => {
    const record = first.hosts.get(name)?.record;
    if (record === undefined) throw new Error('no record');
    return { ...facts, record };
  };
  const facts = { edge: applied('edge', edge()), node: applied('node', node()) };

  test('cannot have one port', () => {
    const other = SLIM_EDGE.replaceAll('edge-node', 'second')
      .replaceAll('10.90.0', '10.92.0')
      .replaceAll('fd90', 'fd92');
    expect(problemsOf(run(other, facts, 'two')).join('\n')).toMatch(
      /PortForward web of the set "\w+" wants 198\.51\.100\.10 tcp 80, which is taken by PortForward web of the set "one"/,
    );
  });

  test('cannot have the port on which the other listens, whoever comes first', () => {
    const other = (forward: string, tunnel: string) =>
      SLIM_EDGE.replaceAll('edge-node', 'second')
        .replaceAll('10.90.0', '10.92.0')
        .replaceAll('fd90', 'fd92')
        .replaceAll(':51820', `:${tunnel}`)
        .replace('port: 80,', 'port: 90,')
        .replace('30000-30100', forward);
    expect(problemsOf(run(other('51820', '51821'), facts, 'two')).join('\n')).toMatch(
      /PortForward web of the set "two" wants udp 51820, where Tunnel edge-node of the set "one" listens at edge/,
    );
    expect(problemsOf(run(other('40000', '30050'), facts, 'two')).join('\n')).toMatch(
      /Tunnel second of the set "two" listens at edge on udp 30050, which is taken by PortForward \w+ of the set "one"/,
    );
  });

  test('cannot have one link', () => {
    const other = SLIM_EDGE.replaceAll('10.90.0', '10.92.0')
      .replaceAll('fd90', 'fd92')
      .replace('port: 80,', 'port: 90,')
      .replace('30000-30100', '40000');
    expect(problemsOf(run(other, facts, 'two')).join('\n')).toMatch(
      /node: the link sp-edge-node is that of tunnel one\/edge-node already; rename one of them/,
    );
  });

  test('stand together, and each goes by itself', () => {
    const other = SLIM_EDGE.replaceAll('edge-node', 'second')
      .replaceAll('10.90.0', '10.92.0')
      .replaceAll('fd90', 'fd92')
      .replaceAll(':51820', ':51821')
      .replace('port: 80,', 'port: 90,')
      .replace('30000-30100', '40000');
    const both = run(other, { edge: facts.edge, node: facts.node }, 'two');
    expect(problemsOf(both)).toEqual([]);
    const record = both.hosts.get('node')?.record;
    expect(record && [...record.sets.keys()]).toEqual(['one', 'two']);
    expect(both.hosts.get('node')?.state.links.map(({ name }) => name)).toEqual(['sp-edge-node', 'sp-second']);
    if (record === undefined) return;
    const left = compileRemoval('node', { ...facts.node, record }, 'two', '0.0.0');
    expect(left.state).toEqual(first.hosts.get('node')?.state);
    expect(compileRemoval('node', { ...facts.node, record }, undefined, '0.0.0').record).toBeUndefined();
  });
});

const SECOND_EDGE = `---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge2 }
spec: { access: { netns: { name: edge2 } } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: edge2-node }
spec:
  type: WireGuard
  ends:
    - { host: edge2, addresses: [10.90.1.1/30, "fd91::1/64"], endpoint: "203.0.113.10:51820" }
    - { host: node, addresses: [10.90.1.2/30, "fd91::2/64"] }
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: by-edge2 }
spec:
  at: { hosts: [edge2] }
  ports: [{ protocol: TCP, port: 80, targetPort: 8080 }]
  to: [{ host: node, via: edge2-node }]
`;

describe('sysctls', () => {
  test('the values before us are noted with what the write changes beside, and kept', () => {
    const facts = edge({ sysctls: { 'net/ipv6/conf/lo/forwarding': '1' } });
    const before = run(SLIM_EDGE, { edge: facts, node: node() }).hosts.get('edge')?.record?.sysctlsBefore;
    expect(before).toEqual(
      new Map([
        ['net/ipv4/conf/eth0/forwarding', '0'],
        ['net/ipv6/conf/default/accept_ra', '1'],
        ['net/ipv6/conf/eth0/accept_ra', '1'],
        ['net/ipv6/conf/all/forwarding', '0'],
        ['net/ipv6/conf/default/forwarding', '0'],
        ['net/ipv6/conf/lo/forwarding', '1'],
        ['net/ipv6/conf/eth0/forwarding', '0'],
      ]),
    );
    const record = run(SLIM_EDGE, { edge: facts, node: node() }).hosts.get('edge')?.record;
    const forwarding = edge({
      sysctls: {
        'net/ipv4/conf/eth0/forwarding': '1',
        'net/ipv6/conf/all/forwarding': '1',
        'net/ipv6/conf/eth0/forwarding': '1',
        'net/ipv6/conf/eth0/accept_ra': '2',
        'net/ipv6/conf/default/accept_ra': '2',
        // A link that came since then: what it has, it has from us.
        'net/ipv6/conf/eth7/forwarding': '1',
        'net/ipv6/conf/eth7/accept_ra': '2',
      },
    });
    const again = run(SLIM_EDGE, { edge: { ...forwarding, ...(record && { record }) }, node: node() });
    expect(again.hosts.get('edge')?.record).toEqual(record);
  });

  test('a host that forwards already is left as it is, and has no guard', () => {
    const routes = {
      'net/ipv4/ip_forward': '1',
      'net/ipv4/conf/eth0/forwarding': '1',
      'net/ipv6/conf/all/forwarding': '1',
    };
    const result = run(SLIM_EDGE, { edge: edge({ sysctls: routes }), node: node() }).hosts.get('edge');
    expect(result?.record?.sysctlsBefore.size).toBe(0);
    expect(result?.state.tables[0]?.chains.some(({ name }) => name === 'sp_guard')).toBe(false);
  });

  for (const [name, wireguard, documents, wanted] of [
    ['the kernel makes the WireGuard link, which clears them', 'kernel', SLIM_EDGE, '0'],
    ['wireguard-go makes it, which leaves them', 'userspace', SLIM_EDGE, undefined],
    ['the tunnel is a VXLAN', 'kernel', VXLAN, undefined],
  ] as const)
    test(`IPv4 redirects of the whole host where ${name}`, () => {
      const path = 'net/ipv4/conf/all/send_redirects';
      const facts = { ...edge({ sysctls: { [path]: '1' } }), wireguard };
      const first = run(documents, { edge: facts, node: node() }).hosts.get('edge');
      expect(first?.state.sysctls.get(path)).toBe(wanted);
      expect(first?.record?.sysctlsBefore.get(path)).toBe(wanted === undefined ? undefined : '1');
      if (wanted === undefined || first?.record === undefined) return;
      const cleared = { ...edge({ sysctls: { [path]: '0' } }), wireguard, record: first.record };
      expect(run(documents, { edge: cleared, node: node() }).hosts.get('edge')?.record).toEqual(first.record);
      const otherwise = { ...edge({ sysctls: { [path]: '0' } }), wireguard };
      expect(run(documents, { edge: otherwise, node: node() }).hosts.get('edge')?.state.sysctls.has(path)).toBe(false);
    });

  for (const [kernel, second, wanted] of [
    ['6.1.0-50-amd64', true, '0'],
    ['6.6.30', true, '0'],
    ['6.7.0', true, undefined],
    ['6.18.44', true, undefined],
    ['7.0.1', true, undefined],
    ['6.1.0-50-amd64', false, undefined],
    [undefined, true, undefined],
  ] as const)
    test(`sockets are found before ports are told apart, by ${second ? 'two edges' : 'one edge'} and Linux ${kernel ?? 'of unknown age'}`, () => {
      const path = 'net/ipv4/ip_early_demux';
      const facts = { ...node({ sysctls: { [path]: '1' } }), ...(kernel !== undefined && { versions: { kernel } }) };
      const result = run(second ? SLIM_EDGE + SECOND_EDGE : SLIM_EDGE, { edge: edge(), edge2: edge(), node: facts });
      expect(result.hosts.get('node')?.state.sysctls.get(path)).toBe(wanted);
      expect(result.hosts.get('node')?.record?.sysctlsBefore.get(path)).toBe(wanted === undefined ? undefined : '1');
      expect(result.hosts.get('edge')?.state.sysctls.has(path)).toBe(false);
    });

  for (const [what, eth0, all, wanted] of [
    ['listens', { accept_ra: '1', forwarding: '0' }, '0', '2'],
    ['does not', { accept_ra: '0', forwarding: '0' }, '0', undefined],
    ['listens whatever it forwards', { accept_ra: '2', forwarding: '0' }, '0', undefined],
    ['forwards, and so does not listen', { accept_ra: '1', forwarding: '1' }, '0', undefined],
    ['listens on a host that forwards elsewhere', { accept_ra: '1', forwarding: '0' }, '1', undefined],
  ] as const)
    test(`router advertisements go on as before on a link that ${what}`, () => {
      const path = 'net/ipv6/conf/eth0/accept_ra';
      const sysctls = {
        [path]: eth0.accept_ra,
        'net/ipv6/conf/eth0/forwarding': eth0.forwarding,
        'net/ipv6/conf/all/forwarding': all,
      };
      const first = run(SLIM_EDGE, { edge: edge({ sysctls }), node: node() }).hosts.get('edge');
      expect(first?.state.sysctls.get(path)).toBe(wanted);
      if (wanted === undefined || first?.record === undefined) return;
      // Put back to 1 by somebody, it is still known how it was.
      const changed = { ...sysctls, 'net/ipv6/conf/all/forwarding': '1', 'net/ipv6/conf/eth0/forwarding': '1' };
      const later = { ...edge({ sysctls: changed }), record: first.record };
      expect(run(SLIM_EDGE, { edge: later, node: node() }).hosts.get('edge')?.state.sysctls.get(path)).toBe('2');
    });
});

test('the same input gives the same output, in whatever order the documents come', () => {
  const documents = SLIM_EDGE.split('---\n');
  const turned = [...documents].reverse().join('---\n');
  const facts = { edge: edge(), node: node() };
  const [one, two] = [run(SLIM_EDGE, facts), run(turned, facts)];
  for (const host of ['edge', 'node']) expect(two.hosts.get(host)?.state).toEqual(one.hosts.get(host)?.state);
});

describe('the fast path', () => {
  const off = SLIM_EDGE.replace('  ports:', '  fastPath: "Off"\n  ports:');
  const online = (facts: HostFacts, link: string, kind: string): HostFacts => ({
    ...facts,
    state: { ...facts.state, links: facts.state.links.map((each) => (each.name === link ? { ...each, kind } : each)) },
  });
  const devicesOf = (result: Compiled, host: string) =>
    result.hosts.get(host)?.state.tables.flatMap(({ flowtables = [] }) => flowtables.flatMap(({ devices }) => devices));
  const saidOf = (result: Compiled) => result.hosts.get('edge')?.notes.filter((note) => note.includes('fastPath'));
  const WAYS = { eth0: ['198.51.100.10/24', '2001:db8:e::10/64'], priv0: ['172.31.0.1/24', 'fd31::1/64'] };
  const fast = edge({ flowtables: 'kernel' });
  for (const [what, text, facts, devices] of [
    ['is of the links that clients come in by and the tunnel', SLIM_EDGE, fast, ['eth0', 'sp-wg51820']],
    ['is not asked for', off, fast, []],
    [
      'has no part in what keeps no connection',
      SLIM_EDGE.replace('  ports:', '  tracking: Stateless\n  ports:'),
      fast,
      [],
    ],
    ['does not name a link of PPP', SLIM_EDGE, online(fast, 'eth0', 'ppp'), ['sp-wg51820']],
    [
      'knows a target without a tunnel by its link',
      SLIM_EDGE.replace('{ host: node, via: edge-node }', '{ address: 172.31.0.9 }'),
      edge({ flowtables: 'kernel', interfaces: WAYS }),
      ['eth0', 'priv0'],
    ],
    [
      'leads to the tunnel address where that is the aim',
      SLIM_EDGE.replace('  to:\n', '  clientAddress: Masquerade\n  to:\n'),
      fast,
      ['eth0', 'sp-wg51820'],
    ],
    ['is on an edge only if its kernel has it', SLIM_EDGE, edge(), []],
  ] as const)
    test(what, () => {
      const result = run(text, { edge: facts, node: node({ flowtables: 'kernel' }) });
      expect(problemsOf(result)).toEqual([]);
      expect(devicesOf(result, 'edge')).toEqual(devices);
      expect(devicesOf(result, 'node')).toEqual([]);
    });
  for (const [flowtables, said] of [
    ['kernel', undefined],
    ['absent', /this kernel has no flowtables/],
    ['forgetful', /before Linux 5\.14/],
    ['unknown', /could not be tried/],
    [undefined, undefined],
  ] as const)
    test(`that is ${flowtables}: ${said === undefined ? 'nothing is said' : 'named in the plan'}`, () => {
      const facts = { edge: edge(flowtables === undefined ? {} : { flowtables }), node: node() };
      const [note, ...others] = saidOf(run(SLIM_EDGE, facts)) ?? [];
      if (said === undefined) expect(note).toBeUndefined();
      else expect(note).toMatch(said);
      expect(others).toEqual([]);
      expect(saidOf(run(off, facts))).toEqual([]);
    });
});
