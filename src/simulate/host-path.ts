/** The ways through one host: what comes in by a link, and what the host itself sends. */
import { type Address, printAddress, sameAddress } from '../net/index.ts';
import type { SocketPlace } from '../nftables/index.ts';
import { dissects, lookupRoute, type Nexthop, printRoute, printRule, type RouteResult } from '../routing/index.ts';
import type { Tracked } from './connections.ts';
import { join } from './fragments.ts';
import { alien4, isLoopback4, neverOnLinks6, staysOnLink6 } from './martian.ts';
import type { SimulatedHost } from './network.ts';
import { noticeOf, printNotice } from './notice.ts';
import { familyOf, inverseOf, type Packet, printPacket, transportOf } from './packet.ts';
import { noWay, type Passage, runEgress, runEntry, runExit, runForward, runIngress } from './passage.ts';
import { forwarding, hasNoIpv6, reversePath, routesLocalnet } from './setting.ts';
import { fitsInto, fitsOut } from './size.ts';
import { type End, end } from './trace.ts';

export type Left =
  | {
      readonly kind: 'leaves';
      readonly link: string;
      readonly nexthop: Address;
      readonly packet: Packet;
      readonly tracked?: Tracked;
      readonly untracked?: true;
    }
  | { readonly kind: 'delivered'; readonly packet: Packet; readonly proxy?: SocketPlace }
  | End;

/** A packet that came in by `passage.iif`: delivered to the host, forwarded, or ended. */
export function receive(passage: Passage & { iif: string }): Left {
  const { host, iif } = passage;
  const link = host.links.get(iif);
  if (link === undefined || !link.up)
    return end('dropped', `${host.name} has no link ${iif} that is up`, {
      kind: 'linkDown',
      host: host.name,
      link: iif,
    });
  if (familyOf(passage.packet) === 6 && hasNoIpv6(host, iif)) {
    return end('dropped', `${host.name} has IPv6 disabled on ${iif}`, { kind: 'noIpv6', host: host.name, link: iif });
  }
  passage.record(host.name, 'link', () => ({ detail: `${printPacket(passage.packet)} comes in by ${iif}` }));
  if (link.kind === 'vxlan' && passage.packet.mark !== 0)
    passage.record(host.name, 'tunnel', () => ({
      detail: `mark 0x${passage.packet.mark.toString(16)} stays from the packet around it`,
    }));
  const wide = fitsInto(passage, iif);
  if (wide !== undefined) return wide;
  const { destination } = passage.packet;
  const early = runIngress(passage);
  if (early !== undefined) return early;
  const strange = link.kind === 'loopback' ? undefined : neverOnLinks6(passage);
  if (strange !== undefined) return strange;
  const ended = runEntry(passage, 'prerouting', () => undefined);
  // What comes by lo has its way already, unless it is translated there (nf_nat_ipv4_pre_routing: skb_dst_drop).
  const isRouted = link.kind === 'loopback' && sameAddress(passage.packet.destination, destination);
  return ended ?? route(passage, !isRouted);
}

