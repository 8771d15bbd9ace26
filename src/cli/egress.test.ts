/** Egress as people have it today, by hand: what verify proves of it, and what real packets on the WAN say. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { cable, type Lab, makeTunnel, network, on, onTunnel, plug, startLab } from '../lab/index.ts';
import { sallyportPath } from './testdata/cli-lab.ts';
import { hostDocuments } from './testdata/live.ts';

const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };
const LOOSE = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.default.rp_filter': '0' };
/** A server behind the provider, which the Internet knows the way to as well. */
const SERVER = { 4: '192.0.2.9', 6: '2001:db8:9::9' } as const;

/** Pods behind a node, the node behind a home router, which has a WAN and a tunnel to a provider. */
const TOPOLOGY = network(
  'egress',
  [
    {
      name: 'pod',
      routes: [
        { to: 'default', via: '10.244.1.1' },
        { to: 'default', via: 'fd00:1::1' },
      ],
    },
    {
      name: 'node',
      routes: [
        { to: 'default', via: '192.168.1.1' },
        { to: 'default', via: 'fd00:2::1' },
      ],
      sysctls: { ...LOOSE, ...FORWARDS },
    },
    {
      name: 'router',
      routes: [
        { to: 'default', via: '198.51.100.1' },
        { to: 'default', via: '2001:db8:1::1' },
        { to: '10.244.1.0/24', via: '192.168.1.11' },
        { to: 'fd00:1::/64', via: 'fd00:2::11' },
      ],
      sysctls: { ...LOOSE, ...FORWARDS },
    },
    {
      name: 'internet',
      routes: [
        { to: '192.0.2.0/24', via: '203.0.113.1' },
        { to: '2001:db8:9::/64', via: '2001:db8:2::1' },
      ],
      sysctls: { ...LOOSE, ...FORWARDS },
    },
    {
      name: 'provider',
      routes: [
        { to: 'default', via: '203.0.113.254' },
        { to: 'default', via: '2001:db8:2::254' },
      ],
      sysctls: { ...LOOSE, ...FORWARDS },
    },
  ],
  [
    cable(plug('pod', 'eth0', '10.244.1.2/24', 'fd00:1::2/64'), plug('node', 'cni0', '10.244.1.1/24', 'fd00:1::1/64')),
    cable(
      plug('node', 'eth0', '192.168.1.11/24', 'fd00:2::11/64'),
      plug('router', 'lan0', '192.168.1.1/24', 'fd00:2::1/64'),
    ),
    cable(
      plug('router', 'wan0', '198.51.100.2/24', '2001:db8:1::2/64'),
      plug('internet', 'r0', '198.51.100.1/24', '2001:db8:1::1/64'),
    ),
    cable(
      plug('provider', 'eth0', '203.0.113.1/24', '2001:db8:2::1/64'),
      plug('internet', 'h0', '203.0.113.254/24', '2001:db8:2::254/64'),
    ),
  ],
);

let lab: Lab;
let documents = '';

/** The tunnel with its routes and rules, as somebody writes them by hand. */
const TABLE = `for f in 4 6; do
  ip -$f route replace default dev wg0 table 100
  ip -$f route replace blackhole default table 100 metric 4294967295
done`;
const RULES = `ip rule add from 10.244.1.0/24 lookup 100 priority 1000
ip -6 rule add from fd00:1::/64 lookup 100 priority 1000`;
const NO_RULES = `while ip rule del lookup 100 2>/dev/null; do :; done
while ip -6 rule del lookup 100 2>/dev/null; do :; done`;
const FIREWALL = `for t in iptables ip6tables; do
  for c in nat mangle filter; do $t -t $c -F; done
  $t -t nat -A POSTROUTING -o wg0 -j MASQUERADE
  $t -t nat -A POSTROUTING -o wan0 -j MASQUERADE
done`;
/** The node leaves pods their address towards the router. */
const NODE_FIREWALL = `for t in iptables ip6tables; do
  $t -t nat -F
done
iptables -t nat -A POSTROUTING -s 10.244.1.0/24 -o eth0 -j RETURN
iptables -t nat -A POSTROUTING -s 10.244.1.0/24 -j MASQUERADE`;

