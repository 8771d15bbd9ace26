/** Each finder by itself: a host's state in, what is found out, and what is alike not named. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HostFacts, type HostRecord, type HostState, RECORD_FORMAT } from '../../host/index.ts';
import { parseInterfaceAddress, parsePrefix, printAddress, printPrefix, wholeFamily } from '../../net/index.ts';
import {
  accept,
  address,
  assign,
  baseChain,
  ct,
  dnat,
  drop,
  flags,
  masquerade,
  match,
  meta,
  number,
  payload,
  prefix,
  printRule as printNftRule,
  printReference,
  type Rule,
  rule,
  type Table,
  tcpOption,
  text,
} from '../../nftables/index.ts';
import { lookupRoute, printRoute, printRule, type Route, type RoutingRule } from '../../routing/index.ts';
import { buildNetwork, type Socket } from '../../simulate/index.ts';
import { parsePublicKey, type WireGuardPeer } from '../../wireguard/index.ts';
import { at, type HostSketch, sketch } from '../testdata/sketch.ts';
import { diagnose } from './doctor.ts';
import { FAULTS, type FaultCode, type Finding } from './finding.ts';
import { dotted } from './fix.ts';
import type { Entry, Looks, PathProbe, Patient, SettingSaid, WireGuardFile } from './patient.ts';

const must = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new TypeError(what);
  return value;
};
const net = (written: string) => must(parsePrefix(written), written);
const key = (letter: string) => must(parsePublicKey(`${letter.repeat(42)}A=`), letter);
const NOW = 1_800_000_000;

interface Case {
  readonly sketch: HostSketch;
  readonly state?: (state: HostState) => HostState;
  readonly facts?: Partial<HostFacts>;
  readonly sockets?: readonly Socket[];
  readonly looks?: Looks;
  readonly settings?: readonly SettingSaid[];
}

function patientOf({
  sketch: drawn,
  state = (each) => each,
  facts,
  sockets = [],
  looks,
  settings = [],
}: Case): Patient {
  const known = sketch(drawn);
  const all: HostFacts = { ...known, state: state(known.state), ...facts };
  const network = buildNetwork([{ name: 'host', state: all.state, openAddresses: [], sockets }], []);
  const quiet: Looks = {
    entries: [],
    halfOpen: [],
    reversePathDrops: 0,
    wireguardFiles: [],
    probes: [],
    sysctlsWritable: true,
    nowSeconds: NOW,
  };
  return {
    host: 'host',
    facts: all,
    simulated: must(network.hosts.get('host'), 'host'),
    network,
    sockets,
    looks: { ...quiet, ...looks },
    settings,
  };
}

// ---- pieces

const table = (
  family: 'ip' | 'ip6' | 'inet',
  name: string,
  chains: Table['chains'],
  more: Partial<Table> = {},
): Table => ({
  ...{ family, name, sets: [], maps: [], opaque: [], chains },
  ...more,
});
const pre = (...rules: readonly Rule[]) => ({
  ...baseChain('pre', { type: 'nat', hook: 'prerouting', priority: -100 }),
  rules,
});
const post = (...rules: readonly Rule[]) => ({
  ...baseChain('post', { type: 'nat', hook: 'postrouting', priority: 100 }),
  rules,
});
const filter = (policy: 'accept' | 'drop', ...rules: readonly Rule[]) => ({
  ...baseChain('forward', { type: 'filter', hook: 'forward', priority: 0 }),
  policy,
  rules,
});
const TO_SERVER = rule(
  match(meta('iifname'), '==', text('wan0')),
  match(payload('tcp', 'dport'), '==', number(8080)),
  dnat('ip', address(at('192.168.1.20'))),
);
const OUT = rule(
  match(payload('ip', 'saddr'), '==', prefix(net('192.168.1.0/24'))),
  match(meta('oifname'), '==', text('wan0')),
  masquerade(),
);
const NAT = table('ip', 'nat', [pre(TO_SERVER), post(OUT)]);

/** What we forward, as it stands in our table, and in the record that says so. */
const OWN_TABLE = table('inet', 'sallyport', [
  {
    ...baseChain('sp_dnat', { type: 'nat', hook: 'prerouting', priority: -110 }),
    rules: [
      rule(
        match(payload('ip', 'daddr'), '==', address(at('198.51.100.2'))),
        match(payload('tcp', 'dport'), '==', number(443)),
        dnat('ip', address(at('192.168.1.20'))),
      ),
    ],
  },
]);
const OWN_RECORD: HostRecord = {
  ...{ format: RECORD_FORMAT, version: '0', sysctlsBefore: new Map() },
  numbers: { mark: { value: 0x10000, mask: 0xff0000 }, suppressPriority: 5000, tunnels: new Map() },
  sets: new Map([
    [
      'default',
      {
        ...{ tunnels: [], accepts: [] },
        forwards: [
          {
            ...{ name: 'web', match: { address: at('198.51.100.2') }, protocol: 'tcp', masquerade: false },
            ...{ ports: { first: 443, last: 443 }, targetPorts: { first: 443, last: 443 } },
            ...{ to: at('192.168.1.20'), publicLinks: ['wan0'] },
          },
        ],
      },
    ],
  ]),
};

const forwarding = (on: '0' | '1') =>
  Object.fromEntries(
    ['ip_forward', ...['all', 'wan0', 'lan0', 'wg0'].map((link) => `conf/${link}/forwarding`)].map((name) => [
      `net/ipv4/${name}`,
      on,
    ]),
  );
