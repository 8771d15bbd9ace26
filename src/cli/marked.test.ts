/**
 * Issue "slim edge", many edges: a node on which others mark packets by their defaults. Each answer leaves by its own edge, and what the others
 * mark is routed, translated and judged by them as before.
 */
import { describe, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { DOCKER_28 } from './testdata/firewalls.ts';
import { KUBE_PROXY } from './testdata/kube-proxy.ts';
import { calico, cilium, TAILSCALE } from './testdata/markers.ts';
import { applyTwo, expectByOwnEdge, forward, HOSTS, hostBy, sallyportIn, twoEdges } from './testdata/two-edges.ts';

/** One machine with all pods of kube-proxy's corpus, by the link that its network gives it; and another of the tailnet. */
const network = (link: string, peer: boolean): Topology =>
  twoEdges('marked', {
    hosts: [
      hostBy('pod', ['10.244.1.1', 'fd00:244::1']),
      ...(peer ? [hostBy('peer', ['100.101.102.103', 'fd7a:115c:a1e0::1'])] : []),
    ],
    cables: [
      {
        ends: [
          {
            ...{ at: 'node', interface: link },
            addresses: ['10.244.1.1/24', '10.244.2.1/24', 'fd00:244::1/64', 'fd00:245::1/64'],
          },
          {
            ...{ at: 'pod', interface: 'eth0' },
            addresses: [
              '10.244.1.5/24',
              '10.244.1.6/24',
              '10.244.2.5/24',
              'fd00:244::5/64',
              'fd00:244::6/64',
              'fd00:245::5/64',
            ],
          },
        ],
      },
      ...(peer
        ? [
            {
              ends: [
                { at: 'node', interface: 'tailscale0', addresses: ['100.101.102.103/32', 'fd7a:115c:a1e0::1/128'] },
                { at: 'peer', interface: 'eth0', addresses: ['100.90.0.9/10', 'fd7a:115c:a1e0::9/48'] },
              ],
            } as const,
          ]
        : []),
    ],
  });

const FORWARDS: readonly string[] = [
  forward('own', '{ protocol: TCP, port: 80 }, { protocol: UDP, port: 53 }'),
  forward(
    'pod4',
    '{ protocol: TCP, port: 81, targetPort: 8080 }, { protocol: UDP, port: 5353 }',
    ', address: 10.244.1.5',
  ),
  forward(
    'pod6',
    '{ protocol: TCP, port: 81, targetPort: 8080 }, { protocol: UDP, port: 5353 }',
    ', address: "fd00:244::5"',
  ),
];
/** web-local and dns of the corpus. */
const NODE_PORTS = forward(
  'nodeport',
  '{ protocol: TCP, port: 82, targetPort: 30080 }, { protocol: UDP, port: 82, targetPort: 30053 }',
);

const seenFrom = async (lab: Lab, host: string, to: string, port: number): Promise<string> => {
  const result = await lab.connect(host, { protocol: 'tcp', to, port, timeoutMs: 2_000 });
  return result.ok ? `seen from ${result.saw?.client.address}` : result.error;
};

/** Where the node sends what bears this mark: the link, and the table that says so. */
const wayOf = async (lab: Lab, to: string, mark: number): Promise<string> => {
  const { stdout } = await lab.host('node').run(['ip', '-j', 'route', 'get', to, 'mark', String(mark)]);
  const [{ dev, table, type }] = JSON.parse(stdout);
  return [dev, table, type].filter((each) => each !== undefined).join(' ');
};

/** kube-proxy: what it marks 0x4000 is masqueraded, asked from outside by a NodePort with policy Cluster. */
async function expectMasquerade(lab: Lab): Promise<void> {
  for (const [to, node] of [
    ['192.168.1.20', /^seen from 10\.244\.[12]\.1$/],
    ['fd00:1::20', /^seen from fd00:24[45]::1$/],
  ] as const)
    expect(await seenFrom(lab, 'internet', to, 30081)).toMatch(node);
}

/** The pods answer as PODS, and are asked from the Internet past every edge by routes for them. */
async function expectPolicy(lab: Lab): Promise<void> {
  await lab.host('internet').run(['ip', 'route', 'replace', '10.244.0.0/16', 'via', '192.168.1.20']);
  await lab.serve('pod', { protocol: 'tcp', port: 9999 });
  expect(await seenFrom(lab, 'client', '10.244.1.5', 8080)).toBe('seen from 192.0.2.10');
  expect(await seenFrom(lab, 'client', '10.244.1.5', 9999)).toBe('timeout');
  // Natural outgoing NAT: of the node, and so of the router before it.
  await lab.serve('client', { protocol: 'tcp', port: 8080 });
  expect(await seenFrom(lab, 'pod', '192.0.2.10', 8080)).toBe('seen from 192.0.2.1');
}

async function expectTailnet(lab: Lab): Promise<void> {
  await lab.serve('client', { protocol: 'tcp', port: 8080 });
  await lab.serve('node', { protocol: 'tcp', port: 8080 });
  // As a subnet router: 0x40000 is masqueraded, or the client would see 100.90.0.9.
  expect(await seenFrom(lab, 'peer', '192.0.2.10', 8080)).toBe('seen from 192.0.2.1');
  expect(await seenFrom(lab, 'peer', '100.101.102.103', 8080)).toBe('seen from 100.90.0.9');
  expect(await seenFrom(lab, 'peer', 'fd7a:115c:a1e0::1', 8080)).toBe('seen from fd7a:115c:a1e0::9');
  // What tailscaled sends itself (0x80000) passes by the tailnet; all else goes into it.
  expect(await wayOf(lab, '100.90.0.9', 0)).toBe('tailscale0 52');
  expect(await wayOf(lab, '100.90.0.9', 0x80000)).toBe('eth0');
  expect(await wayOf(lab, 'fd7a:115c:a1e0::9', 0)).toBe('tailscale0 52');
  expect(await wayOf(lab, 'fd7a:115c:a1e0::9', 0x80000)).toBe('eth0');
  // And its connections keep the mark, that their packets find it again.
  const marked = `use Socket; socket(my $s, PF_INET, SOCK_DGRAM, 0); setsockopt($s, SOL_SOCKET, 36, pack('i', 0x80000)) or die; send($s, 'x', 0, pack_sockaddr_in(9, inet_aton('192.0.2.10')))`;
  await lab.host('node').run(['perl', '-e', marked]);
  const { stdout } = await lab.host('node').run(['conntrack', '-L', '-p', 'udp', '--orig-dst', '192.0.2.10']);
  expect(stdout).toMatch(/ dport=9 .* mark=524288 /);
}

/** Takes what TPROXY brings, and says to whom it was sent. */
const PROXY = `use Socket qw(:all); $| = 1;
socket(my $l, PF_INET, SOCK_STREAM, 0) or die; setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1); setsockopt($l, SOL_IP, 19, 1) or die "transparent: $!";
bind($l, pack_sockaddr_in(39485, INADDR_LOOPBACK)) or die "bind: $!"; listen($l, 5); print "ready\\n";
while (my $from = accept(my $c, $l)) { my ($port, $ip) = unpack_sockaddr_in(getsockname($c)); sysread($c, my $q, 64); syswrite($c, inet_ntoa($ip) . "\\n"); close $c; }`;
const ASK = `use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => '198.18.0.53', PeerPort => 53, Timeout => 5) or die $!; print $s "who\\n"; print scalar <$s>`;

async function expectProxy(lab: Lab): Promise<void> {
  await using proxy = await lab.host('node').spawn(['perl', '-e', PROXY]);
  await new Promise((resolve) => proxy.stdout.once('data', resolve));
  expect((await lab.host('pod').run(['perl', '-e', ASK])).stdout).toBe('198.18.0.53\n');
  for (const [to, mark] of [
    ['198.18.0.53', 0x200],
    ['198.18.0.53', 0xabcd0200],
  ] as const)
    expect(await wayOf(lab, to, mark)).toBe('lo 2004 local');
  expect(await wayOf(lab, '198.18.0.53', 0)).toBe('eth0');
}

/** Somebody's own bits, of both marks, on what goes out by a tunnel: written before ours, looked at after everything. */
const BITS = `nft -f - <<'END'
table inet bits {
  chain pre { type filter hook prerouting priority -180; iifname "sp-*" ct state new ct mark set ct mark | 0x200000; iifname "cali5" meta mark set meta mark | 0x100000; }
  chain out { type filter hook output priority -180; meta mark set meta mark | 0x100000; }
  chain post { type filter hook postrouting priority 200; oifname "sp-*" ct direction reply jump judge; }
  chain judge { meta mark & 0x100000 == 0 counter comment "mark"; ct mark & 0x200000 == 0 counter comment "connection mark"; counter comment "all"; }
}
END`;

async function expectBits(lab: Lab): Promise<void> {
  const { stdout } = await lab.host('node').run(['nft', 'list', 'chain', 'inet', 'bits', 'judge']);
  const packets = [...stdout.matchAll(/packets (\d+) .*comment "(.*)"/g)].map(([, count, what]) => [
    what,
    Number(count),
  ]);
  expect(packets).toEqual([
    ['mark', 0],
    ['connection mark', 0],
    ['all', expect.any(Number)],
  ]);
  expect(packets[2]?.[1]).toBeGreaterThan(0);
}

interface Case {
  readonly link: string;
  readonly peer?: boolean;
  /** Our mask, as the free bits leave it. */
  readonly mask: string;
  readonly forwards: readonly string[];
  install(lab: Lab): Promise<unknown>;
  expectTheirs(lab: Lab): Promise<void>;
}

const onNode = (lab: Lab, script: string) => lab.host('node').run(['sh', '-ec', script]);

const CASES: Readonly<Record<string, Case>> = {
  'kube-proxy (iptables), Calico and Docker, and a hand-written rule for the low byte': {
    ...{ link: 'cali5', mask: '0x3f00', forwards: [...FORWARDS, NODE_PORTS] },
    async install(lab) {
      await onNode(lab, DOCKER_28);
      await KUBE_PROXY.iptables(lab);
      await onNode(lab, calico('cali5'));
      await onNode(
        lab,
        'ip route add default via 192.168.1.1 table 100; ip rule add priority 4000 fwmark 0x1/0xff lookup 100',
      );
      await onNode(lab, BITS);
    },
    async expectTheirs(lab) {
      await expectBits(lab);
      await expectMasquerade(lab);
      await expectPolicy(lab);
      expect(await wayOf(lab, '192.0.2.10', 1)).toBe('eth0 100');
    },
  },
  'Tailscale and kube-proxy (nftables)': {
    ...{ link: 'pods0', peer: true, mask: '0xff', forwards: [...FORWARDS, NODE_PORTS] },
    async install(lab) {
      await KUBE_PROXY.nftables(lab);
      await onNode(lab, TAILSCALE);
    },
    async expectTheirs(lab) {
      await expectMasquerade(lab);
      await expectTailnet(lab);
    },
  },
  'Cilium on AWS': {
    ...{ link: 'lxc5', mask: '0x7f', forwards: FORWARDS },
    install: (lab) => onNode(lab, cilium('lxc5')),
    expectTheirs: expectProxy,
  },
};

describe('a node on which others mark: each answer by its own edge, and theirs works on', () => {
  for (const [name, { link, peer = false, mask, forwards, install, expectTheirs }] of Object.entries(CASES))
    test(name, async () => {
      await using lab = await startLab(network(link, peer));
      await install(lab);
      const before = await lab.dump('node');
      for (const port of [8080, 8443]) await lab.serve('pod', { protocol: 'tcp', port });
      // Bound to no address it would answer from any of the machine's.
      for (const address of ['10.244.1.5', 'fd00:244::5'])
        await lab.serve('pod', { protocol: 'udp', port: 5353, address });
      await lab.serve('node', { protocol: 'tcp', port: 80 });
      await lab.serve('node', { protocol: 'udp', port: 53 });
      const sallyport = sallyportIn(lab);
      const documents = [...HOSTS, ...forwards].join('---\n');
      await applyTwo(sallyport, documents);
      const { stdout } = await lab.host('node').run(['ip', 'rule']);
      expect(stdout.match(/fwmark \S+ lookup 500\d/g)?.map((each) => each.split(/[/ ]/)[2])).toEqual([mask, mask]);
      for (const [protocol, port] of [
        ...([
          ['tcp', 80],
          ['udp', 53],
          ['tcp', 81],
          ['udp', 5353],
        ] as const),
        ...(forwards.includes(NODE_PORTS)
          ? ([
              ['tcp', 82],
              ['udp', 82],
            ] as const)
          : []),
      ])
        await expectByOwnEdge(lab, protocol, port);
      await expectTheirs(lab);
      const destroyed = await sallyport(['destroy', '--yes'], documents);
      expect(destroyed, destroyed.stderr).toMatchObject({ status: 0 });
      expect(await lab.dump('node')).toBe(before);
    });
});

test('where no bit is free, those who have them are named, and nothing is changed', async () => {
  await using lab = await startLab(network('pods0', false));
  await onNode(lab, 'ip rule add priority 4000 fwmark 0x1/0xffff lookup 100');
  await onNode(lab, 'iptables-nft -t mangle -A OUTPUT -m mark --mark 0x10000/0xffff0000 -j ACCEPT');
  const hosts = ['edge0', 'edge1', 'node'];
  const before = await Promise.all(hosts.map((host) => lab.dump(host)));
  const refused = await sallyportIn(lab)(['apply', '--yes'], [...HOSTS, ...FORWARDS].join('---\n'));
  expect(refused.status, refused.stderr).toBe(2);
  expect(refused.stderr).toContain(
    'spec.forwarding.mark: node: no free bits for marks: other rules on the host use 0xffffffff: 0xffff by ip rule 4000: from all fwmark 0x1/0xffff lookup 100; 0xffff0000 by iptables -t mangle -A OUTPUT -m mark --mark 0x10000/0xffff0000 -j ACCEPT; name bits that are free with mark: {value, mask}',
  );
  expect(await Promise.all(hosts.map((host) => lab.dump(host)))).toEqual(before);
});
