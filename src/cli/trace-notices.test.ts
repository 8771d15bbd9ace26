/** Of a packet that dies on the way its sender hears what the model says it hears: the ICMP error or reset, through the rules and translations between. */

import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { printAddress } from '../net/index.ts';
import { amongStanding, type Network, simulate, type Trace } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

/** client - gw - mid - server: gw may translate, mid is where packets die. */
const cable = (left: string, right: string, net: number, mtu?: number): Topology['cables'][number] => ({
  ends: [
    { at: left, interface: `to-${right}`, addresses: [`10.${net}.0.1/24`, `fd0${net}::1/64`] },
    { at: right, interface: `to-${left}`, addresses: [`10.${net}.0.2/24`, `fd0${net}::2/64`] },
  ],
  ...(mtu !== undefined && { mtu }),
});
const via = (to4: string, to6: string, ...[four, six]: readonly [string, string]) => [
  { to: to4, via: four },
  { to: to6, via: six },
];
const forwards = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.icmp_ratemask': '0',
  'net.ipv6.icmp.ratelimit': '0',
};
const WALK: Topology = {
  name: 'notices',
  hosts: [
    { name: 'client', routes: via('default', 'default', '10.1.0.2', 'fd01::2') },
    { name: 'gw', sysctls: forwards, routes: via('default', 'default', '10.2.0.2', 'fd02::2') },
    {
      name: 'mid',
      sysctls: forwards,
      routes: [
        ...via('10.1.0.0/24', 'fd01::/64', '10.2.0.1', 'fd02::1'),
        ...via('10.9.0.0/24', 'fd09::/64', '10.3.0.2', 'fd03::2'),
      ],
    },
    {
      name: 'server',
      routes: via('default', 'default', '10.3.0.1', 'fd03::1'),
      sysctls: forwards,
    },
  ],
  switches: [],
  cables: [cable('client', 'gw', 1), cable('gw', 'mid', 2), cable('mid', 'server', 3, 1400)],
};

/** A request and what it dies of, at mid or behind it. */
interface Death {
  readonly what: string;
  readonly to: Readonly<Record<4 | 6, string>>;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly size?: number;
}
const death = (what: string, host: string, port: number, more: Partial<Death> = {}): Death => ({
  ...{ what, port, protocol: 'udp', ...more },
  to: { 4: `10.${host.replace(' ', '.0.')}`, 6: `fd0${host.replace(' ', '::')}` },
});
const DEATHS: readonly Death[] = [
  death('too big for the next link', '3 2', 5000, { size: 1450 }),
  death('fits', '3 2', 5000, { size: 1400 }),
  death('nobody listens', '3 2', 5001),
  death('nobody listens', '3 2', 5001, { protocol: 'tcp' }),
  death('rejected as an unreachable port', '3 2', 6000),
  death('rejected as administratively prohibited', '3 2', 6001),
  death('rejected by a reset', '3 2', 6002, { protocol: 'tcp' }),
  death('rejected without a word on how', '3 2', 6003, { protocol: 'tcp' }),
  death('dropped', '3 2', 6004),
  death('rejected where it arrives', '3 2', 6005),
  death('no route', '8 1', 5000),
  death('a route that prohibits', '8 2', 5000),
  death('a route that is unreachable', '8 3', 5000),
  death('a blackhole', '8 4', 5000),
  death('nobody at the next hop', '3 77', 5000),
  death('a ring', '9 1', 5000),
  death('by the translation of gw: too big', '2 1', 7000, { size: 1450 }),
  death('by the translation of gw: nobody listens', '2 1', 7001),
  death('by the translation of gw: nobody listens', '2 1', 7001, { protocol: 'tcp' }),
  death('by the translation of gw: rejected', '2 1', 7002),
  death('by the translation of gw: nobody at the next hop', '2 1', 7003),
];

const REJECTS = `table inet r { chain f { type filter hook forward priority 0;
  udp dport 6000 reject; udp dport 6001 reject with icmpx admin-prohibited; tcp dport 6002 reject with tcp reset; tcp dport 6003 reject; udp dport 6004 drop; }; }`;

