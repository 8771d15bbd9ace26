/** A pod as behind a cloud's network load balancer, a prober off its subnet and one on it. */
import type { Lab } from '../lab.ts';
import { cable, FORWARDS, LOOSE, makeTunnel, network, onTunnel, plug } from './fault.ts';

export const POD = '10.0.1.5';
export const HEALTH = 9000;
export const NODE = '10.0.1.6';
/** The kubelet's: what else listens on a node. */
export const KUBELET = 10250;

export const podNetwork = network(
  'pod',
  [
    { name: 'prober', title: 'checks health, off the subnet', routes: [{ to: 'default', via: '10.0.9.1' }] },
    { name: 'router', title: 'routes', sysctls: FORWARDS },
    { name: 'near', title: 'checks health, on the subnet', routes: [{ to: 'default', via: '10.0.1.1' }] },
    { name: 'pod', title: 'a WireGuard server', routes: [{ to: 'default', via: '10.0.1.1' }], sysctls: LOOSE },
    {
      name: 'node',
      title: 'where a pod with hostNetwork would run',
      routes: [{ to: 'default', via: '10.0.1.1' }],
      sysctls: LOOSE,
    },
  ],
  [
    cable(plug('prober', 'eth0', '10.0.9.7/24'), plug('router', 'far0', '10.0.9.1/24')),
    cable(plug('router', 'pods0', '10.0.1.1/24'), plug('subnet', 'port1')),
    cable(plug('near', 'eth0', '10.0.1.9/24'), plug('subnet', 'port2')),
    cable(plug('pod', 'eth0', `${POD}/24`), plug('subnet', 'port3')),
    cable(plug('node', 'eth0', `${NODE}/24`), plug('subnet', 'port4')),
  ],
  [{ name: 'subnet', title: 'the subnet of the pod' }],
);

/** What wg-quick runs for a server with AllowedIPs = 0.0.0.0/0, and the PostUp lines of the guides. */
export async function wgQuick(lab: Lab, host: 'pod' | 'node' = 'pod'): Promise<void> {
  await lab.serve(host, { protocol: 'tcp', port: HEALTH });
  await makeTunnel(lab, host, 'wg0', 51820);
  await onTunnel(
    lab,
    host,
    `wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 0.0.0.0/0
ip -4 address add 10.11.0.1/16 dev wg0
ip link set mtu 1420 up dev wg0
wg set wg0 fwmark 51820
ip -4 route add 0.0.0.0/0 dev wg0 table 51820
ip -4 rule add not fwmark 51820 table 51820
ip -4 rule add table main suppress_prefixlength 0
sysctl -q net.ipv4.conf.all.src_valid_mark=1
iptables -t raw -A PREROUTING ! -i wg0 -d 10.11.0.1 -m addrtype ! --src-type LOCAL -j DROP
iptables -A FORWARD -i wg0 -j ACCEPT
iptables -A FORWARD -o wg0 -j ACCEPT
iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE`,
  );
}

/** The advice found on the web: what each is, and what it does. */
export const ADVICE: readonly {
  readonly title: string;
  readonly script: string;
  readonly undo: string;
  /** Whether the prober off the subnet, and the one on it, are answered after it. */
  readonly far: boolean;
  readonly near: boolean;
}[] = [
  {
    title: 'INPUT and FORWARD accept',
    script: `iptables -I INPUT -p tcp --dport ${HEALTH} -j ACCEPT; iptables -I FORWARD -p tcp --dport ${HEALTH} -j ACCEPT`,
    undo: `iptables -D INPUT -p tcp --dport ${HEALTH} -j ACCEPT; iptables -D FORWARD -p tcp --dport ${HEALTH} -j ACCEPT`,
    far: false,
    near: true,
  },
  {
    title: 'PREROUTING mark, tcp_fwmark_accept=0',
    script: `iptables -t mangle -A PREROUTING -p tcp --dport ${HEALTH} -j MARK --set-mark 51820; sysctl -qw net.ipv4.tcp_fwmark_accept=0`,
    undo: `iptables -t mangle -D PREROUTING -p tcp --dport ${HEALTH} -j MARK --set-mark 51820; sysctl -qw net.ipv4.tcp_fwmark_accept=0`,
    far: false,
    near: true,
  },
  {
    title: 'PREROUTING mark, tcp_fwmark_accept=1',
    script: `iptables -t mangle -A PREROUTING -p tcp --dport ${HEALTH} -j MARK --set-mark 51820; sysctl -qw net.ipv4.tcp_fwmark_accept=1`,
    undo: `iptables -t mangle -D PREROUTING -p tcp --dport ${HEALTH} -j MARK --set-mark 51820; sysctl -qw net.ipv4.tcp_fwmark_accept=0`,
    far: true,
    near: true,
  },
  {
    title: 'OUTPUT mark',
    script: `iptables -t mangle -A OUTPUT -p tcp --sport ${HEALTH} -j MARK --set-mark 51820`,
    undo: `iptables -t mangle -D OUTPUT -p tcp --sport ${HEALTH} -j MARK --set-mark 51820`,
    far: true,
    near: true,
  },
  {
    title: 'without suppress_prefixlength',
    script: 'ip -4 rule del table main suppress_prefixlength 0',
    undo: 'ip -4 rule add table main suppress_prefixlength 0',
    far: false,
    near: false,
  },
];
