/** A datagram that is fragmented on the way: what becomes of it at a router that sees its parts, and at one that tracks connections and puts it together. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, type Seen, startLab, type Topology } from '../lab/index.ts';
import type { Family } from '../net/index.ts';
import { type Network, simulate } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { waitFor } from './testdata/story.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

/** Each source has rules of its own at mid; `early`: before fragments are put together there. */
interface Rules {
  readonly forward?: string;
  readonly early?: string;
  /** Where it sends to, if not to the first address of the server. */
  readonly to?: string;
  /** Arrives at a router that sees the parts, and at one that tracks connections. */
  readonly arrives: readonly [parts: boolean, whole: boolean];
}
const source = (forward: string, parts: boolean, whole: boolean, more: Partial<Rules> = {}): Rules => ({
  ...{ forward, arrives: [parts, whole], ...more },
});
const LATER = { 4: 'ip frag-off & 0x1fff != 0', 6: 'frag frag-off != 0' } as const;
const RULES: Readonly<Record<Family, readonly Rules[]>> = {
  4: [
    source('', true, true),
    source(`${LATER[4]} drop`, false, true),
    source('udp dport 5000 accept; drop', false, true),
    source('udp dport 5000 drop', false, false),
    source('meta l4proto udp accept; drop', true, true),
    source('ip protocol udp accept; drop', true, true),
    source('', false, false, { early: `${LATER[4]} drop` }),
    source(`${LATER[4]} drop`, false, false, { early: 'notrack' }),
  ],
  6: [
    source('', true, true),
    source(`${LATER[6]} drop`, false, true),
    source('udp dport 5000 accept; drop', false, true),
    source('udp dport 5000 drop', false, false),
    source('meta l4proto udp accept; drop', true, true),
    source('ip6 nexthdr udp accept; drop', false, true),
    source('ip6 nexthdr 44 accept; drop', true, false),
    source('exthdr frag exists drop', false, true),
    source('exthdr frag missing drop', true, false),
    source('frag frag-off 0 accept; drop', false, false),
    source('frag frag-off 0 drop', false, true),
    source('', false, false, { early: 'exthdr frag exists drop' }),
    source('exthdr frag exists drop', false, false, { early: 'notrack' }),
    // Cut to what fits the first link alone: no router makes them smaller.
    source('', false, false, { to: 'fd03::3' }),
  ],
};
const FAMILIES = [4, 6] as const;
const sourceOf = (family: Family, index: number): string =>
  family === 4 ? `10.1.0.${10 + index}` : `fd01::${10 + index}`;
const SERVER = { 4: '10.3.0.2', 6: 'fd03::2' } as const;
/** What it sends last of all is small. */
const LAST = 99;
const CLIENT = FAMILIES.flatMap((family) => [
  ...RULES[family].map((_, index) => sourceOf(family, index)),
  sourceOf(family, LAST),
]);
const withLength = (address: string): string => `${address}/${address.includes(':') ? 64 : 24}`;

const cable = (left: string, right: string, net: number, mtu: number): Topology['cables'][number] => ({
  ends: [
    {
      at: left,
      interface: `to-${right}`,
      addresses: net === 1 ? CLIENT.map(withLength) : [`10.${net}.0.1/24`, `fd0${net}::1/64`],
    },
    {
      at: right,
      interface: `to-${left}`,
      addresses: [`10.${net}.0.2/24`, `fd0${net}::2/64`, ...(net === 3 ? ['fd03::3/64'] : [])],
    },
  ],
  mtu,
});
const forwards = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };
/** client - gw - mid - server: of IPv4 gw cuts, of IPv6 the client itself, to what its route says; mid judges. */
const WALK: Topology = {
  name: 'fragments',
  hosts: [
    { name: 'client', routes: [{ to: 'default', via: '10.1.0.2' }] },
    {
      name: 'gw',
      sysctls: forwards,
      routes: [
        { to: '10.3.0.0/24', via: '10.2.0.2' },
        { to: 'fd03::/64', via: 'fd02::2' },
      ],
    },
    {
      name: 'mid',
      sysctls: forwards,
      routes: [
        { to: '10.1.0.0/24', via: '10.2.0.1' },
        { to: 'fd01::/64', via: 'fd02::1' },
      ],
    },
    {
      name: 'server',
      routes: [
        { to: 'default', via: '10.3.0.1' },
        { to: 'default', via: 'fd03::1' },
      ],
    },
  ],
  switches: [],
  cables: [cable('client', 'gw', 1, 1500), cable('gw', 'mid', 2, 1400), cable('mid', 'server', 3, 1300)],
};
const SEND = `import json, socket, sys
for source, to, size, port in json.load(sys.stdin):
    sock = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
    if ":" not in to: sock.setsockopt(socket.IPPROTO_IP, 10, 0)
    sock.bind((source, 0))
    sock.sendto(b"x" * (size - 1) + b"\\n", (to, port))`;
