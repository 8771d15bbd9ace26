/** The sysctls that decide on a path of ours, on how a packet is answered, or that change as a side effect of one that does. `*` stands for every interface, `all` and `default`. */
export const OBSERVED_SYSCTLS: readonly string[] = [
  'net/ipv4/ip_forward',
  'net/ipv4/ip_early_demux',
  'net/ipv4/fwmark_reflect',
  'net/ipv4/tcp_fwmark_accept',
  'net/ipv4/icmp_echo_ignore_all',
  'net/ipv4/icmp_errors_use_inbound_ifaddr',
  'net/ipv4/icmp_ratelimit',
  'net/ipv4/icmp_ratemask',
  'net/ipv6/icmp/echo_ignore_all',
  'net/ipv6/icmp/ratelimit',
  'net/ipv6/icmp/ratemask',
  'net/ipv6/fwmark_reflect',
  ...each('net/ipv4/conf/*', [
    'forwarding',
    'rp_filter',
    'src_valid_mark',
    'accept_local',
    'route_localnet',
    'proxy_arp',
    'accept_redirects', // ip_forward turns it over
    'send_redirects',
  ]),
  ...each('net/ipv6/conf/*', ['forwarding', 'accept_ra', 'accept_redirects', 'disable_ipv6', 'proxy_ndp']),
  ...each('net/bridge', ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables']),
  ...each('net/netfilter', [
    'nf_conntrack_max',
    'nf_conntrack_count',
    'nf_conntrack_buckets',
    'nf_conntrack_tcp_loose',
  ]),
];

function each(folder: string, names: readonly string[]): readonly string[] {
  return names.map((name) => `${folder}/${name}`);
}
