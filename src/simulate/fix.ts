/** What a packet died of, as data, and what would let it pass, as a sentence. */
import { type Address, type Family, printAddress } from '../net/index.ts';
import type { RuleReference } from '../nftables/index.ts';
import { isIcmp, type Packet, PROTOCOLS, printDestination } from './packet.ts';

/** What ended a packet's way. `host` is where. */
export type Cause = { readonly host: string } & (
  | {
      readonly kind: 'rule';
      readonly at: RuleReference;
      readonly packet: Packet;
      /** It belongs to a connection that was answered. */
      readonly answer: boolean;
    }
  | { readonly kind: 'forwarding'; readonly link: string; readonly family: Family }
  | { readonly kind: 'localnet'; readonly link: string }
  | {
      readonly kind: 'reversePath';
      readonly link: string;
      readonly source: Address;
      /** There is a way back, by another link. */
      readonly isThere: boolean;
    }
  | { readonly kind: 'martian'; readonly link: string; readonly source: Address }
  | { readonly kind: 'noRoute'; readonly destination: Address }
  | { readonly kind: 'routeRefuses'; readonly destination: Address; readonly by: string }
  | { readonly kind: 'noPeer'; readonly link: string; readonly destination: Address }
  | { readonly kind: 'notBelieved'; readonly link: string; readonly source: Address; readonly sender: string }
  | { readonly kind: 'presharedKeysDiffer'; readonly link: string; readonly far: string; readonly farLink: string }
  | {
      readonly kind: 'tooBig';
      readonly link: string;
      readonly mtu: number;
      readonly family: Family;
      /** Its sender sends TCP, whose segments can be made smaller on the way. */
      readonly isTcp: boolean;
    }
  | { readonly kind: 'noIpv6' | 'linkDown'; readonly link: string }
  | { readonly kind: 'nobodyListens'; readonly packet: Packet }
  /** A transparent proxy was to have it. */
  | { readonly kind: 'proxyRouted'; readonly mark: number; readonly family: Family }
  /** Its socket may not stand for the address it was asked at. */
  | { readonly kind: 'notTransparent'; readonly address: Address }
  | { readonly kind: 'noEcho'; readonly family: Family }
  | { readonly kind: 'nobodyThere'; readonly link: string; readonly address: Address }
);

/** One sentence: what to do, and where. */
export function fixOf(cause: Cause): string {
  const { host } = cause;
  switch (cause.kind) {
    case 'rule':
      return ruleFix(host, cause.at, cause.packet, cause.answer);
    case 'forwarding':
      return cause.family === 4
        ? `on ${host}: sysctl -w ${setting(`net/ipv4/conf/${cause.link}/forwarding`)}=1 (all links: net.ipv4.ip_forward=1)`
        : `on ${host}: sysctl -w net.ipv6.conf.all.forwarding=1`;
    case 'localnet':
      return `on ${host}: sysctl -w ${setting(`net/ipv4/conf/${cause.link}/route_localnet`)}=1, or another address than one of 127.0.0.0/8`;
    case 'reversePath': {
      const from = printAddress(cause.source);
      return cause.isThere
        ? `on ${host}: sysctl -w ${setting(`net/ipv4/conf/${cause.link}/rp_filter`)}=2 (loose), or a route to ${from} by ${cause.link}`
        : `on ${host}: a route to ${from}, by which it can be answered; with one by another link than ${cause.link}, ${setting(`net/ipv4/conf/${cause.link}/rp_filter`)}=2 too`;
    }
    case 'martian':
      return `${printAddress(cause.source)} belongs to ${host} itself: give the sender another address, or on ${host}: sysctl -w ${setting(`net/ipv4/conf/${cause.link}/accept_local`)}=1`;
    case 'noRoute':
      return `on ${host}: ip route add ${printAddress(cause.destination)} via ROUTER, or a default route`;
    case 'routeRefuses':
      return `on ${host}: take away ${cause.by}, or add a longer prefix or an earlier rule for ${printAddress(cause.destination)}`;
    case 'noPeer':
      return `on ${host}: add ${hostText(cause.destination)} to the allowed IPs of the peer of ${cause.link} that it lies behind`;
    case 'notBelieved':
      return `on ${host}: add ${hostText(cause.source)} to the allowed IPs of the peer ${cause.sender} of ${cause.link}`;
    case 'presharedKeysDiffer':
      return `the same preshared key at both ends, or none: by sallyport apply, or wg set ${cause.link} peer KEY preshared-key FILE on ${host} and the like for ${cause.farLink} on ${cause.far}`;
    case 'tooBig': {
      const clamp = cause.isTcp ? `, or clamp the MSS to ${cause.mtu - (cause.family === 4 ? 40 : 60)} on ${host}` : '';
      return `packets of at most ${cause.mtu} bytes: a smaller MTU at the sender, and let ICMP${cause.family === 6 ? 'v6' : ''} errors through to it${clamp}; or a larger MTU of ${cause.link} on ${host}`;
    }
    case 'noIpv6':
      return `on ${host}: sysctl -w ${setting(`net/ipv6/conf/${cause.link}/disable_ipv6`)}=0`;
    case 'linkDown':
      return `on ${host}: ip link set ${cause.link} up`;
    case 'nobodyListens':
      return `start a server on ${host} at ${printDestination(cause.packet)}, or aim at a port that has one`;
    case 'proxyRouted': {
      const ip = cause.family === 4 ? 'ip' : 'ip -6';
      const mark = cause.mark === 0 ? 'MARK' : `0x${cause.mark.toString(16)}`;
      const first = cause.mark === 0 ? 'a mark set beside the proxy, and ' : '';
      return `on ${host}: ${first}${ip} rule add fwmark ${mark} lookup 100, and ${ip} route add local default dev lo table 100`;
    }
    case 'notTransparent':
      return `on ${host}: a server with IP_TRANSPARENT, or ${printAddress(cause.address)} among the addresses of ${host}`;
    case 'noEcho':
      return `on ${host}: sysctl -w net.${cause.family === 4 ? 'ipv4.icmp_echo_ignore_all' : 'ipv6.icmp.echo_ignore_all'}=0`;
    case 'nobodyThere':
      return `give ${printAddress(cause.address)} to the machine at the other end of ${cause.link}, or aim the route of ${host} at an address that is there`;
  }
}