const ROUTER: HostSketch = {
  interfaces: { wan0: ['198.51.100.2/24'], lan0: ['192.168.1.1/24'] },
  routes: [['default', '198.51.100.1', 'wan0']],
  sysctls: forwarding('1'),
  tables: [NAT],
};
const TWO_WAYS: HostSketch = {
  interfaces: { wan1: ['10.1.0.2/24'], wan2: ['10.2.0.2/24'] },
  routes: [['default', '10.1.0.1', 'wan1']],
};
const LISTENS: readonly Socket[] = [{ protocol: 'tcp', families: [4], port: 8080 }];
const byWan2: Route = {
  table: 102,
  destination: wholeFamily(4),
  type: 'unicast',
  gateway: at('10.2.0.1'),
  link: 'wan2',
  metric: 0,
  protocol: 3,
};
const lookIn = (priority: number, tableId: number, more: Partial<RoutingRule> = {}): RoutingRule => ({
  family: 4,
  priority,
  action: { kind: 'lookup', table: tableId },
  protocol: 3,
  ...more,
});
const withWays =
  (routes: readonly Route[], rules: readonly RoutingRule[] = []) =>
  (state: HostState): HostState => ({
    ...state,
    routes: [...state.routes, ...routes],
    rules: [...state.rules, ...rules].sort((left, right) => left.priority - right.priority),
  });
const withSysctls =
  (values: Readonly<Record<string, string>>) =>
  (state: HostState): HostState => ({ ...state, sysctls: new Map([...state.sysctls, ...Object.entries(values)]) });
const withTables =
  (...tables: readonly Table[]) =>
  (state: HostState): HostState => ({ ...state, tables });

/** A link of WireGuard's with one peer. */
const withTunnel =
  (peer: Partial<WireGuardPeer>, more: { readonly mtu?: number; readonly peers?: readonly WireGuardPeer[] } = {}) =>
  (state: HostState): HostState => ({
    ...state,
    links: [...state.links, { name: 'wg0', kind: 'wireguard', mtu: more.mtu ?? 1420, up: true }],
    addresses: [
      ...state.addresses,
      { link: 'wg0', address: must(parseInterfaceAddress('10.9.0.2/24'), ''), scope: 'global' },
    ],
    routes: [
      ...state.routes,
      {
        table: 254,
        destination: net('10.9.0.0/24'),
        type: 'unicast',
        link: 'wg0',
        metric: 0,
        protocol: 2,
        source: at('10.9.0.2'),
      },
    ],
    devices: [
      {
        link: 'wg0',
        listenPort: 51_820,
        peers: [{ publicKey: key('a'), allowedIps: [net('10.9.0.1/32')], ...peer }, ...(more.peers ?? [])],
      },
    ],
  });
const together =
  (...all: readonly ((state: HostState) => HostState)[]) =>
  (state: HostState): HostState =>
    all.reduce((each, make) => make(each), state);
const ENDPOINT = { host: at('203.0.113.1'), port: 51_820 };
const fileOf = (peers: WireGuardFile['peers'], more: Partial<WireGuardFile> = {}): WireGuardFile => ({
  link: 'wg0',
  path: '/etc/wireguard/wg0.conf',
  tableOff: false,
  peers,
  ...more,
});
const probe = (more: Partial<PathProbe>): PathProbe => ({
  link: 'wg0',
  endpoint: at('203.0.113.1'),
  mtu: 1420,
  outerBytes: 1480,
  small: true,
  large: false,
  ...more,
});
const HOME: HostSketch = { interfaces: { eth0: ['192.168.1.20/24'] }, routes: [['default', '192.168.1.1', 'eth0']] };
const CLOUD: HostSketch = { interfaces: { eth0: ['198.51.100.2/24'] }, routes: [['default', '198.51.100.1', 'eth0']] };

const entry = (more: Partial<Entry>, reply: Partial<Entry['reply']> = {}): Entry => ({
  ...{ protocol: 'tcp', unreplied: false, assured: false, mark: 0, text: 'tcp 6 an entry' },
  original: { source: at('203.0.113.9'), destination: at('198.51.100.2'), sourcePort: 40_000, destinationPort: 8080 },
  reply: {
    source: at('192.168.1.20'),
    destination: at('203.0.113.9'),
    sourcePort: 8080,
    destinationPort: 40_000,
    ...reply,
  },
  ...more,
});
const fullTunnel = together(
  withTunnel({ allowedIps: [wholeFamily(4)], endpoint: ENDPOINT }),
  withWays([{ table: 51_820, destination: wholeFamily(4), type: 'unicast', link: 'wg0', metric: 0, protocol: 3 }]),
);
const QUICK = [
  lookIn(32_764, 254, { action: { kind: 'lookup', table: 254, suppressPrefixLength: 0 } }),
  lookIn(32_765, 51_820, { not: true, mark: { value: 51_820, mask: 0xffffffff } }),
];
const clamp = (way: 'iifname' | 'oifname') =>
  rule(
    match(meta(way), '==', text('wg0')),
    match(payload('tcp', 'flags'), 'in', flags('syn')),
    assign(tcpOption('maxseg', 'size'), 1380),
  );
const clamps = (...rules: readonly Rule[]) =>
  table('inet', 'clamp', [{ ...baseChain('forward', { type: 'filter', hook: 'forward', priority: -150 }), rules }]);
const LEGACY = (drops: number) =>
  table(
    'ip',
    'filter',
    [
      filter('accept', {
        ...rule(match(payload('tcp', 'dport'), '==', number(drops)), drop),
        text: `-A FORWARD -p tcp --dport ${drops} -j DROP`,
      }),
    ],
    { origin: 'iptables-legacy' },
  );
