/** Translations to ranges, networks and other ports, and balancers that remember: what the kernel makes of packets is among the ways that are told. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, type Seen, startLab, type Topology } from '../lab/index.ts';
import { printAddress } from '../net/index.ts';
import { type Network, simulateAll } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

const cable = (
  at: string,
  gateway: string,
  net: number,
  ...addresses: readonly string[]
): Topology['cables'][number] => ({
  ends: [
    { at, interface: 'eth0', addresses },
    { at: 'gw', interface: gateway, addresses: [`10.${net}.0.1/24`] },
  ],
});
const WALK: Topology = {
  name: 'translations',
  hosts: [
    { name: 'client', routes: [{ to: 'default', via: '10.1.0.1' }] },
    { name: 'gw', sysctls: { 'net.ipv4.ip_forward': '1' } },
    { name: 'one', routes: [{ to: 'default', via: '10.2.0.1' }] },
  ],
  switches: [],
  cables: [
    cable('client', 'c0', 1, ...Array.from({ length: 20 }, (_, index) => `10.1.0.${100 + index}/24`)),
    cable('one', 'a0', 2, '10.2.0.2/24', '10.2.0.3/24', '10.2.0.4/24'),
  ],
};

const SOURCES = [42_000, 42_001, 42_002, 42_003, 42_004];

interface Case {
  readonly what: string;
  /** The rule behind the match for what this case asks, and what stands beside it. */
  readonly rules: readonly string[];
  readonly beside?: string;
  /** Within its own network for what is translated before routing; else of the server. */
  readonly to: number;
  readonly port?: number;
  /** How many ways are told. */
  readonly ways: number;
}
/** Each case asks its own network, from its own address. */
const networkOf = (index: number): string => `10.${100 + index}.0`;
const sourceOf = (index: number): string => `10.1.0.${100 + index}`;

const udp = 'meta l4proto udp';
const DNAT: readonly Case[] = [
  { what: 'dnat to several addresses', rules: ['dnat ip to 10.2.0.2-10.2.0.4'], to: 9, ways: 3 },
  { what: 'the same for one client', rules: ['dnat ip to 10.2.0.2-10.2.0.4 persistent'], to: 9, ways: 3 },
  {
    what: 'to several ports, the own among them',
    rules: [`${udp} dnat ip to 10.2.0.2:5000-5003`],
    to: 9,
    port: 5002,
    ways: 1,
  },
  { what: 'to several ports, the own not', rules: [`${udp} dnat ip to 10.2.0.2:5000-5003`], to: 9, port: 80, ways: 4 },
  { what: 'to a port, with a flag', rules: [`${udp} dnat ip to 10.2.0.2:5001 random`], to: 9, port: 80, ways: 1 },
  { what: 'of a network', rules: ['dnat ip prefix to 10.2.0.0/24'], to: 3, ways: 1 },
  { what: 'redirect to several ports', rules: [`${udp} redirect to :6000-6003`], to: 9, port: 80, ways: 4 },
  { what: 'redirect, the own among them', rules: [`${udp} redirect to :6000-6003`], to: 9, port: 6001, ways: 1 },
  {
    what: 'a balancer that remembers',
    beside: `set seen { type ipv4_addr; flags dynamic,timeout; timeout 1h; }; chain e2 { update @seen { ip saddr }; ${udp} dnat ip to 10.2.0.2; }; chain e3 { ${udp} dnat ip to 10.2.0.3; };`,
    rules: ['ip saddr @seen goto e2', 'numgen random mod 2 vmap { 0: goto e2, 1: goto e3 }'],
    to: 9,
    ways: 3,
  },
];
const SNAT: readonly Case[] = [
  { what: 'snat to several addresses', rules: ['snat ip to 10.2.0.100-10.2.0.103'], to: 2, ways: 4 },
  { what: 'snat to several, the own among them', rules: ['snat ip to 10.1.0.1-10.1.0.200'], to: 2, ways: 1 },
  { what: 'snat of a network', rules: ['snat ip prefix to 10.77.0.0/24'], to: 2, ways: 1 },
  { what: 'masquerade by several ports', rules: [`${udp} masquerade to :20000-20010`], to: 2, ways: 1 },
  { what: 'masquerade, ports drawn', rules: ['masquerade fully-random'], to: 2, ways: 1 },
];
const IPTABLES_DNAT: readonly Case[] = [
  { what: 'NETMAP', rules: ['-j NETMAP --to 10.2.0.0/24'], to: 4, ways: 1 },
  {
    what: 'DNAT to several',
    rules: ['-p udp -j DNAT --to-destination 10.2.0.2-10.2.0.3:5001-5002'],
    to: 9,
    port: 80,
    ways: 4,
  },
  {
    what: 'DNAT to ports moved',
    rules: ['-p udp -j DNAT --to-destination 10.2.0.2:5000-5003/9000'],
    to: 9,
    port: 9006,
    ways: 1,
  },
  {
    what: 'recent, as kube-proxy balances',
    beside:
      '-A e2 -m recent --name e2 --set --rsource -p udp -j DNAT --to-destination 10.2.0.2\n-A e3 -m recent --name e3 --set --rsource -p udp -j DNAT --to-destination 10.2.0.3',
    rules: [
      '-m recent --name e2 --rcheck --seconds 600 --reap --rsource -j e2',
      '-m recent --name e3 --rcheck --seconds 600 --reap --rsource -j e3',
      '-m statistic --mode random --probability 0.5 -j e2',
      '-j e3',
    ],
    to: 9,
    ways: 4,
  },
];
const IPTABLES_SNAT: readonly Case[] = [
  { what: 'NETMAP of the source', rules: ['-j NETMAP --to 10.66.0.0/24'], to: 2, ways: 1 },
  { what: 'SNAT with ports', rules: ['-p udp -j SNAT --to-source 10.2.0.1:30000-30100'], to: 2, ways: 1 },
];

