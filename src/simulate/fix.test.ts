import { expect, test } from 'vitest';
import { type Address, parseAddress } from '../net/index.ts';
import { match, payload, type Rule, rule } from '../nftables/index.ts';
import { type Cause, fixOf } from './fix.ts';
import type { Packet } from './packet.ts';

const at = (text: string): Address => {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
};
const four = { source: at('192.0.2.7'), destination: at('10.0.0.2'), sourcePort: 40_000, destinationPort: 80, mark: 0 };
const six = { ...four, source: at('2001:db8::7'), destination: at('2001:db8::2') };
const [tcp, udp, icmp]: readonly Packet[] = [
  { ...four, protocol: 6 },
  { ...six, protocol: 17 },
  { ...six, protocol: 58 },
];
const drops: Rule = { ...rule(match(payload('tcp', 'dport'), '==', 80)), handle: 7 };
const ip = { family: 'ip', name: 'guard' } as const;

const death = (cause: Cause | undefined): Cause => {
  if (cause === undefined) throw new TypeError('no cause');
  return cause;
};
const byRule = (
  packet: Packet | undefined,
  place: Extract<Cause, { readonly kind: 'rule' }>['at'],
  answer = false,
): Cause => death(packet && { kind: 'rule', host: 'gw', at: place, packet, answer });