const learnt = {
  link: 'eth0',
  address: must(parseInterfaceAddress('2001:db8:5::20/64'), ''),
  scope: 'global',
  dynamic: true,
} as const;
const listening = (acceptRa: string, on: string) =>
  withSysctls({
    'net/ipv6/conf/eth0/accept_ra': acceptRa,
    'net/ipv6/conf/eth0/forwarding': on,
    'net/ipv6/conf/all/forwarding': on,
  });
const withLearnt = (state: HostState): HostState => ({ ...state, addresses: [...state.addresses, learnt] });

const HOME_EMPTY: HostSketch = { interfaces: { eth0: [] } };
const BY_NETWORKD = { sketch: HOME, facts: { daemons: ['systemd-networkd'] } } as const;
const STRICT = { sketch: { ...TWO_WAYS, sysctls: { 'net/ipv4/conf/wan2/rp_filter': '1' } }, sockets: LISTENS };
const CLAMPED_ONE_WAY = together(withTunnel({}), withTables(clamps(clamp('oifname'))));
const FLUSHES: Looks = { flushes: ['/etc/nftables.conf:3:flush ruleset'] };
const FULL_FILE = fileOf([{ publicKey: '', allowedIps: [wholeFamily(4)] }]);
const CANNOT_WRITE: Looks = { sysctlsWritable: false, wireguardFiles: [FULL_FILE] };
/** Of a thousand. */
const tracking = (count: number) =>
  withSysctls({ 'net/netfilter/nf_conntrack_count': String(count), 'net/netfilter/nf_conntrack_max': '1000' });
/** A router that gives datagrams to port 8080 to one inside. */
const udpTo = (target: string): HostSketch => ({
  ...ROUTER,
  tables: [
    table('ip', 'nat', [
      pre(rule(match(payload('udp', 'dport'), '==', number(8080)), dnat('ip', address(at(target))))),
    ]),
  ],
});
/** A file whose peer is named, and what the name means now. */
const hubMeans = (...addresses: readonly string[]): Looks => ({
  wireguardFiles: [
    fileOf([
      {
        ...{ publicKey: String(key('a')), allowedIps: [], endpoint: 'hub.example.net:51820' },
        meanings: addresses.map(at),
      },
    ]),
  ],
});
/** Asked at the public address from inside, and answered to `destination`. */
const askedInside = (more: Partial<Entry>, destination: string): Entry =>
  entry(
    {
      original: {
        ...{ source: at('192.168.1.30'), sourcePort: 40_000 },
        ...{ destination: at('198.51.100.2'), destinationPort: 8080 },
      },
      ...more,
    },
    { destination: at(destination) },
  );

// ---- the cases

