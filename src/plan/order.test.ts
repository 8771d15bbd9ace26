import { describe, expect, test } from 'vitest';
import {
  EMPTY_STATE,
  type HostFacts,
  type HostRecord,
  type HostShare,
  type HostState,
  RECORD_FORMAT,
} from '../host/index.ts';
import { hostPrefix, parseAddress, parseEndpoint, parseInterfaceAddress, wholeFamily } from '../net/index.ts';
import { baseChain, flowAdd, rule, type Table } from '../nftables/index.ts';
import { type Link, type Route, SALLYPORT_PROTOCOL } from '../routing/index.ts';
import { parsePublicKey, type WireGuardPeer } from '../wireguard/index.ts';
import { describeChange, type HostChange, planHost, restoreKey, undo } from './index.ts';

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('not readable');
  return value;
}
const at = (text: string) => must(parseAddress(text));
const key = (byte: number) => must(parsePublicKey(Buffer.alloc(32, byte).toString('base64')));

const LINK: Link = { name: 'sp-wg51820', kind: 'wireguard', mtu: 1420, up: true };
const ROUTE: Route = {
  table: 254,
  destination: hostPrefix(at('192.168.1.20')),
  type: 'unicast',
  link: LINK.name,
  metric: 0,
  protocol: SALLYPORT_PROTOCOL,
};
const PEER: WireGuardPeer = {
  publicKey: key(2),
  allowedIps: [hostPrefix(at('10.90.0.2'))],
  endpoint: must(parseEndpoint('192.0.2.7:51820')),
  keepaliveSeconds: 25,
};
const TABLE: Table = {
  family: 'inet',
  name: 'sallyport',
  sets: [],
  maps: [],
  chains: [{ kind: 'regular', name: 'c', rules: [] }],
  opaque: [],
};
const WANTED: HostState = {
  ...EMPTY_STATE,
  links: [LINK],
  addresses: [{ link: LINK.name, address: must(parseInterfaceAddress('10.90.0.1/30')), scope: 'global' }],
  devices: [{ link: LINK.name, publicKey: key(1), listenPort: 51820, peers: [PEER] }],
  routes: [ROUTE],
  rules: [
    {
      family: 4,
      priority: 5000,
      protocol: SALLYPORT_PROTOCOL,
      action: { kind: 'lookup', table: 254, suppressPrefixLength: 0 },
    },
  ],
  sysctls: new Map([
    ['net/ipv6/conf/all/forwarding', '1'],
    ['net/ipv6/conf/eth0/accept_ra', '2'],
    ['net/ipv4/conf/sp-wg51820/forwarding', '1'],
  ]),
  tables: [TABLE],
};
const record = (
  sysctlsBefore: Readonly<Record<string, string>> = {},
  tunnels: HostShare['tunnels'] = [],
): HostRecord => ({
  format: RECORD_FORMAT,
  version: '0',
  sets: new Map([['default', { tunnels, forwards: [], accepts: [] }]]),
  numbers: { mark: { value: 1, mask: 255 }, suppressPriority: 5000, tunnels: new Map() },
  sysctlsBefore: new Map(Object.entries(sysctlsBefore)),
});
const FRESH = {
  'net/ipv6/conf/all/forwarding': '0',
  'net/ipv6/conf/eth0/forwarding': '0',
  'net/ipv6/conf/lo/forwarding': '1',
  'net/ipv6/conf/eth0/accept_ra': '1',
};
const facts = (state: Partial<HostState>, known?: HostRecord): HostFacts => ({
  source: 'observed',
  state: { ...EMPTY_STATE, ...state },
  keys: new Map(),
  wireguard: 'kernel',
  vxlan: 'kernel',
  stateFolder: '/etc/sallyport',
  ...(known && { record: known, restore: restoreKey(WANTED) }),
});
const lines = (changes: readonly HostChange[]): readonly string[] =>
  changes.map(describeChange).map(({ action, object, name }) => `${action} ${object} ${name}`);

/** What stands on a host after the plan was carried out on a fresh one. */
const APPLIED: HostState = {
  ...WANTED,
  sysctls: new Map([
    ...WANTED.sysctls,
    ['net/ipv6/conf/eth0/forwarding', '1'],
    ['net/ipv6/conf/lo/forwarding', '1'],
    ['net/ipv4/conf/default/forwarding', '0'],
  ]),
};
const RECORD = record({ ...FRESH });

