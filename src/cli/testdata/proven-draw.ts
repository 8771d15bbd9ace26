/** Drawn sets of resources, and what others have on their hosts: for `proven.ts`, the same for the same seed. */
import type { Cable, HostSpec, Topology } from '../../lab/index.ts';
import { randomFrom } from './random.ts';

type Draw = ReturnType<typeof drawsFrom>;

/** Choices by a seed. */
function drawsFrom(seed: number) {
  const random = randomFrom(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const oneOf = <T>(...list: readonly [T, ...T[]]): T => list[below(list.length)] ?? list[0];
  return { below, oneOf, chance: (share: number): boolean => random() < share };
}

/** Of a range of ports, as the documents have it. */
export interface DrawnPorts {
  readonly forward: string;
  readonly protocol: 'tcp' | 'udp';
  readonly first: number;
  readonly count: number;
  readonly target: number;
  readonly edges: readonly string[];
  /** Absent: everybody. */
  readonly allow?: readonly string[];
}

export interface Drawn {
  readonly topology: Topology;
  /** Shell scripts, by host, before anything of ours is there. */
  readonly prepare: ReadonlyMap<string, string>;
  readonly documents: string;
  readonly edges: readonly string[];
  readonly nodes: readonly string[];
  readonly ports: readonly DrawnPorts[];
  /** Somebody of each family whom rules may speak of, and somebody of whom they do not. */
  readonly clients: Readonly<Record<4 | 6, readonly string[]>>;
  readonly sourcePorts: readonly number[];
}

export const PUBLIC = {
  4: ['198.51.100.10', '198.51.101.10', '198.51.102.10'],
  6: ['2001:db8:e0::10', '2001:db8:e1::10', '2001:db8:e2::10'],
} as const;
const KNOWN = { 4: Array.from({ length: 8 }, (_, low) => `8.8.8.${low}`), 6: Array.from({ length: 8 }, (_, low) => `2001:db8:c::${low}`) };
const STRANGERS = { 4: ['203.0.113.77', '192.0.2.201'], 6: ['2001:db8:ffff::77', '2600::1'] } as const;
/** Ports that clients ask from where somebody chose them. */
const FROM = [1100, 1101, 1105, 1110];

export function drawSet(seed: number): Drawn {
  const draw = drawsFrom(seed);
  const edges = ['edge0', 'edge1', 'edge2'].slice(0, draw.oneOf(1, 1, 1, 1, 2, 3));
  const nodes = draw.chance(0.2) ? ['node', 'node2'] : ['node'];
  const hasPod = draw.chance(0.2);
  const ports = drawPorts(draw, edges, nodes, hasPod);
  const prepare = new Map(
    [...edges, ...nodes].map((host) => [host, [...settings(draw), ...firewall(draw, ports.list), ...refusals(draw)].join('\n')]),
  );
  return {
    ...{ topology: topologyOf(edges, nodes, hasPod), prepare, edges, nodes },
    documents: [
      ...[...edges, ...nodes, ...(hasPod ? ['pod'] : [])].map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
      ...edges.flatMap((edge, index) => nodes.map((node, at) => tunnel(draw, { edge, index, node, at }))),
      ...ports.documents,
    ].join('---\n'),
    ports: ports.list,
    clients: { 4: [...KNOWN[4], ...STRANGERS[4]], 6: [...KNOWN[6], ...STRANGERS[6]] },
    sourcePorts: FROM,
  };
}

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

// ---- resources

interface Pair {
  readonly edge: string;
  readonly index: number;
  readonly node: string;
  readonly at: number;
}

function tunnel(draw: Draw, { edge, index, node, at }: Pair): string {
  const net = index + 10 * at;
  const ends = (of: (end: 1 | 2) => string): string => `ends: [{ host: ${edge}, ${of(1)} }, { host: ${node}, ${of(2)} }]`;
  const own = (end: 1 | 2): string => `addresses: [10.90.${net}.${end}/30, "fd90:${net}::${end}/64"]`;
  const type = draw.oneOf('VXLAN', 'VXLAN', 'VXLAN', 'Direct', 'Direct', 'Direct', 'WireGuard');
  const spec =
    type === 'VXLAN'
      ? ends((end) => `${own(end)}, endpoint: "172.31.${net}.${end}:4789"`)
      : type === 'Direct'
        ? ends((end) => `addresses: [172.31.${net}.${end}, "fd31:${net}::${end}"]`)
        : ends((end) => `${own(end)}${end === 1 ? `, endpoint: "${PUBLIC[4][index]}:51820"` : ''}`);
  return resource('Tunnel', `${edge}-${node}`, `{ type: ${type}, ${spec} }`);
}

function drawPorts(
  draw: Draw,
  edges: readonly string[],
  nodes: readonly string[],
  hasPod: boolean,
): { readonly list: readonly DrawnPorts[]; readonly documents: readonly string[] } {
  const list: DrawnPorts[] = [];
  const documents = Array.from({ length: 2 + draw.below(3) }, (_, index) => {
    const name = `f${index}`;
    const at = draw.chance(0.7) ? edges : edges.slice(0, 1);
    const allow = draw.chance(0.35) ? drawAllow(draw) : undefined;
    const entries = Array.from({ length: 1 + draw.below(2) }, (_, entry) => {
      const first = 20_000 + index * 200 + entry * 100 + draw.below(20);
      const count = draw.oneOf(1, 1, 2, 5, 9);
      const target = first + draw.oneOf(0, 0, 0, 1, 5000);
      const protocol = draw.oneOf('tcp', 'udp');
      list.push({ forward: name, protocol, first, count, target, edges: at, ...(allow !== undefined && { allow }) });
      const range = (from: number): string => (count === 1 ? `${from}` : `${from}-${from + count - 1}`);
      return `{ protocol: ${protocol.toUpperCase()}, port: ${range(first)}, targetPort: ${range(target)} }`;
    });
    const node = nodes[draw.below(nodes.length)] ?? 'node';
    const isBalanced = nodes.length > 1 && draw.chance(0.4);
    const behind = hasPod && node === 'node' && draw.chance(0.5) ? ', address: 10.42.0.10' : '';
    const to = isBalanced ? nodes.map((each) => `{ host: ${each} }`).join(', ') : `{ host: ${node}${behind} }`;
    const more = [
      ...(isBalanced ? ['policy: Balance'] : []),
      ...(draw.chance(0.25) ? ['clientAddress: Masquerade'] : []),
      ...(draw.chance(0.25) ? ['hairpin: false'] : []),
      ...(allow === undefined ? [] : [`allow: [${allow.map((each) => `"${each}"`).join(', ')}]`]),
    ];
    const spec = [`at: { hosts: [${at.join(', ')}] }`, `ports: [${entries.join(', ')}]`, `to: [${to}]`, ...more];
    return resource('PortForward', name, `{ ${spec.join(', ')} }`);
  });
  return { list, documents };
}

const drawAllow = (draw: Draw): readonly string[] => [
  draw.oneOf('8.8.8.0/30', '8.8.8.4/31', '8.8.8.0/24', '0.0.0.0/0', '203.0.113.77/32'),
  draw.oneOf('2001:db8:c::/126', '2001:db8:c::4/127', '::/0', '2001:db8:ffff::/48'),
];

// ---- what others have there

const settings = (draw: Draw): readonly string[] =>
  ['all', 'default'].map((link) => `echo ${draw.oneOf(0, 0, 1, 2)} >/proc/sys/net/ipv4/conf/${link}/rp_filter`);

/** A table of rules that speak of the clients and the ports here: all but the last kind leave the tunnels' own packets alone. */
function firewall(draw: Draw, ports: readonly DrawnPorts[]): readonly string[] {
  if (draw.chance(0.4)) return [];
  const hooks = Array.from({ length: 1 + draw.below(2) }, () => draw.oneOf('prerouting', 'forward', 'forward', 'input', 'output', 'postrouting'));
  const chains = hooks.map((hook, index) => {
    const rules = Array.from({ length: 1 + draw.below(3) }, () => `    ${drawRule(draw, ports, hook)}`);
    const answers = draw.chance(0.4) ? ['    ct state established,related accept'] : [];
    const priority = draw.oneOf(-160, -10, 0, 10);
    return `  chain c${index} {\n    type filter hook ${hook} priority ${priority}; policy accept;\n${[...answers, ...rules].join('\n')}\n  }`;
  });
  const sets = `  set bad4 { type ipv4_addr; flags interval; elements = { 8.8.8.1, 8.8.8.6-8.8.8.7 }; }
  set bad6 { type ipv6_addr; flags interval; elements = { 2001:db8:c::1, 2001:db8:c::6-2001:db8:c::7 }; }
  set both { type ipv4_addr . inet_service; elements = { 8.8.8.2 . ${ports[0]?.first ?? 1}, 8.8.8.3 . ${ports.at(-1)?.target ?? 1} }; }`;
  return [`nft -f - <<'END'\ntable inet theirs {\n${[sets, ...chains].join('\n')}\n}\nEND`];
}

function drawRule(draw: Draw, ports: readonly DrawnPorts[], hook: string): string {
  const { protocol, first, count, target } = ports[draw.below(ports.length)] ?? { protocol: 'tcp', first: 1, count: 1, target: 1 };
  const side = draw.oneOf('saddr', 'saddr', 'saddr', 'daddr');
  const who = draw.oneOf(
    ...([`ip ${side} 8.8.8.${draw.below(8)}`, `ip6 ${side} 2001:db8:c::${draw.below(8)}`, `ip ${side} @bad4`] as const),
    ...[`ip6 ${side} @bad6`, `ip ${side} 8.8.8.${draw.oneOf(0, 4)}/30`, `ip6 ${side} 2001:db8:c::${draw.oneOf(0, 4)}/126`],
    ...[`ip ${side} 203.0.113.0/24`, `ip ${side} . th dport @both`],
  );
  const port = draw.oneOf(first, target, first + draw.below(count), target + draw.below(count));
  const what = draw.oneOf(
    ...(['', '', `${protocol} dport ${port}`, `${protocol} dport ${port}-${port + 2}`] as const),
    ...[`${protocol} sport ${draw.oneOf(...(FROM as [number, ...number[]]))}`, `${protocol} sport 1100-1104`, `meta l4proto ${protocol}`],
  );
  const verdict = draw.oneOf('drop', 'drop', hook === 'postrouting' ? 'drop' : 'reject', 'accept');
  // Some speak of no client: they stop everybody, and the promise must say so. All of a protocol would stop the tunnels' own packets as they leave, which
  // no promise tells: that the two ends reach each other is assumed.
  const isOfAll = what !== '' && draw.chance(0.25) && !what.startsWith('meta');
  return isOfAll ? `${what} ${verdict}` : `${who} ${what} ${verdict}`;
}

/** Routes that lead nowhere: how fail2ban's `route` bans. */
const refusals = (draw: Draw): readonly string[] => [
  ...(draw.chance(0.1) ? [`ip route add ${draw.oneOf('blackhole', 'unreachable', 'prohibit')} 8.8.8.5`] : []),
  ...(draw.chance(0.1) ? [`ip route add ${draw.oneOf('blackhole', 'unreachable')} 2001:db8:c::5`] : []),
];

// ---- the network

const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };

