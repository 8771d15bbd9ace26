/** `doctor` on healthy hosts: what other people's firewalls put there (testdata/corpus), with networks that are drawn and right. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { HostFacts, HostState } from '../../host/index.ts';
import { parseAddress, parseInterfaceAddress, parsePrefix, wholeFamily } from '../../net/index.ts';
import { assign, baseChain, ct, flags, match, meta, rule, symbol, type Table, text } from '../../nftables/index.ts';
import type { Link, LinkAddress, Route, RoutingRule } from '../../routing/index.ts';
import { buildNetwork, type Socket, withKernelRoutes } from '../../simulate/index.ts';
import { diagnose, type Finding, type Looks } from '../../verify/index.ts';
import { parsePublicKey, type WireGuardDevice } from '../../wireguard/index.ts';
import { dumpedHost } from './testdata/dumped.ts';

const must = <T>(value: T | undefined, text: string): T => {
  if (value === undefined) throw new TypeError(text);
  return value;
};
const at = (text: string) => must(parseAddress(text), text);
const net = (text: string) => must(parsePrefix(text), text);

/** Of the corpus: not wg-quick's (that is a fault of its own here) and not those that hold a line for every match. */
const PRODUCTS = [
  'calico-rewritten',
  'cilium-rewritten',
  'docker-20.10',
  'firewalld-1.3',
  'istio-rewritten',
  'istio-tproxy-rewritten',
  'kube-proxy-1.36',
  'tailscale-rewritten',
  'ufw-0.36',
] as const;
const bases = new Map(
  await Promise.all(PRODUCTS.map(async (product) => [product, (await dumpedHost(product)).state] as const)),
);

const anyHost = fc.record({
  /** `none`: the same machine without any firewall. */
  product: fc.constantFrom('none' as const, ...PRODUCTS),
  /** A second way out, whose answers go by it: by the address, or not at all asked as it has none of its own. */
  second: fc.constantFrom('none', 'by address', 'by address, both families', 'backup'),
  vlans: fc.uniqueArray(fc.integer({ min: 2, max: 4094 }), { maxLength: 3 }),
  bridge: fc.boolean(),
  tunnel: fc.constantFrom('none', 'hub', 'spoke', 'full, own table'),
  behindNat: fc.boolean(),
  filter: fc.constantFrom('0', '1', '2'),
  all: fc.constantFrom('0', '1', '2'),
  /** Below the networks that the products have for pods. */
  lan: fc.integer({ min: 1, max: 200 }),
  sockets: fc.uniqueArray(
    fc.record({
      port: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      families: fc.constantFrom<readonly (4 | 6)[]>([4], [6], [4, 6]),
    }),
    { maxLength: 5, selector: ({ port, protocol }) => `${protocol} ${port}` },
  ),
  count: fc.integer({ min: 0, max: 200_000 }),
  drops: fc.integer({ min: 0, max: 1_000 }),
});
type Drawn = typeof anyHost extends fc.Arbitrary<infer T> ? T : never;

const link = (name: string, index: number, more: Partial<Link> = {}): Link => ({
  ...{ name, kind: 'ether', mtu: 1500, up: true, carrier: true, index, mac: `02:00:00:00:01:${index}` },
  ...more,
});
const address = (name: string, text: string): LinkAddress => ({
  link: name,
  address: must(parseInterfaceAddress(text), text),
  scope: 'global',
});
const way = (to: string, table: number, more: Partial<Route>): Route => ({
  ...{ table, destination: to === '4' || to === '6' ? wholeFamily(to === '4' ? 4 : 6) : net(to) },
  ...{ type: 'unicast', metric: to === '6' ? 1024 : 0, protocol: 4 },
  ...more,
});
const lookIn = (priority: number, table: number, more: Partial<RoutingRule>): RoutingRule => ({
  ...{ family: 4, priority, action: { kind: 'lookup', table }, protocol: 3 },
  ...more,
});
const HUB = must(parsePublicKey('ZWRnZWVkZ2VlZGdlZWRnZWVkZ2VlZGdlZWRnZWVkZ2U='), 'key');
const NOW = 1_800_000_000;