interface Row {
  readonly found: readonly [what: string, severity: Finding['severity'], Case][];
  readonly silent: readonly [what: string, Case][];
}
const CASES: Readonly<Record<FaultCode, Row>> = {
  reversePathFilter: {
    found: [
      [
        'strict, the way back elsewhere, and the kernel counts',
        'error',
        {
          ...STRICT,
          state: withWays([byWan2], [lookIn(102, 102, { mark: { value: 0x66, mask: 0xff } })]),
          looks: { reversePathDrops: 4 },
        },
      ],
      [
        'the same, and nothing was dropped yet',
        'info',
        {
          ...STRICT,
          state: withWays([byWan2]),
        },
      ],
    ],
    silent: [
      [
        'loose',
        {
          sketch: { ...TWO_WAYS, sysctls: { 'net/ipv4/conf/wan2/rp_filter': '2' } },
          sockets: LISTENS,
          state: withWays([byWan2]),
          looks: { reversePathDrops: 4 },
        },
      ],
      [
        'strict, with a rule by the address',
        {
          ...STRICT,
          state: withWays([byWan2], [lookIn(102, 102, { from: net('10.2.0.2/32') })]),
          looks: { reversePathDrops: 4 },
        },
      ],
    ],
  },
  tunnelTakesReplies: {
    found: [
      [
        'somebody waits, at another port than the first',
        'error',
        {
          sketch: CLOUD,
          sockets: [...LISTENS, { protocol: 'tcp', families: [4], port: 9000 }],
          state: together(fullTunnel, withWays([], QUICK)),
          looks: { halfOpen: [{ local: at('198.51.100.2'), port: 9000, remote: at('203.0.113.9') }] },
        },
      ],
      [
        "wg-quick's two rules",
        'warning',
        { sketch: CLOUD, sockets: LISTENS, state: together(fullTunnel, withWays([], QUICK)) },
      ],
    ],
    silent: [
      ['the same tunnel, Table = off', { sketch: CLOUD, sockets: LISTENS, state: fullTunnel }],
      [
        "nobody listens but the tunnel's own port",
        {
          sketch: CLOUD,
          sockets: [{ protocol: 'udp', families: [4], port: 51_820 }],
          state: together(fullTunnel, withWays([], QUICK)),
        },
      ],
    ],
  },
  mtuBlackHole: {
    found: [
      [
        'large ones vanish',
        'error',
        { sketch: CLOUD, state: withTunnel({ endpoint: ENDPOINT }), looks: { probes: [probe({})] } },
      ],
      [
        'over IPv6',
        'error',
        {
          sketch: CLOUD,
          state: withTunnel({ endpoint: { host: at('2001:db8::1'), port: 51_820 } }),
          looks: { probes: [probe({ endpoint: at('2001:db8::1'), outerBytes: 1500 })] },
        },
      ],
    ],
    silent: [
      [
        'both arrive',
        { sketch: CLOUD, state: withTunnel({ endpoint: ENDPOINT }), looks: { probes: [probe({ large: true })] } },
      ],
      [
        'no answer at all',
        { sketch: CLOUD, state: withTunnel({ endpoint: ENDPOINT }), looks: { probes: [probe({ small: false })] } },
      ],
    ],
  },
  mssClampOneSided: {
    found: [['into the tunnel alone', 'warning', { sketch: ROUTER, state: CLAMPED_ONE_WAY }]],
    silent: [
      [
        'both directions',
        {
          sketch: ROUTER,
          state: together(
            withTunnel({}),
            withTables(
              clamps(clamp('oifname'), clamp('iifname')),
              table('inet', 'own', [
                { ...baseChain('out', { type: 'filter', hook: 'output', priority: 0 }), rules: [clamp('oifname')] },
              ]),
            ),
          ),
        },
      ],
      ['none at all: nobody meant to', { sketch: ROUTER, state: withTunnel({}) }],
      [
        'a host that forwards nothing',
        {
          sketch: { ...ROUTER, sysctls: forwarding('0') },
          state: CLAMPED_ONE_WAY,
        },
      ],
    ],
  },
  forwardPolicyDrop: {
    found: [
      [
        'a policy that drops what is translated',
        'error',
        {
          sketch: ROUTER,
          state: withTables(table('ip', 'nat', [pre(TO_SERVER)]), table('ip', 'filter', [filter('drop')])),
        },
      ],
    ],
    silent: [
      [
        'what is translated is let through',
        {
          sketch: ROUTER,
          state: withTables(
            NAT,
            table('ip', 'filter', [
              filter(
                'drop',
                rule(match(ct('status'), 'in', flags('dnat')), accept),
                rule(match(ct('state'), 'in', flags('established', 'related')), accept),
                rule(match(meta('iifname'), '==', text('lan0')), accept),
              ),
            ]),
          ),
        },
      ],
      ['nothing is translated', { sketch: ROUTER, state: withTables(table('ip', 'filter', [filter('drop')])) }],
    ],
  },
  reloadFlushedRules: {
    found: [
      [
        'a file flushes, and others have tables',
        'info',
        {
          sketch: ROUTER,
          state: withTables(NAT, table('inet', 'mine', [])),
          looks: FLUSHES,
        },
      ],
    ],
    silent: [
      ['a file flushes, and the table is its own', { sketch: ROUTER, looks: FLUSHES }],
      [
        'a namespace, which is not what the file is loaded into',
        {
          sketch: ROUTER,
          facts: { stateFolder: '/run/sallyport/netns/4026532200' },
          state: withTables(NAT, table('inet', 'mine', [])),
          looks: FLUSHES,
        },
      ],
    ],
  },
  iptablesMixed: {
    found: [
      [
        'the older kind drops what the newer translates',
        'error',
        { sketch: ROUTER, state: withTables(NAT, LEGACY(8080)) },
      ],
      ['both, and no flow is harmed', 'info', { sketch: ROUTER, state: withTables(NAT, LEGACY(23)) }],
    ],
    silent: [
      ['the newer kind alone', { sketch: ROUTER }],
      [
        'the older one empty',
        {
          sketch: ROUTER,
          state: withTables(NAT, table('ip', 'filter', [filter('accept')], { origin: 'iptables-legacy' })),
        },
      ],
    ],
  },
  staleUdpFlow: {
    found: [
      [
        'another target than the rule says',
        'error',
        {
          sketch: udpTo('192.168.1.21'),
          looks: { entries: [entry({ protocol: 'udp' })] },
        },
      ],
    ],
    silent: [
      [
        'the target of the rule',
        {
          sketch: udpTo('192.168.1.20'),
          looks: { entries: [entry({ protocol: 'udp' })] },
        },
      ],
      [
        'not translated at all',
        { sketch: ROUTER, looks: { entries: [entry({ protocol: 'udp' }, { source: at('198.51.100.2') })] } },
      ],
    ],
  },
  conntrackFull: {
    found: [
      [
        'full',
        'error',
        {
          sketch: ROUTER,
          state: tracking(950),
        },
      ],
      [
        'nearly',
        'warning',
        {
          sketch: ROUTER,
          state: tracking(800),
        },
      ],
    ],
    silent: [
      [
        'just below',
        {
          sketch: ROUTER,
          state: tracking(799),
        },
      ],
    ],
  },
  replyLeavesElsewhere: {
    found: [
      [
        'a second default with a worse metric',
        'warning',
        { sketch: TWO_WAYS, sockets: LISTENS, state: withWays([{ ...byWan2, table: 254, metric: 200 }]) },
      ],
    ],
    silent: [
      [
        'a table by the address',
        {
          sketch: TWO_WAYS,
          sockets: LISTENS,
          state: withWays([byWan2], [lookIn(102, 102, { from: net('10.2.0.2/32') })]),
        },
      ],
      ['no router beyond the second link', { sketch: TWO_WAYS, sockets: LISTENS }],
    ],
  },
  clientAddressLost: {
    found: [
      [
        'a masquerade without a link',
        'info',
        { sketch: ROUTER, state: withTables(table('ip', 'nat', [pre(TO_SERVER), post(rule(masquerade()))])) },
      ],
    ],
    silent: [['only what leaves by the WAN', { sketch: ROUTER }]],
  },
  hairpinUnanswered: {
    found: [
      [
        'asked from its own network',
        'error',
        {
          sketch: ROUTER,
          looks: {
            entries: [askedInside({ unreplied: true, state: 'SYN_SENT' }, '192.168.1.30')],
          },
        },
      ],
    ],
    silent: [
      [
        'answered',
        {
          sketch: ROUTER,
          looks: {
            entries: [askedInside({ state: 'ESTABLISHED' }, '192.168.1.30')],
          },
        },
      ],
      ['from outside', { sketch: ROUTER, looks: { entries: [entry({ unreplied: true, state: 'SYN_SENT' })] } }],
      [
        'hidden behind the router',
        {
          sketch: ROUTER,
          looks: {
            entries: [askedInside({ unreplied: true, state: 'SYN_SENT' }, '192.168.1.1')],
          },
        },
      ],
    ],
  },
  endpointNameMoved: {
    found: [
      [
        'another address, and no session',
        'error',
        {
          sketch: HOME,
          state: withTunnel({ endpoint: ENDPOINT }),
          looks: hubMeans('203.0.113.2'),
        },
      ],
    ],
    silent: [
      [
        'the same address',
        {
          sketch: HOME,
          state: withTunnel({ endpoint: ENDPOINT }),
          looks: hubMeans('203.0.113.2', '203.0.113.1'),
        },
      ],
      [
        'another, and the session is alive',
        {
          sketch: HOME,
          state: withTunnel({ endpoint: ENDPOINT, latestHandshake: NOW - 30 }),
          looks: hubMeans('203.0.113.2'),
        },
      ],
      [
        'a name that means nothing now',
        {
          sketch: HOME,
          state: withTunnel({ endpoint: ENDPOINT }),
          looks: hubMeans(),
        },
      ],
    ],
  },
  keepaliveMissing: {
    found: [
      [
        'behind NAT, and somebody serves there',
        'warning',
        { sketch: HOME, sockets: LISTENS, state: withTunnel({ endpoint: ENDPOINT }) },
      ],
      ['behind NAT, and nobody does', 'info', { sketch: HOME, state: withTunnel({ endpoint: ENDPOINT }) }],
    ],
    silent: [
      ['with one', { sketch: HOME, sockets: LISTENS, state: withTunnel({ endpoint: ENDPOINT, keepaliveSeconds: 25 }) }],
      [
        'the far end came in by itself, as by a balancer',
        {
          sketch: HOME,
          sockets: LISTENS,
          state: withTunnel({ endpoint: ENDPOINT }),
          looks: {
            entries: [
              entry({
                protocol: 'udp',
                original: {
                  source: ENDPOINT.host,
                  sourcePort: ENDPOINT.port,
                  destination: at('192.168.1.20'),
                  destinationPort: 51_820,
                },
              }),
            ],
          },
        },
      ],
      ['with a public address', { sketch: CLOUD, sockets: LISTENS, state: withTunnel({ endpoint: ENDPOINT }) }],
      [
        'the peer is at home too',
        { sketch: HOME, sockets: LISTENS, state: withTunnel({ endpoint: { host: at('192.168.7.9'), port: 51_820 } }) },
      ],
    ],
  },
  allowedIpsOverlap: {
    found: [
      [
        'the second has what the first asks',
        'error',
        {
          sketch: HOME,
          state: withTunnel({ allowedIps: [] }, { peers: [{ publicKey: key('b'), allowedIps: [net('10.9.0.1/32')] }] }),
          looks: {
            wireguardFiles: [
              fileOf([
                { publicKey: String(key('a')), allowedIps: [net('10.9.0.1/32')] },
                { publicKey: String(key('b')), allowedIps: [net('10.9.0.1/32')] },
              ]),
            ],
          },
        },
      ],
    ],
    silent: [
      [
        'a wider one around it',
        {
          sketch: HOME,
          state: withTunnel({}, { peers: [{ publicKey: key('b'), allowedIps: [net('10.9.0.0/24')] }] }),
          looks: {
            wireguardFiles: [
              fileOf([
                { publicKey: String(key('a')), allowedIps: [net('10.9.0.1/32')] },
                { publicKey: String(key('b')), allowedIps: [net('10.9.0.0/24')] },
              ]),
            ],
          },
        },
      ],
      [
        'a file that asks for more than was set up yet',
        {
          sketch: HOME,
          state: withTunnel({}),
          looks: {
            wireguardFiles: [
              fileOf([{ publicKey: String(key('a')), allowedIps: [net('10.9.0.1/32'), net('10.8.0.0/24')] }]),
            ],
          },
        },
      ],
    ],
  },
  sysctlReadOnly: {
    found: [
      [
        'the value cannot be read either',
        'error',
        {
          sketch: HOME,
          state: (state) => ({ ...state, sysctls: new Map() }),
          looks: CANNOT_WRITE,
        },
      ],
      [
        'a full tunnel that cannot be set up',
        'error',
        {
          sketch: HOME,
          looks: CANNOT_WRITE,
        },
      ],
    ],
    silent: [
      ['writable', { sketch: HOME, looks: { wireguardFiles: [FULL_FILE] } }],
      [
        'no full tunnel',
        {
          sketch: HOME,
          looks: {
            sysctlsWritable: false,
            wireguardFiles: [fileOf([{ publicKey: '', allowedIps: [net('10.9.0.0/24')] }])],
          },
        },
      ],
      [
        'Table = off',
        {
          sketch: HOME,
          looks: {
            sysctlsWritable: false,
            wireguardFiles: [fileOf([{ publicKey: '', allowedIps: [wholeFamily(4)] }], { tableOff: true })],
          },
        },
      ],
      [
        'it stands',
        {
          sketch: HOME,
          state: withTunnel({}),
          looks: CANNOT_WRITE,
        },
      ],
    ],
  },
  forwardingOff: {
    found: [
      ['off, and something is translated', 'error', { sketch: { ...ROUTER, sysctls: forwarding('0') } }],
      [
        'off, and a forward of our own needs it',
        'error',
        { sketch: { ...ROUTER, sysctls: forwarding('0'), tables: [OWN_TABLE] }, facts: { record: OWN_RECORD } },
      ],
      [
        'on, and a file says no',
        'warning',
        {
          sketch: ROUTER,
          settings: [
            { at: '/etc/sysctl.d/60-cis.conf:3', key: 'net.ipv4.ip_forward', path: 'net/ipv4/ip_forward', value: '0' },
          ],
        },
      ],
    ],
    silent: [
      [
        'off, and nothing is translated',
        { sketch: { ...ROUTER, sysctls: forwarding('0'), tables: [] }, sockets: LISTENS },
      ],
      ['on', { sketch: ROUTER }],
      ['on, and a forward of our own', { sketch: { ...ROUTER, tables: [OWN_TABLE] }, facts: { record: OWN_RECORD } }],
    ],
  },
  ipv6DefaultRouteLost: {
    found: [
      [
        'it forwards, listens no more, and its default route leads nowhere',
        'error',
        {
          sketch: HOME_EMPTY,
          state: together(
            withLearnt,
            listening('1', '1'),
            withWays([{ table: 254, destination: wholeFamily(6), type: 'unreachable', metric: 1024, protocol: 3 }]),
          ),
        },
      ],
      [
        'it forwards and listens no more',
        'error',
        { sketch: HOME_EMPTY, state: together(withLearnt, listening('1', '1')) },
      ],
    ],
    silent: [
      ['2 listens always', { sketch: HOME_EMPTY, state: together(withLearnt, listening('2', '1')) }],
      ['it does not forward', { sketch: HOME_EMPTY, state: together(withLearnt, listening('1', '0')) }],
      ['it never learnt anything', { sketch: HOME_EMPTY, state: listening('1', '1') }],
    ],
  },
  networkdRemovesRules: {
    found: [
      ['it runs, and a rule is not its own', 'warning', { ...BY_NETWORKD, state: withWays([], [lookIn(100, 100)]) }],
    ],
    silent: [
      ['it does not run', { sketch: HOME, facts: { daemons: [] }, state: withWays([], [lookIn(100, 100)]) }],
      [
        'the rule is its own',
        {
          ...BY_NETWORKD,
          state: withWays([], [lookIn(100, 100, { protocol: 4 })]),
        },
      ],
      [
        'it is told to leave them',
        {
          ...BY_NETWORKD,
          state: withWays([], [lookIn(100, 100)]),
          looks: {
            networkdSays: [
              '/etc/systemd/networkd.conf.d/a.conf:2:ManageForeignRoutingPolicyRules=no',
              '/etc/systemd/networkd.conf.d/a.conf:3:ManageForeignRoutes=no',
            ],
          },
        },
      ],
      ['it does, and nobody else has rules', { ...BY_NETWORKD }],
    ],
  },
};

