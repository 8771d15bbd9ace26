/** Transparent proxies: whom TPROXY, nft's tproxy and `socket` give a connection to, as the kernel does. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { printAddress } from '../net/index.ts';
import { simulate, simulateAll, startDraws, type Way } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

const cable = (at: string, gateway: string, net: number): Topology['cables'][number] => ({
  ends: [
    { at, interface: 'eth0', addresses: [`10.${net}.0.2/24`] },
    { at: 'gw', interface: gateway, addresses: [`10.${net}.0.1/24`] },
  ],
});
const WALK: Topology = {
  name: 'proxies',
  hosts: [
    { name: 'client', routes: [{ to: 'default', via: '10.1.0.1' }] },
    { name: 'gw', sysctls: { 'net.ipv4.ip_forward': '1' } },
    { name: 'server', routes: [{ to: 'default', via: '10.2.0.1' }] },
  ],
  switches: [],
  cables: [cable('client', 'c0', 1), cable('server', 's0', 2)],
};

/** Who listens on gw, and where. */
const PROXIES = [
  { port: 7000, word: 'transparent', transparent: true },
  { port: 7001, word: 'plain' },
  { port: 7002, word: 'bound', transparent: true, address: '10.1.0.1' },
  // One that stands in for the server at its own address and port.
  { port: 5009, word: 'stand-in', transparent: true, address: '10.2.0.2' },
  { port: 5010, word: 'everywhere', transparent: true },
  { port: 5011, word: 'everywhere, plain' },
];

/** By the port that is asked for; the server listens at all of them. */
const NFT: Readonly<Record<number, string>> = {
  5000: 'tproxy ip to :7000 meta mark set 1 accept',
  5001: 'tproxy ip to :7001 meta mark set 1 accept',
  5002: 'tproxy ip to 10.1.0.1:7002 meta mark set 1 accept',
  5003: 'tproxy ip to 10.1.0.2:7002 meta mark set 1 accept',
  5004: 'tproxy ip to :7999 meta mark set 1 accept',
  5005: 'tproxy ip to :7000',
  5006: 'socket transparent 1 meta mark set 1 accept',
  5009: 'socket transparent 1 meta mark set 1 accept',
  5010: 'socket wildcard 0 socket transparent 1 meta mark set 1 accept',
  5011: 'socket transparent 0 meta mark set 1 accept',
};
const IPTABLES: Readonly<Record<number, string>> = {
  5000: '-j TPROXY --on-port 7000 --tproxy-mark 1/1',
  5001: '-j TPROXY --on-port 7001 --tproxy-mark 1/1',
  5002: '-j TPROXY --on-port 7002 --on-ip 10.1.0.1 --tproxy-mark 1/1',
  5003: '-j TPROXY --on-port 7002 --on-ip 10.1.0.2 --tproxy-mark 1/1',
  5004: '-j TPROXY --on-port 7999 --tproxy-mark 1/1',
  5005: '-j TPROXY --on-port 7000',
  5006: '-m socket --transparent -j MARK --set-mark 1',
  5009: '-m socket --transparent -j MARK --set-mark 1',
  5010: '-m socket --transparent -j MARK --set-mark 1',
  5011: '-m socket --nowildcard -j MARK --set-mark 1',
};

let lab: Lab;
let live: Live;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  await lab
    .host('gw')
    .run(['sh', '-ec', 'ip rule add fwmark 1 lookup 100; ip route add local default dev lo table 100']);
  const program = readFileSync(new URL('testdata/says.py', import.meta.url), 'utf8');
  const say = async (host: string, places: readonly object[]) => {
    const running = await lab.host(host).spawn(['/usr/bin/python3', '-c', program]);
    running.stdin.write(`${JSON.stringify(places)}\n`);
    await once(running.stdout, 'data');
  };
  await say('gw', PROXIES);
  await say(
    'server',
    Object.keys(NFT).map((port) => ({ port: Number(port), word: 'server' })),
  );
});
afterAll(async () => lab[Symbol.asyncDispose]());

const told = ({ verdict, host, packet, hops }: Way): string => {
  if (verdict === 'undecided') return 'undecided';
  if (verdict !== 'delivered') return 'nothing';
  const proxy = /to the transparent proxy at port (\d+)/.exec(hops.at(-1)?.detail ?? '')?.[1];
  const port = Number(proxy ?? packet.destinationPort);
  const word = host === 'gw' ? PROXIES.find((each) => each.port === port)?.word : 'server';
  return `${word} at ${printAddress(packet.destination)}:${packet.destinationPort}`;
};

for (const [tool, rules] of [
  ['nft', NFT],
  ['iptables', IPTABLES],
] as const)
  describe(`by ${tool}`, () => {
    const ports = Object.keys(rules).map(Number);
    let heard: readonly string[] = [];
    let model: readonly string[] = [];
    beforeAll(async () => {
      await lab.host('gw').run(['nft', 'flush', 'ruleset']);
      if (tool === 'nft') {
        const lines = ports.map((port) => `tcp dport ${port} ${rules[port]};`).join(' ');
        const stdin = `table inet t { chain p { type filter hook prerouting priority -150; ${lines} }; }`;
        await lab.host('gw').run(['nft', '-f', '-'], { stdin });
      } else {
        const lines = ports.map((port) => `-A PREROUTING -p tcp -m tcp --dport ${port} ${rules[port]}`);
        const stdin = ['*mangle', ':PREROUTING ACCEPT', ...lines, 'COMMIT', ''].join('\n');
        await lab.host('gw').run(['iptables-nft-restore'], { stdin });
      }
      const network = await live.look();
      model = ports.map((port) => {
        const flow = placeQuestion(network, readQuestion({ from: '10.1.0.2', to: `10.2.0.2:${port}/tcp` }, ['client']));
        const { traces } = simulateAll(network, flow);
        return traces
          .map(({ ways }) => told(simulate(network, flow, { hops: true, draws: startDraws(ways) }).request))
          .join(' or ');
      });
      const stdin = JSON.stringify(ports.map((port) => ({ from: '10.1.0.2', to: '10.2.0.2', port })));
      const program = readFileSync(new URL('testdata/hears.py', import.meta.url), 'utf8');
      heard = JSON.parse((await lab.host('client').run(['/usr/bin/python3', '-c', program], { stdin })).stdout);
    });
    for (const [index, port] of ports.entries())
      test(`${rules[port]}, at port ${port}`, () => expect(model[index]).toBe(heard[index]));
  });
