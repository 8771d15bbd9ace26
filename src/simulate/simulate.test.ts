import { describe, expect, test } from 'vitest';
import { EMPTY_STATE, type HostState } from '../host/index.ts';
import { type Address, parseAddress, parseInterfaceAddress, printAddress, wholeFamily } from '../net/index.ts';
import {
  accept,
  assign,
  baseChain,
  ct,
  drop,
  match,
  meta,
  number,
  payload,
  type Rule,
  readConntrack,
  rule,
  type Table,
  type Tuple,
  text,
} from '../nftables/index.ts';
import { type Link, MAIN_TABLE, type Route } from '../routing/index.ts';
import { type ConnectionTable, confirm, settle, track } from './connections.ts';
import {
  buildNetwork,
  type Flow,
  type HostInput,
  printPacket,
  reportTrace,
  type Socket,
  simulate,
  simulateAll,
  startDraws,
  type Trace,
  type Way,
  withKernelDefaults,
} from './index.ts';

const must = <T>(value: T | undefined, written: string): T => {
  if (value === undefined) throw new TypeError(written);
  return value;
};
const at = (written: string): Address => must(parseAddress(written), written);

interface Sketch {
  readonly links: Readonly<Record<string, string>>;
  readonly via?: readonly [gateway: string, link: string];
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly tables?: readonly Table[];
  readonly open?: Readonly<Record<string, string>>;
}

/** A router: it forwards unless told otherwise. */
function router(name: string, { links, via, sysctls = {}, tables = [], open = {} }: Sketch): HostInput {
  const names = Object.keys(links);
  const routes: readonly Route[] =
    via === undefined
      ? []
      : [
          {
            ...{ table: MAIN_TABLE, destination: wholeFamily(4), type: 'unicast', metric: 0, protocol: 4 },
            ...{ gateway: at(via[0]), link: via[1] },
          },
        ];
  const state: HostState = {
    ...{ ...EMPTY_STATE, routes, tables },
    links: names.map((link) => ({ name: link, kind: 'ether', mtu: 1500, up: true })),
    addresses: names.map((link) => {
      const address = links[link] ?? '';
      return { link, address: must(parseInterfaceAddress(address), address), scope: 'global' };
    }),
    sysctls: new Map(
      Object.entries({
        'net/ipv4/conf/default/forwarding': '1',
        'net/ipv4/conf/all/rp_filter': '0',
        'net/ipv4/conf/default/rp_filter': '0',
        ...sysctls,
      }),
    ),
  };
  const openAddresses = Object.entries(open).map(([link, outer]) => {
    const inner = must(parseInterfaceAddress(links[link] ?? ''), link).address;
    return { link, inner, outer: at(outer) };
  });
  return { name, state: withKernelDefaults(state), openAddresses };
}

const ask = (host: string, link: string, from: string, to: string): Flow => ({
  from: { kind: 'beyond', host, link, address: at(from) },
  ...{ to: at(to), port: 80, protocol: 'tcp' },
});

const lan = { links: { wan: '198.51.100.1/24', lan: '10.0.0.1/24' }, via: ['198.51.100.254', 'wan'] } as const;
const server = { links: { eth0: '10.0.0.2/24' }, via: ['10.0.0.1', 'eth0'] } as const;
const client = ask('router', 'wan', '192.0.2.7', '10.0.0.2');