/** Ports that are published on every address are answered by the way they were asked by only with a mark of the connection. */
const marks = ({ product, second }: Drawn): boolean =>
  second !== 'none' && (product === 'docker-20.10' || product === 'firewalld-1.3' || product === 'kube-proxy-1.36');
const MARK = 0x66;
const back = rule(
  match(ct('direction'), '==', symbol('reply')),
  match(ct('mark'), '==', MARK),
  assign(meta('mark'), MARK),
);
const asked = rule(
  match(meta('iifname'), '==', text('wan1')),
  match(ct('state'), 'in', flags('new')),
  assign(ct('mark'), MARK),
);
const BY_UPLINK: Table = {
  ...{ family: 'inet', name: 'by_uplink', sets: [], maps: [], opaque: [] },
  chains: [
    { ...baseChain('pre', { type: 'filter', hook: 'prerouting', priority: -150 }), rules: [asked, back] },
    { ...baseChain('out', { type: 'route', hook: 'output', priority: -150 }), rules: [back] },
  ],
};

/** What is drawn beside what the product's own host has. */
function additions(drawn: Drawn) {
  const links: Link[] = [];
  const addresses: LinkAddress[] = [];
  const routes: Route[] = [];
  const rules: RoutingRule[] = [];
  const devices: WireGuardDevice[] = [];
  if (drawn.second !== 'none') {
    links.push(link('wan1', 51));
    addresses.push(address('wan1', '100.70.3.2/24'));
    if (drawn.second === 'backup')
      routes.push(way('4', 254, { gateway: at('100.70.3.1'), link: 'wan1', metric: 9_000 }));
    routes.push(way('4', 102, { gateway: at('100.70.3.1'), link: 'wan1' }));
    rules.push(lookIn(102, 102, { from: net('100.70.3.2/32') }));
    if (marks(drawn))
      for (const family of [4, 6] as const)
        rules.push(lookIn(101, 102, { family, mark: { value: MARK, mask: 0xffffffff } }));
    if (drawn.second.endsWith('families')) {
      addresses.push(address('wan1', '2001:db8:70::2/64'));
      routes.push(way('6', 102, { gateway: at('2001:db8:70::1'), link: 'wan1' }));
      rules.push(lookIn(102, 102, { family: 6, from: net('2001:db8:70::2/128') }));
    }
  }
  for (const [index, id] of drawn.vlans.entries()) {
    const name = `eth1.${id}`;
    links.push(link(name, 60 + index, { kind: 'vlan', vlan: { id, protocol: '802.1Q' } }));
    addresses.push(address(name, `10.${drawn.lan}.${index}.1/24`), address(name, `fd77:${drawn.lan}:${index}::1/64`));
  }
  if (drawn.bridge) {
    links.push(link('br7', 71, { kind: 'bridge' }), link('tap7', 72, { kind: 'tun', master: 'br7' }));
    addresses.push(address('br7', '172.29.7.1/24'));
  }
  if (drawn.tunnel !== 'none') {
    links.push(link('wg7', 81, { kind: 'wireguard', mtu: 1420 }));
    addresses.push(address('wg7', '10.77.0.2/24'));
    const isHub = drawn.tunnel === 'hub';
    const isFull = drawn.tunnel.startsWith('full');
    const outside = drawn.behindNat ? '192.168.99.9' : '203.0.113.7';
    devices.push({
      link: 'wg7',
      listenPort: 51_820,
      ...(isFull && { firewallMark: 0xca6c }),
      peers: [
        {
          publicKey: HUB,
          allowedIps: isFull ? [wholeFamily(4)] : [net('10.77.0.0/24')],
          ...(!isHub && { keepaliveSeconds: 25 }),
          endpoint: { host: at(outside), port: 51_820 },
          latestHandshake: NOW - 30,
          ...{ receivedBytes: 1_000, sentBytes: 1_000 },
        },
      ],
    });
    // Table = off, and a rule for one network alone.
    if (isFull) {
      routes.push(way('4', 107, { link: 'wg7' }));
      rules.push(
        lookIn(106, 254, { action: { kind: 'lookup', table: 254, suppressPrefixLength: 0 } }),
        lookIn(107, 107, { from: net('172.29.7.0/24') }),
      );
    }
  }
  return { links, addresses, routes, rules, devices };
}