const hostText = (address: Address): string => `${printAddress(address)}/${address.family === 4 ? 32 : 128}`;

/** As `sysctl` writes it: dots for slashes, and a link's own dots as slashes. */
const setting = (path: string): string => path.replaceAll(/[./]/g, (sign) => (sign === '/' ? '.' : '/'));

/** An accept before the rule, by the tool that wrote it; where the policy drops, at the end. */
function ruleFix(host: string, { table, chain, rule }: RuleReference, packet: Packet, answer: boolean): string {
  const at = `${table.family} ${table.name} ${chain}`;
  if (table.family === 'inet' && table.name === 'sallyport') {
    return `${host} lets in what the documents declare and nothing else: declare it, as a port of a PortForward or in its allow`;
  }
  if (table.origin !== undefined) {
    const program = `${table.family === 'ip6' ? 'ip6tables' : 'iptables'}${table.origin === 'iptables-legacy' ? '-legacy' : ''}`;
    const what = answer ? '-m conntrack --ctstate ESTABLISHED,RELATED' : iptablesMatch(packet);
    return `on ${host}: an accept before it: ${program} -t ${table.name} -I ${chain} ${what} -j ACCEPT`;
  }
  const what = answer ? 'ct state established,related' : nftMatch(packet);
  if (rule === undefined) return `on ${host}: nft add rule ${at} ${what} accept`;
  return rule.handle === undefined
    ? `on ${host}: an accept before it: nft insert rule ${at} ${what} accept`
    : `on ${host}: an accept before it: nft insert rule ${at} handle ${rule.handle} ${what} accept`;
}

function nftMatch(packet: Packet): string {
  const { source, destination, protocol, destinationPort } = packet;
  const family = destination.family === 4 ? 'ip' : 'ip6';
  const ends = `${family} saddr ${printAddress(source)} ${family} daddr ${printAddress(destination)}`;
  if (isIcmp(packet)) return `${ends} meta l4proto ${destination.family === 4 ? 'icmp' : 'ipv6-icmp'}`;
  if (protocol === PROTOCOLS.tcp) return `${ends} tcp dport ${destinationPort}`;
  return protocol === PROTOCOLS.udp ? `${ends} udp dport ${destinationPort}` : `${ends} meta l4proto ${protocol}`;
}

function iptablesMatch(packet: Packet): string {
  const { source, destination, protocol, destinationPort } = packet;
  const ends = `-s ${printAddress(source)} -d ${printAddress(destination)}`;
  if (isIcmp(packet)) return `${ends} -p ${destination.family === 4 ? 'icmp' : 'ipv6-icmp'}`;
  if (protocol === PROTOCOLS.tcp) return `${ends} -p tcp --dport ${destinationPort}`;
  return protocol === PROTOCOLS.udp ? `${ends} -p udp --dport ${destinationPort}` : `${ends} -p ${protocol}`;
}