/** A whole packet, in bytes: of IPv4 it leaves the client in one piece. */
const SIZE = { 4: 1450, 6: 2000 } as const;
const PAYLOAD = { 4: SIZE[4] - 28, 6: SIZE[6] - 48 } as const;

const rulesOf = (more: string): string => {
  const each = (part: 'forward' | 'early') =>
    FAMILIES.flatMap((family) =>
      RULES[family].flatMap(({ [part]: rules = '' }, index) =>
        rules
          .split(';')
          .filter(Boolean)
          .map((rule) => `${family === 4 ? 'ip' : 'ip6'} saddr ${sourceOf(family, index)} ${rule}`),
      ),
    ).join('\n');
  return `flush ruleset
table inet t {
chain early { type filter hook prerouting priority -450;
${each('early')}
}
chain f { type filter hook forward priority 0; ${more}
${each('forward')}
}
}`;
};

let lab: Lab;
let live: Live;
let large: { report(): Promise<readonly Seen[]> };
let small: typeof large;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  await lab
    .host('client')
    .run(['sh', '-ec', 'ip -6 route add default via fd01::2 mtu 1300; ip -6 route add fd03::3 via fd01::2']);
  large = await lab.serve('server', { protocol: 'udp', port: 5000 });
  small = await lab.serve('server', { protocol: 'udp', port: 5001 });
});
afterAll(async () => lab[Symbol.asyncDispose]());

function arrives(network: Network, family: Family, index: number): boolean {
  const to = RULES[family][index]?.to ?? SERVER[family];
  const flags = {
    from: sourceOf(family, index),
    to: `${family === 4 ? to : `[${to}]`}:5000/udp`,
    size: `${SIZE[family]}`,
  };
  const { verdict, reason } = simulate(network, placeQuestion(network, readQuestion(flags, ['client']))).request;
  if (verdict === 'undecided') throw new Error(reason);
  return verdict === 'delivered';
}

describe('by which source a datagram in fragments arrives', () => {
  for (const family of FAMILIES)
    for (const [which, [what, more]] of [
      ['at a router that sees the parts', ''],
      ['at one that tracks connections', 'ct state new counter;'],
    ].entries())
      test(`of IPv${family} ${what}`, async () => {
        await lab.host('mid').run(['nft', '-f', '-'], { stdin: rulesOf(more ?? '') });
        const network = await live.look();
        const tell = (does: (index: number) => boolean) =>
          RULES[family].map((each, index) => `${each.early ?? ''} ${each.forward} ${each.to ?? ''}: ${does(index)}`);
        const told = tell((index) => arrives(network, family, index));
        const before = [(await large.report()).length, (await small.report()).length] as const;
        const last = [sourceOf(family, LAST), SERVER[family], 100, 5001];
        const asked = RULES[family].map(({ to }, index) => [
          ...[sourceOf(family, index), to ?? SERVER[family], PAYLOAD[family], 5000],
        ]);
        await lab.host('client').run(['/usr/bin/python3', '-c', SEND], { stdin: JSON.stringify([...asked, last]) });
        // It tells that the others were there, or are not to come.
        await waitFor('the last one', async () => (await small.report()).length > before[1]);
        const seen = (await large.report()).slice(before[0]).map(({ client }) => client.address);
        expect(told).toEqual(tell((index) => seen.includes(sourceOf(family, index))));
        expect(told).toEqual(tell((index) => RULES[family][index]?.arrives[which] === true));
      });
});
