/** A slim edge as people make it by hand: wg-quick with `Table =`, a rule by source, and iptables. */
import type { Lab } from '../../lab/index.ts';
import type { CliLab } from './cli-lab.ts';

export type Backend = 'nft' | 'legacy';

/** wireguard-go's sockets lie where wg-quick's do, in a folder for each host, as each has a /run of its own in life. */
const WITH_SOCKETS = `d=/run/by-hand/$(stat -L -c %i /proc/self/ns/net)
mkdir -p "$d" /run/wireguard; mount -n --bind "$d" /run/wireguard`;

/** Where the kernel has no WireGuard our own transport must find those sockets; who takes our state folder away takes the way there with it. */
export async function showSockets({ lab }: CliLab): Promise<void> {
  for (const host of ['edge', 'node'])
    await lab.host(host).run(['sh', '-ec', 'i=$(stat -L -c %i /proc/self/ns/net); f=/run/sallyport/netns/$i; mkdir -p "$f"; ln -sfn /run/by-hand/$i "$f/wireguard"']);
}

const onTunnel = async (lab: Lab, host: string, script: string): Promise<string> =>
  (await lab.host(host).run(['unshare', '--mount', 'sh', '-ec', `${WITH_SOCKETS}\n${script}`])).stdout;

/** Rules that the documents stand for. */
export const TAKEN = [
    '-t nat -A PREROUTING -d 198.51.100.10/32 -p tcp -m multiport --dports 80,443 -j DNAT --to-destination 10.90.0.2',
    '-t nat -A PREROUTING -d 198.51.100.10/32 -i eth0 -p udp -m udp --dport 53 -j DNAT --to-destination 10.90.0.2:5353',
    '-t nat -A POSTROUTING -o wg0 -p udp -m udp --dport 5353 -j SNAT --to-source 10.90.0.1',
    '-t filter -A FORWARD -i eth0 -o wg0 -p tcp -m multiport --dports 80,443 -j ACCEPT',
    '-t filter -A FORWARD -i eth0 -o wg0 -p udp -m udp --dport 5353 -j ACCEPT',
    '-t filter -A FORWARD -i wg0 -o eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
] as const;

/** Others, which must stay: one that no document speaks of, and two that do more than they ask. */
export const STAYS = {
  stranger: '-t filter -A FORWARD -s 192.0.2.66/32 -j DROP',
  widerAccept: '-t filter -A FORWARD -i eth0 -o wg0 -p tcp -m multiport --dports 81,8443 -j ACCEPT',
  wider: '-t nat -A PREROUTING -d 198.51.100.10/32 -p tcp -m multiport --dports 81,8443 -j DNAT --to-destination 10.90.0.2',
} as const;

/** `wider`: with what does more than the documents ask. */
export async function makeByHand(cli: CliLab, backend: Backend, wider = false): Promise<void> {
  const { lab } = cli;
  const iptables = `iptables-${backend}`;
  const keys = await Promise.all(['edge', 'node'].map(async (host) => (await lab.host(host).run(['wg', 'genkey'])).stdout.trim()));
  const [edge = '', node = ''] = await Promise.all(
    keys.map(async (key) => (await lab.run(['wg', 'pubkey'], { stdin: `${key}\n` })).stdout.trim()),
  );
  await lab.host('edge').run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1']);
  const [first, ...others] = TAKEN;
  const more = wider ? [STAYS.wider, STAYS.widerAccept] : [];
  const rules = [STAYS.stranger, first, ...more, ...others];
  const postUp = rules.map((rule) => `PostUp = ${iptables} ${rule}`).join('\n');
  const configs = {
    edge: `[Interface]
PrivateKey = ${keys[0]}
Address = 10.90.0.1/30
ListenPort = 51820
PostUp = ${iptables} -P FORWARD DROP
${postUp}
[Peer]
PublicKey = ${node}
AllowedIPs = 10.90.0.2/32
`,
    node: `[Interface]
PrivateKey = ${keys[1]}
Address = 10.90.0.2/30
Table = 123
PostUp = ip rule add from 10.90.0.2 lookup 123
[Peer]
PublicKey = ${edge}
AllowedIPs = 0.0.0.0/0
Endpoint = 198.51.100.10:51820
PersistentKeepalive = 5
`,
  };
  for (const [host, text] of Object.entries(configs)) {
    await lab.run(['sh', '-ec', 'mkdir -p "/run/$1"; umask 077; cat >"/run/$1/wg0.conf"', 'sh', host], { stdin: text });
    await onTunnel(lab, host, `wg-quick up /run/${host}/wg0.conf`);
  }
  await showSockets(cli);
}

/** The same as documents: over the tunnel that wg-quick made. */
export const byHandDocuments = `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec:
  access: { netns: { name: edge } }
  interfaces: [{ name: eth0, zone: public }]
---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: node }
spec:
  access: { netns: { name: node } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: wg0 }
spec:
  type: Direct
  ends:
    - { host: edge, addresses: [10.90.0.1] }
    - { host: node, addresses: [10.90.0.2] }
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec:
  at: { hosts: [edge], addresses: [198.51.100.10] }
  ports: [{ protocol: TCP, port: 80 }, { protocol: TCP, port: 443 }, { protocol: TCP, port: 81 }]
  to: [{ host: node, via: wg0, address: 10.90.0.2 }]
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: dns }
spec:
  at: { hosts: [edge], addresses: [198.51.100.10] }
  ports: [{ protocol: UDP, port: 53, targetPort: 5353 }]
  to: [{ host: node, via: wg0, address: 10.90.0.2 }]
  clientAddress: Masquerade
`;
