/** The table's part for tunnels: what one may bring, and how what came by it goes back by it. */
import { type HostNumbers, isOwnLink } from '../host/index.ts';
import { printAddress } from '../net/index.ts';
import {
  address,
  and,
  anonymousMap,
  anonymousSet,
  assign,
  type Chain,
  counter,
  ct,
  dnat,
  drop,
  fib,
  flags,
  type MapElement,
  match,
  meta,
  type NamedSet,
  number,
  payload,
  type Rule,
  rule,
  type Statement,
  setReference,
  symbol,
  tcpOption,
  text,
  verdictMap,
} from '../nftables/index.ts';
import {
  ADDRESS_TYPE,
  acceptSets,
  FAMILIES,
  goBack,
  IP,
  indexOf,
  isIcmp,
  isNew,
  isPorts,
  jumpTo,
  type Part,
  regular,
  setMark,
  type TunnelInTable,
  target,
  tunnelMark,
} from './table-words.ts';

/** A TCP segment's headers: IPv4 20 or IPv6 40, TCP 20 (RFC 9293). */
const SEGMENT_HEADERS = { 4: 40, 6: 60 } as const;

export interface OwnLink {
  readonly name: string;
  readonly mtu: number;
  readonly tunnels: readonly TunnelInTable[];
}

export function ownLinks(tunnels: readonly TunnelInTable[]): readonly OwnLink[] {
  const links = new Map<string, TunnelInTable[]>();
  for (const tunnel of tunnels) {
    if (!isOwnLink(tunnel.link)) continue;
    const list = links.get(tunnel.link);
    if (list === undefined) links.set(tunnel.link, [tunnel]);
    else list.push(tunnel);
  }
  return [...links]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, list]) => ({ name, mtu: Math.min(...list.map(({ mtu }) => mtu)), tunnels: list }));
}

/** Link names hold dashes and no underscores, so no two become one. */
const identifier = (link: string): string => link.replace(/^sp-/, '').replace(/[^A-Za-z0-9]/g, '_');
export const fromName = (link: string): string => `sp_from_${identifier(link)}`;

export function clamp(link: OwnLink, direction: 'iifname' | 'oifname'): readonly Rule[] {
  return FAMILIES.map((family) =>
    rule(
      ...(direction === 'oifname' ? [match(meta('oifname'), '==', text(link.name))] : []),
      match(meta('nfproto'), '==', symbol(`ipv${family}`)),
      match(and(payload('tcp', 'flags'), flags('syn', 'rst')), '==', symbol('syn')),
      assign(tcpOption('maxseg', 'size'), number(link.mtu - SEGMENT_HEADERS[family])),
    ),
  );
}

/** What an Ethernet link carries: a forward comes in by one. */
const USUAL_MTU = 1_500;

/**
 * Direct: on a link that is narrower than others the SYNs of our own connections get its segment size both ways, as in a tunnel of ours: the
 * node answers by a mark, and chose its size by the way it would have gone without. What others send there is theirs.
 */
export function clampDirect(
  tunnels: readonly TunnelInTable[],
  isOurs: Statement,
  direction: 'iifname' | 'oifname',
): readonly Rule[] {
  const links = new Map(tunnels.flatMap(({ link, mtu }) => (isOwnLink(link) || mtu >= USUAL_MTU ? [] : [[link, mtu]])));
  return [...links].flatMap(([link, mtu]) =>
    FAMILIES.map((family) =>
      rule(
        match(meta(direction), '==', text(link)),
        isOurs,
        match(meta('nfproto'), '==', symbol(`ipv${family}`)),
        match(and(payload('tcp', 'flags'), flags('syn', 'rst')), '==', symbol('syn')),
        assign(tcpOption('maxseg', 'size'), number(mtu - SEGMENT_HEADERS[family])),
      ),
    ),
  );
}

/**
 * An ICMP error that this host makes is looked up before it has its mark, so it bears the address of the host's own line. The far end of a
 * WireGuard tunnel takes nothing from there, and no reverse path check of it would: it must come from the tunnel address. IPv6 takes that itself.
 */
export const errorRules = (link: OwnLink, numbers: HostNumbers): readonly Rule[] =>
  link.tunnels.flatMap((tunnel) => {
    const own = tunnel.addresses.find(({ address: { family } }) => family === 4)?.address;
    if (own === undefined || !tunnel.returns.includes(4)) return [];
    return [
      rule(
        match(meta('oifname'), '==', text(link.name)),
        match(
          and(meta('mark'), number(numbers.mark.mask)),
          '==',
          number(tunnelMark(indexOf(tunnel, numbers), numbers)),
        ),
        match(
          payload('icmp', 'type'),
          '==',
          anonymousSet(symbol('destination-unreachable'), symbol('time-exceeded'), symbol('parameter-problem')),
        ),
        match(fib('type', 'saddr'), '==', symbol('local')),
        assign(payload('ip', 'saddr'), address(own)),
      ),
    ];
  });

