/** The planes that are compared: each brings what a client sends to an edge's public port to the node's server. */
import { join } from 'node:path';
import type { RunningCommand } from '../src/lab/index.ts';
import type { Folder } from './documents.ts';
import { EDGE_CPU, onCpu, type Target } from './load.ts';
import { iptablesRules, nftRules, portOf, targetOf } from './rules.ts';
import { type Pair, SERVE_PORT, type Site } from './site.ts';

export type Tunnel = 'Direct' | 'VXLAN' | 'WireGuard';

export type Way =
  | { readonly kind: 'routing' }
  | {
      readonly kind: 'sallyport';
      readonly tunnel: Tunnel;
      readonly forwards: number;
      readonly tracking?: 'Stateless';
    }
  | { readonly kind: 'iptables'; readonly forwards: number }
  | { readonly kind: 'nft'; readonly forwards: number }
  | { readonly kind: 'nginx' }
  | { readonly kind: 'haproxy' }
  | { readonly kind: 'socat' };

export interface Plane {
  /** Of its pair too. */
  readonly name: string;
  /** For people. */
  readonly title: string;
  readonly way: Way;
}

const ROUTING: Plane = { name: 'routing', title: 'plain routing', way: { kind: 'routing' } };
const SALLYPORT: Plane = {
  name: 'sallyport',
  title: 'Sallyport',
  way: { kind: 'sallyport', tunnel: 'Direct', forwards: 1 },
};
const IPTABLES: Plane = { name: 'iptables', title: 'iptables DNAT+MASQUERADE', way: { kind: 'iptables', forwards: 1 } };

/** Those that are compared in every figure; plain routing, by which the others are divided, is the first. */
export const COMPARED: readonly Plane[] = [
  ROUTING,
  SALLYPORT,
  IPTABLES,
  { name: 'nginx', title: 'nginx stream', way: { kind: 'nginx' } },
  { name: 'haproxy', title: 'haproxy', way: { kind: 'haproxy' } },
  { name: 'socat', title: 'socat fork', way: { kind: 'socat' } },
  {
    name: 'stateless',
    title: 'Sallyport stateless',
    way: { kind: 'sallyport', tunnel: 'Direct', forwards: 1, tracking: 'Stateless' },
  },
  { name: 'vxlan', title: 'Sallyport over VXLAN', way: { kind: 'sallyport', tunnel: 'VXLAN', forwards: 1 } },
  {
    name: 'wireguard',
    title: 'Sallyport over wireguard-go',
    way: { kind: 'sallyport', tunnel: 'WireGuard', forwards: 1 },
  },
];

/** Those that are compared by their number of forwards. */
export const SCALED = ['sallyport', 'iptables', 'nft'] as const;

export function scaled(kind: (typeof SCALED)[number], forwards: number): Plane {
  if (forwards === 1 && kind === 'sallyport') return SALLYPORT;
  if (forwards === 1 && kind === 'iptables') return IPTABLES;
  const way = kind === 'sallyport' ? ({ kind, tunnel: 'Direct', forwards } as const) : { kind, forwards };
  return { name: `${kind}-${forwards}`, title: `${kind} with ${forwards}`, way };
}

/** A user-space proxy: it has no datagrams here, and processes at the edge. */
export const isProxy = ({ way }: Plane): boolean => ['nginx', 'haproxy', 'socat'].includes(way.kind);

const countOf = ({ way }: Plane): number => ('forwards' in way ? way.forwards : 1);

/** What the client asks: the last of the plane's forwards, the worst case of whoever walks a list. */
export function targetOfPlane(plane: Plane, pair: Pair): Target {
  if (plane.way.kind === 'routing') return { address: pair.private, port: SERVE_PORT };
  return { address: pair.public, port: portOf(countOf(plane) - 1) };
}

const UNTIL_IT_LISTENS = 'until ss -Hltn "sport = :$1" | grep -q .; do sleep 0.02; done';

