/** What chains of others on a host will see of us: of each kind of packet an example, with the accept that lets its kind through. */
import {
  type ForwardShare,
  type ForwardTarget,
  type HostFacts,
  type HostNumbers,
  isOwnLink,
  targetsOf,
  type WrittenTraffic,
} from '../host/index.ts';
import {
  type Address,
  containsAddress,
  type Family,
  isAddress,
  parseAddress,
  printAddress,
  printPrefix,
  sameAddress,
} from '../net/index.ts';
import { evaluate, type Hook, type PacketContext, prepareRuleset, type Table } from '../nftables/index.ts';
import { indexRoutes, lookupRoute, type RouteIndex, SALLYPORT_PROTOCOL } from '../routing/index.ts';
import { addressTypeOf, answerTo, CLIENT_PORT, fresh, PROTOCOLS, packetOf, STATUS, tupleOf } from './example.ts';
import { type PortClasses, portClasses } from './port-classes.ts';
import { FAMILIES, indexOf, marksOf, type TunnelInTable, tunnelMark } from './table-words.ts';

export interface Sighting {
  readonly hook: Hook;
  readonly packet: PacketContext;
  readonly traffic: WrittenTraffic;
  /** Of what is on its way in only chains from this priority on see it so: before, our table has not marked it. */
  readonly from?: number;
  /** The sender is somebody that nobody here knows. */
  readonly anyone?: true;
}

export interface Seen {
  readonly tunnels: readonly TunnelInTable[];
  readonly forwards: readonly ForwardShare[];
  readonly numbers: HostNumbers;
  readonly facts: HostFacts;
  /** The tables of others without ours in them. */
  readonly tables: readonly Table[];
}

/** Where our table rewrites what it does not track: sp_untrack at -300. */
const AFTER_RAW = -299;
/** Where our table sets the connection mark: sp_pre for Direct at -150, sp_dnat at -110. */
const AFTER_PRE = -149;
const AFTER_DNAT = -109;
/**
 * Somebody on the Internet; none of them is special to the kernel. The first that the host knows no way to but its default route. Web servers of
 * the RIPE NCC and of IANA, whom no list of bad addresses names; those of documentation (RFC 5737, 3849) are on lists of bogons.
 */
const STRANGERS: Readonly<Record<Family, readonly string[]>> = {
  4: ['193.0.6.139', '192.0.43.8', '203.0.113.77'],
  6: ['2001:67c:2e8:22::c100:68b', '2001:500:88:200::8', '2001:db8:ffff::77'],
};

/** Every kind of packet of ours on the host, the tunnels' own included. */
export function sightingsOf(seen: Seen): readonly Sighting[] {
  const ground = groundOf(seen);
  const besides = seen.tunnels.filter(({ beside }) => beside !== undefined);
  return [
    ...seen.tunnels.flatMap((tunnel) => outerSightings(ground, tunnel)),
    ...seen.tunnels.flatMap((tunnel) => arrivalsBy(ground, tunnel)),
    ...forwarded(ground),
    ...(besides.length === 0 ? [] : forwarded({ ...ground, tunnels: besides })),
  ];
}

interface Ground extends Seen {
  readonly strangers: Readonly<Record<Family, Address>>;
  readonly isLocal: (address: Address) => boolean;
  /** The host's own way to an address: a link, or nothing where it is its own or there is none. */
  readonly linkTo: (address: Address) => string | undefined;
  /** Where others' DNAT sends a packet that came in; undefined where that is not known. */
  readonly translated: (packet: PacketContext) => PacketContext | undefined;
  readonly ports: PortClasses;
}

function groundOf(seen: Seen): Ground {
  const { facts, tunnels, tables } = seen;
  const { links, addresses, routes, rules } = facts.state;
  const ways: RouteIndex = indexRoutes({
    ...{ links, addresses },
    routes: routes.filter(({ protocol }) => protocol !== SALLYPORT_PROTOCOL),
    rules: rules.filter(({ protocol }) => protocol !== SALLYPORT_PROTOCOL),
  });
  const own = [
    ...addresses.map(({ address }) => address.address),
    ...tunnels.flatMap((each) => each.addresses.map(({ address }) => address)),
  ];
  const local = new Set(own.map(({ family, value }) => `${family} ${value}`));
  const nat = prepareRuleset(tables);
  const isLocal = ({ family, value }: Address): boolean => local.has(`${family} ${value}`);
  return {
    ...seen,
    isLocal,
    ports: portClasses(tables),
    strangers: { 4: stranger(facts, 4), 6: stranger(facts, 6) },
    linkTo(destination) {
      const way = lookupRoute(ways, { destination });
      return way.kind === 'route' ? way.link : undefined;
    },
    translated(packet) {
      const found = evaluate(nat, { hook: 'prerouting', type: 'nat' }, packet);
      if (found.verdict !== 'accept') return undefined;
      const { translation, mark = packet.mark } = found.changes;
      if (translation === undefined) return { ...packet, mark };
      if (translation.kind !== 'dnat') return undefined;
      const { address = packet.destination, port = packet.destinationPort } = translation;
      return { ...packet, mark, destination: address, ...(port !== undefined && { destinationPort: port }) };
    },
  };
}