/** What a link of ours may bring, judged before anybody's DNAT: the declared targets, replies of the far end, ICMP errors, and what `untracked` lets pass. */
export function fromTunnel(
  link: OwnLink,
  all: readonly TunnelInTable[],
  numbers: HostNumbers,
  untracked: readonly Rule[],
): Part {
  const id = identifier(link.name);
  const accepts = link.tunnels.flatMap((tunnel) => tunnel.accepts);
  const far = FAMILIES.flatMap((family): NamedSet[] => {
    const all = link.tunnels
      .flatMap(({ peer, routes, returns }) => [
        ...peer.addresses,
        // From there an edge is asked by its public link, and never answered.
        ...(returns.length === 0 ? [] : (peer.publicAddresses ?? [])),
        ...routes.map((route) => route.address),
      ])
      .filter((each) => each.family === family);
    const elements = [...new Map(all.map((each) => [printAddress(each), { key: address(each) }])).values()];
    return elements.length === 0
      ? []
      : [{ name: `sp_far${family}_${id}`, type: [ADDRESS_TYPE[family]], flags: [], elements }];
  });
  const sets = acceptSets(accepts, `sp_in`, id);
  const mark = link.tunnels.find(({ returns }) => returns.length > 0);
  const admit =
    mark === undefined
      ? []
      : [setMark(ct('mark'), tunnelMark(indexOf(mark, numbers), numbers), ~numbers.mark.mask >>> 0)];
  const rules: Rule[] = [
    ...clamp(link, 'iifname'),
    rule(match(ct('state'), '==', symbol('established')), match(ct('direction'), '==', symbol('original')), goBack),
    ...far.map(({ name }) =>
      rule(
        match(ct('state'), '==', symbol('established')),
        match(payload(name.startsWith('sp_far4') ? 'ip' : 'ip6', 'saddr'), '==', setReference(name)),
        goBack,
      ),
    ),
    rule(match(ct('state'), '==', symbol('related')), isIcmp, goBack),
    ...untracked,
    ...sets.map(({ set, family }) =>
      rule(isNew, isPorts, match(target(family), '==', setReference(set.name)), ...admit, goBack),
    ),
    // Neighbour discovery is untracked; only a link with hardware addresses needs it.
    ...(link.tunnels.some(({ type }) => type === 'VXLAN')
      ? [
          rule(
            match(
              payload('icmpv6', 'type'),
              '==',
              anonymousSet(symbol('nd-neighbor-solicit'), symbol('nd-neighbor-advert')),
            ),
            goBack,
          ),
        ]
      : []),
    ...all.flatMap((tunnel) => carriedRules(tunnel, link)),
    rule(counter, drop),
  ];
  return { sets: [...far, ...sets.map(({ set }) => set)], chains: [regular(fromName(link.name), rules)] };
}

/** IP protocols (IANA): of IPIP one for each family inside. */
const PROTOCOLS = { IPIP: ['ipencap', 'ipv6'], GRE: ['gre'] } as const;

/** The packets of a tunnel that goes by this link: from the link's far end alone, and what comes out of them is judged again. */
function carriedRules(
  { type, carrier, listenPort, vxlan }: TunnelInTable,
  { name, tunnels }: OwnLink,
): readonly Rule[] {
  const isCarrier =
    carrier?.link === name || tunnels.some(({ beside }) => beside !== undefined && beside === carrier?.link);
  if (carrier === undefined || !isCarrier || type === 'Direct') return [];
  const port = vxlan?.port ?? listenPort;
  return carrier.from.flatMap((from): readonly Rule[] => {
    const source = match(payload(IP[from.family], 'saddr'), '==', address(from));
    if (type === 'IPIP' || type === 'GRE')
      return PROTOCOLS[type].map((protocol) => rule(source, match(meta('l4proto'), '==', symbol(protocol)), goBack));
    return port === undefined ? [] : [rule(source, match(payload('udp', 'dport'), '==', number(port)), goBack)];
  });
}

/**
 * Where the far end comes to be heard at an address that is routed into the tunnel, the kernel's WireGuard would wrap its own packets again
 * and again, as fast as the processor can. What leaves from the link's port by the link itself goes in circles.
 */
export const loopRules = (links: readonly OwnLink[]): readonly Rule[] =>
  links.flatMap(({ name, tunnels }) => {
    const port = tunnels.find(({ type }) => type === 'WireGuard')?.listenPort;
    return port === undefined
      ? []
      : [
          rule(
            match(meta('oifname'), '==', text(name)),
            match(payload('udp', 'sport'), '==', number(port)),
            counter,
            drop,
          ),
        ];
  });