/**
 * A client that is everybody on the Internet, a router that takes from each edge its own addresses alone, edges, and nodes at a home that the router hides;
 * each edge has a private link to each node.
 */
function topologyOf(edges: readonly string[], nodes: readonly string[], hasPod: boolean): Topology {
  const host = (name: string, vias: readonly string[], sysctls: HostSpec['sysctls'] = {}): HostSpec => ({
    ...{ name, sysctls },
    routes: vias.map((via) => ({ to: 'default', via })),
  });
  const cable = (from: [string, string, string[]], to: [string, string, string[]]): Cable => {
    const [left, right] = [from, to].map(([at, name, addresses]) => ({ at, interface: name, addresses }));
    if (left === undefined || right === undefined) throw new TypeError();
    return { ends: [left, right] };
  };
  return {
    name: 'proven',
    switches: [],
    hosts: [
      host('client', ['192.0.2.1', '2001:db8:c0::1'], { 'net.ipv4.ip_nonlocal_bind': '1', 'net.ipv6.ip_nonlocal_bind': '1' }),
      {
        ...host('internet', ['192.0.2.10', '2001:db8:c0::10'], FORWARDS),
        nft: `table inet internet {
  chain pre { type filter hook prerouting priority -300; iifname != "client0" fib saddr . iif oif missing drop; }
  chain post { type nat hook postrouting priority 100; ip saddr 192.168.0.0/16 masquerade; ip6 saddr fd00::/16 masquerade; }
}`,
      },
      ...edges.map((name, index) => host(name, [`198.51.${100 + index}.1`, `2001:db8:e${index}::1`])),
      ...nodes.map((name, at) => host(name, [`192.168.${1 + at}.1`, `fd00:${1 + at}::1`], hasPod && at === 0 ? FORWARDS : {})),
      ...(hasPod ? [host('pod', ['10.42.0.1', 'fd42::1'])] : []),
    ],
    cables: [
      cable(['client', 'eth0', ['192.0.2.10/25', '2001:db8:c0::10/64']], ['internet', 'client0', ['192.0.2.1/25', '2001:db8:c0::1/64']]),
      ...edges.map((name, index) =>
        cable(
          [name, 'eth0', [`${PUBLIC[4][index]}/24`, `${PUBLIC[6][index]}/64`]],
          ['internet', `edge${index}`, [`198.51.${100 + index}.1/24`, `2001:db8:e${index}::1/64`]],
        ),
      ),
      ...nodes.map((name, at) =>
        cable(
          [name, 'eth0', [`192.168.${1 + at}.20/24`, `fd00:${1 + at}::20/64`]],
          ['internet', `home${at}`, [`192.168.${1 + at}.1/24`, `fd00:${1 + at}::1/64`]],
        ),
      ),
      ...edges.flatMap((edge, index) =>
        nodes.map((node, at) => {
          const net = index + 10 * at;
          return cable(
            [edge, `priv${at}`, [`172.31.${net}.1/24`, `fd31:${net}::1/64`]],
            [node, `priv${index}`, [`172.31.${net}.2/24`, `fd31:${net}::2/64`]],
          );
        }),
      ),
      ...(hasPod ? [cable(['node', 'pod0', ['10.42.0.1/24', 'fd42::1/64']], ['pod', 'eth0', ['10.42.0.10/24', 'fd42::10/64']])] : []),
    ],
  };
}