describe('where a packet ends', () => {
  for (const [what, hosts, flow, request, works] of [
    ['at the server, which answers', [router('router', lan), router('server', server)], client, 'delivered', true],
    [
      'at a router that does not forward what comes in there',
      [router('router', { ...lan, sysctls: { 'net/ipv4/conf/wan/forwarding': '0' } }), router('server', server)],
      client,
      'dropped',
      false,
    ],
    [
      'at rp_filter, for a source that lies elsewhere',
      [router('router', { ...lan, sysctls: { 'net/ipv4/conf/wan/rp_filter': '1' } }), router('server', server)],
      ask('router', 'wan', '10.0.0.9', '10.0.0.2'),
      'dropped',
      false,
    ],
    [
      'as a martian, for a source that is the host itself',
      [router('router', lan)],
      ask('router', 'wan', '10.0.0.1', '198.51.100.1'),
      'dropped',
      false,
    ],
    ['beyond what is known', [router('router', lan)], client, 'exits', 'undecided'],
    [
      'nowhere, for want of a route',
      [router('router', { links: lan.links })],
      ask('router', 'wan', '198.51.100.7', '192.0.2.1'),
      'unreachable',
      false,
    ],
    [
      'in a ring',
      [
        router('router', { links: { wan: '198.51.100.1/24', lan: '10.0.0.1/24' }, via: ['10.0.0.2', 'lan'] }),
        router('server', server),
      ],
      ask('router', 'wan', '192.0.2.7', '203.0.113.5'),
      'looped',
      false,
    ],
    [
      'undecided, where nobody looked at a setting that matters',
      [router('router', lan)].map(({ state, ...host }) => ({
        ...host,
        state: { ...state, sysctls: new Map() },
      })),
      client,
      'undecided',
      'undecided',
    ],
  ] as const)
    test(what, () => {
      const trace = simulate(buildNetwork(hosts, []), flow);
      expect([trace.request.verdict, trace.works]).toEqual([request, works]);
    });
});

test("the provider's 1:1 NAT is undone on the way between two hosts on the Internet", () => {
  const hosts = [
    router('one', { links: { eth0: '10.1.0.5/24' }, via: ['10.1.0.1', 'eth0'], open: { eth0: '203.0.113.5' } }),
    router('two', { links: { eth0: '10.2.0.6/24' }, via: ['10.2.0.1', 'eth0'], open: { eth0: '203.0.113.6' } }),
  ];
  const flow: Flow = { from: { kind: 'host', host: 'one' }, to: at('203.0.113.6'), port: 80, protocol: 'tcp' };
  const { works, request } = simulate(buildNetwork(hosts, []), flow);
  expect(works).toBe(true);
  expect(reportTrace(simulate(buildNetwork(hosts, []), flow)).clientAddressSeen).toBe('203.0.113.5');
  expect(request.host).toBe('two');
});

test('a trace tells each hop, and the very rule that decided', () => {
  const drops = rule(match(meta('iifname'), '==', text('wan')), { kind: 'verdict', verdict: { kind: 'drop' } });
  const guard = baseChain('forward', { type: 'filter', hook: 'forward', priority: 0 }, drops);
  const table: Table = { family: 'ip', name: 'guard', sets: [], maps: [], opaque: [], chains: [guard] };
  const network = buildNetwork([router('router', { ...lan, tables: [table] }), router('server', server)], []);
  expect(reportTrace(simulate(network, client, { hops: true }))).toEqual({
    works: false,
    verdict: 'dropped',
    fix: 'on router: an accept before it: nft insert rule ip guard forward ip saddr 192.0.2.7 ip daddr 10.0.0.2 tcp dport 80 accept',
    reason: 'router drops 192.0.2.7:40000 → 10.0.0.2:80/tcp in forward: ip guard forward: iifname "wan" drop',
    hops: [
      { host: 'router', stage: 'link', detail: '192.0.2.7:40000 → 10.0.0.2:80/tcp comes in by wan', decidedBy: '' },
      {
        host: 'router',
        stage: 'route',
        detail: 'leaves by lan',
        decidedBy: 'rule 32766: from all lookup main proto kernel, route 10.0.0.0/24 dev lan proto kernel src 10.0.0.1',
      },
      { host: 'router', stage: 'forward', detail: 'dropped', decidedBy: 'ip guard forward: iifname "wan" drop' },
    ],
  });
});

describe('pods behind a host', () => {
  const kinds = (kind: Link['kind'], host: HostInput): HostInput => ({
    ...host,
    state: { ...host.state, links: host.state.links.map((link) => (link.name === 'lan' ? { ...link, kind } : link)) },
  });
  const pods = { ...lan, open: { wan: '198.51.100.1' } };
  for (const [what, host, works] of [
    ['on a bridge answer by it', kinds('bridge', router('router', pods)), true],
    ['on a veth answer by it', kinds('veth', router('router', pods)), true],
    ['are not what stands on a network card', router('router', pods), 'undecided'],
    [
      'are not what stands on a bridge with a router of its own',
      kinds('bridge', router('router', { links: pods.links, via: ['10.0.0.254', 'lan'] })),
      'undecided',
    ],
  ] as const)
    test(what, () => {
      const { works: does, request, reply } = simulate(buildNetwork([host], []), client);
      expect([request.verdict, does]).toEqual(['exits', works]);
      expect(reply?.verdict).toBe(works === true ? 'delivered' : undefined);
    });
});