/** Each tunnel counts its connections in a zone of its own, so that two edges may carry one 5-tuple. Replies stay in zone 0. */
export const zoneRules = (returning: readonly TunnelInTable[], numbers: HostNumbers): readonly Rule[] =>
  returning
    .filter(({ link }) => isOwnLink(link))
    .map((tunnel) =>
      rule(
        match(meta('iifname'), '==', text(tunnel.link)),
        assign(ct('zone', 'original'), number(indexOf(tunnel, numbers))),
      ),
    );

/** Direct: the link is not ours and carries others' traffic too, so only the declared targets are marked, by the peer's hardware address where it is known. */
export function directReturns(returning: readonly TunnelInTable[], numbers: HostNumbers): readonly Part[] {
  return returning
    .filter(({ link }) => !isOwnLink(link))
    .map((tunnel) => {
      const sets = acceptSets(tunnel.accepts, 'sp_in', `direct${indexOf(tunnel, numbers)}`);
      return {
        sets: sets.map(({ set }) => set),
        chains: [],
        pre: sets.map(({ set, family }) =>
          rule(
            match(meta('iifname'), '==', text(tunnel.link)),
            match(ct('direction'), '==', symbol('original')),
            isNew,
            isPorts,
            // nft lists it here, next to the other header, wherever it was written.
            ...(tunnel.peer.mac === undefined ? [] : [match(payload('ether', 'saddr'), '==', symbol(tunnel.peer.mac))]),
            match(target(family), '==', setReference(set.name)),
            setMark(ct('mark'), tunnelMark(indexOf(tunnel, numbers), numbers), ~numbers.mark.mask >>> 0),
          ),
        ),
      };
    });
}

/** Replies take the connection's mark, and a routing rule sends them into its tunnel. The forward direction must not: it is on its way in. */
export function restore(
  returning: readonly TunnelInTable[],
  numbers: HostNumbers,
  direction: 'reply' | 'original' = 'reply',
): readonly Rule[] {
  if (returning.length === 0) return [];
  const byMark = returning.map(
    (tunnel): MapElement => ({
      key: number(tunnelMark(indexOf(tunnel, numbers), numbers)),
      data: jumpTo(backName(tunnel, numbers)),
    }),
  );
  return [
    rule(
      match(ct('direction'), '==', symbol(direction)),
      verdictMap(and(ct('mark'), number(numbers.mark.mask)), anonymousMap(...byMark)),
    ),
  ];
}

const backName = (tunnel: TunnelInTable, numbers: HostNumbers): string => `sp_back_${indexOf(tunnel, numbers)}`;

export const backChain = (tunnel: TunnelInTable, numbers: HostNumbers): Chain =>
  regular(backName(tunnel, numbers), [
    rule(setMark(meta('mark'), tunnelMark(indexOf(tunnel, numbers), numbers), ~numbers.mark.mask >>> 0)),
  ]);

/** Takes our bits off a packet's mark. */
export const forgetMark = ({ mark }: HostNumbers): Statement =>
  assign(meta('mark'), and(meta('mark'), number(~mark.mask >>> 0)));

/**
 * VXLAN asks the routes for the packet around ours with the mark of ours (drivers/net/vxlan/vxlan_core.c), and would send it into the tunnel
 * as well: so the mark ends where the packet enters the link.
 */
export const unmarkRules = (returning: readonly TunnelInTable[], numbers: HostNumbers): readonly Rule[] =>
  ownLinks(returning)
    .filter(({ tunnels }) => tunnels.some(({ type }) => type === 'VXLAN'))
    .map(({ name }) => rule(match(meta('oifname'), '==', text(name)), forgetMark(numbers)));

/** Only where a forward aims at the tunnel address: moved to the main one, from which UDP servers on the wildcard address answer. */
export function moveRules(tunnels: readonly TunnelInTable[], numbers: HostNumbers): readonly Rule[] {
  const moves = new Map<string, Rule>();
  for (const tunnel of tunnels)
    for (const { address: from, moveTo } of tunnel.accepts)
      if (moveTo !== undefined)
        moves.set(
          `${tunnel.key} ${printAddress(from)}`,
          rule(
            match(
              and(ct('mark'), number(numbers.mark.mask)),
              '==',
              number(tunnelMark(indexOf(tunnel, numbers), numbers)),
            ),
            match(payload(IP[from.family], 'daddr'), '==', address(from)),
            dnat(IP[from.family], address(moveTo)),
          ),
        );
  return [...moves.values()];
}