function route(passage: Passage & { iif: string }, checksSource: boolean): Left {
  const { host, iif, packet } = passage;
  const { destination, source, mark } = packet;
  const alien = checksSource ? alien4(passage) : undefined;
  if (alien !== undefined) return alien;
  const result = lookupRoute(host.routes, { destination, source, mark, iif, ...transportOf(packet) });
  recordRoute(passage, result);
  if (result.kind !== 'route' && result.kind !== 'local') return withRefusal(passage, result);
  if (result.kind === 'local') {
    const martian = checksSource ? checkSource(passage, undefined) : undefined;
    if (martian !== undefined) return martian;
    join(passage);
    return runExit(passage, 'input') ?? delivered(passage);
  }
  if (passage.proxy !== undefined) {
    const { port } = passage.proxy;
    passage.record(host.name, 'route', () => ({ detail: 'dropped: what a proxy was given is not forwarded' }));
    // ip_forward, ip6_forward: skb->sk
    return end(
      'dropped',
      `${host.name} gives ${printPacket(packet)} to the transparent proxy at port ${port}, and its routes lead it on: the kernel drops that`,
      { kind: 'proxyRouted', host: host.name, mark, family: destination.family },
    );
  }
  const { on, text } = forwarding(host, destination.family, iif);
  if (on !== true) {
    passage.record(host.name, 'route', () => ({
      detail:
        on === false
          ? `${host.name} does not forward what comes in by ${iif}`
          : `whether ${host.name} forwards is not known`,
      decidedBy: text,
    }));
    return end(
      on === false ? 'dropped' : 'undecided',
      on === false
        ? `${host.name} does not forward what comes in by ${iif}: ${text}`
        : `whether ${host.name} forwards what comes in by ${iif}: ${text}`,
      { kind: 'forwarding', host: host.name, link: iif, family: destination.family },
    );
  }
  const { ttl = DEFAULT_TTL } = passage;
  const ended =
    choose(passage, result) ??
    (checksSource ? checkSource(passage, passage.oif) : undefined) ??
    (ttl > 1 ? undefined : usedUp(passage)) ??
    staysOnLink6(passage) ??
    fitsOut(passage, familyOf(packet) === 6 ? linkMtu(passage) : mtuOf(passage, result), true);
  // A router of IPv6 looks at its link before the rules (ip6_dst_mtu_maybe_forward), and at the route's own MTU after them (ip6_fragment).
  const late = familyOf(packet) === 6 && result.kind === 'route' ? result.route.mtu : undefined;
  return ended ?? runForward(passage) ?? leave(passage, { mtu: late, isRouter: true });
}

/** RFC 1700; ip_default_ttl and hop_limit unless somebody set them. */
export const DEFAULT_TTL = 64;

function usedUp({ host, packet, record }: Passage): End {
  const notice = noticeOf('timeExceeded', familyOf(packet));
  record(host.name, 'ttl', () => ({
    detail: `dropped: its TTL is used up; ${printNotice(notice, familyOf(packet))} goes to the sender`,
  }));
  const reason = `${printPacket(packet)} has come through ${DEFAULT_TTL} routers, at last to ${host.name}, and its TTL is used up`;
  return end('looped', reason, undefined, notice);
}

/**
 * A router tells who sent what it has no way for: IPv4 only where it would forward at all (ip_error), a blackhole never. Of IPv6 an
 * unreachable route is as none (ip6_pkt_discard).
 */
function withRefusal(
  { host, packet, iif }: Passage & { iif: string },
  result: Exclude<RouteResult, { readonly kind: 'route' | 'local' }>,
): End {
  const ended = noWay(host, packet, result);
  const family = familyOf(packet);
  if (result.kind === 'undecided' || result.kind === 'blackhole') return ended;
  if (family === 4 && forwarding(host, 4, iif).on !== true) return ended;
  const isNone = (result.route === undefined && result.rule === undefined) || family === 6;
  const what = result.kind === 'prohibit' ? 'prohibited' : isNone ? 'noRoute' : 'hostUnreachable';
  return { ...ended, tells: noticeOf(what, family) };
}

const NO_TRANSPORT = { protocol: 0, sourcePort: 0, destinationPort: 0 };

const hasAddress = ({ state }: SimulatedHost, link: string): boolean =>
  state.addresses.some((each) => each.link === link && each.address.address.family === 4);

const delivered = ({ packet, proxy }: Passage): Left => ({
  ...{ kind: 'delivered', packet },
  ...(proxy !== undefined && { proxy }),
});

