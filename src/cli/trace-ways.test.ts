/** Routes of several next hops, next hop objects, and chains at the devices themselves: what becomes of many flows is what is told of one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, type Seen, startLab, type Topology } from '../lab/index.ts';
import type { Family } from '../net/index.ts';
import { type Network, simulateAll } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { waitFor } from './testdata/story.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

const FAMILIES = [4, 6] as const;
type Written = Readonly<Record<Family, string>>;
const written = (four: string, six: string): Written => ({ 4: four, 6: six });

const CLIENT = written('10.1.0.2', 'fd01::2');
const ROUTERS: readonly Written[] = [written('10.11.0.2', 'fd11::2'), written('10.12.0.2', 'fd12::2')];
/** Of each case a network of its own, with an address that both routers bear. */
const targetOf = (index: number): Written => written(`10.50.${index}.1`, `fd50:${index}::1`);

/** How gw goes there, in the words of `ip route add`, and who is reached. `V1`, `V2`: the routers; objects of IPv6 have numbers of their own. */
interface Way {
  readonly way: string;
  readonly reached: string;
  /** IPv6 takes no next hop of IPv4 and none by a link that is down. */
  readonly only4?: true;
}
const WAYS: readonly Way[] = [
  { way: 'via V1', reached: 'r1' },
  { way: 'nexthop via V1 nexthop via V2', reached: 'r1 r2' },
  { way: 'nexthop via V1 weight 2 nexthop via V2', reached: 'r1 r2' },
  { way: 'nexthop via V1 nexthop via 10.13.0.2', reached: 'r1', only4: true },
  { way: 'nhid 2', reached: 'r2' },
  { way: 'nhid 10', reached: 'r1 r2' },
  { way: 'nhid 11', reached: 'r2' },
  { way: 'nhid 12', reached: 'r1 r2' },
  { way: 'nhid 13', reached: '' },
  { way: 'nhid 21', reached: 'r1', only4: true },
  { way: 'nhid 22', reached: 'r1 r2', only4: true },
];
const inFamily = (family: Family, { way }: Way): string =>
  way
    .replace('V1', ROUTERS[0]?.[family] ?? '')
    .replace('V2', ROUTERS[1]?.[family] ?? '')
    .replace(/nhid (\d+)/, (_, id) => `nhid ${Number(id) + (family === 4 ? 0 : 100)}`);
const OBJECTS = [
  ...['1 via 10.11.0.2 dev to-r1', '2 via 10.12.0.2 dev to-r2', '10 group 1,3/2', '11 group 2', '13 blackhole'],
  ...['12 group 1/2 type resilient buckets 32', '101 via fd11::2 dev to-r1', '102 via fd12::2 dev to-r2'],
  ...['110 group 101/102', '111 group 102', '112 group 101/102 type resilient buckets 32', '21 via fd11::2 dev to-r1'],
  ...['22 group 101/102', '113 blackhole'],
];

const cable = (left: string, right: string, net: number): Topology['cables'][number] => ({
  ends: [
    { at: left, interface: `to-${right}`, addresses: [`10.${net}.0.1/24`, `fd${net === 1 ? '01' : net}::1/64`] },
    { at: right, interface: 'eth0', addresses: [`10.${net}.0.2/24`, `fd${net === 1 ? '01' : net}::2/64`] },
  ],
});
const through = (net: number) =>
  [`10.${net}.0.1`, `fd${net === 1 ? '01' : net}::1`].map((by) => ({ to: 'default', via: by }));