const of = (patient: Patient, code: FaultCode): readonly Finding[] =>
  diagnose(patient).findings.filter((each) => each.code === code);

for (const code of Object.keys(FAULTS) as readonly FaultCode[])
  describe(code, () => {
    for (const [what, severity, one] of CASES[code].found)
      test(`found: ${what}`, () => {
        const found = of(patientOf(one), code);
        expect(found.map((each) => each.severity)).toEqual([severity]);
        for (const { evidence, fix, why } of found) {
          expect(evidence.length > 0 && fix.length > 0 && why !== '').toBe(true);
          for (const line of evidence) expect(stands(patientOf(one), line), line).toBe(true);
        }
      });
    for (const [what, one] of CASES[code].silent)
      test(`not named: ${what}`, () => expect(of(patientOf(one), code)).toEqual([]));
  });

// ---- what stands

/** Every line that a look at the host shows, and what may be asked of it. */
function stands(patient: Patient, line: string): boolean {
  const { facts, looks, settings, simulated } = patient;
  const { state } = facts;
  const lines = new Set<string>([
    ...state.rules.map(printRule),
    ...simulated.state.routes.map(printRoute),
    ...[...state.sysctls].map(([path, value]) => `${dotted(path)} = ${value}`),
    ...(looks.entries ?? []).map((each) => each.text),
    ...[...(looks.flushes ?? []), ...(looks.networkdSays ?? [])],
    ...settings.map((each) => `${each.at}: ${each.key} = ${each.value}`),
    // As it was when it was probed.
    ...(looks.probes ?? []).map(({ link, mtu }) => `${link}: mtu ${mtu}`),
    ...state.tables.flatMap((each) => each.chains.flatMap((chain) => rulesOf(each, chain))),
    ...state.devices.flatMap(({ link, peers }) => peers.flatMap((peer) => peerLines(link, peer))),
    ...(looks.halfOpen ?? []).map(
      ({ local, port, remote }) => `SYN_RECV ${printAddress(local)}:${port} from ${printAddress(remote)}`,
    ),
    ...(looks.wireguardFiles ?? []).flatMap(({ path, peers }) =>
      peers.flatMap((peer) => [
        `${path}: Endpoint = ${peer.endpoint}`,
        `${path}: AllowedIPs of ${peer.publicKey}: ${peer.allowedIps.map(printPrefix).join(', ')}`,
        `${path}: AllowedIPs = 0.0.0.0/0`,
        `getent ahosts: ${(peer.meanings ?? []).map(printAddress).join(' ')}`,
      ]),
    ),
    ...(looks.probes ?? []).map(
      ({ endpoint, outerBytes }) =>
        `ping -M do -s ${outerBytes - (endpoint.family === 4 ? 28 : 48)} ${printAddress(endpoint)}: no answer; -s 56: answered`,
    ),
    `TcpExtIPReversePathFilter ${looks.reversePathDrops}`,
    // All, or those with a rule.
    ...[0, 1].map((least) => `nft list tables: ${tablesOf(state, 'iptables-legacy', least)}`),
    ...(looks.sysctlsWritable === false ? ['/proc/sys is read-only'] : []),
    ...(looks.networkdSays === undefined ? ['no networkd.conf says ManageForeignRoutingPolicyRules=no'] : []),
    ...(state.routes.some(({ destination }) => destination.address.family === 6 && destination.length === 0)
      ? []
      : ['ip -6 route show default: nothing']),
  ]);
  if (lines.has(line)) return true;
  const asked = /^ip route get (\S+)(?: from (\S+))?(?: -> dev (\S+)|: src (\S+))$/.exec(line);
  if (asked !== null) {
    const [, to = '', from, link, source] = asked;
    const way = lookupRoute(simulated.routes, { destination: at(to), ...(from !== undefined && { source: at(from) }) });
    return (
      way.kind === 'route' && (link === undefined ? printAddress(must(way.source, line)) === source : way.link === link)
    );
  }
  return /^(no handshake|latest handshake \d+ s ago|conntrack -S: drop=\d+ early_drop=\d+ insert_failed=\d+|a server listens on (tcp|udp) port \d+|no route back)$/.test(
    line,
  );
}