/** fib_validate_source: a source that is our own is a martian; rp_filter asks for the way back to the source. */
function checkSource(passage: Passage & { iif: string }, oif: string | undefined): End | undefined {
  const { host, iif, packet } = passage;
  if (familyOf(packet) === 6) return undefined;
  const { mode, usesMark, acceptsLocal, text } = reversePath(host, iif);
  if (host.isLocal(packet.source) && !acceptsLocal) {
    passage.record(host.name, 'route', () => ({
      detail: 'a martian: the source is an address of the host itself',
      decidedBy: `sysctl net/ipv4/conf/${iif}/accept_local`,
    }));
    return end('dropped', `${host.name} takes ${printPacket(packet)} for a martian: the source is its own address`, {
      ...{ kind: 'martian', host: host.name, link: iif, source: packet.source },
    });
  }
  if (mode === 0) return undefined;
  const back = lookupRoute(host.routes, {
    ...{ destination: packet.source, source: packet.destination },
    mark: usesMark ? packet.mark : 0,
    uid: 0,
    ...(dissects(host.routes, 4) ? transportOf(inverseOf(packet)) : { transport: NO_TRANSPORT }),
    // As the kernel asks: as if the answer were made here, or came in by the way out.
    ...(oif !== undefined && { iif: oif }),
  });
  if (back.kind === 'undecided')
    return end('undecided', `the way back of ${printPacket(packet)} on ${host.name}: ${back.why}`);
  // An own address is a way back too, where accept_local let it come so far; of several next hops any will do, dead or alive.
  const way = back.kind === 'route' || back.kind === 'local' ? back.route : undefined;
  const byThere = way !== undefined && (way.nexthops ?? [way]).some(({ link }) => link === iif);
  // Loose is content with any way, but not on a link without an address.
  if (byThere || (mode === 2 && way !== undefined && hasAddress(host, iif))) return undefined;
  const why = way === undefined ? 'there is no way back' : `the way back goes by ${way.link ?? 'other links'}`;
  passage.record(host.name, 'route', () => ({ detail: `the source is not believed: ${why}`, decidedBy: text }));
  const what = `rp_filter on ${host.name}, ${printPacket(packet)} by ${iif}: ${why} (${text})`;
  return end(mode === undefined ? 'undecided' : 'dropped', what, {
    ...{ kind: 'reversePath', host: host.name, link: iif, source: packet.source, isThere: way !== undefined },
  });
}

/**
 * Takes the way a lookup gave. Of several next hops a hash of the packet's addresses, or of its ports too, chooses (fib_multipath_hash,
 * rt6_multipath_hash), with a seed that nobody knows: chance draws one for each pair of ends.
 */
function choose(passage: Passage, result: RouteResult, by = ''): End | undefined {
  if (result.kind === 'local') {
    passage.oif = 'lo';
    passage.nexthop = passage.packet.destination;
    return undefined;
  }
  if (result.kind !== 'route') return noWay(passage.host, passage.packet, result);
  const nexthop = chooseNexthop(passage, result, by);
  if (nexthop?.link === undefined) {
    return end(
      'undecided',
      `a hash chooses between the next hops of ${printRoute(result.route)} on ${passage.host.name}`,
    );
  }
  passage.oif = nexthop.link;
  passage.nexthop = nexthop.gateway ?? passage.packet.destination;
  return undefined;
}

const differentNexthops = (result: Extract<RouteResult, { readonly kind: 'route' }>): readonly Nexthop[] => {
  const { choices = [result] } = result;
  return choices.filter((choice, at) => choices.findIndex((each) => sameNexthop(each, choice)) === at);
};

const printNexthop = ({ link = '', gateway }: Nexthop): string =>
  gateway === undefined ? link : `${link} via ${printAddress(gateway)}`;

/** Undefined where there are several and nobody draws. */
function chooseNexthop(
  { host, packet, draws, record }: Passage,
  result: Extract<RouteResult, { readonly kind: 'route' }>,
  by: string,
): Nexthop | undefined {
  const different = differentNexthops(result);
  if (different.length < 2) return result;
  const chosen =
    different[
      draws?.drawNexthop(`${by}${host.name} ${printRoute(result.route)} ${printPacket(packet)}`, different.length) ?? -1
    ];
  if (chosen !== undefined)
    record(host.name, 'route', () => ({
      detail: `by chance by ${printNexthop(chosen)}`,
      decidedBy: `a hash over ${different.length} next hops`,
    }));
  return chosen;
}

const sameNexthop = (one: Nexthop, other: Nexthop): boolean =>
  one.link === other.link &&
  (one.gateway === undefined || other.gateway === undefined
    ? one.gateway === other.gateway
    : sameAddress(one.gateway, other.gateway));

function leave(
  passage: Passage,
  { mtu, isRouter }: { readonly mtu: number | undefined; readonly isRouter: boolean },
): Left {
  const late = runExit(passage, 'postrouting') ?? fitsOut(passage, mtu, isRouter);
  if (late !== undefined) return late;
  if (passage.cut !== undefined) passage.packet = { ...passage.packet, fragment: passage.cut };
  const ended = runEgress(passage);
  if (ended !== undefined) return ended;
  const { oif, nexthop, packet, tracked, untracked } = passage;
  if (oif === undefined || nexthop === undefined) return end('undecided', `no way was chosen on ${passage.host.name}`);
  return {
    kind: 'leaves',
    link: oif,
    nexthop,
    packet,
    ...(oif === 'lo' && { ...(tracked && { tracked }), ...(untracked && { untracked }) }),
  };
}

