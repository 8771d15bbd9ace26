/** `tracking: Stateless`: everything of the path, and no connection on the edge. */
import { describe, expect, test } from 'vitest';
import { type Lab, type SlimEdgeOptions, slimEdge } from '../lab/index.ts';
import { FLOOD, FLOOD_SIZE } from './testdata/flood.ts';
import { DIRECT, documents, PORTS, type Story, startStory, WIREGUARD, waitFor } from './testdata/story.ts';

const EDGE = { 4: '198.51.100.10', 6: '2001:db8:e::10' } as const;
const CLIENT = { 4: '192.0.2.10', 6: '2001:db8:c::10' } as const;

const VXLAN = `type: VXLAN
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: 172.31.0.1 }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"], endpoint: 172.31.0.2 }`;

const stateless = (forward: string, tunnel = WIREGUARD, at = '{ hosts: [edge] }'): string =>
  documents({ tunnel, at, forward: `tracking: Stateless\n  ${forward}` });
const TO_NODE = `${PORTS}\n  to: [{ host: node }]`;
const another = (name: string, spec: string): string =>
  `---\napiVersion: sallyport.dev/v1alpha1\nkind: PortForward\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

const start = (options: SlimEdgeOptions = {}): Promise<Story> =>
  startStory(slimEdge({ privateLink: true, ...options }));

/** What a host tracks that has to do with the client. */
async function tracked(lab: Lab, host: string): Promise<readonly string[]> {
  const lists = await Promise.all(
    ['ipv4', 'ipv6'].map(async (family) => (await lab.host(host).run(['conntrack', '-L', '-f', family])).stdout),
  );
  return lists
    .join('\n')
    .split('\n')
    .filter((line) => line.includes(`src=${CLIENT[4]} `) || line.includes(`src=${CLIENT[6]} `));
}

const ASKED = [
  ['tcp', 80, 8080],
  ['udp', 53, 5353],
  ['udp', 30_000, 30_000],
  ['udp', 30_100, 30_100],
  ['tcp', 2002, 3002],
] as const;

/** From a port that sends datagrams without a checksum (socket(7), SO_NO_CHECK): ADDRESS PORT. */
const UNSUMMED = `
use Socket qw(:all);
my ($to, $port) = @ARGV;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
setsockopt($s, SOL_SOCKET, 11, pack('i', 1)) or die "SO_NO_CHECK: $!";
connect($s, pack_sockaddr_in($port, inet_aton($to))) or die;
send($s, 'bare', 0) or die;
vec(my $ready = '', fileno($s), 1) = 1;
select($ready, undef, undef, 3) or exit 1;
recv($s, my $answer, 4096, 0); print $answer;
`;

describe('every port is served, the client is seen, and only the node tracks', () => {
  for (const [name, tunnel] of [
    ['WireGuard', WIREGUARD],
    ['VXLAN', VXLAN],
    ['Direct', DIRECT],
  ] as const)
    test(name, async () => {
      await using story = await start();
      const { lab } = story;
      const text = stateless(TO_NODE, tunnel);
      await story.apply(text);
      for (const [protocol, , port] of ASKED) await lab.serve('node', { protocol, port });
      for (const family of [4, 6] as const)
        for (const [protocol, port] of ASKED) {
          // Direct aims at another address than the node answers from by itself: a server for datagrams there has to know (verify says so).
          if (tunnel === DIRECT && protocol === 'udp') continue;
          const asked = { protocol, to: EDGE[family], port, payload: protocol };
          expect([port, await story.ask('client', asked)]).toEqual([port, `seen from ${CLIENT[family]}`]);
        }
      expect(await tracked(lab, 'edge')).toEqual([]);
      expect((await tracked(lab, 'node')).length).toBeGreaterThanOrEqual(tunnel === DIRECT ? 4 : 10);
      if (tunnel !== DIRECT) {
        // More than one packet, and one whose checksum was left out.
        const long = { protocol: 'udp', port: 53, payload: 'x'.repeat(4_000) } as const;
        // Pieces that fit the tunnel: that they do not, the edge says to a client who cannot tell of what.
        await lab
          .host('client')
          .run(['ip', '-6', 'route', 'replace', 'default', 'via', '2001:db8:c::1', 'mtu', '1280']);
        for (const family of [4, 6] as const)
          expect(await story.ask('client', { ...long, to: EDGE[family] })).toBe(`seen from ${CLIENT[family]}`);
        const { stdout } = await lab.host('client').run(['perl', '-e', UNSUMMED, EDGE[4], '53']);
        expect(JSON.parse(stdout)).toMatchObject({ client: { address: CLIENT[4] }, payload: 'bare' });
        expect(await tracked(lab, 'edge')).toEqual([]);
      }
      for (const family of [4, 6] as const) {
        const long = { protocol: 'tcp', port: 80, payload: 'x'.repeat(300_000) } as const;
        expect(await story.ask('client', { ...long, to: EDGE[family] })).toBe(`seen from ${CLIENT[family]}`);
      }
      expect((await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text)).status).toBe(0);
      await story.destroy(text);
    });
});

test('beside forwards that are tracked, to one node, in any order of coming and going', async () => {
  await using story = await start({ edgeAddresses: 2 });
  const { lab } = story;
  const kept = another('kept', '{ at: { hosts: [edge] }, ports: [{ protocol: TCP, port: 81 }], to: [{ host: node }] }');
  const at = (address: string) => `{ hosts: [edge], addresses: [${address}] }`;
  const one = (port: number) => `ports: [{ protocol: TCP, port: 80, targetPort: ${port} }]\n  to: [{ host: node }]`;
  // Two public addresses: told apart by the port of the target.
  const first = stateless(one(8080), WIREGUARD, at('198.51.100.10'));
  const second = another(
    'second',
    `{ tracking: Stateless, at: ${at('198.51.100.11')}, ports: [{ protocol: TCP, port: 80, targetPort: 9090 }], to: [{ host: node }] }`,
  );
  for (const port of [81, 8080, 9090]) await lab.serve('node', { protocol: 'tcp', port });
  const ask = (to: string, port: number) => story.ask('client', { protocol: 'tcp', to, port, timeoutMs: 5_000 });
  await story.apply(first + kept + second);
  for (const [to, port] of [
    ['198.51.100.10', 80],
    ['198.51.100.11', 80],
    ['198.51.100.10', 81],
    [EDGE[6], 81],
  ] as const)
    expect(await ask(to, port)).toBe(`seen from ${CLIENT[to === EDGE[6] ? 6 : 4]}`);
  expect((await tracked(lab, 'edge')).filter((line) => !line.includes('dport=81 '))).toEqual([]);
  // From tracked to not, and back: who is connected stays connected.
  const stateful = (first + kept).replace('tracking: Stateless', 'tracking: Stateful');
  await story.apply(stateful);
  await using held = await lab.holdFlows('client', { protocol: 'tcp', to: EDGE[4], port: 80, count: 5 });
  for (const text of [first + kept, stateful]) {
    await story.apply(text);
    const { echoes } = await held.report();
    await waitFor('an echo of each connection', async () => (await held.report()).echoes >= echoes + 10);
    expect(await held.report()).toMatchObject({ open: 5, lost: 0 });
  }
  await story.destroy(stateful);
});

test('two public addresses that lead to one port are refused, with both named, and so is a leased address', async () => {
  await using story = await start({ edgeAddresses: 2 });
  const one = 'ports: [{ protocol: TCP, port: 80, targetPort: 8080 }]\n  to: [{ host: node }]';
  const refused = await story.sallyport(['plan', '-f', '-'], stateless(one));
  expect(refused.status).toBe(2);
  expect(refused.stderr).toContain(
    'PortForward services (198.51.100.10 80) and PortForward services (198.51.100.11 80) both lead edge to 192.168.1.20 tcp 8080',
  );
  const beside = another(
    'kept',
    '{ at: { hosts: [edge], addresses: [198.51.100.11] }, ports: [{ protocol: TCP, port: 8000-9000 }], to: [{ host: node }] }',
  );
  const named = stateless(one, WIREGUARD, '{ hosts: [edge], addresses: [198.51.100.10] }');
  const meets = await story.sallyport(['plan', '-f', '-'], named + beside);
  expect(meets.stderr).toMatch(/PortForward kept \(198\.51\.100\.11 8000-9000\) .* to 192\.168\.1\.20 tcp 8080/);
  await using leased = await start({ edgeDynamic: true });
  const unknown = await leased.sallyport(['plan', '-f', '-'], stateless(one));
  expect(unknown).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/spec\.tracking: 198\.51\.100\.10 on eth0 of edge is leased/),
  });
});

test('allow is asked of every packet, to the last address', async () => {
  await using story = await start();
  const { lab } = story;
  await lab.host('client').run(['ip', 'addr', 'add', '192.0.2.13/25', 'dev', 'eth0']);
  const one = (allow: string) =>
    stateless(`ports: [{ protocol: TCP, port: 80, targetPort: 8080 }]\n  to: [{ host: node }]\n  allow: [${allow}]`);
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await story.apply(one('192.0.2.10/31'));
  const ask = (sourceAddress: string, to: string = EDGE[4]) =>
    story.ask('client', { protocol: 'tcp', to, port: 80, sourceAddress, timeoutMs: 700 });
  expect(await ask('192.0.2.10')).toBe('seen from 192.0.2.10');
  expect(await ask('192.0.2.13')).toBe('timeout');
  expect(await ask(CLIENT[6], EDGE[6])).toBe('timeout');
  await using held = await lab.holdFlows('client', { protocol: 'tcp', to: EDGE[4], port: 80, count: 2 });
  expect(await held.report()).toMatchObject({ open: 2 });
  const less = one('192.0.2.12/31, "::/0"');
  await story.apply(less);
  expect(await ask('192.0.2.13')).toBe('seen from 192.0.2.13');
  expect(await ask(CLIENT[6], EDGE[6])).toBe(`seen from ${CLIENT[6]}`);
  await waitFor('those no longer allowed are cut off', async () => (await held.report()).lost === 2);
  await story.destroy(less);
});

test('a forward that moves takes every flow along: datagrams go on, TCP ends', async () => {
  await using story = await start({ pod: true });
  const { lab } = story;
  // Both are made ready; the order says which is taken.
  const to = (...targets: readonly string[]) =>
    stateless(
      `ports: [{ protocol: TCP, port: 80, targetPort: 8080 }, { protocol: UDP, port: 53, targetPort: 5353 }]\n  to: [${targets.join(', ')}]`,
      WIREGUARD,
      `{ hosts: [edge], addresses: [${EDGE[4]}] }`,
    );
  const [own, pod] = ['{ host: node }', '{ host: node, address: 10.42.0.10 }'];
  for (const host of ['node', 'pod']) {
    await lab.serve(host, { protocol: 'tcp', port: 8080 });
    await lab.serve(host, { protocol: 'udp', port: 5353 });
  }
  await story.apply(to(own, pod));
  const options = { to: EDGE[4], count: 3, timeoutMs: 3_000 } as const;
  await using tcp = await lab.holdFlows('client', { ...options, protocol: 'tcp', port: 80 });
  await using udp = await lab.holdFlows('client', { ...options, protocol: 'udp', port: 53 });
  const moved = to(pod, own);
  await story.apply(moved);
  await waitFor('TCP connections are reset by the new target', async () => (await tcp.report()).lost === 3);
  const { echoes } = await udp.report();
  await waitFor('echoes of the datagrams', async () => (await udp.report()).echoes >= echoes + 6);
  expect(await udp.report()).toMatchObject({ open: 3, lost: 0 });
  expect(await story.ask('client', { protocol: 'tcp', to: EDGE[4], port: 80 })).toBe(`seen from ${CLIENT[4]}`);
  expect(await tracked(lab, 'edge')).toEqual([]);
  await story.destroy(moved);
});

test(`${FLOOD_SIZE} invented clients leave nothing on the edge`, async () => {
  await using story = await start();
  const { lab } = story;
  const text = stateless('ports: [{ protocol: TCP, port: 80, targetPort: 8080 }]\n  to: [{ host: node }]', DIRECT);
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  await story.apply(text);
  const count = async (host: string) => Number((await lab.host(host).run(['conntrack', '-C'])).stdout);
  const before = await count('edge');
  await lab.host('client').run(['perl', '-e', FLOOD, EDGE[4], '80', String(FLOOD_SIZE)], { timeoutMs: 60_000 });
  expect(await count('edge')).toBeLessThanOrEqual(before + 2);
  // They did come by.
  expect(await count('node')).toBeGreaterThan(FLOOD_SIZE / 3);
  await lab.host('node').run(['conntrack', '-F']);
  expect(await story.ask('client', { protocol: 'tcp', to: EDGE[4], port: 80 })).toBe(`seen from ${CLIENT[4]}`);
  await story.destroy(text);
});

/** SOURCE SOURCEPORT TO PORT: a datagram. */
const SEND = `
use Socket qw(:all);
my ($source, $from, $to, $port) = @ARGV;
my $v6 = $to =~ /:/;
my $pack = sub { $v6 ? pack_sockaddr_in6($_[1], inet_pton(AF_INET6, $_[0])) : pack_sockaddr_in($_[1], inet_pton(AF_INET, $_[0])) };
socket(my $s, $v6 ? PF_INET6 : PF_INET, SOCK_DGRAM, 0) or die;
bind($s, $pack->($source, $from)) or die "bind: $!";
send($s, "from $from", 0, $pack->($to, $port)) or die "send: $!";
`;
/** TO PORT: the second half of a datagram, as if the first had come. */
const FRAGMENT = `
use Socket;
my ($to, $port) = @ARGV;
socket(my $raw, PF_INET, SOCK_RAW, 255) or die;
my $data = pack('nnnn', 40000, $port, 24, 0) . 'x' x 16;
my $packet = pack('CCnnnCCn', 0x45, 0, 44, 7, 1, 64, 17, 0) . inet_aton('192.0.2.10') . inet_aton($to) . $data;
send($raw, $packet, 0, pack_sockaddr_in(0, inet_aton($to))) or die;
`;

describe('the tunnel is no side door', () => {
  test('a neighbour of the edge reaches nothing but what is forwarded, nor do stray fragments', async () => {
    await using story = await startStory(slimEdge(), async (lab) => {
      for (const setting of ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'])
        await lab.host('edge').run(['sysctl', '-w', setting]);
    });
    const { lab } = story;
    await story.apply(stateless(TO_NODE));
    for (const port of [22, 8080]) await lab.serve('node', { protocol: 'tcp', port });
    await lab.serve('node', { protocol: 'udp', port: 5353 });
    const neighbour = lab.host('neighbour');
    await neighbour.run(['ip', 'route', 'add', '192.168.1.0/24', 'via', EDGE[4]]);
    await neighbour.run(['ip', '-6', 'route', 'add', '2001:db8:1::/64', 'via', EDGE[6]]);
    for (const [protocol, to, port] of [
      ['tcp', '192.168.1.20', 8080],
      ['tcp', '192.168.1.20', 22],
      ['tcp', '2001:db8:1::20', 8080],
      ['udp', '192.168.1.20', 5353],
    ] as const)
      expect(await story.ask('neighbour', { protocol, to, port, timeoutMs: 500 })).not.toMatch(/^seen/);
    expect(await story.ask('neighbour', { protocol: 'tcp', to: EDGE[4], port: 80 })).toBe('seen from 198.51.100.99');
    // One that speaks as the target, by another link.
    await neighbour.run(['ip', 'address', 'add', '192.168.1.20/32', 'dev', 'lo']);
    await neighbour.run(['ip', 'route', 'add', CLIENT[4], 'via', EDGE[4]]);
    await using atClient = await lab.capture('client', 'eth0', 'udp and port 7777');
    await neighbour.run(['perl', '-e', SEND, '192.168.1.20', '30050', CLIENT[4], '7777']);
    await using capture = await lab.capture('edge', 'sp-wg51820', 'ip[6:2] & 0x1fff != 0');
    await lab.host('client').run(['perl', '-e', FRAGMENT, EDGE[4], '30000']);
    await lab.host('client').run(['perl', '-e', FRAGMENT, '192.168.1.20', '30000'], { allowFailure: true });
    expect(await story.ask('client', { protocol: 'udp', to: EDGE[4], port: 53 })).toBe(`seen from ${CLIENT[4]}`);
    expect(await capture.stop()).toEqual([]);
    expect((await atClient.stop()).filter(({ source }) => source === EDGE[4])).toEqual([]);
  });

  test('a node taken over speaks from its declared ports, to the Internet, and that is all', async () => {
    await using story = await start();
    const { lab } = story;
    await story.apply(stateless(TO_NODE));
    const node = lab.host('node');
    for (const table of ['sallyport']) await node.run(['nft', 'delete', 'table', 'inet', table]);
    const mine = { 4: '192.168.1.20', 6: '2001:db8:1::20' } as const;
    for (const [family, to] of [
      [4, CLIENT[4]],
      [4, '172.31.0.9'],
      [6, CLIENT[6]],
      [6, EDGE[6]],
      [6, 'fd31::9'],
    ] as const)
      await node.run(['ip', `-${family}`, 'route', 'replace', to, 'dev', 'sp-edge-node']);
    await using atClient = await lab.capture('client', 'eth0', 'udp and port 7777');
    await using atLan = await lab.capture('node', 'priv0', 'udp and port 7777');
    await using server = await lab.serve('edge', { protocol: 'udp', port: 7777 });
    const send = (family: 4 | 6, from: number, to: string) =>
      node.run(['perl', '-e', SEND, mine[family], String(from), to, '7777']);
    for (const family of [4, 6] as const) {
      for (const from of [5354, 53, 2000]) await send(family, from, CLIENT[family]);
      for (const from of [5353, 30_050]) await send(family, from, family === 4 ? '172.31.0.9' : 'fd31::9');
      for (const from of [30_050]) await send(family, from, CLIENT[family]);
    }
    await send(4, 30_050, '10.90.0.1');
    await send(6, 30_050, EDGE[6]);
    await send(4, 5353, CLIENT[4]);
    // One that comes after all of them.
    await lab.serve('client', { protocol: 'udp', port: 7777 });
    expect(await story.ask('neighbour', { protocol: 'udp', to: CLIENT[4], port: 7777 })).toMatch(/^seen/);
    const came = (await atClient.stop()).map(({ source, sourcePort }) => `${source} ${sourcePort}`);
    const declared = [`${EDGE[4]} 30050`, `${EDGE[4]} 53`, `${EDGE[6]} 30050`];
    expect(came.filter((each) => !each.startsWith('198.51.100.99 ') && !each.startsWith(CLIENT[4])).sort()).toEqual(
      declared.sort(),
    );
    expect(await atLan.stop()).toEqual([]);
    expect(await server.report()).toEqual([]);
  });
});

test('an ICMP error from beyond does not reach the node: the MTU of the tunnel is set to the narrowest path instead', async () => {
  await using story = await start();
  const { lab } = story;
  await lab.host('internet').run(['ip', 'link', 'set', 'client0', 'mtu', '1300']);
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  const text = (more: string) =>
    stateless('ports: [{ protocol: TCP, port: 80, targetPort: 8080 }]\n  to: [{ host: node }]', `${WIREGUARD}${more}`);
  const long = { protocol: 'tcp', port: 80, payload: 'x'.repeat(20_000), timeoutMs: 1_500 } as const;
  await story.apply(text(''));
  expect(await story.ask('client', { ...long, payload: 'short', to: EDGE[4] })).toBe(`seen from ${CLIENT[4]}`);
  expect(await story.ask('client', { ...long, to: EDGE[4] })).toBe('timeout');
  const narrow = text('\n  mtu: 1300');
  await story.apply(narrow);
  for (const family of [4, 6] as const)
    expect(await story.ask('client', { ...long, to: EDGE[family] })).toBe(`seen from ${CLIENT[family]}`);
  await story.destroy(narrow);
});