test('each way that chance may choose is traced, and can be traced again', () => {
  const chance = (index: number): Rule =>
    rule(match({ kind: 'numgen', mode: 'random', modulus: 3 - index }, '==', 0), {
      ...{ kind: 'dnat', family: 'ip', flags: [] },
      address: { kind: 'address', address: at(`10.0.0.${2 + index}`) },
    });
  const chain = baseChain('p', { type: 'nat', hook: 'prerouting', priority: -100 }, ...[0, 1, 2].map(chance));
  const table: Table = { family: 'ip', name: 'balance', sets: [], maps: [], opaque: [], chains: [chain] };
  const network = buildNetwork([router('router', { ...lan, tables: [table] })], []);
  const flow = ask('router', 'wan', '192.0.2.7', '198.51.100.1');
  expect(simulate(network, flow).request.verdict).toBe('undecided');
  const { traces, complete } = simulateAll(network, flow);
  const ends = (trace: Trace): string => printAddress(trace.request.packet.destination);
  expect(complete).toBe(true);
  expect(traces.map(ends).toSorted()).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4']);
  for (const trace of traces)
    expect(ends(simulate(network, flow, { draws: startDraws(trace.ways) }))).toBe(ends(trace));
});

test('each of several next hops is traced, for the packet and for its answer', () => {
  const gateways = ['198.51.100.254', '198.51.100.253'];
  const nexthops = gateways.map((gateway) => ({ gateway: at(gateway), link: 'wan' }));
  const route: Route = {
    ...{ table: MAIN_TABLE, destination: wholeFamily(4), type: 'unicast', metric: 0, protocol: 4, nexthops },
  };
  const { via: _, ...links } = lan;
  const made = router('router', links);
  const many = { ...made, state: { ...made.state, routes: [...made.state.routes, route] } };
  const network = buildNetwork([many, router('server', server)], []);
  const flow = ask('server', 'eth0', '10.0.0.9', '192.0.2.7');
  const alone = simulate(network, flow).request;
  expect(alone).toMatchObject({ verdict: 'undecided', reason: expect.stringContaining('a hash chooses') });
  const { traces } = simulateAll(network, flow);
  expect(traces.map(({ request }) => request.verdict)).toEqual(['exits', 'exits']);
  const told = traces.map(({ ways }) =>
    simulate(network, flow, { hops: true, draws: startDraws(ways) }).request.hops.flatMap(({ detail }) =>
      detail.startsWith('by chance') ? detail : [],
    ),
  );
  expect(told.toSorted()).toEqual(gateways.toSorted().map((gateway) => [`by chance by wan via ${gateway}`]));
});

test('a chain at the device that a packet leaves by comes last', () => {
  const chain = baseChain('e', { type: 'filter', hook: 'egress', priority: 0, devices: ['lan'] }, rule(drop));
  const table: Table = { family: 'netdev', name: 'out', sets: [], maps: [], opaque: [], chains: [chain] };
  const network = buildNetwork([router('router', { ...lan, tables: [table] }), router('server', server)], []);
  expect(simulate(network, client).request).toMatchObject({ verdict: 'dropped', host: 'router' });
  const elsewhere = ask('server', 'eth0', '10.0.0.9', '192.0.2.7');
  expect(simulate(network, elsewhere).request.verdict).toBe('exits');
});