const tablesOf = ({ tables }: HostState, without: string, leastRules: number): string =>
  tables
    .filter(({ origin, chains }) => origin !== without && chains.flatMap(({ rules }) => rules).length >= leastRules)
    .map(({ family, name }) => `${family} ${name}`)
    .join(', ') || 'none';

function rulesOf(of: Table, chain: Table['chains'][number]): readonly string[] {
  const place = `${of.family} ${of.name} ${chain.name}`;
  const written = chain.rules.map((each) => each.text ?? printable(each));
  return [
    ...written.flatMap((each) => [`${place}: ${each}`, `iptables-legacy ${place}: ${each}`]),
    ...chain.rules.flatMap((each) => (each.text === undefined ? [`${place}: tcp option maxseg size set`] : [])),
    ...chain.rules.map((each) => printReference({ table: of, chain: chain.name, rule: each })),
    ...(chain.kind === 'base' ? [printReference({ table: of, chain: chain.name, policy: chain.policy })] : []),
    `iptables-legacy, ${of.family} ${of.name}: ${of.chains
      .flatMap(({ rules }) => rules.flatMap(({ text: one }) => one ?? []))
      .slice(0, 2)
      .join('; ')}`,
  ];
}
const printable = (each: Rule): string => printNftRule(each);

const peerLines = (link: string, { publicKey, allowedIps, endpoint }: WireGuardPeer): readonly string[] => [
  `wg show ${link} allowed-ips: ${String(publicKey)} ${allowedIps.map(printPrefix).join(' ') || '(none)'}`,
  `wg show ${link} persistent-keepalive: ${String(publicKey)} off`,
  ...(endpoint === undefined || typeof endpoint.host === 'string'
    ? []
    : [`wg show ${link} endpoints: ${printAddress(endpoint.host)} port ${endpoint.port}`]),
];