function stranger({ state }: HostFacts, family: Family): Address {
  const candidates = STRANGERS[family].flatMap((text) => parseAddress(text) ?? []);
  const isKnown = (address: Address): boolean =>
    state.routes.some(({ destination }) => destination.length > 1 && containsAddress(destination, address));
  const found = candidates.find((each) => !isKnown(each)) ?? candidates[0];
  if (found === undefined) throw new TypeError(`no stranger of IPv${family}`);
  return found;
}

// ---- the tunnels' own packets

/** Who dials must be let in, and who is dialled be reached; neighbour discovery is seen by rules, and not by conntrack. */
function outerSightings(ground: Ground, tunnel: TunnelInTable): readonly Sighting[] {
  const { type, dialled = [], peer, vxlan, outer } = tunnel;
  if (type === 'WireGuard') {
    const { endpoint } = peer;
    const far = endpoint !== undefined && isAddress(endpoint.host) ? endpoint : undefined;
    const listen = tunnel.listenPort;
    return [
      ...(listen === undefined ? [] : dialled.flatMap((family) => outerIn(ground, family, PROTOCOLS.udp, listen))),
      ...(far === undefined || !isAddress(far.host) ? [] : outerOut(ground, far.host, PROTOCOLS.udp, far.port)),
    ];
  }
  const far = vxlan?.remote ?? outer?.remote;
  if (far === undefined) return [];
  const both = (protocol: number, port?: number): readonly Sighting[] => [
    ...outerIn(ground, far.family, protocol, port, far),
    ...outerOut(ground, far, protocol, port),
  ];
  if (type === 'VXLAN') return [...both(PROTOCOLS.udp, vxlan?.port), ...discovery(ground, tunnel)];
  if (type === 'GRE') return both(PROTOCOLS.gre);
  const inside = new Set(tunnel.addresses.map(({ address }) => address.family));
  return FAMILIES.filter((family) => inside.has(family)).flatMap((family) =>
    both(family === 4 ? PROTOCOLS.ipip : PROTOCOLS.ipv6),
  );
}

function outerIn(ground: Ground, family: Family, protocol: number, port?: number, peer?: Address): readonly Sighting[] {
  const source = peer ?? ground.strangers[family];
  const link = ground.linkTo(source);
  const own = ground.facts.state.addresses.find(
    (each) => each.link === link && each.scope === 'global' && each.address.address.family === family,
  );
  if (link === undefined || own === undefined) return [];
  const tuple = {
    source,
    destination: own.address.address,
    protocol,
    sourcePort: CLIENT_PORT,
    destinationPort: port ?? 0,
  };
  const packet = { ...packetOf(ground.isLocal, tuple, fresh(tuple, 0)), iif: link };
  const traffic: WrittenTraffic = {
    kind: 'outer',
    direction: 'in',
    protocol,
    ...(port !== undefined && { port }),
    ...(peer !== undefined && { peer }),
  };
  return (['prerouting', 'input'] as const).map((hook) => ({
    hook,
    packet,
    traffic,
    ...(peer === undefined && { anyone: true as const }),
  }));
}

function outerOut(ground: Ground, peer: Address, protocol: number, port?: number): readonly Sighting[] {
  const oif = ground.linkTo(peer);
  const own = ground.facts.state.addresses.find(
    (each) => each.link === oif && each.scope === 'global' && each.address.address.family === peer.family,
  );
  if (oif === undefined || own === undefined) return [];
  const tuple = {
    source: own.address.address,
    destination: peer,
    protocol,
    sourcePort: CLIENT_PORT,
    destinationPort: port ?? 0,
  };
  const traffic: WrittenTraffic = {
    kind: 'outer',
    direction: 'out',
    protocol,
    peer,
    ...(port !== undefined && { port }),
  };
  return [{ hook: 'output', packet: { ...packetOf(ground.isLocal, tuple, fresh(tuple, 0)), oif }, traffic }];
}

/** RFC 4861: who is asked for, and the answer. */
const SOLICITATION = 135;
const ADVERTISEMENT = 136;

