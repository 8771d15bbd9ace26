import type { DataType, Expression } from './ruleset.ts';

const addressTypes = { ip: 'ipv4_addr', ip6: 'ipv6_addr' } as const;

/** nft's data types of header fields, by `protocol field`; `*` stands for any protocol (nft's proto.c). */
const payloadTypes: Readonly<Record<string, string>> = {
  'ip saddr': 'ipv4_addr',
  'ip daddr': 'ipv4_addr',
  'ip protocol': 'inet_proto',
  'ip dscp': 'dscp',
  'ip ecn': 'ecn',
  'ip6 saddr': 'ipv6_addr',
  'ip6 daddr': 'ipv6_addr',
  'ip6 nexthdr': 'inet_proto',
  'ip6 dscp': 'dscp',
  'ip6 ecn': 'ecn',
  'ether saddr': 'ether_addr',
  'ether daddr': 'ether_addr',
  'ether type': 'ether_type',
  'arp saddr ip': 'ipv4_addr',
  'arp daddr ip': 'ipv4_addr',
  'tcp flags': 'tcp_flag',
  'icmp type': 'icmp_type',
  'icmp code': 'icmp_code',
  'icmpv6 type': 'icmpv6_type',
  'icmpv6 code': 'icmpv6_code',
  '* sport': 'inet_service',
  '* dport': 'inet_service',
};

const metaTypes: Readonly<Record<string, string>> = {
  mark: 'mark',
  iif: 'iface_index',
  oif: 'iface_index',
  sdif: 'iface_index',
  iifname: 'ifname',
  oifname: 'ifname',
  sdifname: 'ifname',
  ibrname: 'ifname',
  obrname: 'ifname',
  ibriport: 'ifname',
  l4proto: 'inet_proto',
  nfproto: 'nf_proto',
  protocol: 'ether_type',
  pkttype: 'pkt_type',
  iifkind: 'ifkind',
  oifkind: 'ifkind',
};

const ctTypes: Readonly<Record<string, string>> = {
  state: 'ct_state',
  status: 'ct_status',
  direction: 'ct_dir',
  mark: 'mark',
  label: 'ct_label',
  helper: 'string',
  protocol: 'inet_proto',
  l3proto: 'nf_proto',
  'ip saddr': 'ipv4_addr',
  'ip daddr': 'ipv4_addr',
  'ip6 saddr': 'ipv6_addr',
  'ip6 daddr': 'ipv6_addr',
  'proto-src': 'inet_service',
  'proto-dst': 'inet_service',
};

const fibTypes = { oif: 'iface_index', oifname: 'ifname', type: 'fib_addrtype' } as const;

/** nft's data type of what an expression gives, one entry per part of a concatenation; undefined where it is not known here. */
export function typeOf(expression: Expression): DataType | undefined {
  switch (expression.kind) {
    case 'payload':
      return one(
        payloadTypes[`${expression.protocol} ${expression.field}`] ??
          payloadTypes[`* ${expression.field}`] ??
          'integer',
      );
    case 'meta':
      return one(metaTypes[expression.key] ?? 'integer');
    case 'ct':
      return one(ctTypes[expression.key] ?? 'integer');
    case 'fib':
      return one(fibTypes[expression.result]);
    case 'rt':
      return one(rtType(expression.key));
    case 'tcpOption':
    case 'rawPayload':
    case 'hash':
    case 'symhash':
    case 'numgen':
      return one('integer');
    case 'binary':
      return typeOf(expression.left);
    case 'join':
      return expression.parts.map((part) => typeOf(part)?.[0] ?? 'unknown');
    case 'number':
    case 'symbol':
    case 'string':
    case 'address':
    case 'prefix':
    case 'range':
    case 'concat':
    case 'wildcard':
    case 'opaque':
    case 'setReference':
    case 'anonymousSet':
    case 'anonymousMap':
    case 'lookup':
      return undefined;
  }
}

const one = (type: string): DataType => [type];

function rtType(key: string): string {
  if (key === 'ip nexthop') return addressTypes.ip;
  return key === 'ip6 nexthop' ? addressTypes.ip6 : 'integer';
}

const bitmaskTypes: ReadonlySet<string> = new Set(['ct_state', 'ct_status', 'tcp_flag', 'ct_label', 'ct_event']);

/** Whether the expression is a field of flags, where nft without an operator asks for any of them and not for equality. */
export function isBitmask(expression: Expression): boolean {
  if (expression.kind === 'binary') return false;
  const type = typeOf(expression);
  return type?.length === 1 && type[0] !== undefined && bitmaskTypes.has(type[0]);
}

/** Labels of connections, each a bit that is written by its number. */
export const isLabel = (expression: Expression): boolean => typeOf(expression)?.[0] === 'ct_label';

/** Types whose values are free text, printed in quotes. */
export const textTypes: ReadonlySet<string> = new Set(['ifname', 'iface_index', 'string', 'ifkind']);

/** The protocols that nft's grammar has as words; other names need the host's /etc/protocols, so they are kept as numbers. */
const protocolNumbers: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  comp: 108,
  sctp: 132,
  udplite: 136,
};
const protocolNames: ReadonlyMap<number, string> = new Map(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name]),
);
/** Names that getprotobynumber gives (/etc/protocols of Debian 12) for what nft's grammar has no word for. */
const otherProtocolNames: Readonly<Record<string, number>> = {
  ip: 0,
  hopopt: 0,
  ggp: 3,
  ipencap: 4,
  st: 5,
  egp: 8,
  igp: 9,
  pup: 12,
  hmp: 20,
  'xns-idp': 22,
  rdp: 27,
  'iso-tp4': 29,
  xtp: 36,
  ddp: 37,
  'idpr-cmtp': 38,
  ipv6: 41,
  'ipv6-route': 43,
  'ipv6-frag': 44,
  idrp: 45,
  rsvp: 46,
  skip: 57,
  'ipv6-icmp': 58,
  'ipv6-nonxt': 59,
  'ipv6-opts': 60,
  rspf: 73,
  vmtp: 81,
  eigrp: 88,
  ospf: 89,
  'ax.25': 93,
  ipip: 94,
  etherip: 97,
  encap: 98,
  pim: 103,
  ipcomp: 108,
  vrrp: 112,
  l2tp: 115,
  isis: 124,
  fc: 133,
  'mobility-header': 135,
  'mpls-in-ip': 137,
  manet: 138,
  hip: 139,
  shim6: 140,
  wesp: 141,
  rohc: 142,
  ethernet: 143,
};

/** The one spelling of a transport protocol: nft's word where it has one, else the number; an unknown name stays. */
export function normalProtocol(protocol: string | number): string | number {
  const number = typeof protocol === 'number' ? protocol : (protocolNumbers[protocol] ?? otherProtocolNames[protocol]);
  return number === undefined ? protocol : (protocolNames.get(number) ?? number);
}