describe('a chain at a device', () => {
  const at = (rules: readonly Rule[], devices?: readonly string[]): Table => {
    const where = { type: 'filter', hook: 'egress', priority: 0, ...(devices && { devices }) } as const;
    return { family: 'netdev', name: 'out', sets: [], maps: [], opaque: [], chains: [baseChain('e', where, ...rules)] };
  };
  const port: Link = { name: 'port', kind: 'veth', mtu: 1500, up: true, master: 'lan' };
  for (const [what, table, verdict] of [
    // nft before 1.0.9 lists no devices.
    ['that is not known, and drops', at([rule(drop)]), 'undecided'],
    ['that is not known, and lets it pass', at([rule(accept)]), 'delivered'],
    ['that is not known, and drops another', at([rule(match(payload('udp', 'dport'), '==', 9), drop)]), 'delivered'],
    ['of several by name', at([rule(drop)], ['la*']), 'dropped'],
    ['below', at([rule(drop)], ['port']), 'undecided'],
    ['elsewhere', at([rule(drop)], ['wan']), 'delivered'],
  ] as const)
    test(what, () => {
      const made = router('router', { ...lan, tables: [table] });
      const state = { ...made.state, links: [...made.state.links, port] };
      const network = buildNetwork([{ ...made, state }, router('server', server)], []);
      const { request } = simulate(network, client);
      expect(request.verdict).toBe(verdict);
      if (verdict === 'undecided')
        expect(request.reason).toContain('whether chain e of table netdev out stands at lan');
    });
});

test('what stops a packet whose connection is in the fast path is passed by, or not', () => {
  const stopping = baseChain(
    'f',
    { type: 'filter', hook: 'forward', priority: 0 },
    rule(match(ct('mark'), '==', number(0)), drop),
  );
  const table: Table = { family: 'inet', name: 't', sets: [], maps: [], opaque: [], chains: [stopping] };
  const verdicts = ['[ASSURED]', '[OFFLOAD]'].map((flag) => {
    const line = `ipv4 2 tcp 6 99 ESTABLISHED src=192.0.2.7 dst=10.0.0.2 sport=40000 dport=80 src=10.0.0.2 dst=192.0.2.7 sport=80 dport=40000 ${flag} mark=0 use=1`;
    const made = { ...router('router', { ...lan, tables: [table] }), entries: readConntrack(line) };
    const network = buildNetwork([made, router('server', server)], []);
    return simulate(network, { ...client, stands: true }).request.verdict;
  });
  expect(verdicts).toEqual(['dropped', 'undecided']);
});

test('between hosts: by which link it left, by which it came out, and as what', () => {
  const network = buildNetwork([router('router', lan), router('server', server)], []);
  const { request, reply } = simulate(network, client, { hops: true });
  const told = ({ crossings, hops }: Way): readonly string[] =>
    crossings.map(({ from, to, packet, after }) => {
      const end = (plug: typeof from): string => (plug === undefined ? 'beyond' : `${plug.host} ${plug.link}`);
      return `${end(from)} - ${end(to)}: ${printPacket(packet)}, then ${hops[after]?.stage ?? 'nothing'}`;
    });
  expect(told(request)).toEqual([
    'beyond - router wan: 192.0.2.7:40000 → 10.0.0.2:80/tcp, then link',
    'router lan - server eth0: 192.0.2.7:40000 → 10.0.0.2:80/tcp, then link',
  ]);
  expect(reply && told(reply)).toEqual([
    'server eth0 - router lan: 10.0.0.2:80 → 192.0.2.7:40000/tcp, then link',
    'router wan - beyond: 10.0.0.2:80 → 192.0.2.7:40000/tcp, then nothing',
  ]);
  expect(simulate(network, client).request.crossings).toEqual([]);
});

test('a nat chain does not run while nothing needs conntrack', () => {
  const mark = rule(assign(meta('mark'), number(1)));
  const chain = baseChain('pre', { type: 'nat', hook: 'prerouting', priority: -100 }, mark);
  const state = rule(match(ct('mark'), '==', number(0)));
  const other = baseChain('for', { type: 'filter', hook: 'forward', priority: 0 }, state);
  const marks = [[chain], [chain, other]].map((chains) => {
    const table: Table = { family: 'ip', name: 't', sets: [], maps: [], chains, opaque: [] };
    const network = buildNetwork([router('router', { ...lan, tables: [table] })], []);
    return simulate(network, client, { hops: true }).request.hops.some(({ detail }) => detail === 'mark 0x1');
  });
  expect(marks).toEqual([false, true]);
});

test('a host without a way there does not even ask', () => {
  const network = buildNetwork([router('server', { links: server.links })], []);
  const flow: Flow = { from: { kind: 'host', host: 'server' }, to: at('192.0.2.7'), port: 80, protocol: 'tcp' };
  expect(simulate(network, flow).request).toMatchObject({ verdict: 'unreachable', through: ['server'] });
});