function discovery(ground: Ground, { link, addresses, peer }: TunnelInTable): readonly Sighting[] {
  const own = addresses.find(({ address }) => address.family === 6)?.address;
  const far = peer.addresses.find(({ family }) => family === 6);
  if (own === undefined || far === undefined) return [];
  const untracked = { family: 6, protocol: PROTOCOLS.icmpv6, mark: 0, untracked: true } as const;
  const addressType = addressTypeOf(ground.isLocal);
  return [SOLICITATION, ADVERTISEMENT].flatMap((icmpType): readonly Sighting[] => {
    const into = { ...untracked, icmpType, addressType, source: far, destination: own, iif: link };
    const out = { ...untracked, icmpType, addressType, source: own, destination: far, oif: link };
    return [
      ...(['prerouting', 'input'] as const).map(
        (hook): Sighting => ({ hook, packet: into, traffic: { kind: 'link', link, direction: 'in' } }),
      ),
      { hook: 'output', packet: out, traffic: { kind: 'link', link, direction: 'out' } },
    ];
  });
}

// ---- connections

type Accept = TunnelInTable['accepts'][number];

/** What a tunnel brings to targets on this host or behind it, and the answers: of ports that nobody tells apart, one. */
function arrivalsBy(ground: Ground, tunnel: TunnelInTable): readonly Sighting[] {
  const kinds = new Map<string, { readonly accept: Accept; readonly port: number }>();
  for (const accept of tunnel.accepts)
    for (const port of ground.ports.examples(accept.ports)) {
      const { address, protocol } = accept;
      kinds.set(`${printAddress(address)} ${protocol} ${ground.ports.classOf(port)}`, { accept, port });
    }
  return [...kinds.values()].flatMap(({ accept, port }) => arrivals(ground, tunnel, accept, port));
}

function arrivals(
  ground: Ground,
  tunnel: TunnelInTable,
  { protocol, address, moveTo, behind }: Accept,
  port: number,
): readonly Sighting[] {
  const { link } = tunnel;
  const client = ground.strangers[address.family];
  const mark = tunnelMark(indexOf(tunnel, ground.numbers), ground.numbers);
  const asked = tupleOf(client, address, protocol, port);
  const arrived = { ...packetOf(ground.isLocal, asked, fresh(asked, mark)), iif: link };
  const moved = ground.translated(arrived);
  const isMoved = moved !== undefined && !sameAddress(moved.destination, address);
  const seen = isMoved || moveTo === undefined || moved === undefined ? moved : { ...moved, destination: moveTo };
  const entry: Sighting = { hook: 'prerouting', packet: arrived, ...through(ground, link, 'in', AFTER_PRE) };
  if (seen === undefined) return [entry];
  const answer = answerTo(ground.isLocal, seen, asked, mark);
  if (ground.isLocal(seen.destination)) {
    const oif = ground.linkTo(client);
    return [
      entry,
      { hook: 'input', packet: seen, ...through(ground, link, 'in') },
      // Its way was looked up before our mark turned it, and that is what chains see.
      ...(oif === undefined
        ? []
        : [{ hook: 'output', packet: { ...answer, oif }, traffic: connections(ground) } as const]),
    ];
  }
  const beyond = isMoved ? ground.linkTo(seen.destination) : (behind ?? ground.linkTo(seen.destination));
  if (beyond === undefined) return [entry];
  return [
    entry,
    { hook: 'forward', packet: { ...seen, oif: beyond }, ...through(ground, link, 'in') },
    { hook: 'prerouting', packet: { ...answer, iif: beyond }, ...through(ground, beyond, 'in', AFTER_PRE) },
    { hook: 'forward', packet: { ...answer, iif: beyond, oif: link }, ...through(ground, link, 'out') },
  ];
}

/** A forward by one of its targets and public links; of its ports one, and of those that nobody tells apart. */
interface Sent {
  readonly forward: ForwardShare;
  readonly target: ForwardTarget;
  readonly open: string;
  readonly port: number;
}

function forwarded(ground: Ground): readonly Sighting[] {
  const kinds = new Map<string, Sent>();
  for (const forward of ground.forwards) {
    const { match, publicLinks, protocol, ports, targetPorts, policy } = forward;
    const where = 'address' in match ? printAddress(match.address) : match.interface;
    const who = policy?.allow?.map(printPrefix).join() ?? '';
    for (const target of targetsOf(forward))
      for (const at of ground.ports.examples(targetPorts)) {
        const port = ports.first + at - targetPorts.first;
        const classes = `${ground.ports.classOf(port)} ${ground.ports.classOf(at)}`;
        const key = `${where} ${protocol} ${printAddress(target.to)} ${target.masquerade} ${forward.stateless} ${classes} ${who}`;
        for (const open of publicLinks) kinds.set(`${open} ${key}`, { forward, target, open, port });
      }
  }
  return [...kinds.values()].flatMap((sent) => sentOn(ground, sent));
}

