/**
 * The network that planes are compared in: one client, and for each plane a pair of hosts of its own, `client - edge - node`. All stand
 * side by side all the time, so that planes can take turns without being set up anew. What an edge does with packets it does on EDGE_CPU.
 */
import { type Cable, type HostSpec, type Lab, startLab } from '../src/lab/index.ts';
import { EDGE_CPU } from './load.ts';

/** One plane's part of the network. */
export interface Pair {
  readonly edge: string;
  readonly node: string;
  /** The edge's address for the client. */
  readonly public: string;
  /** Its address for the node, and the node's own. */
  readonly inside: string;
  readonly private: string;
  /** The interfaces of client, edge (two) and node, as `HOST INTERFACE`. */
  readonly plugs: readonly string[];
}

/** Where every node serves. */
export const SERVE_PORT = 9000;

/** A host apart, to load rules in that nothing uses. */
export const SPARE = 'spare';

/** Proxies take a port for each connection to the node, and it rests afterwards: as an experienced hand sets a proxy up. */
const MANY_CONNECTIONS = { 'net.ipv4.ip_local_port_range': '1024 65535', 'net.ipv4.tcp_tw_reuse': '1' };

export interface Site extends AsyncDisposable {
  readonly lab: Lab;
  pair(name: string): Pair;
  /** Whether TCP packets are cut by the sender's stack, to what fits the wire, or travel whole up to 64 KB. */
  offloads(state: 'on' | 'off', pairs: readonly string[]): Promise<void>;
}

/** Starts the network with a pair for each of `names`, 32 at most. */
export async function startSite(names: readonly string[]): Promise<Site> {
  const pairs = new Map(names.map((name, index) => [name, pairOf(name, index)]));
  const lab = await startLab({
    name: 'planes',
    switches: [],
    hosts: [{ name: 'client', ipv6: false }, { name: SPARE, ipv6: false }, ...[...pairs.values()].flatMap(hostsOf)],
    cables: [...pairs.values()].flatMap(cablesOf),
  });
  try {
    const plugs = [...pairs.values()].flatMap((pair) =>
      pair.plugs.map((plug) => ({ plug, edge: plug.startsWith(pair.edge) })),
    );
    const steer = plugs.map(({ plug, edge }) =>
      inPlug(plug, `echo ${edge ? 1 << EDGE_CPU : 1} >/sys/class/net/$2/queues/rx-0/rps_cpus`),
    );
    const routes = [...pairs.values()].map(
      (pair) => `ip netns exec client ip route add ${pair.private} via ${pair.public}`,
    );
    await lab.run(['sh', '-e'], { stdin: [...steer, ...routes].join('\n') });
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
  const pair = (name: string): Pair => {
    const found = pairs.get(name);
    if (found === undefined) throw new Error(`no pair for ${name}`);
    return found;
  };
  return {
    lab,
    pair,
    async offloads(state, of) {
      const plugs = of.flatMap((name) => pair(name).plugs);
      const lines = plugs.map((plug) =>
        inPlug(plug, `ethtool -K $2 tso ${state} gso ${state} gro ${state} >/dev/null`),
      );
      await lab.run(['sh', '-e'], { stdin: lines.join('\n') });
    },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

/** A line of shell where $2 is the interface. `ip netns exec` shows the host's own /sys. */
const inPlug = (plug: string, line: string): string => `ip netns exec ${plug.split(' ')[0]} sh -c '${line}' sh ${plug}`;

function pairOf(name: string, index: number): Pair {
  if (index >= 32) throw new RangeError('a /24 has 32 networks of eight addresses');
  const [edge, node] = [`edge-${name}`, `node-${name}`];
  return {
    edge,
    node,
    public: `198.51.100.${8 * index + 1}`,
    inside: `172.31.${index}.1`,
    private: `172.31.${index}.2`,
    plugs: [`client c${index}`, `${edge} eth0`, `${edge} priv0`, `${node} eth0`],
  };
}

const clientOf = (pair: Pair): string => pair.public.replace(/\d+$/, (last) => String(Number(last) + 1));

const hostsOf = (pair: Pair): readonly HostSpec[] => [
  {
    name: pair.edge,
    ipv6: false,
    routes: [{ to: 'default', via: clientOf(pair) }],
    sysctls: { 'net.ipv4.ip_forward': '1', ...MANY_CONNECTIONS },
  },
  { name: pair.node, ipv6: false, routes: [{ to: 'default', via: pair.inside }] },
];

function cablesOf(pair: Pair): readonly Cable[] {
  const [client = '', outer = '', inner = '', node = ''] = pair.plugs.map((plug) => plug.split(' ')[1] ?? '');
  return [
    {
      ends: [
        { at: 'client', interface: client, addresses: [`${clientOf(pair)}/29`] },
        { at: pair.edge, interface: outer, addresses: [`${pair.public}/29`] },
      ],
    },
    {
      ends: [
        { at: pair.edge, interface: inner, addresses: [`${pair.inside}/24`] },
        { at: pair.node, interface: node, addresses: [`${pair.private}/24`] },
      ],
    },
  ];
}