describe('on a fresh host', () => {
  const plan = planHost(facts({ sysctls: new Map(Object.entries(FRESH)) }), { state: WANTED, record: RECORD });

  test('the record comes first, the table before links and forwarding, advertisements before forwarding', () => {
    expect(lines(plan)).toEqual([
      'add file /etc/sallyport/record.json',
      'add file /etc/sallyport/undo.sh',
      'add nft table inet sallyport',
      'add nft chain c',
      'add link sp-wg51820',
      'add link sp-wg51820 key and port',
      expect.stringMatching(/^add peer sp-wg51820 /),
      'add address 10.90.0.1/30 dev sp-wg51820',
      'change sysctl net.ipv6.conf.eth0.accept_ra',
      'change sysctl net.ipv6.conf.all.forwarding',
      'add sysctl net.ipv4.conf.sp-wg51820.forwarding',
      'add route 192.168.1.20/32',
      'add rule IPv4 5000',
      'add file /etc/sallyport/restore.sh',
    ]);
  });

  test('the fast path comes once its links are there, and goes before them', () => {
    const fast: Table = {
      ...TABLE,
      chains: [
        ...TABLE.chains,
        baseChain('f', { type: 'filter', hook: 'forward', priority: 9 }, rule(flowAdd('sp_fast'))),
      ],
      flowtables: [{ name: 'sp_fast', priority: 0, devices: ['eth0', LINK.name], properties: [] }],
    };
    const told = (changes: readonly HostChange[]) => lines(changes).filter((line) => /nft|link sp-wg51820$/.test(line));
    const state = { ...WANTED, tables: [fast] };
    expect(told(planHost(facts({ sysctls: new Map(Object.entries(FRESH)) }), { state, record: RECORD }))).toEqual([
      ...['add nft table inet sallyport', 'add nft chain c', 'add link sp-wg51820'],
      ...['add nft flowtable sp_fast', 'add nft chain f'],
    ]);
    expect(told(planHost(facts({ ...APPLIED, tables: [fast] }, RECORD), { state: EMPTY_STATE }))).toEqual([
      ...['remove nft flowtable sp_fast', 'remove nft chain f', 'remove link sp-wg51820'],
      ...['remove nft chain c', 'remove nft table inet sallyport'],
    ]);
  });

  test('undone, it takes the same things back from the last to the first', () => {
    expect(lines(undo(plan))).toEqual([...lines(plan)].reverse().map((line) => line.replace(/^add/, 'remove')));
  });

  test('what the WireGuard link clears is written before it, so that an apply cut short there can put it back', () => {
    const path = 'net/ipv4/conf/all/send_redirects';
    const [sysctls, state] = [
      new Map([...Object.entries(FRESH), [path, '1'] as const]),
      { ...WANTED, sysctls: new Map([...WANTED.sysctls, [path, '0'] as const]) },
    ];
    const both = lines(planHost(facts({ sysctls }), { state, record: RECORD })).filter((line) =>
      /redirects|link sp-wg51820$/.test(line),
    );
    expect(both).toEqual(['change sysctl net.ipv4.conf.all.send_redirects', 'add link sp-wg51820']);
  });

  test('only the table is one transaction', () => {
    expect(
      new Set(plan.map(describeChange).map(({ transactional, object }) => `${object} ${transactional}`)),
    ).toContain('nft true');
    expect(
      plan.map(describeChange).filter(({ transactional, object }) => transactional !== (object === 'nft')),
    ).toEqual([]);
  });
});

test('a host that is as it should be has nothing to change', () => {
  expect(planHost(facts(APPLIED, RECORD), { state: WANTED, record: RECORD })).toEqual([]);
});

describe('taking everything back', () => {
  const plan = planHost(facts(APPLIED, RECORD), { state: EMPTY_STATE });

  test('names all that is ours, forwarding first and the record last', () => {
    expect(lines(plan)).toEqual([
      'change sysctl net.ipv6.conf.all.forwarding',
      // lo had it before us, and writing `all` takes it away.
      'change sysctl net.ipv6.conf.lo.forwarding',
      'change sysctl net.ipv6.conf.eth0.accept_ra',
      'remove rule IPv4 5000',
      'remove route 192.168.1.20/32',
      'remove address 10.90.0.1/30 dev sp-wg51820',
      'remove sysctl net.ipv4.conf.sp-wg51820.forwarding',
      expect.stringMatching(/^remove peer sp-wg51820 /),
      'remove link sp-wg51820 key and port',
      'remove link sp-wg51820',
      'remove nft chain c',
      'remove nft table inet sallyport',
      'remove file /etc/sallyport/record.json',
      'remove file /etc/sallyport/undo.sh',
      'remove file /etc/sallyport/restore.sh',
    ]);
  });

  test('finds what a lost record no longer tells', () => {
    expect(lines(planHost(facts(APPLIED), { state: EMPTY_STATE })).filter((line) => !/sysctl/.test(line))).toEqual(
      lines(plan).filter((line) => !/sysctl|file/.test(line)),
    );
  });

  test('leaves what others have', () => {
    const theirs: Partial<HostState> = {
      links: [{ ...LINK, name: 'wg0' }],
      routes: [{ ...ROUTE, protocol: 4, link: 'wg0' }],
      rules: [{ family: 4, priority: 5000, protocol: 3, action: { kind: 'lookup', table: 5000 } }],
      tables: [{ family: 'inet', name: 'filter', sets: [], maps: [], chains: [], opaque: [] }],
      devices: [{ link: 'wg0', peers: [PEER] }],
    };
    expect(planHost(facts(theirs), { state: EMPTY_STATE })).toEqual([]);
  });
});