/** What a forward sends on from a public link, from the host itself and from the target's own network, and the answers. */
function sentOn(ground: Ground, { forward, target, open, port }: Sent): readonly Sighting[] {
  const { match, protocol, ports, targetPorts, policy } = forward;
  const { to, masquerade } = target;
  const { family } = to;
  const link = tunnelTowards(ground, to) ?? target.link;
  const asked = 'address' in match ? match.address : addressOn(ground, open, family);
  if (link === undefined || asked === undefined) return [];
  const allowed = policy?.allow?.find(({ address, length }) => address.family === family && length > 0);
  const client = allowed?.address ?? ground.strangers[family];
  const marks = marksOf(ground.numbers);
  const mark = masquerade ? marks.masqueraded : marks.forwarded;
  const aimed = { destination: to, destinationPort: targetPorts.first + port - ports.first };
  const ask = (source: Address) => {
    const original = tupleOf(source, asked, protocol, port);
    const first = packetOf(ground.isLocal, original, fresh(original, mark, STATUS.destinationNat));
    const packet = { ...first, ...aimed };
    return { packet, answer: answerTo(ground.isLocal, packet, original, mark) };
  };
  const theirs = ask(client);
  if (forward.stateless === true)
    return untracked(ground, { ...theirs.packet, iif: open }, { ...theirs.answer, iif: link }, link, open);
  const own = ask(asked);
  const [into, out] = [through(ground, link, 'in'), through(ground, link, 'out')];
  const ours = { traffic: connections(ground) };
  return [
    { hook: 'prerouting', packet: { ...theirs.packet, iif: open }, ...ours, from: AFTER_DNAT },
    { hook: 'forward', packet: { ...theirs.packet, iif: open, oif: link }, ...out },
    { hook: 'prerouting', packet: { ...theirs.answer, iif: link }, ...into },
    { hook: 'forward', packet: { ...theirs.answer, iif: link, oif: open }, ...into },
    { hook: 'output', packet: { ...own.packet, oif: link }, ...ours, from: AFTER_DNAT },
    { hook: 'input', packet: { ...own.answer, iif: link }, ...into },
    ...(isOwnLink(link)
      ? []
      : [{ hook: 'forward', packet: { ...ask(neighbourOf(to)).packet, iif: link, oif: link }, ...ours } as const]),
  ];
}

/** Rewritten before conntrack, and marked as packets: only an accept by a link of ours lets them through. */
function untracked(
  ground: Ground,
  sent: PacketContext,
  answer: PacketContext,
  link: string,
  open: string,
): readonly Sighting[] {
  const marks = marksOf(ground.numbers);
  const bare = ({ connection: _, ...packet }: PacketContext, mark: number): PacketContext => ({
    ...packet,
    ...{ mark, untracked: true },
  });
  const [asks, answers] = [bare(sent, marks.forwarded), bare(answer, marks.masqueraded)];
  return [
    { hook: 'prerouting', packet: asks, traffic: connections(ground), from: AFTER_RAW },
    { hook: 'forward', packet: { ...asks, oif: link }, ...through(ground, link, 'out') },
    { hook: 'prerouting', packet: answers, ...through(ground, link, 'in'), from: AFTER_RAW },
    { hook: 'forward', packet: { ...answers, oif: open }, ...through(ground, link, 'in') },
  ];
}

const tunnelTowards = ({ tunnels }: Ground, to: Address): string | undefined =>
  tunnels.find(({ routes, peer }) =>
    [...routes.map(({ address }) => address), ...peer.addresses].some((each) => sameAddress(each, to)),
  )?.link;

const addressOn = ({ facts }: Ground, link: string, family: Family): Address | undefined =>
  facts.state.addresses.find(
    (each) => each.link === link && each.scope === 'global' && each.address.address.family === family,
  )?.address.address;

/** Some other address beside it. */
const neighbourOf = ({ family, value }: Address): Address => ({ family, value: value ^ 3n });

/** By a link of ours all that comes or goes; else the connections that bear our mark, from where our table sets it. */
const through = (
  ground: Ground,
  link: string,
  direction: 'in' | 'out',
  from?: number,
): Pick<Sighting, 'traffic' | 'from'> =>
  isOwnLink(link)
    ? { traffic: { kind: 'link', link, direction } }
    : { traffic: connections(ground), ...(from !== undefined && { from }) };

const connections = ({ numbers }: Ground): WrittenTraffic => ({ kind: 'connections', mask: numbers.mark.mask });