/**
 * A packet that the host itself sends. A mark set in a chain of type route, and a translated destination, have the way looked up again.
 * An IPv6 socket keeps the way by which it found its source (ip6_dst_lookup_tail); an IPv4 one asks once more with it (ip_route_connect).
 */
export function send(passage: Passage): Left {
  passage.record(passage.host.name, 'socket', () => ({ detail: `${printPacket(passage.packet)} is sent` }));
  const { choseSource, packet: sent } = passage;
  const first = lookup(passage, choseSource === true && (familyOf(sent) === 6 || sent.inner !== undefined));
  if (first.kind !== 'route' && first.kind !== 'local') return noWay(passage.host, passage.packet, first);
  const { packet, host } = passage;
  if (first.kind === 'route' && isLoopback4(packet.source) && host.links.get(first.link)?.kind !== 'loopback') {
    const { on, text } = routesLocalnet(host, first.link);
    // __mkroute_output
    if (on !== true)
      return end(
        on === false ? 'dropped' : 'undecided',
        `${host.name} sends ${printPacket(packet)} by lo alone: ${text}`,
      );
  }
  // Which of several it would be does not matter while a mark may still change it.
  let way: RouteResult = first;
  passage.oif = first.kind === 'route' ? first.link : 'lo';
  const isChosen = first.kind === 'route' && choosesEarly(passage, first);
  if (passage.wraps !== undefined && passage.oif === passage.wraps)
    return end('dropped', `${host.name} sends what ${passage.wraps} wraps into ${passage.wraps} again`);
  // Its socket refuses what does not fit the way it knows, and may not be cut, before any rule sees it (__ip_append_data: EMSGSIZE).
  const unsent = packet.df === true ? fitsOut(passage, mtuOf(passage, first), false) : undefined;
  if (unsent !== undefined) return unsent;
  const ended = runEntry(passage, 'output', () => {
    way = lookup(passage);
    return way.kind === 'route' || way.kind === 'local' ? undefined : noWay(passage.host, passage.packet, way);
  });
  if (ended !== undefined) return ended;
  const unknown = isChosen && way === first ? undefined : choose(passage, way, 'what is sent by ');
  return unknown ?? leave(passage, { mtu: mtuOf(passage, way), isRouter: false });
}

/**
 * Where chance draws, rules of output see the link that it drew: which is not the one that it draws once a mark has the way looked up
 * again, nor that of a router, whose hash sees the flow label too (rt6_multipath_hash).
 */
function choosesEarly(passage: Passage, way: Extract<RouteResult, { readonly kind: 'route' }>): boolean {
  if (passage.draws === undefined || differentNexthops(way).length < 2) return false;
  choose(passage, way, 'the socket of ');
  return true;
}

const linkMtu = ({ host, oif = '' }: Passage): number | undefined => host.links.get(oif)?.mtu;

/** The route's own, else that of its link. */
const mtuOf = ({ host, oif }: Passage, result: RouteResult): number | undefined =>
  result.kind === 'route' ? (result.route.mtu ?? host.links.get(oif ?? result.link)?.mtu) : undefined;

function lookup(passage: Passage, hasNoSource = false): RouteResult {
  const { destination, source, mark } = passage.packet;
  const result = lookupRoute(passage.host.routes, {
    ...{ destination, mark },
    ...(!hasNoSource && { source }),
    ...transportOf(passage.packet),
  });
  recordRoute(passage, result);
  return result;
}

function recordRoute(passage: Passage, result: RouteResult): void {
  passage.record(passage.host.name, 'route', () => {
    if (result.kind === 'undecided') return { detail: result.why };
    const rule = result.rule === undefined ? [] : [`rule ${printRule(result.rule)}`];
    const by = result.route === undefined ? rule : [...rule, `route ${printRoute(result.route)}`];
    const where =
      result.kind === 'route'
        ? `leaves by ${differentNexthops(result).map(printNexthop).join(' or by ')}`
        : result.kind === 'local'
          ? 'to the host itself'
          : result.route === undefined && result.rule === undefined
            ? 'no route'
            : result.kind;
    return { detail: where, decidedBy: by.join(', ') };
  });
}