const WALK: Topology = {
  name: 'ways',
  hosts: [
    { name: 'client', routes: through(1) },
    {
      name: 'gw',
      sysctls: {
        ...{ 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' },
        // The ports choose, too: many flows go every way.
        ...{ 'net.ipv4.fib_multipath_hash_policy': '1', 'net.ipv6.fib_multipath_hash_policy': '1' },
      },
    },
    { name: 'r1', routes: through(11) },
    { name: 'r2', routes: through(12) },
    { name: 'r3' },
  ],
  switches: [],
  cables: [cable('gw', 'client', 1), cable('gw', 'r1', 11), cable('gw', 'r2', 12), cable('gw', 'r3', 13)],
};

/** So many that no way is left out by chance: of weights 2 and 1 once in ten million. */
const FLOWS = 40;
const portOf = (index: number, flow = 0): number => 20_000 + 100 * index + flow;
const SEND = `import json, socket, sys
for source, sport, to, dport in json.load(sys.stdin):
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, sport))
    s.sendto(b"x\\n", (to, dport))`;

let lab: Lab;
let live: Live;
let servers: readonly { report(): Promise<readonly Seen[]> }[];
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  servers = await Promise.all(['r1', 'r2'].map((name) => lab.serve(name, { protocol: 'udp', port: 5000 })));
  const own = WAYS.flatMap((_, index) => FAMILIES.map((family) => `ip addr add ${targetOf(index)[family]} dev lo`));
  for (const name of ['r1', 'r2']) await lab.host(name).run(['sh', '-ec', own.join('\n')]);
  const routes = WAYS.flatMap((way, index) =>
    FAMILIES.filter((family) => family === 4 || way.only4 !== true).map(
      (family) => `ip route add ${targetOf(index)[family]} ${inFamily(family, way)}`,
    ),
  );
  const objects = OBJECTS.map((each) => `ip ${each.startsWith('113') ? '-6 ' : ''}nexthop add id ${each}`);
  await lab.host('gw').run(['sh', '-ec', [...objects, ...routes, 'ip link set to-r3 down'].join('\n')]);
});
afterAll(async () => lab[Symbol.asyncDispose]());

interface Asked {
  readonly what: string;
  readonly family: Family;
  readonly index: number;
  readonly to: string;
  readonly reached: string;
}

/** Who got any of the flows of each case, as the kernel does it and as the model tells it. */
async function compare(asked: readonly Asked[]): Promise<void> {
  const network = await live.look();
  const told = asked.map((each) => `${each.what}: ${tell(network, each)}`);
  const before = await Promise.all(servers.map(async ({ report }) => (await report()).length));
  /** What is sent to each router itself, first so that neighbours are known, and last. */
  const marks = (port: number) =>
    FAMILIES.flatMap((family) => ROUTERS.map((router, at) => [CLIENT[family], port + at, router[family], 5000]));
  const send = (flows: readonly unknown[]) =>
    lab.host('client').run(['/usr/bin/python3', '-c', SEND], { stdin: JSON.stringify(flows) });
  const seen = () =>
    Promise.all(servers.map(async ({ report }, at) => (await report()).slice(before[at]).map(({ client }) => client)));
  const arrived = async (port: number) =>
    waitFor(`what was sent from ${port}`, async () =>
      (await seen()).every(
        (clients, at) => clients.filter((each) => each.port === port + at).length >= FAMILIES.length,
      ),
    );
  await send(marks(19_000));
  await arrived(19_000);
  await send([
    ...asked.flatMap(({ family, index, to }) =>
      Array.from({ length: FLOWS }, (_, flow) => [CLIENT[family], portOf(index, flow), to, 5000]),
    ),
    ...marks(19_100),
  ]);
  await arrived(19_100);
  const clients = await seen();
  const kernel = asked.map(({ what, index, family }) => {
    const got = ['r1', 'r2'].filter((_, at) =>
      clients[at]?.some(
        ({ port, address }) =>
          address.includes(':') === (family === 6) && port >= portOf(index) && port < portOf(index, FLOWS),
      ),
    );
    return `${what}: ${got.join(' ')}`;
  });
  expect(told).toEqual(kernel);
  expect(kernel).toEqual(asked.map(({ what, reached }) => `${what}: ${reached}`));
}

function tell(network: Network, { family, index, to }: Asked): string {
  const flags = { from: CLIENT[family], sport: `${portOf(index)}`, to: `${family === 4 ? to : `[${to}]`}:5000/udp` };
  const { traces } = simulateAll(network, placeQuestion(network, readQuestion(flags, ['client'])));
  const ends = traces.map(({ request: { verdict, host = '', reason } }) =>
    verdict === 'delivered' ? host : verdict === 'undecided' ? `undecided: ${reason}` : '',
  );
  return [...new Set(ends)].filter(Boolean).toSorted().join(' ');
}