function nftRules(): string {
  const lines = (cases: readonly Case[], match: (index: number) => string, from: number): string =>
    cases.flatMap(({ rules }, at) => rules.map((rule) => `${match(from + at)} ${rule};`)).join(' ');
  return `table inet t { ${DNAT.map(({ beside = '' }) => beside).join(' ')}
    chain d { type nat hook prerouting priority -100; ${lines(DNAT, (index) => `ip daddr ${networkOf(index)}.0/24`, 0)} };
    chain s { type nat hook postrouting priority 100; ${lines(SNAT, (index) => `ip saddr ${sourceOf(index)}`, DNAT.length)} }; }`;
}

function iptablesRules(): string {
  const lines = (cases: readonly Case[], match: (index: number) => string, from: number): readonly string[] =>
    cases.flatMap(({ rules }, at) => rules.map((rule) => `${match(from + at)} ${rule}`));
  return [
    ...['*nat', ':PREROUTING ACCEPT', ':POSTROUTING ACCEPT', ':e2 - [0:0]', ':e3 - [0:0]'],
    ...lines(IPTABLES_DNAT, (index) => `-A PREROUTING -d ${networkOf(index)}.0/24`, 0),
    ...lines(IPTABLES_SNAT, (index) => `-A POSTROUTING -s ${sourceOf(index)}/32`, IPTABLES_DNAT.length),
    ...IPTABLES_DNAT.flatMap(({ beside }) => beside ?? []),
    'COMMIT\n',
  ].join('\n');
}

let lab: Lab;
let live: Live;
let servers: readonly { readonly at: string; readonly report: () => Promise<readonly Seen[]> }[];
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  const places = [
    ...['10.2.0.2', '10.2.0.3', '10.2.0.4'].flatMap((address) =>
      [5000, 5001, 5002, 5003].map((port) => ({ host: 'one', address, port })),
    ),
    ...[6000, 6001, 6002, 6003].map((port) => ({ host: 'gw', address: '10.1.0.1', port })),
  ];
  servers = await Promise.all(
    places.map(async ({ host, address, port }) => {
      const server = await lab.serve(host, { protocol: 'udp', address, port });
      return { at: `${address}:${port}`, report: () => server.report() };
    }),
  );
});
afterAll(async () => lab[Symbol.asyncDispose]());

const reports = () => Promise.all(servers.map(({ report }) => report()));

/** Where datagrams of a client come to, and from whom as it is seen there. */
async function send(source: string, to: string, port: number): Promise<ReadonlySet<string>> {
  const before = await reports();
  // The first before the others: what a balancer remembers of it decides on them.
  const [first = 0, ...others] = SOURCES;
  const ask = (sourcePort: number) =>
    lab.connect('client', { protocol: 'udp', to, port, sourcePort, sourceAddress: source, timeoutMs: 300 });
  await ask(first);
  await Promise.all(others.map(ask));
  const after = await reports();
  return new Set(
    servers.flatMap(({ at }, index) =>
      (after[index] ?? []).slice(before[index]?.length).map(({ client }) => `${client.address} to ${at}`),
    ),
  );
}

for (const [tool, load, before, after] of [
  ['nft', () => lab.host('gw').run(['nft', '-f', '-'], { stdin: nftRules() }), DNAT, SNAT],
  [
    'iptables',
    () => lab.host('gw').run(['iptables-nft-restore'], { stdin: iptablesRules() }),
    IPTABLES_DNAT,
    IPTABLES_SNAT,
  ],
] as const)
  describe(`what a kernel makes of packets is among what is told, by ${tool}:`, () => {
    let network: Network;
    beforeAll(async () => {
      await lab.host('gw').run(['nft', 'flush', 'ruleset']);
      await lab.host('gw').run(['conntrack', '-F']);
      await load();
      network = await live.look();
    });
    for (const [index, { what, to, port = 5000, ways }] of [...before, ...after].entries())
      test(what, async () => {
        const source = sourceOf(index);
        const aim = index < before.length ? `${networkOf(index)}.${to}` : `10.2.0.${to}`;
        const question = readQuestion({ from: source, to: `${aim}:${port}/udp` }, ['client']);
        const { traces } = simulateAll(network, placeQuestion(network, question));
        const told = traces.map(({ request: { verdict, packet, reason } }) =>
          verdict === 'delivered'
            ? `${printAddress(packet.source)} to ${printAddress(packet.destination)}:${packet.destinationPort}`
            : `${verdict}: ${reason}`,
        );
        const seen = await send(source, aim, port);
        expect(seen.size).toBeGreaterThan(0);
        for (const one of seen) expect(told).toContain(one);
        expect(told).toHaveLength(ways);
      });
  });
