/** What other people's firewalls put on a host (testdata/corpus): all of it is read, and packets go the ways that their makers promise. */
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EMPTY_STATE, type HostState } from '../../host/index.ts';
import { type Address, parseAddress, parseInterfaceAddress, printAddress } from '../../net/index.ts';
import { MAIN_TABLE } from '../../routing/index.ts';
import {
  buildNetwork,
  type Flow,
  type HostInput,
  type Socket,
  simulateAll,
  withKernelDefaults,
} from '../../simulate/index.ts';
import { dumpedHost, type RuleFiles } from './testdata/dumped.ts';

const at = (text: string): Address => {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
};

const products = readdirSync(new URL('testdata/corpus/', import.meta.url), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

/** Parts that no type of ours covers, by their names, each once. */
function opaqueParts({ tables }: HostState): readonly string[] {
  const names = new Set<string>();
  for (const { opaque, chains } of tables) {
    for (const json of opaque) names.add(`object ${Object.keys(json ?? {}).join()}`);
    for (const { rules } of chains)
      for (const statement of rules.flatMap(({ statements }) => statements))
        if (statement.kind === 'opaque') names.add(nameOf(statement.json));
  }
  return [...names].sort();
}

function nameOf(json: unknown): string {
  if (typeof json !== 'object' || json === null) return String(json);
  const [[name, content] = ['', undefined]] = Object.entries(json);
  if (name !== 'xt' || typeof content !== 'object' || content === null) return name;
  return 'name' in content && 'type' in content ? `${String(content.type)} ${String(content.name)}` : name;
}

/** Of no effect on a packet's way, all of them. */
const LOGGED = ['target LOG'];
const EVERY_RULE = [
  ...['ct helper', 'match ah', 'match bpf', 'match cgroup', 'match cluster', 'match connbytes', 'match connlabel'],
  ...['match cpu', 'match devgroup', 'match esp', 'match owner', 'match physdev', 'match quota', 'match realm'],
  ...['match recent', 'match socket', 'match string', 'match time', 'match tos', 'match u32'],
  ...['target AUDIT', 'target CHECKSUM', 'target CLASSIFY', 'target DNAT', 'target HMARK', 'target IDLETIMER'],
  ...['target LOG', 'target NFLOG', 'target NFQUEUE', 'target SET', 'target SYNPROXY', 'target TEE', 'target TOS'],
  ...['target TPROXY', 'target TRACE', 'target TTL'],
];

/** By product; what is not named here has none. */
const expected: Readonly<Record<string, readonly string[]>> = {
  'cilium-rewritten': ['match socket', 'target TPROXY'],
  'firewalld-1.3': ['ct helper', 'object ct helper'],
  'iptables-1.8-legacy': EVERY_RULE,
  // iptables-nft writes NFLOG and TRACE as nft's own log and meta nftrace.
  'iptables-1.8-nft': [...EVERY_RULE.filter((name) => !/NFLOG|TRACE/.test(name)), 'log'].sort(),
  'istio-tproxy-rewritten': ['target TPROXY'],
  'ufw-0.36': LOGGED,
};

describe('what is read', () => {
  test.each(products)('%s: nothing is left out, and what no type covers is named', async (product) => {
    const { state, notes } = await dumpedHost(product);
    expect(notes).toEqual([]);
    expect(state.tables).not.toEqual([]);
    expect(opaqueParts(state)).toEqual(expected[product] ?? []);
    expect(state.links.map(({ name }) => name)).toContain('eth0');
    expect(state.rules.length).toBeGreaterThan(3);
  });
});

/** A machine with one address and a way out by `via`. */
function machine(name: string, address: string, via: string): HostInput {
  const own = parseInterfaceAddress(address);
  if (own === undefined) throw new TypeError(address);
  const { family } = own.address;
  const state: HostState = {
    ...EMPTY_STATE,
    links: [{ name: 'eth0', kind: 'ether', mtu: 1500, up: true }],
    addresses: [{ link: 'eth0', address: own, scope: 'global' }],
    routes: [
      {
        ...{ table: MAIN_TABLE, destination: { address: { family, value: 0n }, length: 0 }, type: 'unicast' },
        ...{ metric: family === 4 ? 0 : 1024, protocol: 4, gateway: at(via), link: 'eth0' },
      },
    ],
  };
  return { name, state: withKernelDefaults(state), openAddresses: [] };
}

const LAN = machine('inside', '192.168.7.20/24', '192.168.7.1');
const flow = (link: string, from: string, to: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): Flow => ({
  from: { kind: 'beyond', host: 'box', link, address: at(from) },
  ...{ to: at(to), port, protocol },
});
const own = (to: string, port: number, mark?: number): Flow => ({
  from: { kind: 'host', host: 'box' },
  ...{ to: at(to), port, protocol: 'tcp', ...(mark !== undefined && { mark }) },
});

interface Seen {
  /** `delivered inside 192.168.7.20:80`, `dropped`, ...; each way that chance may choose, once. */
  readonly ends: readonly string[];
  readonly works: readonly (boolean | 'undecided')[];
  readonly source: readonly string[];
  readonly reasons: string;
}

async function trace(
  product: string,
  asked: Flow,
  others: readonly HostInput[] = [LAN],
  files?: RuleFiles,
): Promise<Seen> {
  const { state } = await dumpedHost(product, ...(files === undefined ? [] : [files]));
  const network = buildNetwork([{ name: 'box', state, openAddresses: [] }, ...others], []);
  const { traces, complete } = simulateAll(network, asked);
  expect(complete).toBe(true);
  const once = <T>(all: readonly T[]): readonly T[] => [...new Set(all)].sort();
  return {
    ends: once(
      traces.map(({ request: { verdict, host, packet } }) =>
        verdict === 'delivered'
          ? `delivered ${host} ${printAddress(packet.destination)}:${packet.destinationPort}`
          : verdict,
      ),
    ),
    works: once(traces.map(({ works }) => works)),
    source: once(traces.map(({ request }) => printAddress(request.packet.source))),
    reasons: traces.map(({ request, reply }) => `${request.reason ?? ''} ${reply?.reason ?? ''}`).join('\n'),
  };
}

describe('Docker', () => {
  const web = machine('web', '172.30.0.5/24', '172.30.0.1');
  const app = machine('app', '172.17.0.2/16', '172.17.0.1');
  const ask = (asked: Flow) => trace('docker-20.10', asked, [web, app, LAN]);

  for (const [what, asked, ends] of [
    [
      'a published port reaches its container from outside',
      flow('eth0', '192.0.2.7', '198.51.100.10', 8081),
      ['delivered app 172.17.0.2:80'],
    ],
    ['one over UDP too', flow('eth0', '192.0.2.7', '198.51.100.10', 5353, 'udp'), ['delivered app 172.17.0.2:53']],
    ['one on another bridge too', flow('eth0', '192.0.2.7', '198.51.100.10', 8443), ['delivered web 172.30.0.5:443']],
    [
      'one that is published on loopback alone does not',
      flow('eth0', '192.0.2.7', '198.51.100.10', 8082),
      ['delivered box 198.51.100.10:8082'],
    ],
    [
      'a port that is not published is refused to who routes there',
      flow('eth0', '192.0.2.7', '172.17.0.2', 81),
      ['dropped'],
    ],
    ['another bridge does not reach the container', flow('br-other', '172.30.0.5', '172.17.0.2', 80), ['dropped']],
    [
      'nor by the published port, which is left to the program of Docker that listens there',
      flow('br-other', '172.30.0.5', '198.51.100.10', 8081),
      ['delivered box 198.51.100.10:8081'],
    ],
    ['nothing else is forwarded', flow('eth0', '192.0.2.7', '192.168.7.20', 80), ['dropped']],
    ['a container gets out', flow('docker0', '172.17.0.2', '192.168.7.20', 80), ['delivered inside 192.168.7.20:80']],
  ] as const)
    test(what, async () => expect((await ask(asked)).ends).toEqual(ends));

  test('the container sees the client, and its answer comes back', async () =>
    expect(await ask(flow('eth0', '192.0.2.7', '198.51.100.10', 8081))).toMatchObject({
      ...{ source: ['192.0.2.7'], works: [true] },
    }));
  test('what a container sends bears the address of the way out', async () =>
    expect(await ask(flow('docker0', '172.17.0.2', '192.168.7.20', 80))).toMatchObject({
      ...{ source: ['192.168.7.1'], works: [true] },
    }));
});

describe('ufw', () => {
  for (const [what, asked, ends] of [
    ['an allowed port', flow('eth0', '192.0.2.7', '198.51.100.10', 22), 'delivered box 198.51.100.10:22'],
    [
      'a limited port, for the first connection',
      flow('eth0', '192.0.2.7', '198.51.100.10', 2222),
      'delivered box 198.51.100.10:2222',
    ],
    ['a port of nobody', flow('eth0', '192.0.2.7', '198.51.100.10', 80), 'dropped'],
    ['a rejected port', flow('eth0', '192.0.2.7', '198.51.100.10', 113), 'rejected'],
    ['a denied client at an open port', flow('eth0', '192.0.2.66', '198.51.100.10', 60_000, 'udp'), 'dropped'],
    [
      'an open range over UDP',
      flow('eth0', '192.0.2.7', '198.51.100.10', 60_500, 'udp'),
      'delivered box 198.51.100.10:60500',
    ],
    ['the range by another link', flow('eth1', '192.168.7.20', '198.51.100.10', 60_500, 'udp'), 'dropped'],
    ['a friend, logged', flow('eth1', '10.1.2.3', '198.51.100.10', 9_000), 'delivered box 198.51.100.10:9000'],
    ['an allowed way through', flow('eth0', '192.0.2.7', '192.168.7.20', 80), 'delivered inside 192.168.7.20:80'],
    ['another port of it', flow('eth0', '192.0.2.7', '192.168.7.20', 443), 'dropped'],
    ['a denied client on it', flow('eth0', '192.0.2.66', '192.168.7.20', 80), 'dropped'],
    ['IPv6 at an allowed port', flow('eth0', '2001:db8:9::7', '2001:db8:e::10', 22), 'delivered box 2001:db8:e::10:22'],
    ['IPv6 at a port of nobody', flow('eth0', '2001:db8:9::7', '2001:db8:e::10', 80), 'dropped'],
  ] as const)
    test(what, async () => expect((await trace('ufw-0.36', asked)).ends).toEqual([ends]));
});

describe('firewalld', () => {
  for (const [what, asked, ends] of [
    ['an open port of its zone', flow('eth0', '192.0.2.7', '198.51.100.10', 443), 'delivered box 198.51.100.10:443'],
    ['a service of its zone', flow('eth0', '192.0.2.7', '198.51.100.10', 22), 'delivered box 198.51.100.10:22'],
    ['any other port', flow('eth0', '192.0.2.7', '198.51.100.10', 80), 'rejected'],
    ['who a rich rule drops', flow('eth0', '192.0.2.66', '198.51.100.10', 443), 'dropped'],
    ['a source of the trusted zone', flow('eth0', '10.1.2.3', '198.51.100.10', 80), 'delivered box 198.51.100.10:80'],
    ['a port that is forwarded', flow('eth0', '192.0.2.7', '198.51.100.10', 8080), 'delivered inside 192.168.7.20:80'],
    ['what is not forwarded', flow('eth0', '192.0.2.7', '192.168.7.20', 22), 'rejected'],
    [
      'a service of another zone, at its link',
      flow('eth1', '192.168.7.20', '192.168.7.1', 22),
      'delivered box 192.168.7.1:22',
    ],
    ['an open port of the first zone, at the other link', flow('eth1', '192.168.7.20', '192.168.7.1', 443), 'rejected'],
  ] as const)
    test(what, async () => expect((await trace('firewalld-1.3', asked)).ends).toEqual([ends]));
});

describe.each(['wg-quick-1.0-nft', 'wg-quick-1.0-iptables'])('%s', (product) => {
  test('its own packets bear the mark and go past the tunnel', async () => {
    const { state } = await dumpedHost(product);
    const network = buildNetwork([{ name: 'box', state, openAddresses: [] }], []);
    const marked = simulateAll(network, own('192.0.2.7', 51_820, 0xca6c)).traces[0].request;
    const others = simulateAll(network, own('192.0.2.7', 80)).traces[0].request;
    const near = simulateAll(network, own('192.168.7.20', 80)).traces[0].request;
    expect([marked.link, others.link, near.link]).toEqual(['eth0', 'wg0', 'eth1']);
  });
  test('what is sent to its address past the tunnel is dropped early', async () => {
    const stranger = await trace(product, flow('eth0', '198.51.100.1', '10.66.0.2', 80));
    expect(stranger.ends).toEqual(['dropped']);
    expect(stranger.reasons).toMatch(/prerouting/);
    expect((await trace(product, flow('eth0', '198.51.100.1', '198.51.100.10', 80))).ends).toEqual([
      'delivered box 198.51.100.10:80',
    ]);
  });
});

const NFT_MODE = undefined;
const none = { '4 nft': 'none', '6 nft': 'none', '4 legacy': 'none', '6 legacy': 'none' } as const;
const IPTABLES_MODE: RuleFiles = {
  nft: '../../../nftables/testdata/kube-proxy-1.36/iptables.nft.json',
  iptables: {
    ...none,
    '4 nft': '../../../iptables/testdata/kube-proxy-1.36/iptables.iptables-save',
    '6 nft': '../../../iptables/testdata/kube-proxy-1.36/iptables.ip6tables-save',
  },
  ipset: 'none',
};

describe.each([
  ['nftables', NFT_MODE],
  ['iptables', IPTABLES_MODE],
] as const)('kube-proxy in mode %s', (_, files) => {
  const pods = [machine('pod5', '10.244.1.5/24', '10.244.1.1'), machine('pod6', '10.244.1.6/24', '10.244.1.1')];
  const far = machine('node2', '192.168.1.21/24', '192.168.1.20');
  const ask = (asked: Flow) => trace('kube-proxy-1.36', asked, [...pods, far], files);
  const local = ['delivered pod5 10.244.1.5:8080', 'delivered pod6 10.244.1.6:8080'];

  test('a NodePort with policy Local: every pod of this node, which sees the client', async () =>
    expect(await ask(flow('eth1', '192.168.1.99', '192.168.1.20', 30_080))).toMatchObject({
      ...{ ends: local, source: ['192.168.1.99'], works: [true] },
    }));

  test('a NodePort with policy Cluster: every pod, from the address of the node', async () => {
    const seen = await ask(flow('eth1', '192.168.1.99', '192.168.1.20', 30_081));
    expect(seen.ends.slice(0, 2)).toEqual(local);
    expect(seen.ends).toHaveLength(3); // the pod of the other node lies beyond what is known
    expect(seen.source).not.toContain('192.168.1.99');
  });

  test('a ClusterIP from a pod: every pod, with its own address', async () => {
    const seen = await ask(flow('cni0', '10.244.1.9', '10.96.0.11', 80));
    expect(seen.ends.slice(0, 2)).toEqual(local);
    expect(seen.ends).toHaveLength(3);
    expect(seen.source).toEqual(['10.244.1.9']);
  });

  test('a Service without pods is refused', async () =>
    expect((await ask(flow('cni0', '10.244.1.9', '10.96.0.14', 81))).ends).toEqual(['rejected']));

  test('a Service that remembers its clients: every pod, for any of them may have been chosen before', async () => {
    const seen = await ask(flow('cni0', '10.244.1.9', '10.96.0.13', 8000));
    expect(seen.ends.slice(0, 2)).toEqual(local.map((end) => end.replace('8080', '8000')));
    expect(seen.ends).toHaveLength(3);
  });

  test('an external address leads to its pods', async () =>
    expect((await ask(flow('eth1', '192.168.1.99', '192.168.1.77', 8088))).ends).toEqual(local.slice(0, 1)));

  test('a load balancer serves who is in its source ranges alone', async () => {
    const inside = await ask(flow('eth1', '203.0.113.9', '192.168.1.241', 80));
    expect(inside.ends.slice(0, 2)).toEqual(local);
    expect((await ask(flow('eth1', '192.168.1.99', '192.168.1.241', 80))).ends).toEqual(['dropped']);
  });
});

describe('Calico, rewritten from what is known of it', () => {
  const ask = (asked: Flow) => trace('calico-rewritten', asked);
  for (const [what, asked, ends] of [
    ['who a set of the policy names reaches the pod', flow('eth1', '10.244.9.7', '10.244.3.5', 8443), 'exits'],
    ['at another port not', flow('eth1', '10.244.9.7', '10.244.3.5', 443), 'dropped'],
    ['and nobody else', flow('eth1', '10.244.9.8', '10.244.3.5', 8443), 'dropped'],
    ['a pod gets out', flow('cali0123456789a', '10.244.3.5', '192.168.7.20', 80), 'delivered inside 192.168.7.20:80'],
    ['with another source it does not', flow('cali0123456789a', '10.244.3.6', '192.168.7.20', 80), 'dropped'],
  ] as const)
    test(what, async () => expect((await ask(asked)).ends).toEqual([ends]));

  test('what leaves the pools bears the address of the way out', async () =>
    expect((await ask(flow('cali0123456789a', '10.244.3.5', '192.168.7.20', 80))).source).toEqual(['192.168.7.1']));
});

describe('Tailscale, rewritten from what is known of it', () => {
  const ask = (asked: Flow) => trace('tailscale-rewritten', asked);
  test('what comes by its link is forwarded, from the address of the way out', async () =>
    expect(await ask(flow('tailscale0', '100.64.7.7', '192.168.7.20', 80))).toMatchObject({
      ...{ ends: ['delivered inside 192.168.7.20:80'], source: ['192.168.7.1'] },
    }));
  test('its addresses by any other link are dropped', async () => {
    const stranger = await ask(flow('eth0', '100.64.7.7', '198.51.100.10', 22));
    expect(stranger.ends).toEqual(['dropped']);
    expect(stranger.reasons).toContain('-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP');
  });
  test('a new connection into the tailnet is dropped', async () =>
    expect((await ask(flow('eth1', '192.168.7.20', '100.64.7.7', 80))).ends).toEqual(['dropped']));
});

describe('Istio, rewritten from what is known of it', () => {
  test('what comes in goes to the proxy, but for the ports it leaves alone', async () => {
    for (const [port, reached] of [
      [8080, 15_006],
      [15_021, 15_021],
    ] as const)
      expect((await trace('istio-rewritten', flow('eth0', '192.0.2.7', '198.51.100.10', port))).ends).toEqual([
        `delivered box 198.51.100.10:${reached}`,
      ]);
  });
  test('what is sent hangs on who sends it, which nobody said', async () => {
    const sent = await trace('istio-rewritten', own('192.168.7.20', 80));
    expect(sent.ends).toEqual(['undecided']);
    expect(sent.reasons).toContain('--uid-owner 1337');
  });
});

describe('transparent proxies', () => {
  const proxy = (address: string | undefined, port: number, transparent?: boolean): readonly Socket[] => [
    {
      protocol: 'tcp',
      families: [4],
      port,
      ...(address && { address: at(address) }),
      ...(transparent !== undefined && { transparent }),
    },
  ];
  const ask = async (product: string, asked: Flow, sockets: readonly Socket[]) => {
    const { state } = await dumpedHost(product);
    const network = buildNetwork([{ name: 'box', state, openAddresses: [], sockets }, LAN], []);
    const { request } = simulateAll(network, asked).traces[0];
    return request;
  };
  for (const [what, asked, sockets, verdict] of [
    [
      'Istio takes what is for others',
      flow('eth0', '192.0.2.7', '192.168.7.20', 80),
      proxy(undefined, 15_006, true),
      'delivered',
    ],
    ['and drops it where nobody waits', flow('eth0', '192.0.2.7', '192.168.7.20', 80), [], 'dropped'],
    [
      'and it is not known whether a socket may take it',
      flow('eth0', '192.0.2.7', '192.168.7.20', 80),
      proxy(undefined, 15_006),
      'undecided',
    ],
  ] as const)
    test(what, async () => expect((await ask('istio-tproxy-rewritten', asked, sockets)).verdict).toBe(verdict));

  test('Cilium lets on what no proxy waits for, and masquerades what leaves the cluster', async () => {
    const request = await ask('cilium-rewritten', flow('lxc12345', '10.244.0.7', '192.168.7.20', 80), []);
    expect([request.verdict, printAddress(request.packet.source)]).toEqual(['delivered', '192.168.7.1']);
  });
  test('Cilium hands what bears the mark of its proxy to it', async () => {
    const marked: Flow = { ...flow('lxc12345', '10.244.0.7', '192.168.7.20', 80), mark: 0x5a900200 };
    const request = await ask('cilium-rewritten', marked, proxy('127.0.0.1', 43_353, true));
    expect([request.verdict, request.host]).toEqual(['delivered', 'box']);
  });
});
