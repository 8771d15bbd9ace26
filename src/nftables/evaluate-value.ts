/** Constants as they stand in a register: addresses are bigints, names are text, everything else is a number. */
import { type Address, addressBits, lastAddress } from '../net/index.ts';
import type { Value } from './ruleset.ts';

export type Scalar = number | bigint | string;

/** Where the model has no answer; it is decided by asking for both (evaluate.ts). */
export const UNKNOWN = Symbol('unknown');
export type Unknown = typeof UNKNOWN;

/** The numbers behind nft's words, by data type (nft's datatype.c and proto.c, linux/netfilter/*.h). */
const symbols: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  inet_proto: {
    ...{ icmp: 1, igmp: 2, ipencap: 4, tcp: 6, udp: 17, dccp: 33, ipv6: 41, gre: 47, esp: 50, ah: 51, icmpv6: 58 },
    ...{ 'ipv6-icmp': 58, ospf: 89, comp: 108, vrrp: 112, l2tp: 115, sctp: 132, udplite: 136 },
  },
  ct_state: { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 },
  ct_dir: { original: 0, reply: 1 },
  ct_status: { expected: 1, 'seen-reply': 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 },
  nf_proto: { ipv4: 2, ipv6: 10 },
  ether_type: { ip: 0x0800, arp: 0x0806, ip6: 0x86dd, vlan: 0x8100 },
  tcp_flag: { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ecn: 64, cwr: 128 },
  pkt_type: { host: 0, unicast: 0, broadcast: 1, multicast: 2, other: 3 },
  fib_addrtype: {
    ...{ unspec: 0, unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5 },
    ...{ blackhole: 6, unreachable: 7, prohibit: 8 },
  },
  icmp_type: {
    ...{ 'echo-reply': 0, 'destination-unreachable': 3, 'source-quench': 4, redirect: 5, 'echo-request': 8 },
    ...{ 'router-advertisement': 9, 'router-solicitation': 10, 'time-exceeded': 11, 'parameter-problem': 12 },
    ...{ 'timestamp-request': 13, 'timestamp-reply': 14, 'info-request': 15, 'info-reply': 16 },
    ...{ 'address-mask-request': 17, 'address-mask-reply': 18 },
  },
  icmp_code: {
    ...{ 'net-unreachable': 0, 'host-unreachable': 1, 'prot-unreachable': 2, 'port-unreachable': 3, 'frag-needed': 4 },
    ...{ 'net-prohibited': 9, 'host-prohibited': 10, 'admin-prohibited': 13 },
  },
  icmpv6_code: {
    ...{ 'no-route': 0, 'admin-prohibited': 1, 'addr-unreachable': 3, 'port-unreachable': 4 },
    ...{ 'policy-fail': 5, 'reject-route': 6 },
  },
  icmpv6_type: {
    ...{ 'destination-unreachable': 1, 'packet-too-big': 2, 'time-exceeded': 3, 'parameter-problem': 4 },
    ...{ 'echo-request': 128, 'echo-reply': 129, 'mld-listener-query': 130, 'mld-listener-report': 131 },
    ...{ 'mld-listener-done': 132, 'mld-listener-reduction': 132, 'nd-router-solicit': 133, 'nd-router-advert': 134 },
    ...{ 'nd-neighbor-solicit': 135, 'nd-neighbor-advert': 136, 'nd-redirect': 137, 'router-renumbering': 138 },
    ...{ 'ind-neighbor-solicit': 141, 'ind-neighbor-advert': 142, 'mld2-listener-report': 143 },
  },
};

/** The bit of `ct state`, as the kernel has it. */
export const stateBit = (state: 'invalid' | 'established' | 'related' | 'new' | 'untracked'): number =>
  symbols.ct_state?.[state] ?? 0;

/** What one constant stands for: a value, an interval, anything, a beginning of a name, or what the model does not know. */
export type Pattern =
  | { readonly kind: 'exact'; readonly value: Scalar }
  | { readonly kind: 'between'; readonly first: Scalar; readonly last: Scalar }
  | { readonly kind: 'beginning'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'unknown' };

const exact = (value: Scalar): Pattern => ({ kind: 'exact', value });
const unknown: Pattern = { kind: 'unknown' };

/** The pattern of one constant of the data type `type`; a concatenation has one a part, so it is unknown here. */
export function patternOf(value: Value, type: string | undefined): Pattern {
  switch (value.kind) {
    case 'number':
      return type === 'ct_label' ? labelPattern(value.value) : exact(value.value);
    case 'string':
      return value.text.endsWith('*') ? { kind: 'beginning', text: value.text.slice(0, -1) } : exact(value.text);
    case 'address':
      return exact(value.address.value);
    case 'symbol':
      return symbolPattern(value.name, type);
    case 'prefix':
      return { kind: 'between', first: value.prefix.address.value, last: lastAddress(value.prefix).value };
    case 'range': {
      const [first, last] = [patternOf(value.first, type), patternOf(value.last, type)];
      return first.kind === 'exact' && last.kind === 'exact'
        ? { kind: 'between', first: first.value, last: last.value }
        : unknown;
    }
    case 'wildcard':
      return { kind: 'any' };
    case 'concat':
    case 'opaque':
      return unknown;
  }
}

/** A label is one of 128 bits, and nft writes its number; names are of a file on the host (connlabel.conf). */
const labelPattern = (bit: number): Pattern => (bit < LABELS ? exact(labelBit(bit)) : unknown);
const LABELS = 128;
export const labelBit = (bit: number): bigint => 1n << BigInt(bit);

function symbolPattern(name: string, type: string | undefined): Pattern {
  if (type === 'ether_addr') return exact(name.toLowerCase());
  if (name === 'exists' || name === 'missing') return exact(name === 'exists' ? 1 : 0);
  const number = type === undefined ? undefined : symbols[type]?.[name];
  return number === undefined ? unknown : exact(number);
}

/** Whether a value is what the pattern stands for. */
export function fits(pattern: Pattern, value: Scalar): boolean | Unknown {
  switch (pattern.kind) {
    case 'exact':
      return pattern.value === value;
    case 'between':
      return typeof pattern.first === typeof value && pattern.first <= value && value <= pattern.last;
    case 'beginning':
      return typeof value === 'string' && value.startsWith(pattern.text);
    case 'any':
      return true;
    case 'unknown':
      return UNKNOWN;
  }
}

/** The address that a register holds, for a packet of this family. */
export const addressOf = (value: Scalar | undefined, family: 4 | 6): Address | undefined =>
  typeof value === 'bigint' && value >> BigInt(addressBits(family)) === 0n ? { family, value } : undefined;