test('a route that leads elsewhere takes the place of the one that was there, and no packet is without', () => {
  const second: Link = { ...LINK, name: 'sp-wg51820_' };
  const state = { ...WANTED, links: [LINK, second], routes: [{ ...ROUTE, link: 'sp-wg51820_' }] };
  const plan = planHost(facts(APPLIED, RECORD), { state, record: RECORD });
  const restore = 'change file /etc/sallyport/restore.sh';
  expect(lines(plan)).toEqual(['add link sp-wg51820_', 'change route 192.168.1.20/32', restore]);
  expect(lines(undo(plan))).toEqual([restore, 'change route 192.168.1.20/32', 'remove link sp-wg51820_']);
  // Of a link that goes it is gone before.
  const other = planHost(facts(APPLIED, RECORD), { state: { ...state, links: [second] }, record: RECORD });
  expect(lines(other).filter((line) => line.includes(' route '))).toEqual([
    'remove route 192.168.1.20/32',
    'add route 192.168.1.20/32',
  ]);
});

test('while settings are put back the record still tells how they were, and forgets them at the end', () => {
  const next = record({ 'net/ipv6/conf/eth0/accept_ra': '1' });
  const state = {
    ...WANTED,
    sysctls: new Map([
      ['net/ipv6/conf/eth0/accept_ra', '2'],
      ['net/ipv4/conf/sp-wg51820/forwarding', '1'],
    ]),
  };
  const plan = planHost(facts(APPLIED, RECORD), { state, record: next });
  expect(lines(plan)).toEqual([
    'change sysctl net.ipv6.conf.all.forwarding',
    'change sysctl net.ipv6.conf.lo.forwarding',
    'change file /etc/sallyport/record.json',
    'change file /etc/sallyport/undo.sh',
    'change file /etc/sallyport/restore.sh',
  ]);
});

describe('what stands is changed in place', () => {
  const planned = (change: Partial<HostState>, known: HostRecord = RECORD) =>
    lines(planHost(facts({ ...APPLIED, ...change }, known), { state: WANTED, record: known }));
  const device = (peer: Partial<WireGuardPeer>, more = {}) => ({
    devices: [{ link: LINK.name, publicKey: key(1), listenPort: 51820, ...more, peers: [{ ...PEER, ...peer }] }],
  });
  const other = must(parseEndpoint('192.0.2.99:40000'));
  const set: HostShare['tunnels'] = [
    {
      name: 't',
      type: 'WireGuard',
      link: LINK.name,
      addresses: [],
      mtu: 1420,
      peer: { host: 'h', addresses: [], allowedIps: [], endpoint: must(parseEndpoint('192.0.2.7:51820')) },
      routes: [],
      returns: [],
    },
  ];
  for (const [what, change, known, expected] of [
    ['the MTU of a link', { links: [{ ...LINK, mtu: 1400 }] }, RECORD, ['change link sp-wg51820']],
    ['the port of a device', device({}, { listenPort: 1 }), RECORD, ['change link sp-wg51820 key and port']],
    [
      'a device without its key',
      { devices: [{ link: LINK.name, listenPort: 51820, peers: [PEER] }] },
      RECORD,
      ['change link sp-wg51820 key and port'],
    ],
    [
      'the allowed IPs of a peer',
      device({ allowedIps: [wholeFamily(4)] }),
      RECORD,
      [expect.stringMatching(/^change peer/)],
    ],
    [
      'the endpoint of a peer that never answered',
      device({ endpoint: other }),
      record({ ...FRESH }, set),
      [expect.stringMatching(/^change peer/)],
    ],
    [
      'nothing, where the peer has moved on by itself',
      device({ endpoint: other, latestHandshake: 1 }),
      record({ ...FRESH }, set),
      [],
    ],
    [
      'the endpoint that the documents changed',
      device({ endpoint: other, latestHandshake: 1 }),
      RECORD,
      [expect.stringMatching(/^change peer/)],
    ],
    [
      'a setting that somebody reset',
      { sysctls: new Map([...APPLIED.sysctls, ['net/ipv6/conf/all/forwarding', '0']]) },
      RECORD,
      ['change sysctl net.ipv6.conf.all.forwarding'],
    ],
    ['a flushed table', { tables: [] }, RECORD, ['add nft table inet sallyport', 'add nft chain c']],
    ['a rule somebody took away', { rules: [] }, RECORD, ['add rule IPv4 5000']],
  ] as const)
    test(what, () => expect(planned(change, known)).toEqual(expected));

  test('a VXLAN of another identity is made anew, with what was on it', () => {
    const vxlan = (vni: number): Link => ({
      name: 'sp-v',
      kind: 'vxlan',
      mtu: 1450,
      up: true,
      vxlan: { vni, port: 4789, local: at('192.0.2.1'), remote: at('192.0.2.2') },
    });
    const state = (vni: number): HostState => ({
      ...EMPTY_STATE,
      links: [vxlan(vni)],
      routes: [{ ...ROUTE, link: 'sp-v' }],
    });
    expect(lines(planHost(facts(state(1), RECORD), { state: state(2), record: RECORD }))).toEqual([
      'remove route 192.168.1.20/32',
      'remove link sp-v',
      'add link sp-v',
      'add route 192.168.1.20/32',
      'change file /etc/sallyport/restore.sh',
    ]);
  });
});