// ---- whatever a host may look like

const all = Object.values(CASES).flatMap(({ found, silent }) => [
  ...found.map(([, , each]) => each),
  ...silent.map(([, each]) => each),
]);
const anyAddress = fc
  .constantFrom(
    '198.51.100.2',
    '192.168.1.20',
    '10.9.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '::',
    '2001:db8::1',
    'fe80::1',
  )
  .map(at);
const anyPrefix = fc
  .constantFrom('0.0.0.0/0', '192.168.1.0/24', '10.9.0.1/32', '::/0', '2001:db8::/32', '2001:db8::1/128')
  .map(net);
const anyLink = fc.constantFrom('wan0', 'lan0', 'eth0', 'wan1', 'wan2', 'wg0', 'lo', 'gone');
const anyRule: fc.Arbitrary<RoutingRule> = fc.record(
  {
    family: fc.constantFrom(4 as const, 6 as const),
    priority: fc.integer({ min: 0, max: 40_000 }),
    action: fc.oneof(
      fc.record({ kind: fc.constant('lookup' as const), table: fc.constantFrom(102, 254, 255, 51_820, 9) }),
      fc.record({
        kind: fc.constantFrom('nop' as const, 'blackhole' as const, 'unreachable' as const, 'prohibit' as const),
      }),
      fc.record({ kind: fc.constant('goto' as const), priority: fc.integer({ min: 0, max: 40_000 }) }),
      fc.constant({ kind: 'opaque' as const, json: { l3mdev: true } }),
    ),
    protocol: fc.integer({ min: 0, max: 255 }),
    not: fc.boolean(),
    from: anyPrefix,
    iif: anyLink,
    mark: fc.record({ value: fc.nat(0xffffffff), mask: fc.nat(0xffffffff) }),
    opaque: fc.constant({ tos: '0x10' }),
  },
  { requiredKeys: ['family', 'priority', 'action', 'protocol'] },
);
const anyRoute: fc.Arbitrary<Route> = fc
  .record(
    {
      table: fc.constantFrom(102, 254, 255, 51_820),
      destination: anyPrefix,
      type: fc.constantFrom('unicast' as const, 'local' as const, 'blackhole' as const, 'unreachable' as const),
      link: anyLink,
      metric: fc.nat(1_024),
      protocol: fc.constantFrom(2, 3, 4, 9, 83),
      gateway: anyAddress,
      source: anyAddress,
      opaque: fc.constant({ encap: 'mpls' }),
    },
    { requiredKeys: ['table', 'destination', 'type', 'metric', 'protocol'] },
  )
  .filter(({ gateway, destination, source }) =>
    [gateway, source].every((each) => each === undefined || each.family === destination.address.family),
  );
