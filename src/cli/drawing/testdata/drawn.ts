/** Networks and packets to draw: each way a trace can go, without a kernel. */
import { EMPTY_STATE } from '../../../host/index.ts';
import { type Address, parseAddress, parseEndpoint, parseInterfaceAddress, parsePrefix, wholeFamily } from '../../../net/index.ts';
import { baseChain, match, payload, type Rule, rule, type Table } from '../../../nftables/index.ts';
import { type Link, MAIN_TABLE, type Route } from '../../../routing/index.ts';
import {
  buildNetwork,
  type Flow,
  findTunnels,
  type HostInput,
  type Network,
  simulate,
  simulateAll,
  startDraws,
  type Trace,
  type Wires,
  withKernelDefaults,
} from '../../../simulate/index.ts';
import { parsePublicKey } from '../../../wireguard/index.ts';

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new TypeError('not there');
  return value;
};
const at = (text: string): Address => must(parseAddress(text));
const key = (letter: string) => must(parsePublicKey(`${letter.repeat(42)}A=`));

interface Sketch {
  readonly links: Readonly<Record<string, string>>;
  readonly via?: readonly [gateway: string, link: string];
  readonly to?: readonly (readonly [prefix: string, link: string])[];
  readonly tables?: readonly Table[];
  readonly open?: string;
  readonly kinds?: Readonly<Record<string, Link['kind']>>;
  /** wg0's own letter, its peer's, and where that is. */
  readonly keys?: readonly [own: string, peer: string, endpoint?: string];
  readonly down?: string;
  readonly unseen?: string;
  /** No handshake was seen. */
  readonly silent?: true;
}

function host(name: string, sketch: Sketch): HostInput {
  const { links, via, to = [], tables = [], open, kinds = {}, keys, down, unseen, silent } = sketch;
  const route = (destination: Route['destination'], link: string, gateway?: string): Route => ({
    ...{ table: MAIN_TABLE, destination, type: 'unicast', metric: 0, protocol: 4, link },
    ...(gateway !== undefined && { gateway: at(gateway) }),
  });
  const names = Object.keys(links);
  const state = withKernelDefaults({
    ...{ ...EMPTY_STATE, tables },
    links: names.map((link) => ({
      ...{ name: link, mtu: 1500, up: link !== down },
      kind: kinds[link] ?? (link.startsWith('wg') ? 'wireguard' : 'ether'),
    })),
    addresses: names.map((link) => ({ link, address: must(parseInterfaceAddress(links[link] ?? '')), scope: 'global' })),
    routes: [
      ...(via === undefined ? [] : [route(wholeFamily(4), via[1], via[0])]),
      ...to.map(([prefix, link]) => route(must(parsePrefix(prefix)), link)),
    ],
    sysctls: new Map([
      ['net/ipv4/conf/default/forwarding', '1'],
      ['net/ipv4/conf/all/rp_filter', '0'],
      ['net/ipv4/conf/default/rp_filter', '0'],
    ]),
    devices:
      keys === undefined
        ? []
        : [
            {
              ...{ link: 'wg0', publicKey: key(keys[0]), listenPort: 51_820 },
              peers: [
                {
                  ...{ publicKey: key(keys[1]), allowedIps: [wholeFamily(4)] },
                  ...(silent !== true && { latestHandshake: 1 }),
                  ...(keys[2] !== undefined && { endpoint: must(parseEndpoint(keys[2])) }),
                },
              ],
            },
          ],
  });
  const inner = open === undefined ? undefined : must(parseInterfaceAddress(links[open] ?? '')).address;
  return {
    ...{ name, state },
    openAddresses: open === undefined || inner === undefined ? [] : [{ link: open, inner, outer: inner }],
    ...(unseen !== undefined && { unseen }),
  };
}

const table = (chain: 'forward' | 'input' | 'prerouting', ...rules: readonly Rule[]): Table => ({
  ...{ family: 'inet', name: 'guard', sets: [], maps: [], opaque: [] },
  chains: [
    baseChain(
      chain,
      chain === 'prerouting'
        ? { type: 'nat', hook: chain, priority: -100 }
        : { type: 'filter', hook: chain, priority: 0 },
      ...rules,
    ),
  ],
});
const drop = (comment?: string): Rule => ({
  ...rule(match(payload('tcp', 'dport'), '==', 80), { kind: 'verdict', verdict: { kind: 'drop' } }),
  ...(comment !== undefined && { comment }),
});

export interface Drawable {
  readonly network: Network;
  readonly flow: Flow;
  readonly traces: readonly Trace[];
}

function drawable(hosts: readonly HostInput[], flow: Flow, wires?: Wires): Drawable {
  const network = buildNetwork(hosts, findTunnels(hosts), wires);
  const { traces } = simulateAll(network, flow);
  return {
    ...{ network, flow },
    traces: traces.map(({ ways }) => simulate(network, flow, { hops: true, draws: startDraws(ways) })),
  };
}

const outside: Flow = {
  from: { kind: 'beyond', host: 'edge', link: 'wan', address: at('192.0.2.7') },
  ...{ to: at('10.0.0.2'), port: 80, protocol: 'tcp' },
};

const edge = (more: Partial<Sketch> = {}) =>
  host('edge', {
    links: { wan: '198.51.100.1/24', wg0: '10.9.0.1/24' },
    ...{ via: ['198.51.100.254', 'wan'], to: [['10.0.0.0/24', 'wg0']], open: 'wan', keys: ['a', 'b'] },
    ...more,
  });
const node = (name = 'node', more: Partial<Sketch> = {}) =>
  host(name, {
    links: { lan: '10.0.0.2/24', wg0: '10.9.0.2/24' },
    ...{ via: ['10.9.0.1', 'wg0'], keys: ['b', 'a', '198.51.100.1:51820'] },
    ...more,
  });