let providerKey = '';
async function connect(): Promise<void> {
  const key = await makeTunnel(lab, 'router', 'wg0', 51820);
  const peer = `wg set wgp peer ${key} allowed-ips 10.2.0.2/32,fd02::2/128`;
  await onTunnel(lab, 'provider', `for p in $(wg show wgp peers); do wg set wgp peer $p remove; done; ${peer}`);
  await onTunnel(
    lab,
    'router',
    `wg set wg0 peer ${providerKey} allowed-ips 0.0.0.0/0,::/0 endpoint 203.0.113.1:51820 persistent-keepalive 25
ip addr add 10.2.0.2/24 dev wg0; ip addr add fd02::2/64 dev wg0 nodad; ip link set dev wg0 mtu 1420 up
${TABLE}`,
  );
}

beforeAll(async () => {
  lab = await startLab(TOPOLOGY);
  await on(lab, 'provider', `ip addr add ${SERVER[4]}/32 dev lo; ip addr add ${SERVER[6]}/128 dev lo`);
  for (const protocol of ['tcp', 'udp'] as const)
    for (const address of [SERVER[4], SERVER[6]]) await lab.serve('provider', { protocol, port: 443, address });
  providerKey = await makeTunnel(lab, 'provider', 'wgp', 51820);
  await onTunnel(
    lab,
    'provider',
    'ip addr add 10.2.0.1/24 dev wgp; ip addr add fd02::1/64 dev wgp nodad; ip link set dev wgp mtu 1420 up',
  );
  await connect();
  await healthy();
  documents = '/run/egress.yaml';
  const route = `---
apiVersion: sallyport.dev/v1alpha1
kind: EgressRoute
metadata: { name: pods }
spec:
  at: { hosts: [router] }
  from: { cidrs: [10.244.1.0/24, "fd00:1::/64"] }
  via: { interface: wg0 }
  except: [192.168.1.0/24, "fd00:2::/64"]
`;
  await lab.run(['tee', documents], { stdin: `${hostDocuments(['node', 'router'])}${route}` });
});
afterAll(async () => lab[Symbol.asyncDispose]());

const healthy = async (): Promise<void> => {
  await on(lab, 'node', NODE_FIREWALL);
  await on(lab, 'router', `${NO_RULES}\n${FIREWALL}\n${TABLE}\n${RULES}\nconntrack -F 2>/dev/null`);
};

interface Promised {
  readonly promise: string;
  readonly holds: boolean | 'undecided';
  readonly reason?: string;
}

/** What is promised of the pods, as `verify --live` says it. */
async function verified(...more: readonly string[]): Promise<readonly Promised[]> {
  const argv = [
    process.execPath,
    sallyportPath,
    'verify',
    '-f',
    documents,
    '-o',
    'json',
    ...(more.length > 0 ? more : ['--live']),
  ];
  const { stdout, stderr } = await lab.run(argv, { allowFailure: true, timeoutMs: 60_000 });
  if (stdout === '') throw new Error(stderr);
  const { promises } = JSON.parse(stdout);
  return promises.filter(({ resource }: { readonly resource: string }) => resource === 'EgressRoute/pods');
}

const broken = (promises: readonly Promised[]): readonly string[] =>
  promises.flatMap(({ holds, promise, reason }) =>
    holds === true ? [] : [`${String(holds)}: ${promise.replace(/^its (IPv\d) sources.*, /, '$1 ')}: ${reason}`],
  );

type Protocol = 'tcp' | 'udp';
const send = (protocol: Protocol, family: 4 | 6, sourcePort: number) =>
  lab.connect('pod', { protocol, to: SERVER[family], port: 443, sourcePort, timeoutMs: 400 });

/** What of the pods is seen on the WAN while `work` runs, the tunnel's own packets left out. */
async function onWan(work: () => Promise<unknown>): Promise<readonly string[]> {
  await using capture = await lab.capture(
    'internet',
    'r0',
    `not port 51820 and (dst host ${SERVER[4]} or dst host ${SERVER[6]})`,
  );
  await work();
  const packets = await capture.stop();
  return [...new Set(packets.map(({ protocol, source }) => `${protocol} from ${source}`))];
}

