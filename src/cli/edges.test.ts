/** Several edges before one node: each answer leaves by the edge its question came by, also where both edges carry one 5-tuple. */
import { expect, test } from 'vitest';
import { type HostSpec, startLab, type Topology } from '../lab/index.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const EDGES = ['198.51.100.10', '203.0.113.10'] as const;

/**
 * PROTOCOL PORT ADDRESS...: asks all addresses at once from that one port, which Node does not do, and prints each answer.
 * By UDP it asks again after a second: one of two first datagrams that reach the node in the same instant may get lost.
 */
const FROM_ONE_PORT = `
use Socket;
my ($protocol, $port, @to) = @ARGV;
my @sockets = map {
  socket(my $s, PF_INET, $protocol eq 'tcp' ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!";
  setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) or die "reuse: $!";
  bind($s, pack_sockaddr_in($port, inet_aton('192.0.2.10'))) or die "bind: $!";
  connect($s, pack_sockaddr_in(80, inet_aton($_))) or die "$_: $!";
  $s
} @to;
send($sockets[$_], "to $to[$_]\\n", 0) for 0..$#to;
alarm 10;
for my $i (0..$#to) {
  for (1..5) {
    vec(my $ready = '', fileno($sockets[$i]), 1) = 1;
    last if select($ready, undef, undef, 1);
    send($sockets[$i], "to $to[$i]\\n", 0) if $protocol eq 'udp';
  }
  recv($sockets[$i], my $answer, 4096, 0); $answer =~ s/\\s+$//; print "$answer\\n"
}
`;

const host = (name: string, via: string, sysctls: HostSpec['sysctls'] = {}): HostSpec => ({
  name,
  routes: [{ to: 'default', via }],
  sysctls,
});

/** client, two edges and a node, each by a network of its own on the Internet's one router. */
const network = (rpFilter: string): Topology => ({
  name: 'two-edges',
  hosts: [
    host('client', '192.0.2.1'),
    // As every carrier with addresses of 100.64.0.0/10 does; unhidden, the tunnel's own packets would follow the route to the target into it.
    {
      name: 'internet',
      sysctls: { 'net.ipv4.ip_forward': '1' },
      nft: `table ip carrier {
  chain post { type nat hook postrouting priority 100; ip saddr 100.64.0.20 masquerade; }
}`,
    },
    host('edge0', '198.51.100.1'),
    host('edge1', '203.0.113.1'),
    host('node', '100.64.0.1', { 'net.ipv4.conf.all.rp_filter': rpFilter }),
  ],
  switches: [],
  cables: (
    [
      ['client', '192.0.2.10/24', '192.0.2.1/24'],
      ['edge0', '198.51.100.10/24', '198.51.100.1/24'],
      ['edge1', '203.0.113.10/24', '203.0.113.1/24'],
      ['node', '100.64.0.20/24', '100.64.0.1/24'],
    ] as const
  ).map(([at, own, far], index) => ({
    ends: [
      { at, interface: 'eth0', addresses: [own] },
      { at: 'internet', interface: `net${index}`, addresses: [far] },
    ],
  })),
});

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

const DOCUMENTS = [
  ...['edge0', 'edge1', 'node'].map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
  ...EDGES.map((address, index) =>
    resource(
      'Tunnel',
      `t${index}`,
      `{ type: WireGuard, ends: [{ host: edge${index}, addresses: [10.90.${index}.1/30], endpoint: "${address}:51820" }, { host: node, addresses: [10.90.${index}.2/30] }] }`,
    ),
  ),
  resource(
    'PortForward',
    'both',
    '{ at: { hosts: [edge0, edge1] }, ports: [{ protocol: TCP, port: 80 }, { protocol: UDP, port: 80 }], to: [{ host: node }] }',
  ),
].join('---\n');

for (const rpFilter of ['0', '1', '2'])
  test(`a client is answered by both edges at once from one port of its own, with rp_filter ${rpFilter} on the node`, async () => {
    await using lab = await startLab(network(rpFilter));
    const before = new Map<string, string>();
    for (const name of ['edge0', 'edge1', 'node']) before.set(name, await lab.dump(name));
    const sallyport = (...args: readonly string[]) =>
      lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: DOCUMENTS,
        allowFailure: true,
        timeoutMs: 60_000,
      });
    const applied = await sallyport('apply', '--yes');
    expect(applied, applied.stderr).toMatchObject({ status: 0 });
    await waitFor('both tunnels up', async () => (await sallyport('status')).status === 0);
    await lab.serve('node', { protocol: 'tcp', port: 80 });
    await using server = await lab.serve('node', { protocol: 'udp', port: 80 });
    for (const protocol of ['tcp', 'udp'])
      for (const sourcePort of ['40001', '40002', '40003']) {
        const { stdout } = await lab.host('client').run(['perl', '-e', FROM_ONE_PORT, protocol, sourcePort, ...EDGES]);
        const seen = stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
        expect(seen).toMatchObject(EDGES.map((to) => ({ client: { address: '192.0.2.10' }, payload: `to ${to}` })));
      }
    expect((await server.report()).length).toBeGreaterThanOrEqual(6);
    expect((await sallyport('destroy', '--yes')).status).toBe(0);
    for (const [name, dump] of before) expect(await lab.dump(name), name).toBe(dump);
  });