test('loose rp_filter takes the own address of a host where accept_local does', () => {
  const sysctls = { 'net/ipv4/conf/all/rp_filter': '2', 'net/ipv4/conf/all/accept_local': '1' };
  const network = buildNetwork([router('router', { ...lan, sysctls })], []);
  expect(simulate(network, ask('router', 'wan', '10.0.0.1', '198.51.100.1')).request.verdict).toBe('delivered');
});

describe('connections', () => {
  const tuple: Tuple = {
    ...{ source: at('192.0.2.7'), destination: at('10.0.0.2'), protocol: 17, sourcePort: 1, destinationPort: 53 },
  };
  const answer: Tuple = {
    ...{ source: at('10.0.0.2'), destination: at('192.0.2.7'), protocol: 17, sourcePort: 53, destinationPort: 1 },
  };
  const none = { original: 0, reply: 0 };

  test('of the same tuple in two zones are two, with answers told apart by the port', () => {
    const table: ConnectionTable = new Map();
    const [first, second] = [1, 2].map((zone) => {
      const tracked = must(track(table, tuple, { original: zone, reply: 0 }), 'a connection');
      settle(table, tracked.connection, 'source', {});
      return { tracked, isEntered: confirm(table, tracked.connection) };
    });
    expect([first?.isEntered, second?.isEntered]).toEqual([true, true]);
    expect(second?.tracked.connection.reply.destinationPort).toBe(2);
    expect(track(table, answer, none)).toMatchObject({ direction: 'reply', connection: first?.tracked.connection });
  });

  test('of a rule that names the port get no other', () => {
    const table: ConnectionTable = new Map();
    const [first, second] = ['192.0.2.7', '192.0.2.8'].map((source) => {
      const { connection } = must(track(table, { ...tuple, source: at(source) }, none), source);
      settle(table, connection, 'source', { address: at('10.0.0.1'), port: 50_001 });
      return confirm(table, connection);
    });
    expect([first, second]).toEqual([true, false]);
  });

  test('of one source keep the port that the first of them got', () => {
    const table: ConnectionTable = new Map();
    const [, second, third] = [
      ['192.0.2.7', '10.0.0.2'],
      ['192.0.2.8', '10.0.0.2'],
      ['192.0.2.8', '10.0.0.3'],
    ].map(([source = '', destination = '']) => {
      const { connection } = must(
        track(table, { ...tuple, source: at(source), destination: at(destination) }, none),
        source,
      );
      settle(table, connection, 'source', { address: at('10.0.0.1') }, () => 1234);
      confirm(table, connection);
      return connection.reply.destinationPort;
    });
    expect([second, third]).toEqual([1234, 1234]);
  });

  test('whose answers nobody tells apart clash', () => {
    const table: ConnectionTable = new Map();
    const [first, second] = [1, 2].map((zone) =>
      confirm(table, must(track(table, tuple, { original: zone, reply: 0 }), 'a connection').connection),
    );
    expect([first, second]).toEqual([true, false]);
  });

  test('are established once an answer was seen', () => {
    const table: ConnectionTable = new Map();
    confirm(table, must(track(table, tuple, none), 'a connection').connection);
    expect(track(table, tuple, none)?.state).toBe('new');
    expect(track(table, answer, none)).toMatchObject({ direction: 'reply', state: 'established' });
    expect(track(table, tuple, none)).toMatchObject({ direction: 'original', state: 'established' });
  });
});

describe('who waits on a host', () => {
  const asked = (sockets: readonly Socket[]) => {
    const network = buildNetwork([router('router', lan), { ...router('server', server), sockets }], []);
    return simulate(network, client).request.verdict;
  };
  const web: Socket = { protocol: 'tcp', families: [4], port: 80 };
  for (const [what, sockets, verdict] of [
    ['a socket of any address and link', [web], 'delivered'],
    ['one that is bound to the link it comes by', [{ ...web, link: 'eth0' }], 'delivered'],
    ['one that is bound to another link', [{ ...web, link: 'eth1' }], 'rejected'],
    ['one of IPv6 alone', [{ ...web, families: [6] }], 'rejected'],
    ['one of another address', [{ ...web, address: at('10.0.0.3') }], 'rejected'],
    ['none', [], 'rejected'],
  ] as const)
    test(what, () => expect(asked(sockets)).toBe(verdict));
});