let port = 20_000;
const sendAll = async (): Promise<void> => {
  for (const family of [4, 6] as const)
    for (const protocol of ['tcp', 'udp'] as const) await send(protocol, family, port++);
};
const down = () => on(lab, 'router', 'ip link set dev wg0 down');
const up = () =>
  onTunnel(lab, 'router', `ip link set dev wg0 up; ip -6 addr replace fd02::2/64 dev wg0 nodad; ${TABLE}`);

describe('by hand', () => {
  afterEach(healthy);

  test('healthy: proven in every state of the tunnel, and nothing is seen on the WAN in any', async () => {
    const promises = await verified();
    expect(broken(promises)).toEqual([]);
    expect(promises.map(({ promise }) => promise)).toEqual(
      ([4, 6] as const).flatMap((family) =>
        ['while wg0 is up', 'while the far end of wg0 is silent', 'while wg0 is down', 'once wg0 is gone'].map(
          (when) => `its IPv${family} sources leave by wg0 of router alone, or not at all, ${when}`,
        ),
      ),
    );
    expect((await send('tcp', 4, port++)).ok).toBe(true);
    expect((await send('udp', 6, port++)).ok).toBe(true);
    expect(await onWan(sendAll)).toEqual([]);
    await onTunnel(lab, 'provider', 'ip link set dev wgp down');
    expect(await onWan(sendAll)).toEqual([]);
    await onTunnel(lab, 'provider', 'ip link set dev wgp up; ip -6 addr replace fd02::1/64 dev wgp nodad');
    await down();
    expect(await onWan(sendAll)).toEqual([]);
    await on(lab, 'router', 'ip link del dev wg0');
    expect(await onWan(sendAll)).toEqual([]);
    expect(broken(await verified())).toEqual([]);
    await connect();
  });

  interface Variant {
    readonly make: () => Promise<unknown>;
    /** What becomes of the tunnel before the packets are sent. */
    readonly befalls?: () => Promise<unknown>;
    readonly back?: () => Promise<unknown>;
    readonly says: readonly RegExp[];
    readonly seen: readonly string[];
  }
  const router = (script: string) => () => on(lab, 'router', script);

  test.each<[string, Variant]>([
    [
      'no blackhole: the ordinary routes take over once the tunnel is down',
      {
        make: router(
          'ip route del blackhole default table 100; ip -6 route del blackhole default table 100 metric 4294967295',
        ),
        befalls: down,
        back: up,
        says: [
          /^false: IPv4 while wg0 is down: 10\.244\.1\.\d+:\d+ → 203\.0\.113\.77:\d+\/tcp: leaves router by wan0 .*: rule 32766: from all lookup main.*default via 198\.51\.100\.1 dev wan0.*; what would help: ip -4 route add blackhole default table 100 metric 4294967295$/,
          /^false: IPv4 once wg0 is gone/,
          /^false: IPv6 while wg0 is down: .*ip -6 route add blackhole default table 100 metric 4294967295$/,
          /^false: IPv6 once wg0 is gone/,
        ],
        seen: ['tcp from 198.51.100.2', 'udp from 198.51.100.2', 'tcp from 2001:db8:1::2', 'udp from 2001:db8:1::2'],
      },
    ],
    [
      'no rule for IPv6: it leaves directly, tunnel or not',
      {
        make: router('ip -6 rule del lookup 100'),
        says: [
          /^false: IPv6 while wg0 is up: .*what would help: ip -6 rule add from fd00:1::\/64 lookup 100 priority 1000$/,
          ...[/silent/, /is down/, /is gone/].map((state) => new RegExp(`^false: IPv6 .*${state.source}`)),
        ],
        seen: ['tcp from 2001:db8:1::2', 'udp from 2001:db8:1::2'],
      },
    ],
    [
      'a rule behind main: it is never asked',
      {
        make: router('ip rule del lookup 100; ip rule add from 10.244.1.0/24 lookup 100 priority 40000'),
        says: [
          /^false: IPv4 while wg0 is up: .*rule 32766: from all lookup main.*what would help: ip -4 rule add from 10\.244\.1\.0\/24 lookup 100 priority 1000$/,
          ...[/silent/, /is down/, /is gone/].map((state) => new RegExp(`^false: IPv4 .*${state.source}`)),
        ],
        seen: ['tcp from 198.51.100.2', 'udp from 198.51.100.2'],
      },
    ],
    [
      'the node hides its pods before it spares them: the router sees the node',
      {
        make: () => on(lab, 'node', 'iptables -t nat -I POSTROUTING -s 10.244.1.0/24 -o eth0 -j MASQUERADE'),
        says: [
          /^false: IPv4 while wg0 is up: .*leaves router by wan0 .*what would help: on node: iptables -t nat -I POSTROUTING -s 10\.244\.1\.0\/24 -j ACCEPT$/,
          ...[/silent/, /is down/, /is gone/].map((state) => new RegExp(`^false: IPv4 .*${state.source}`)),
        ],
        seen: ['tcp from 198.51.100.2', 'udp from 198.51.100.2'],
      },
    ],
    [
      'marked by protocol: what is not TCP is forgotten',
      {
        make: router(`ip rule del lookup 100; ip rule add fwmark 0x64 lookup 100 priority 1000
iptables -t mangle -A PREROUTING -s 10.244.1.0/24 -p tcp -j MARK --set-mark 0x64`),
        says: [
          /^false: IPv4 while wg0 is up: \S+ → \S+\/udp: leaves router by wan0/,
          ...[/silent/, /is down/, /is gone/].map((state) => new RegExp(`^false: IPv4 .*${state.source}`)),
        ],
        seen: ['udp from 198.51.100.2'],
      },
    ],
  ])('%s', async (_, { make, befalls, back, says, seen }) => {
    await make();
    const found = broken(await verified());
    expect(found).toEqual(says.map((each) => expect.stringMatching(each)));
    await befalls?.();
    expect([...(await onWan(sendAll))].sort()).toEqual([...seen].sort());
    await back?.();
  });

  test('a kill switch behind "established": what was open goes on in the open', async () => {
    const rules = `iptables -t nat -F; iptables -t nat -A POSTROUTING -o wg0 -j SNAT --to-source 10.2.0.2
iptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A FORWARD -s 10.244.1.0/24 -o wan0 -j DROP
ip route del blackhole default table 100`;
    await on(lab, 'router', rules);
    expect(broken(await verified())).toEqual(
      [/while wg0 is down/, /once wg0 is gone/].map((state) =>
        expect.stringMatching(
          new RegExp(`^false: IPv4 ${state.source}: .*of a connection that was opened before, leaves router by wan0`),
        ),
      ),
    );
    const held = port++;
    expect((await send('udp', 4, held)).ok).toBe(true);
    await down();
    expect(await onWan(() => send('udp', 4, held))).toEqual(['udp from 10.2.0.2']);
    expect(await onWan(() => send('udp', 4, port++))).toEqual([]);
    await up();
  });

  test('from a bundle of each host it is judged the same, and plan says still that it is not there yet', async () => {
    await on(lab, 'router', 'ip -6 rule del lookup 100');
    const collector = (await lab.run([process.execPath, sallyportPath, 'doctor', '--collect'])).stdout;
    for (const host of ['node', 'router'])
      await lab.host(host).run(['sh', '-c', `sh -s >/run/${host}.bundle`], { stdin: collector });
    const bundles = ['node', 'router'].flatMap((host) => ['--bundle', `${host}=/run/${host}.bundle`]);
    expect(broken(await verified(...bundles))[0]).toMatch(/^false: IPv6 while wg0 is up: .*leaves router by wan0/);
    const { status, stderr } = await lab.run([process.execPath, sallyportPath, 'plan', '-f', documents], {
      allowFailure: true,
    });
    expect([status, stderr]).toEqual([2, expect.stringMatching(/not yet supported: kind EgressRoute/)]);
  });
});
