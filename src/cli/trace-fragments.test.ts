/** A datagram that is fragmented on the way: what becomes of it at a router that sees its parts, and at one that tracks connections and puts it together. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, type Seen, startLab, type Topology } from '../lab/index.ts';
import { type Network, simulate } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { waitFor } from './testdata/story.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

const SOURCES = [10, 11, 12, 13].map((last) => `10.1.0.${last}`);
const cable = (left: string, right: string, net: number, mtu: number): Topology['cables'][number] => ({
  ends: [
    {
      at: left,
      interface: `to-${right}`,
      addresses: net === 1 ? SOURCES.map((each) => `${each}/24`) : [`10.${net}.0.1/24`],
    },
    { at: right, interface: `to-${left}`, addresses: [`10.${net}.0.2/24`] },
  ],
  mtu,
});
const forwards = { 'net.ipv4.ip_forward': '1' };
/** client - gw - mid - server: gw cuts, mid judges. */
const WALK: Topology = {
  name: 'fragments',
  hosts: [
    { name: 'client', routes: [{ to: 'default', via: '10.1.0.2' }] },
    { name: 'gw', sysctls: forwards, routes: [{ to: '10.3.0.0/24', via: '10.2.0.2' }] },
    { name: 'mid', sysctls: forwards, routes: [{ to: '10.1.0.0/24', via: '10.2.0.1' }] },
    { name: 'server', routes: [{ to: 'default', via: '10.3.0.1' }] },
  ],
  switches: [],
  cables: [cable('client', 'gw', 1, 1500), cable('gw', 'mid', 2, 1400), cable('mid', 'server', 3, 1300)],
};
const RULES = `ip saddr 10.1.0.11 ip frag-off & 0x1fff != 0 drop; ip saddr 10.1.0.12 udp dport 5000 accept; ip saddr 10.1.0.12 drop;
  ip saddr 10.1.0.13 udp dport 5000 drop;`;
const SEND = `import socket, sys
for source in sys.argv[1:]:
    for size in (1450 - 28, 100):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IP, 10, 0) # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        sock.bind((source, 0))
        sock.sendto(b"x" * (size - 1) + b"\\n", ("10.3.0.2", 5000 if size > 100 else 5001))`;

let lab: Lab;
let live: Live;
let large: { report(): Promise<readonly Seen[]> };
let small: typeof large;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  large = await lab.serve('server', { protocol: 'udp', port: 5000 });
  small = await lab.serve('server', { protocol: 'udp', port: 5001 });
});
afterAll(async () => lab[Symbol.asyncDispose]());

const arrives = (network: Network, from: string): boolean => {
  const question = readQuestion({ from, to: '10.3.0.2:5000/udp', size: '1450' }, ['client']);
  const { verdict, reason } = simulate(network, placeQuestion(network, question), { hops: true }).request;
  if (verdict === 'undecided') throw new Error(reason);
  return verdict === 'delivered';
};

describe('by which source a datagram in fragments arrives', () => {
  for (const [what, more, wanted] of [
    ['at a router that sees the parts', '', 1],
    ['at one that tracks connections', 'ct state new counter;', 3],
  ] as const)
    test(what, async () => {
      const stdin = `flush ruleset\ntable inet t { chain f { type filter hook forward priority 0; ${more} ${RULES} }; }`;
      await lab.host('mid').run(['nft', '-f', '-'], { stdin });
      const network = await live.look();
      const told = SOURCES.filter((source) => arrives(network, source));
      const before = [(await large.report()).length, (await small.report()).length] as const;
      // The small ones after them tell that the large ones were there, or are not to come; of one source they are dropped.
      await lab.host('client').run(['/usr/bin/python3', '-c', SEND, ...SOURCES]);
      await waitFor('the small ones', async () => (await small.report()).length - before[1] === SOURCES.length - 1);
      const seen = (await large.report()).slice(before[0]).map(({ client }) => client.address);
      expect(told).toEqual(seen);
      expect(told).toHaveLength(wanted);
    });
});