const anyEntry: fc.Arbitrary<Entry> = fc
  .record(
    {
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      state: fc.constantFrom('SYN_SENT', 'SYN_RECV', 'ESTABLISHED'),
      original: fc.record({
        source: anyAddress,
        destination: anyAddress,
        sourcePort: fc.nat(65_535),
        destinationPort: fc.constantFrom(8080, 0, 65_535),
      }),
      reply: fc.record({
        source: anyAddress,
        destination: anyAddress,
        sourcePort: fc.nat(65_535),
        destinationPort: fc.nat(65_535),
      }),
      unreplied: fc.boolean(),
      assured: fc.boolean(),
      mark: fc.nat(0xffffffff),
      text: fc.constantFrom('tcp 6 one', 'udp 17 two'),
    },
    { requiredKeys: ['protocol', 'original', 'reply', 'unreplied', 'assured', 'mark', 'text'] },
  )
  .filter(
    ({ original, reply }) =>
      new Set([original, reply].flatMap(({ source, destination }) => [source.family, destination.family])).size === 1,
  );

const anyPatient = fc
  .record({
    base: fc.constantFrom(...all),
    mixed: fc.subarray(all, { maxLength: 4 }),
    rules: fc.array(anyRule, { maxLength: 4 }),
    routes: fc.array(anyRoute, { maxLength: 5 }),
    entries: fc.array(anyEntry, { maxLength: 5 }),
    without: fc.subarray(['wan0', 'lan0', 'eth0', 'wg0']),
    down: fc.subarray(['wan0', 'lan0', 'eth0', 'wg0']),
    forgotten: fc.nat(20),
    unread: fc.subarray([
      'entries',
      'halfOpen',
      'wireguardFiles',
      'probes',
      'sysctlsWritable',
      'nowSeconds',
      'reversePathDrops',
    ] as const),
    hasSockets: fc.boolean(),
  })
  .map(({ base, mixed, rules, routes, entries, without, down, forgotten, unread, hasSockets }): Patient => {
    const state = (first: HostState): HostState => {
      const made = [base, ...mixed].reduce((each, one) => one.state?.(each) ?? each, first);
      return {
        ...made,
        links: made.links
          .filter(({ name }) => !without.includes(name))
          .map((each) => (down.includes(each.name) ? { ...each, up: false } : each)),
        rules: [...made.rules, ...rules].sort((left, right) => left.priority - right.priority),
        routes: [...made.routes, ...routes],
        sysctls: new Map([...made.sysctls].filter((_, index) => index % 21 !== forgotten)),
      };
    };
    const looks: Looks = Object.assign({ entries }, ...[base, ...mixed].map((one) => one.looks ?? {}));
    const patient = patientOf({
      ...base,
      state,
      looks: { ...looks, entries: [...(looks.entries ?? []), ...entries] },
      settings: mixed.flatMap((one) => one.settings ?? []),
      sockets: [base, ...mixed].flatMap((one) => one.sockets ?? []),
    });
    const { sockets, ...blind } = patient;
    const read = Object.fromEntries(
      Object.entries(patient.looks).filter(([name]) => !unread.some((each) => each === name)),
    );
    return { ...blind, looks: read, ...(hasSockets && sockets !== undefined && { sockets }) };
  });

/** Chains and rules of a table that is made with them, and of one that is emptied. */
const GOES_WITH_ANOTHER = /^(nft 'add chain |nft add rule |ip6?tables-legacy -t \S+ -[FX]$)/;

test('whatever stands on a host, no finder throws, each line of evidence stands there, and each command of ours is a change of a plan', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(anyPatient, (patient) => {
      for (const { code, evidence, fix, steps } of diagnose(patient).findings) {
        seen.add(code);
        for (const line of evidence) expect(stands(patient, line), `${code}: ${line}`).toBe(true);
        expect(steps.map((step) => step.text)).toEqual(fix);
        for (const { changes, text: written } of steps)
          if (changes?.length === 0) expect(written).toMatch(GOES_WITH_ANOTHER);
      }
    }),
    { numRuns: Number(process.env.FINDER_RUNS ?? 300), seed: 20_261_127 },
  );
  expect(seen.size).toBeGreaterThanOrEqual(17);
});

test("what would keep the clients' addresses is said in the words of whose rules they are, and spares what the target's own network asks", () => {
  const hiding = rule(masquerade());
  const xt = { ...hiding, text: '-A POSTROUTING -j MASQUERADE' };
  const fixOf = (post: Table): string | undefined =>
    of(
      patientOf({ sketch: ROUTER, state: withTables(table('ip', 'nat', [pre(TO_SERVER)]), post) }),
      'clientAddressLost',
    )[0]?.fix.at(-1);
  const own = (table: Table, name: string): Table => ({
    ...table,
    chains: table.chains.map((chain) => ({ ...chain, name })),
  });
  expect(fixOf(table('ip', 'hide', [post(hiding)]))).toBe(
    "nft insert rule ip hide post oifname lan0 ct status dnat ip saddr '!=' 192.168.1.0/24 return",
  );
  const iptables = " -t nat -I POSTROUTING -o lan0 '!' -s 192.168.1.0/24 -m conntrack --ctstate DNAT -j RETURN";
  for (const [program, origin] of [
    ['iptables', 'iptables-nft'],
    ['iptables-legacy', 'iptables-legacy'],
  ] as const)
    expect(fixOf(own(table('ip', 'nat', [post(xt)], { origin }), 'POSTROUTING'))).toBe(program + iptables);
});