describe.each(['1', '0'])('routes, with nexthop_compat_mode %s', (mode) => {
  for (const family of FAMILIES)
    test(`of IPv${family}`, async () => {
      await lab.host('gw').run(['sysctl', '-qw', `net.ipv4.nexthop_compat_mode=${mode}`]);
      await compare(
        WAYS.flatMap((way, index) =>
          family === 6 && way.only4 === true
            ? []
            : [{ what: way.way, family, index, to: targetOf(index)[family], reached: way.reached }],
        ),
      );
    });
});

/** Chains at devices of gw and the client, each for the flows of one case; both routers lead to where they go. */
const CHAINS: readonly {
  readonly host: string;
  readonly chain: string;
  readonly rule: string;
  readonly reached: string;
}[] = [
  { host: 'gw', chain: 'out1', rule: 'counter accept', reached: 'r1 r2' },
  { host: 'gw', chain: 'out1', rule: 'drop', reached: 'r2' },
  { host: 'gw', chain: 'out2', rule: 'drop', reached: 'r1' },
  { host: 'gw', chain: 'both', rule: 'drop', reached: '' },
  { host: 'gw', chain: 'in', rule: 'drop', reached: '' },
  { host: 'client', chain: 'leave', rule: 'drop', reached: '' },
  // What routing and translation made of it before.
  { host: 'gw', chain: 'out1', rule: 'meta mark 5 drop', reached: 'r2' },
  { host: 'gw', chain: 'out1', rule: 'ip saddr 10.99.0.9 drop; ip6 saddr fd99::9 drop', reached: 'r2' },
  { host: 'gw', chain: 'in', rule: 'meta mark set 5', reached: 'r1 r2' },
  { host: 'gw', chain: 'out1', rule: 'oifname to-r1 drop', reached: 'r2' },
  { host: 'gw', chain: 'out1', rule: 'meta l4proto tcp drop', reached: 'r1 r2' },
];
const PLACES: Readonly<Record<string, string>> = {
  out1: 'egress device to-r1 priority 0',
  out2: 'egress device to-r2 priority 0',
  both: 'egress devices = { to-r1, to-r2 } priority 5',
  in: 'ingress device to-client priority 0',
  leave: 'egress device eth0 priority 0',
};

test('chains at ingress and egress', async () => {
  for (const host of ['gw', 'client']) {
    const chains = Object.entries(PLACES).flatMap(([name, place]) => {
      const rules = CHAINS.flatMap(({ host: on, chain, rule }, index) =>
        on === host && chain === name
          ? rule.split('; ').map((each) => `udp sport ${portOf(index)}-${portOf(index, FLOWS - 1)} ${each}`)
          : [],
      );
      return rules.length === 0 ? [] : [`chain ${name} { type filter hook ${place};\n${rules.join('\n')}\n}`];
    });
    const at = (index: number) => `udp sport ${portOf(index)}-${portOf(index, FLOWS - 1)}`;
    const beside = `table inet b {
      chain m { type filter hook prerouting priority 0; ${at(6)} meta mark set 5; }
      chain s { type nat hook postrouting priority 100; ${at(7)} snat ip to 10.99.0.9
        ${at(7)} snat ip6 to fd99::9
      }
    }`;
    const stdin = `table netdev d {\n${chains.join('\n')}\n}\n${host === 'gw' ? beside : ''}`;
    await lab.host(host).run(['nft', '-f', '-'], { stdin });
  }
  await compare(
    FAMILIES.flatMap((family) =>
      CHAINS.map(({ host, chain, rule, reached }, index) => ({
        ...{ what: `IPv${family} ${host} ${chain} ${rule}`, family, index, reached },
        // By two next hops.
        to: targetOf(1)[family],
      })),
    ),
  );
});