const FORWARD = 'chain f { type filter hook forward priority 0; policy';
const DNAT = `chain d { type nat hook prerouting priority -100;
  ip daddr 10.2.0.1 udp dport { 7000, 7001, 7002, 7003 } dnat ip to udp dport map { 7000: 10.3.0.2 . 5000, 7001: 10.3.0.2 . 5001, 7002: 10.3.0.2 . 6000, 7003: 10.3.0.77 . 5000 };
  ip6 daddr fd02::1 udp dport { 7000, 7001, 7002, 7003 } dnat ip6 to udp dport map { 7000: fd03::2 . 5000, 7001: fd03::2 . 5001, 7002: fd03::2 . 6000, 7003: fd03::77 . 5000 };
  ip daddr 10.2.0.1 tcp dport 7001 dnat ip to 10.3.0.2:5001; ip6 daddr fd02::1 tcp dport 7001 dnat ip6 to [fd03::2]:5001; };`;
const MASQUERADE = 'chain s { type nat hook postrouting priority 100; oifname to-mid masquerade; };';
const table = (text: string): string => `table inet t { ${DNAT} ${text} }`;

/** What stands on gw and, if more than the rules above, on mid. */
const WAYS_BACK: readonly (readonly [what: string, gw: string, mid?: string, before?: string, after?: string])[] = [
  ['nothing in the way', table('')],
  ['a masquerade on it', table(MASQUERADE)],
  [
    'a masquerade where they die',
    table(''),
    'table inet m { chain s { type nat hook postrouting priority 100; oifname to-server masquerade; }; }',
  ],
  [
    'a firewall that lets in what is established and related',
    table(`${FORWARD} drop; iifname to-client accept; ct state established,related accept; };`),
  ],
  [
    'a firewall that lets in what is established alone',
    table(`${MASQUERADE} ${FORWARD} drop; iifname to-client accept; ct state established accept; };`),
  ],
  ['a firewall that drops ICMP', table(`${FORWARD} accept; meta l4proto { icmp, ipv6-icmp } drop; };`)],
  [
    'one that tells ICMP errors by code',
    table(
      `${FORWARD} accept; icmp type destination-unreachable icmp code 4 drop; icmpv6 type destination-unreachable icmpv6 code 4 drop; };`,
    ),
  ],
  [
    'a masquerade by which errors are not tracked',
    table(
      `${MASQUERADE} chain z { type filter hook prerouting priority -300; iifname to-mid meta l4proto { icmp, ipv6-icmp } notrack; };`,
    ),
  ],
  [
    'a mark that errors bear',
    table(
      `${MASQUERADE} chain c { type filter hook postrouting priority 0; udp dport 5001 ct mark set 7; }; ${FORWARD} accept; ct state related ct mark 7 drop; };`,
    ),
  ],
  [
    'errors from the link they came in by',
    table(''),
    '',
    'echo 1 >/proc/sys/net/ipv4/icmp_errors_use_inbound_ifaddr',
    'echo 0 >/proc/sys/net/ipv4/icmp_errors_use_inbound_ifaddr',
  ],
  [
    'a reverse path filter that does not believe who tells',
    table(''),
    '',
    'ip addr add 10.77.0.1/32 dev lo; ip route replace 10.1.0.0/24 via 10.2.0.1 src 10.77.0.1',
    'ip addr del 10.77.0.1/32 dev lo; ip route replace 10.1.0.0/24 via 10.2.0.1',
  ],
];

const PROGRAM = readFileSync(new URL('testdata/errors.py', import.meta.url), 'utf8');

interface Asked {
  readonly death: Death;
  readonly from: string;
  readonly sport: number;
}

/** What the client heard of each death, by the errors that its sockets got. */
async function hear(asked: readonly Asked[]): Promise<readonly string[]> {
  const asks = asked.map(({ death: { to, port, protocol, size }, from, sport }) => ({
    ...{ to: to[from.includes(':') ? 6 : 4], port, protocol, size, from, sport },
  }));
  const { stdout } = await lab.host('client').run(['/usr/bin/python3', '-c', PROGRAM], { stdin: JSON.stringify(asks) });
  return JSON.parse(stdout) as readonly string[];
}