for (const [what, cause, fix] of [
  [
    'a rule of nft',
    byRule(tcp, { table: ip, chain: 'f', rule: drops }),
    'on gw: an accept before it: nft insert rule ip guard f handle 7 ip saddr 192.0.2.7 ip daddr 10.0.0.2 tcp dport 80 accept',
  ],
  [
    'a rule that was never on a kernel',
    byRule(udp, { table: { family: 'inet', name: 'guard' }, chain: 'f', rule: rule() }),
    'on gw: an accept before it: nft insert rule inet guard f ip6 saddr 2001:db8::7 ip6 daddr 2001:db8::2 udp dport 80 accept',
  ],
  [
    'a policy',
    byRule(icmp, { table: { family: 'ip6', name: 'guard' }, chain: 'f', policy: 'drop' }),
    'on gw: nft add rule ip6 guard f ip6 saddr 2001:db8::7 ip6 daddr 2001:db8::2 meta l4proto ipv6-icmp accept',
  ],
  [
    'a policy, of an answer',
    byRule(tcp, { table: ip, chain: 'f', policy: 'drop' }, true),
    'on gw: nft add rule ip guard f ct state established,related accept',
  ],
  [
    'a rule of iptables',
    byRule(tcp, { table: { family: 'ip', name: 'filter', origin: 'iptables-nft' }, chain: 'FORWARD', rule: drops }),
    'on gw: an accept before it: iptables -t filter -I FORWARD -s 192.0.2.7 -d 10.0.0.2 -p tcp --dport 80 -j ACCEPT',
  ],
  [
    'a policy of the older iptables, of an answer of IPv6',
    byRule(
      udp,
      { table: { family: 'ip6', name: 'filter', origin: 'iptables-legacy' }, chain: 'INPUT', policy: 'drop' },
      true,
    ),
    'on gw: an accept before it: ip6tables-legacy -t filter -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT',
  ],
  [
    'our own table',
    byRule(tcp, { table: { family: 'inet', name: 'sallyport' }, chain: 'sp_into', rule: drops }),
    'gw lets in what the documents declare and nothing else: declare it, as a port of a PortForward or in its allow',
  ],
  [
    'forwarding, IPv4',
    { kind: 'forwarding', host: 'gw', link: 'eth0.7', family: 4 },
    'on gw: sysctl -w net.ipv4.conf.eth0/7.forwarding=1 (all links: net.ipv4.ip_forward=1)',
  ],
  [
    'forwarding, IPv6',
    { kind: 'forwarding', host: 'gw', link: 'eth0', family: 6 },
    'on gw: sysctl -w net.ipv6.conf.all.forwarding=1',
  ],
  [
    'an address of lo by a link',
    { kind: 'localnet', host: 'gw', link: 'eth0' },
    'on gw: sysctl -w net.ipv4.conf.eth0.route_localnet=1, or another address than one of 127.0.0.0/8',
  ],
  [
    'rp_filter, with a way back by another link',
    { kind: 'reversePath', host: 'gw', link: 'eth0', source: four.source, isThere: true },
    'on gw: sysctl -w net.ipv4.conf.eth0.rp_filter=2 (loose), or a route to 192.0.2.7 by eth0',
  ],
  [
    'rp_filter, with no way back',
    { kind: 'reversePath', host: 'gw', link: 'eth0', source: four.source, isThere: false },
    'on gw: a route to 192.0.2.7, by which it can be answered; with one by another link than eth0, net.ipv4.conf.eth0.rp_filter=2 too',
  ],
  [
    'a martian',
    { kind: 'martian', host: 'gw', link: 'eth0', source: four.source },
    '192.0.2.7 belongs to gw itself: give the sender another address, or on gw: sysctl -w net.ipv4.conf.eth0.accept_local=1',
  ],
  [
    'no route',
    { kind: 'noRoute', host: 'gw', destination: four.destination },
    'on gw: ip route add 10.0.0.2 via ROUTER, or a default route',
  ],
  [
    'a route that refuses',
    { kind: 'routeRefuses', host: 'gw', destination: four.destination, by: 'route blackhole 10.0.0.0/8' },
    'on gw: take away route blackhole 10.0.0.0/8, or add a longer prefix or an earlier rule for 10.0.0.2',
  ],
  [
    'no allowed IPs',
    { kind: 'noPeer', host: 'gw', link: 'wg0', destination: six.destination },
    'on gw: add 2001:db8::2/128 to the allowed IPs of the peer of wg0 that it lies behind',
  ],
  [
    'a source that is not among them',
    { kind: 'notBelieved', host: 'node', link: 'wg0', source: four.source, sender: 'gw' },
    'on node: add 192.0.2.7/32 to the allowed IPs of the peer gw of wg0',
  ],
  [
    'too large a datagram',
    { kind: 'tooBig', host: 'gw', link: 'wg0', mtu: 1420, family: 6, isTcp: false },
    'packets of at most 1420 bytes: a smaller MTU at the sender, and let ICMPv6 errors through to it; or a larger MTU of wg0 on gw',
  ],
  [
    'too large a segment',
    { kind: 'tooBig', host: 'gw', link: 'wg0', mtu: 1420, family: 4, isTcp: true },
    'packets of at most 1420 bytes: a smaller MTU at the sender, and let ICMP errors through to it, or clamp the MSS to 1380 on gw; or a larger MTU of wg0 on gw',
  ],
  ['no IPv6', { kind: 'noIpv6', host: 'gw', link: 'eth0' }, 'on gw: sysctl -w net.ipv6.conf.eth0.disable_ipv6=0'],
  ['a link that is down', { kind: 'linkDown', host: 'gw', link: 'eth0' }, 'on gw: ip link set eth0 up'],
  [
    'nobody who listens',
    death(udp && { kind: 'nobodyListens', host: 'node', packet: udp }),
    'start a server on node at [2001:db8::2]:80/udp, or aim at a port that has one',
  ],
  ['echoes ignored', { kind: 'noEcho', host: 'node', family: 6 }, 'on node: sysctl -w net.ipv6.icmp.echo_ignore_all=0'],
  [
    'nobody at the next hop',
    { kind: 'nobodyThere', host: 'gw', link: 'eth0', address: four.destination },
    'give 10.0.0.2 to the machine at the other end of eth0, or aim the route of gw at an address that is there',
  ],
] as const)
  test(what, () => expect(fixOf(cause)).toBe(fix));
