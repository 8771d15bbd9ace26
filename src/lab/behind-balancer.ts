/** The network of the story "WireGuard behind a load balancer that checks health over TCP alone". */
import { type BalancerSpec, eventually, goOn, startBalancer } from './balancer.ts';
import { cable, FORWARDS, onTunnel, plug, WITH_SOCKETS } from './faults/fault.ts';
import type { Lab } from './lab.ts';
import type { HostSpec, RouteSpec, Topology } from './topology.ts';

export const TUNNEL_PORT = 51_820;
export const HEALTH_PORT = 9_000;
/** Where the pods answer, each by its name. */
export const BEHIND = [
  { name: 'pod', 4: '10.0.1.5', 6: 'fd01::5' },
  { name: 'pod2', 4: '10.0.1.6', 6: 'fd01::6' },
] as const;
export const BALANCER = { 4: '203.0.113.10', 6: '2001:db8:c::10' } as const;
/** From where the balancer checks health: off the pods' subnet. */
export const CHECKER = { 4: '10.0.9.7', 6: 'fd09::7' } as const;
/** What lies beyond the client, and is reached by the tunnel alone. */
export const WORLD = '198.51.100.1';
/** Of the pods' side of the tunnel. */
export const INNER = { 4: '10.11.0.1', 6: 'fd11::1' } as const;
/** The file that the pods' tunnel is made from, in the lab. */
export const STORY_CONF = '/run/story/wg0.conf';

const ways = (ipv4: string, ipv6: string): readonly RouteSpec[] => [
  { to: 'default', via: ipv4 },
  { to: 'default', via: ipv6 },
];

/** client 203.0.113.7 - balancer 203.0.113.10, 10.0.9.7 - node 10.0.9.20, 10.0.1.1 - one pod, or two. */
export function behindBalancer(pods: 1 | 2 = 1): Topology {
  const behind = BEHIND.slice(0, pods);
  const hosts: readonly HostSpec[] = [
    { name: 'client', title: 'a WireGuard peer on the Internet' },
    {
      name: 'balancer',
      title: 'checks health by TCP alone, from 10.0.9.7',
      sysctls: FORWARDS,
      routes: [
        { to: '10.0.1.0/24', via: '10.0.9.20' },
        { to: 'fd01::/64', via: 'fd09::20' },
      ],
    },
    { name: 'node', title: 'runs the pod', sysctls: FORWARDS, routes: ways('10.0.9.7', 'fd09::7') },
    ...behind.map(({ name }) => ({ name, title: 'a WireGuard server', routes: ways('10.0.1.1', 'fd01::1') })),
  ];
  return {
    name: 'wireguard-behind-lb',
    hosts,
    switches: [{ name: 'pods', title: "the pod's subnet" }],
    cables: [
      cable(
        plug('client', 'eth0', '203.0.113.7/24', '2001:db8:c::7/64'),
        plug('balancer', 'wan0', `${BALANCER[4]}/24`, `${BALANCER[6]}/64`),
      ),
      cable(
        plug('balancer', 'vpc0', `${CHECKER[4]}/24`, `${CHECKER[6]}/64`),
        plug('node', 'eth0', '10.0.9.20/24', 'fd09::20/64'),
      ),
      cable(plug('node', 'pods0', '10.0.1.1/24', 'fd01::1/64'), plug('pods', 'port0')),
      ...behind.map((each, index) =>
        cable(plug(each.name, 'eth0', `${each[4]}/24`, `${each[6]}/64`), plug('pods', `port${index + 1}`)),
      ),
    ],
  };
}

/** What runs in it and goes on by itself: the balancer, the client's tunnel, and a sidecar in the pod that answers checks. */
export async function startBehindBalancer(lab: Lab): Promise<void> {
  const targets = BEHIND.filter(({ name }) => lab.topology.hosts.some((host) => host.name === name));
  await lab.run(['sh', '-ec', FILES]);
  await onTunnel(lab, 'client', CLIENT);
  await dial(lab);
  await startBalancer(lab, { ...SPEC, targets });
}

/** A sidecar that answers every TCP connection to the health port, whatever the tunnel does. */
export async function startSidecar(lab: Lab, host: string): Promise<void> {
  const serve = `require('net').createServer((socket) => socket.on('error', () => {}).end()).listen(${HEALTH_PORT}, '::')`;
  await goOn(lab, host, `${host}-sidecar`, [process.execPath, '-e', serve]);
}

export async function endSidecar(lab: Lab, host: string): Promise<void> {
  await lab.run(['sh', '-ec', `kill "$(cat /run/${host}-sidecar.pid)"`]);
  await eventually('the sidecar gone', async () => {
    const { stdout } = await lab.host(host).run(['ss', '-Hltn', `sport = :${HEALTH_PORT}`]);
    return stdout === '';
  });
}

/** The client forgets its session and shakes hands anew, over the balancer's address of this family. */
export async function dial(lab: Lab, family: 4 | 6 = 4): Promise<void> {
  const key = (await lab.run(['sh', '-ec', 'wg pubkey </run/story/pod.key'])).stdout.trim();
  const endpoint = family === 4 ? BALANCER[4] : `[${BALANCER[6]}]`;
  await onTunnel(
    lab,
    'client',
    `wg set wg0 peer ${key} remove
wg set wg0 peer ${key} endpoint ${endpoint}:${TUNNEL_PORT} allowed-ips ${INNER[4]}/32,${INNER[6]}/128 persistent-keepalive 1`,
  );
}

const SPEC: Omit<BalancerSpec, 'targets'> = {
  ...{ host: 'balancer', outside: 'wan0', addresses: BALANCER, udpPort: TUNNEL_PORT, tcpPort: HEALTH_PORT },
};

/** Keys, the pods' file as wg-quick takes it, and `on HOST COMMAND…`, which stands where the sockets of that host's wireguard-go are. */
const FILES = `mkdir -p /run/story; cd /run/story; umask 077
for who in pod client; do wg genkey >$who.key; done
cat >wg0.conf <<END
[Interface]
Address = ${INNER[4]}/16, ${INNER[6]}/64
ListenPort = ${TUNNEL_PORT}
PostUp = wg set %i private-key /run/story/pod.key

[Peer]
PublicKey = $(wg pubkey <client.key)
AllowedIPs = 0.0.0.0/0, ::/0
END
cat >on <<'END'
#!/bin/sh
# on HOST COMMAND...
host=$1; shift
exec nsenter --net="/run/netns/$host" unshare --mount sh -ec '${WITH_SOCKETS}
exec "$@"' sh "$@"
END
chmod 755 on`;

const CLIENT = `ip link add wg0 type wireguard 2>/dev/null || wireguard-go wg0 >/dev/null 2>&1
wg set wg0 listen-port 51821 private-key /run/story/client.key
ip address add 10.11.0.2/16 dev wg0; ip address add fd11::2/64 dev wg0; ip address add ${WORLD}/32 dev lo
ip link set wg0 up`;
