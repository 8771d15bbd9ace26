/** Addresses that nobody can have on a link, and forwards to 127.0.0.1 (`route_localnet`): the kernel lets in what the model says it does. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { type Address, parseAddress } from '../net/index.ts';
import { simulate } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { waitFor } from './testdata/story.ts';

const forwards = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };
const cable = (left: string, right: string, net: number): Topology['cables'][number] => ({
  ends: [
    { at: left, interface: `to-${right}`, addresses: [`10.${net}.0.2/24`, `fd0${net}::2/64`] },
    { at: right, interface: `to-${left}`, addresses: [`10.${net}.0.1/24`, `fd0${net}::1/64`] },
  ],
});
const WALK: Topology = {
  name: 'martians',
  hosts: [
    {
      name: 'client',
      routes: [
        { to: 'default', via: '10.1.0.1' },
        { to: 'default', via: 'fd01::1' },
      ],
    },
    { name: 'gw', sysctls: forwards },
    {
      name: 'server',
      routes: [
        { to: 'default', via: '10.2.0.1' },
        { to: 'default', via: 'fd02::1' },
      ],
    },
  ],
  switches: [],
  cables: [cable('client', 'gw', 1), cable('server', 'gw', 2)],
};

/** Each is what the client's datagrams from that port say they come from. */
const SOURCES = {
  4: ['10.1.0.9', '0.0.0.0', '0.0.0.5', '224.0.0.1', '240.0.0.1', '255.255.255.255', '127.0.0.2'],
  6: ['fd01::9', '::', '::1', 'ff02::1', 'fe80::99'],
} as const;
const LAST = 40_099;
const spoofed = ([4, 6] as const).flatMap((family) =>
  SOURCES[family].map((source, index) => ({ family, source, sourcePort: (family === 4 ? 40_000 : 40_050) + index })),
);
const AIMS = { 4: { gw: '10.1.0.1', server: '10.2.0.2' }, 6: { gw: 'fd01::1', server: 'fd02::2' } } as const;

const at = (text: string): Address => {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  return address;
};

let lab: Lab;
let live: Live;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  await lab.serve('gw', { protocol: 'tcp', port: 5000 });
  await lab.host('gw').run(['nft', '-f', '-'], {
    stdin: 'table ip t { chain d { type nat hook prerouting priority -100; tcp dport 80 dnat to 127.0.0.1:5000; }; }',
  });
});
afterAll(async () => lab[Symbol.asyncDispose]());

test.each([
  ['0', '0', false],
  ['0', '1', true],
  ['1', '0', true],
])('route_localnet of all %s, of the link %s', async (all, own, works) => {
  const set = (link: string, value: string) => `net.ipv4.conf.${link}.route_localnet=${value}`;
  await lab.host('gw').run(['sysctl', '-qw', set('all', all), set('to-client', own)]);
  const [told] = await live.ask({ from: '10.1.0.2', to: '10.1.0.1:80/tcp' });
  const { ok } = await lab.connect('client', { protocol: 'tcp', to: '10.1.0.1', port: 80, timeoutMs: 300 });
  expect([told?.map((each) => each.works), ok]).toEqual([[works], works]);
  if (!works)
    expect(told?.[0]?.fix).toBe(
      'on gw: sysctl -w net.ipv4.conf.to-client.route_localnet=1, or another address than one of 127.0.0.0/8',
    );
});

/** The source ports of what reached an input hook. */
async function arrivedAt(host: string): Promise<readonly number[]> {
  const listing = await lab.host(host).run(['nft', '-j', 'list', 'set', 'inet', 'seen', 'ports']);
  const { nftables } = JSON.parse(listing.stdout) as { nftables: { set?: { elem?: number[] } }[] };
  return nftables.flatMap(({ set }) => set?.elem ?? []);
}

test('sources that nobody has', async () => {
  await lab
    .host('gw')
    .run(['sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=0', 'net.ipv4.conf.to-client.route_localnet=0']);
  for (const host of ['gw', 'server'])
    await lab.host(host).run(['nft', '-f', '-'], {
      stdin:
        'table inet seen { set ports { type inet_service; flags dynamic; }; chain i { type filter hook input priority -300; udp dport 7000 add @ports { udp sport }; }; }',
    });
  const rules = spoofed.map(
    ({ family, source, sourcePort }) => `udp sport ${sourcePort} ${family === 4 ? 'ip' : 'ip6'} saddr set ${source}`,
  );
  await lab.host('client').run(['nft', '-f', '-'], {
    stdin: `table inet spoof { chain p { type filter hook postrouting priority 300; ${rules.join('; ')}; }; }`,
  });
  const sourcesOf = spoofed.map(({ sourcePort, family }) => ({ sourcePort, family }));
  for (const host of ['gw', 'server'] as const)
    for (const { family, sourcePort } of [...sourcesOf, { family: 4, sourcePort: LAST } as const])
      await lab.connect('client', { protocol: 'udp', to: AIMS[family][host], port: 7000, sourcePort, timeoutMs: 1 });
  const network = await live.look();
  for (const host of ['gw', 'server'] as const) {
    await waitFor(`the last of them at ${host}`, async () => (await arrivedAt(host)).includes(LAST));
    const arrived = await arrivedAt(host);
    const told = spoofed.map(({ family, source, sourcePort }) => {
      const { request } = simulate(network, {
        from: { kind: 'beyond', host: 'gw', link: 'to-client', address: at(source) },
        ...{ to: at(AIMS[family][host]), protocol: 'udp', sourcePort, port: 7000 },
      });
      return [source, request.verdict];
    });
    // Nobody listens, so what arrives is refused: by its host itself, after its input.
    expect(told.map(([source, verdict]) => [source, verdict === 'delivered' || verdict === 'rejected'])).toEqual(
      spoofed.map(({ source, sourcePort }) => [source, arrived.includes(sourcePort)]),
    );
    expect(arrived.length, 'who arrived at all').toBeGreaterThan(3);
    expect(told.filter(([, verdict]) => verdict === 'undecided')).toEqual([]);
  }
});