function expectOf(network: Network, { death: { to, port, protocol, size }, from, sport }: Asked): string {
  const address = from.includes(':') ? `[${to[6]}]` : to[4];
  const question = readQuestion(
    {
      from,
      to: `${address}:${port}/${protocol}`,
      sport: String(sport),
      ...(size !== undefined && { size: String(size), df: true }),
    },
    ['client'],
  );
  const { flow } = amongStanding(network, placeQuestion(network, question));
  return tell(simulate(network, flow, { hops: true }));
}

function tell({ request, reply, notice, works }: Trace): string {
  if (request.verdict === 'undecided') return request.reason ?? '';
  if (reply !== undefined) return works === true ? 'an answer' : 'nothing';
  if (notice === undefined || notice.way.verdict !== 'delivered' || notice.unheard !== undefined) return 'nothing';
  const { notice: told, way } = notice;
  const from = ` from ${printAddress(way.packet.source)}`;
  return told.kind === 'reset'
    ? 'reset'
    : `${told.type}/${told.code}${told.mtu === undefined ? '' : ` ${told.mtu}`}${from}`;
}

const sourceOf = (family: 4 | 6, index: number): string =>
  family === 4 ? `10.1.0.${11 + index}` : `fd01::${11 + index}`;

let lab: Lab;
let live: Live;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  await lab.serve('server', { protocol: 'udp', port: 5000 });
  const run = (host: string, text: string) => lab.host(host).run(['sh', '-ec', text]);
  await run('server', `nft 'table inet i { chain i { type filter hook input priority 0; udp dport 6005 reject; }; }'`);
  await run(
    'mid',
    'for w in 10.8.0. fd08::; do ip route add prohibit $w"2"; ip route add unreachable $w"3"; ip route add blackhole $w"4"; done',
  );
  for (const [index] of WAYS_BACK.entries())
    await run(
      'client',
      `ip addr add ${sourceOf(4, index)}/24 dev to-gw; ip addr add ${sourceOf(6, index)}/64 dev to-gw nodad`,
    );
  // A neighbour that does not answer is given up at once.
  await run(
    'mid',
    'for f in 4 6; do d=/proc/sys/net/ipv$f/neigh/to-server; echo 1 >$d/mcast_solicit; echo 50 >$d/retrans_time_ms; done',
  );
  await run('gw', 'echo 1 >/proc/sys/net/ipv4/conf/to-mid/rp_filter; ip route add 10.77.0.0/24 via 10.1.0.1');
});
afterEach(async () => {
  for (const host of ['gw', 'mid']) await lab.host(host).run(['nft', 'flush', 'ruleset']);
  for (const host of ['gw', 'mid', 'server']) await lab.host(host).run(['conntrack', '-F']);
});
afterAll(async () => lab[Symbol.asyncDispose]());

describe('what a sender hears, by a way back with', () => {
  for (const [index, [what, gw, mid = '', before, after]] of WAYS_BACK.entries())
    test(what, async () => {
      const load = (host: string, rules: string) => lab.host(host).run(['nft', '-f', '-'], { stdin: rules });
      await load('gw', gw);
      await load('mid', `${REJECTS}\n${mid}`);
      if (before !== undefined) await lab.host('mid').run(['sh', '-ec', before]);
      const network = await live.look();

      // Who is told of a missing route is told five times, and then once a second (ip_error): each test asks from its own address.
      const asked = ([4, 6] as const).flatMap((family) =>
        DEATHS.map((death, at): Asked => ({ death, from: sourceOf(family, index), sport: 42_000 + at })),
      );
      const told = asked.map((each) => expectOf(network, each));
      const heard = await hear(asked);
      const list = (said: readonly string[]) =>
        asked.map(({ death, from }, at) => `${from} ${death.protocol} ${death.what}: ${said[at]}`);
      expect(list(told)).toEqual(list(heard));
      if (after !== undefined) await lab.host('mid').run(['sh', '-ec', after]);
    });
});
