/** What the parts of the table share: marks, families, sets of accepted targets. */
import type { AcceptShare, HostNumbers, TunnelShare } from '../host/index.ts';
import { type Family, type PortRange, printAddress } from '../net/index.ts';
import {
  address,
  and,
  anonymousSet,
  assign,
  type Chain,
  concat,
  ct,
  type Expression,
  join,
  match,
  meta,
  type NamedMap,
  type NamedSet,
  number,
  or,
  payload,
  type Rule,
  range,
  returnVerdict,
  type SetElement,
  type Statement,
  symbol,
  text,
  type Value,
} from '../nftables/index.ts';
import { markRoom, markStep } from './numbers.ts';

export const FAMILIES = [4, 6] as const;
export const IP = { 4: 'ip', 6: 'ip6' } as const;
export const ADDRESS_TYPE = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;

/** A tunnel by one of its links, with the key of its numbers, `SET/TUNNEL`, and what it may bring. */
export interface TunnelInTable extends Omit<TunnelShare, 'second'> {
  readonly key: string;
  readonly accepts: readonly AcceptShare[];
  /** Its link is the second one of the tunnel whose own link this is. */
  readonly beside?: string;
  /** Nothing is routed into this link: the tunnel's other one is sent by. */
  readonly idle?: true;
}

export interface Part {
  readonly sets?: readonly NamedSet[];
  readonly maps?: readonly NamedMap[];
  readonly pre?: readonly Rule[];
  readonly chains: readonly Chain[];
}

export const regular = (name: string, rules: readonly Rule[]): Chain => ({ kind: 'regular', name, rules });
export const jumpTo = (chain: string) => ({ kind: 'jump', chain }) as const;

export interface Marks {
  /** A connection that our DNAT made; and one that is masqueraded on its way out besides. */
  readonly forwarded: number;
  readonly masqueraded: number;
  readonly keep: number;
}

/** The two highest values of the mask are the edge's; the lower ones the node's tunnels, by index. */
export function marksOf({ mark }: HostNumbers): Marks {
  const step = markStep(mark.mask);
  const room = markRoom(mark.mask);
  return { forwarded: (room * step) >>> 0, masqueraded: ((room - 1) * step) >>> 0, keep: ~mark.mask >>> 0 };
}

/** The marks of connections that our DNAT made, within their mask. */
export function connectionMarks(numbers: HostNumbers): {
  readonly mask: number;
  readonly forwarded: number;
  readonly masqueraded: number;
} {
  const { forwarded, masqueraded } = marksOf(numbers);
  return { mask: numbers.mark.mask, forwarded, masqueraded };
}

export const tunnelMark = (index: number, { mark }: HostNumbers): number => (index * markStep(mark.mask)) >>> 0;

/** Sets our bits of a mark and leaves the others': 1.0.6 takes only constants here. */
export const setMark = (target: Expression, value: number, keep: number): Statement =>
  assign(target, value === 0 ? and(target, number(keep)) : or(and(target, number(keep)), number(value)));

export const indexOf = (tunnel: TunnelInTable, numbers: HostNumbers): number =>
  numbers.tunnels.get(tunnel.key)?.index ?? 0;

/** `icmpv6` is a word of nft's grammar; `ipv6-icmp` nft before 1.1 looks up in /etc/protocols, which a bare Debian 12 lacks. */
export const isIcmp = match(meta('l4proto'), '==', anonymousSet(symbol('icmp'), symbol('icmpv6')));
export const isPorts = match(meta('l4proto'), '==', anonymousSet(symbol('tcp'), symbol('udp')));
export const isNew = match(ct('state'), '==', symbol('new'));
export const goBack = returnVerdict;

export const target = (family: Family): Expression =>
  join(payload(IP[family], 'daddr'), meta('l4proto'), payload('th', 'dport'));

export const names = (links: readonly string[]): Expression =>
  links.length === 1 && links[0] !== undefined ? text(links[0]) : anonymousSet(...links.map(text));

type Place = Pick<AcceptShare, 'address' | 'protocol' | 'ports'>;

/** Sets of (address, protocol, port), exact ones and ranges apart: one interval makes a whole set slow. */
export function acceptSets(
  accepts: readonly Place[],
  prefix: string,
  id: string,
): readonly { readonly set: NamedSet; readonly family: Family }[] {
  return FAMILIES.flatMap((family) =>
    ([false, true] as const).flatMap((ranges) => {
      const wanted = accepts.filter(({ address: each, ports }) => each.family === family && isRange(ports) === ranges);
      if (wanted.length === 0) return [];
      const elements = new Map<string, SetElement>();
      for (const { address: each, protocol, ports } of ranges ? mergeRanges(wanted) : wanted)
        elements.set(`${printAddress(each)} ${protocol} ${ports.first}`, {
          key: concat(address(each), symbol(protocol), portValue(ports)),
        });
      const set: NamedSet = {
        name: `${prefix}${family}${ranges ? 'r' : ''}_${id}`,
        type: [ADDRESS_TYPE[family], 'inet_proto', 'inet_service'],
        flags: ranges ? ['interval'] : [],
        elements: [...elements.values()],
      };
      return [{ set, family }];
    }),
  );
}

/** Overlapping ranges of one address and protocol as one: the kernel refuses elements that overlap. */
function mergeRanges(accepts: readonly Place[]): readonly Place[] {
  const merged: Place[] = [];
  const key = ({ address: each, protocol }: Place): string => `${printAddress(each)} ${protocol}`;
  for (const next of [...accepts].sort((a, b) =>
    key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.ports.first - b.ports.first,
  )) {
    const last = merged.at(-1);
    if (last !== undefined && key(last) === key(next) && next.ports.first <= last.ports.last + 1)
      merged[merged.length - 1] = {
        ...last,
        ports: { first: last.ports.first, last: Math.max(last.ports.last, next.ports.last) },
      };
    else merged.push(next);
  }
  return merged;
}

export const isRange = ({ first, last }: PortRange): boolean => first !== last;
export const portValue = ({ first, last }: PortRange): Value =>
  first === last ? number(first) : range(number(first), number(last));

/** The network of a client of IPv6: every address in it is the client's (RFC 6177). */
const NETWORK_MASK = { family: 6, value: 0xffff_ffff_ffff_ffffn << 64n } as const;

/** What counts as one client: the IPv4 address, the /64 of IPv6. */
export const clientOf = (family: Family): Expression =>
  family === 4 ? payload('ip', 'saddr') : and(payload('ip6', 'saddr'), address(NETWORK_MASK));