/** Sets the plane up in its pair. What runs on for it is given back. */
export async function startPlane(
  site: Site,
  folder: Folder,
  sallyport: string,
  plane: Plane,
): Promise<readonly RunningCommand[]> {
  const pair = site.pair(plane.name);
  const edge = site.lab.host(pair.edge);
  const proxy = async (argv: readonly string[]): Promise<readonly RunningCommand[]> => {
    const running = await edge.spawn(onCpu(EDGE_CPU, argv));
    const ended = running.exited.then((status) => {
      throw new Error(`${argv.join(' ')}: ended with status ${status}: ${String(running.stderr.read() ?? '')}`);
    });
    const listens = edge.run(['sh', '-c', UNTIL_IT_LISTENS, 'sh', String(port)]);
    await Promise.race([listens, ended]);
    ended.catch(() => {}); // its end is ours from here on
    return [running];
  };
  const port = portOf(0);
  switch (plane.way.kind) {
    case 'routing':
      return [];
    case 'sallyport': {
      const file = await folder.write(`${plane.name}.yaml`, documents(pair, plane.way));
      await site.lab.run([process.execPath, sallyport, 'apply', '--yes', '-f', file], { timeoutMs: 180_000 });
      await site.lab.run([process.execPath, sallyport, 'status', '--wait', '20s', '-f', file], { timeoutMs: 180_000 });
      return [];
    }
    case 'iptables':
      await edge.run(['iptables-restore'], { stdin: iptablesRules(pair, plane.way.forwards), timeoutMs: 120_000 });
      return [];
    case 'nft':
      await edge.run(['nft', '-f', '-'], { stdin: nftRules(pair, plane.way.forwards), timeoutMs: 120_000 });
      return [];
    case 'nginx': {
      const file = await folder.write('nginx.conf', nginxFile(folder, pair, port));
      return proxy(['nginx', '-p', folder.path, '-c', file, '-e', join(folder.path, 'nginx.log')]);
    }
    case 'haproxy':
      return proxy(['haproxy', '-db', '-f', await folder.write('haproxy.cfg', haproxyFile(pair, port))]);
    case 'socat': {
      const listen = `TCP4-LISTEN:${port},bind=${pair.public},fork,reuseaddr,backlog=4096,nodelay`;
      return proxy(['socat', '-T', '60', listen, `TCP4:${pair.private}:${SERVE_PORT},nodelay`]);
    }
  }
}

/** What a user would write for `count` forwards from the edge to the node; the last one has TCP and UDP. */
function documents(
  pair: Pair,
  { tunnel, forwards: count, tracking }: Extract<Way, { readonly kind: 'sallyport' }>,
): string {
  const port = (index: number, protocol = 'TCP'): string =>
    `    - { protocol: ${protocol}, port: ${portOf(index)}, targetPort: ${targetOf(index, count)} }\n`;
  const ports = Array.from({ length: count }, (_, index) => port(index)).join('') + port(count - 1, 'UDP');
  const end = (host: string, address: string, last: number, endpoint: string): string =>
    tunnel === 'Direct'
      ? `{ host: ${host}, addresses: [${address}] }`
      : `{ host: ${host}, addresses: [10.90.0.${last}/30], endpoint: "${address}:${endpoint}" }`;
  const listen = tunnel === 'VXLAN' ? '4789' : '51820';
  return `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: ${pair.edge} }
spec:
  access: { netns: { name: ${pair.edge} } }
  interfaces: [{ name: eth0, zone: public }]
---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: ${pair.node} }
spec:
  access: { netns: { name: ${pair.node} } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: way }
spec:
  type: ${tunnel}
  ends:
    - ${end(pair.edge, pair.inside, 1, listen)}
    - ${end(pair.node, pair.private, 2, listen)}
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: forwards }
spec:
  at: { hosts: [${pair.edge}] }
  tracking: ${tracking ?? 'Stateful'}
  ports:
${ports}  to:
    - { host: ${pair.node}, via: way }
`;
}

const nginxFile = (
  folder: Folder,
  pair: Pair,
  port: number,
): string => `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
worker_processes 1;
pid ${folder.path}/nginx.pid;
error_log ${folder.path}/nginx.log;
events { worker_connections 8192; }
stream {
  server {
    listen ${pair.public}:${port} backlog=4096;
    proxy_pass ${pair.private}:${SERVE_PORT};
    tcp_nodelay on;
  }
}
`;

const haproxyFile = (pair: Pair, port: number): string => `global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option dontlog-normal
listen forward
  bind ${pair.public}:${port} backlog 4096
  server node ${pair.private}:${SERVE_PORT}
`;