function healthy(drawn: Drawn): HostState {
  const base = must(bases.get(drawn.product === 'none' ? 'firewalld-1.3' : drawn.product), drawn.product);
  const { links, addresses, routes, rules, devices } = additions(drawn);
  const sysctls = new Map(base.sysctls);
  for (const { name } of links)
    for (const [path, value] of base.sysctls) {
      const [, family, conf, from, key] = path.split('/');
      if (conf === 'conf' && from === 'default') sysctls.set(`net/${family}/conf/${name}/${key}`, value);
    }
  for (const path of [...sysctls.keys()])
    if (/^net\/ipv4\/conf\/[^/]+\/rp_filter$/.test(path))
      sysctls.set(path, path.includes('/all/') ? drawn.all : drawn.filter);
  // The filter does not look at marks of connections.
  if (marks(drawn)) sysctls.set('net/ipv4/conf/wan1/rp_filter', '2');
  const state: HostState = {
    ...base,
    tables: drawn.product === 'none' ? [] : [...base.tables, ...(marks(drawn) ? [BY_UPLINK] : [])],
    links: [...base.links, ...links],
    addresses: [...base.addresses, ...addresses],
    routes: [...base.routes, ...routes],
    rules: [...base.rules, ...rules].sort((left, right) => left.priority - right.priority),
    sysctls: sysctls
      .set('net/netfilter/nf_conntrack_count', String(drawn.count))
      .set('net/netfilter/nf_conntrack_max', '262144'),
    devices,
  };
  return withKernelRoutes(state, (name) => links.some((each) => each.name === name));
}

/** What is wrong with it, of errors and warnings: nothing, if doctor is right. */
function examined(drawn: Drawn, state = healthy(drawn)): readonly Finding[] {
  const sockets: readonly Socket[] = drawn.sockets;
  const network = buildNetwork([{ name: 'box', state, openAddresses: [], sockets }], []);
  const facts: HostFacts = {
    ...{ source: 'observed', state, keys: new Map(), wireguard: 'kernel', vxlan: 'kernel' },
    stateFolder: '/etc/sallyport',
  };
  const looks: Looks = {
    ...{ entries: [], halfOpen: [], reversePathDrops: drawn.drops, wireguardFiles: [], sysctlsWritable: true },
    ...{ probes: [], nowSeconds: NOW },
  };
  const simulated = must(network.hosts.get('box'), 'box');
  const { findings } = diagnose({ host: 'box', facts, simulated, network, sockets, looks, settings: [] });
  return findings.filter(({ severity }) => severity !== 'info');
}

const RUNS = Number(process.env.HEALTHY_HOSTS ?? 150);
const SEED = Number(process.env.HEALTHY_SEED ?? 20_261_127);

test(`of ${RUNS} healthy hosts with others' firewalls at most one in a hundred has a finding (seed ${SEED})`, () => {
  const hosts = fc.sample(anyHost, { numRuns: RUNS, seed: SEED });
  const wrong = hosts.flatMap((host) => {
    const findings = examined(host);
    return findings.length === 0
      ? []
      : [{ host, findings: findings.map(({ code, summary, evidence }) => [code, summary, ...evidence]) }];
  });
  expect(wrong.length, JSON.stringify(wrong.slice(0, 3), undefined, 1)).toBeLessThanOrEqual(RUNS / 100);
});

test('the same hosts without the rules for their second way out are found, every one that is asked there', () => {
  const hosts = fc
    .sample(anyHost, { numRuns: 400, seed: SEED })
    .filter(
      ({ product, second, sockets, filter, all }) =>
        product === 'none' &&
        second.startsWith('by address') &&
        sockets.some(({ families, port }) => families.includes(4) && port !== 51_820) &&
        Math.max(Number(filter), Number(all)) !== 1,
    );
  expect(hosts.length).toBeGreaterThan(5);
  for (const host of hosts) {
    const state = healthy(host);
    const rules = state.rules.filter(({ priority }) => priority !== 102);
    expect(examined(host, { ...state, rules }).map(({ code }) => code)).toContain('replyLeavesElsewhere');
  }
});