/** A rule may bear any comment, and a host any name. */
export const HOSTILE = `</text></svg><script>alert("x")</script><!--&'\u202e\u0007\ud800`;

const chance = (index: number): Rule =>
  rule(match({ kind: 'numgen', mode: 'random', modulus: 3 - index }, '==', 0), {
    ...{ kind: 'dnat', family: 'ip', flags: [] },
    address: { kind: 'address', address: at(`10.0.${index}.2`) },
  });

export const CASES: Readonly<Record<string, () => Drawable>> = {
  'over a tunnel and back': () => drawable([edge(), node()], outside),
  'dropped by a firewall': () => drawable([edge(), node('node', { tables: [table('input', drop('only from the office'))] })], outside),
  'dropped by hostile words': () => drawable([edge(), node(HOSTILE, { tables: [table('input', drop(HOSTILE))] })], outside),
  'to a host that nobody could look at': () => drawable([edge(), node('node', { unseen: 'ssh: connection refused' })], outside),
  'into a link that is down': () => drawable([edge({ down: 'wg0' }), node()], outside),
  'back by another way': () =>
    drawable(
      [edge(), node('node', { links: { lan: '10.0.0.2/24', wg0: '10.9.0.2/24' }, via: ['10.0.0.1', 'lan'] })],
      outside,
    ),
  'by chance': () =>
    drawable(
      [
        host('edge', {
          links: { wan: '198.51.100.1/24', l0: '10.0.0.1/24', l1: '10.0.1.1/24', l2: '10.0.2.1/24' },
          ...{ via: ['198.51.100.254', 'wan'], open: 'wan' },
          tables: [table('prerouting', ...[0, 1, 2].map(chance))],
        }),
        host('one', { links: { eth0: '10.0.0.2/24' }, via: ['10.0.0.1', 'eth0'] }),
        host('two', { links: { eth0: '10.0.1.2/24' }, via: ['10.0.1.1', 'eth0'], tables: [table('input', drop())] }),
      ],
      { ...outside, to: at('198.51.100.1') },
    ),
  'in a ring': () =>
    drawable(
      [
        host('edge', { links: { wan: '198.51.100.1/24', lan: '10.0.0.1/24' }, via: ['10.0.0.2', 'lan'], open: 'wan' }),
        host('node', { links: { lan: '10.0.0.2/24' }, via: ['10.0.0.1', 'lan'] }),
      ],
      { ...outside, to: at('203.0.113.5') },
    ),
  'in a ring through one host': () => {
    const ends = ['v0', 'v1'].map((link) => ({ host: 'edge', link }));
    const segments = new Map(
      ends.map(({ link }) => [`edge ${link}`, { plugs: ends.filter((end) => end.link !== link), whole: true }]),
    );
    return drawable(
      [
        host('edge', {
          links: { wan: '198.51.100.1/24', v0: '10.5.0.1/24', v1: '10.5.0.2/24' },
          ...{ via: ['10.5.0.2', 'v0'], open: 'wan' },
        }),
      ],
      { ...outside, to: at('203.0.113.5') },
      { segments, neighbours: new Map() },
    );
  },
  'by a tunnel whose own packets die': () => {
    const end = (number: 1 | 2, more: Partial<Sketch>): HostInput =>
      host(`a${number}`, {
        links: { eth0: `10.0.0.${number}/24`, wg0: `10.9.0.${number}/24` },
        ...{ silent: true, ...more },
      });
    const guard = table('input', {
      ...rule(match(payload('udp', 'dport'), '==', 51_820), { kind: 'verdict', verdict: { kind: 'drop' } }),
    });
    return drawable(
      [end(1, { keys: ['a', 'b', '10.0.0.2:51820'] }), end(2, { keys: ['b', 'a'], tables: [guard] })],
      {
        ...{ from: { kind: 'host', host: 'a1', address: at('10.9.0.1') }, to: at('10.9.0.2') },
        ...{ port: 80, protocol: 'tcp' },
      },
      { segments: new Map(), neighbours: new Map() },
    );
  },
  'without a route': () =>
    drawable([host('node', { links: { lan: '10.0.0.2/24' } })], {
      ...{ from: { kind: 'host', host: 'node' }, to: at('192.0.2.1') },
      ...{ port: 53, protocol: 'udp' },
    }),
  'to a pod': () =>
    drawable(
      [
        host('edge', {
          links: { wan: '198.51.100.1/24', br0: '10.0.0.1/24' },
          ...{ via: ['198.51.100.254', 'wan'], open: 'wan', kinds: { br0: 'bridge' } },
        }),
      ],
      outside,
    ),
  'through five hosts and back by others': () => {
    const far = (name: string, a: string, b: string, back: readonly [string, string], more: Partial<Sketch> = {}) =>
      host(name, { links: { a, b }, via: back, ...more });
    return drawable(
      [
        host('client', { links: { eth0: '10.1.0.2/24' }, via: ['10.1.0.1', 'eth0'] }),
        far('first-gateway', '10.1.0.1/24', '10.2.0.1/24', ['10.2.0.2', 'b']),
        far('second-gateway', '10.2.0.2/24', '10.3.0.1/24', ['10.2.0.1', 'a']),
        host('server', { links: { eth0: '10.3.0.2/24', eth1: '10.4.0.2/24' }, via: ['10.4.0.1', 'eth1'] }),
        host('third-gateway', { links: { a: '10.4.0.1/24', b: '10.1.0.3/24' } }),
      ],
      {
        ...{ from: { kind: 'host', host: 'client' }, to: at('10.3.0.2') },
        ...{ port: 80, protocol: 'tcp' },
      },
    );
  },
};
