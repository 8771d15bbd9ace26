/** The packets by which rules made by hand and what is to stand for them are told apart. */
import type { Compiled, CompiledHost } from '../../compile/index.ts';
import { targetsOf } from '../../host/index.ts';
import {
  type Address,
  containsAddress,
  type Family,
  isPublicAddress,
  type PortRange,
  printAddress,
} from '../../net/index.ts';
import { lookupRoute } from '../../routing/index.ts';
import { type Flow, isOverlay, type Network, printFlow } from '../../simulate/index.ts';
import { cutsOf } from '../kinds.ts';
import { chooseOutsiders, isBorne, neighbourOn } from '../outsider.ts';
import type { Candidate } from './candidates.ts';

/** More are not traced: each costs about a millisecond, twice. */
export const MOST_PROBES = 20_000;

/** A port that neither rules nor forwards are likely to name. */
const OTHER_PORT = 47_001;

interface Scene {
  readonly live: Network;
  readonly compiled: Compiled;
  readonly candidates: readonly Candidate[];
  readonly families: ReadonlySet<Family>;
  readonly strangers: Readonly<Record<Family, Address>>;
  readonly cutAddresses: Readonly<Record<Family, readonly Address[]>>;
  readonly cutPorts: readonly number[];
}

/**
 * For every kind of client and port that anything on the hosts tells apart: to the addresses of hosts that forward, to their targets past
 * them, and from the hosts behind the tunnels. Not from strangers straight to a private address: none can send that. Undefined where they are too many.
 */
export function probesFor(
  live: Network,
  future: Network,
  compiled: Compiled,
  candidates: readonly Candidate[],
): readonly Flow[] | undefined {
  const cuts = cutsOf([live, future]);
  const addressesOf = (family: Family): readonly Address[] =>
    cuts.addresses[family].flatMap((value) =>
      value >= (family === 4 ? 0x1000000n : 1n) && value < (family === 4 ? 0xe0000000n : 0xffn << 120n)
        ? [{ family, value }]
        : [],
    );
  const scene: Scene = {
    ...{ live, compiled, candidates, strangers: chooseOutsiders(live) },
    families: new Set(candidates.map(({ made }) => (made.kind === 'rule' ? made.rule.family : made.family))),
    cutAddresses: { 4: addressesOf(4), 6: addressesOf(6) },
    cutPorts: cuts.ports.map(Number).filter((port) => port > 0 && port <= 0xffff),
  };
  const flows = new Map<string, Flow>();
  for (const flow of allFlows(scene)) {
    flows.set(
      `${JSON.stringify(flow.from, (_, value) => (typeof value === 'bigint' ? `${value}` : value))} ${printFlow(flow)}`,
      flow,
    );
    if (flows.size > MOST_PROBES) return undefined;
  }
  return [...flows.values()];
}

function* allFlows(scene: Scene): Generator<Flow> {
  for (const host of scene.compiled.hosts.values()) {
    const own = scene.candidates.filter((each) => each.host === host.name);
    const concerned = own.length > 0 || host.share.forwards.length > 0;
    if (!concerned) continue;
    for (const family of scene.families) {
      yield* fromOutside(scene, host, own, family);
      yield* fromBehind(scene, host, own, family);
    }
  }
}

interface Asked {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/** What rules and forwards at the host name, cut where anything cuts it, and a port beside. */
function askedAt({ cutPorts }: Scene, { share }: CompiledHost, own: readonly Candidate[]): readonly Asked[] {
  const ranges: { readonly protocol: 'tcp' | 'udp'; readonly ports: PortRange }[] = [
    ...share.forwards.flatMap(({ protocol, ports, targetPorts }) => [
      { protocol, ports },
      { protocol, ports: targetPorts },
    ]),
    ...share.accepts,
    ...own.flatMap(({ asks }) =>
      protocolsOf(asks?.protocol).flatMap((protocol) => (asks?.ports ?? []).map((ports) => ({ protocol, ports }))),
    ),
  ];
  const found = new Map<string, Asked>();
  const add = (protocol: 'tcp' | 'udp', port: number): void =>
    void found.set(`${protocol} ${port}`, { protocol, port });
  for (const { protocol, ports } of ranges) {
    add(protocol, ports.first);
    for (const port of cutPorts) if (port > ports.first && port <= ports.last) add(protocol, port);
  }
  for (const protocol of ['tcp', 'udp'] as const) add(protocol, OTHER_PORT);
  return [...found.values()];
}

const protocolsOf = (protocol: 'tcp' | 'udp' | undefined): readonly ('tcp' | 'udp')[] =>
  protocol === undefined ? ['tcp', 'udp'] : [protocol];

const addressesAt = ({ live }: Scene, host: string, family: Family): readonly Address[] =>
  (live.hosts.get(host)?.state.addresses ?? []).flatMap(({ scope, link, address: { address } }) =>
    scope === 'global' && link !== 'lo' && address.family === family ? [address] : [],
  );

/** Nobody asks from there, on whosever network it is. */
const isBroadcast = ({ hosts }: Network, { family, value }: Address): boolean =>
  [...hosts.values()].some(({ state }) =>
    state.routes.some(
      ({ type, destination: { address } }) =>
        type === 'broadcast' && address.family === family && address.value === value,
    ),
  );

/** By each link that is no tunnel: a stranger or a neighbour, and all whom some rule or route names. */
function clientsOf(
  { live, strangers, cutAddresses }: Scene,
  name: string,
  family: Family,
): readonly Extract<Flow['from'], { kind: 'beyond' }>[] {
  const host = live.hosts.get(name);
  return [...(host?.links.values() ?? [])].flatMap((link) => {
    if (host === undefined || link.kind === 'loopback' || isOverlay(link) || !link.up) return [];
    const isOpen = host.openLinks.has(link.name);
    const neighbour = neighbourOn(live, name, link.name, family, strangers[family]);
    const named = cutAddresses[family].filter(
      (each) => !isBorne(live, each) && (isOpen ? isPublicAddress(each) : !isPublicAddress(each)),
    );
    const all = [...(isOpen ? [strangers[family]] : []), neighbour, ...named];
    const somebody = all.filter((each) => {
      const way = lookupRoute(host.routes, { destination: each });
      return way.kind === 'route' && way.link === link.name && !isBroadcast(live, each);
    });
    const addresses = new Map(somebody.map((each) => [printAddress(each), each]));
    return [...addresses.values()].map((address) => ({
      kind: 'beyond' as const,
      host: name,
      link: link.name,
      address,
    }));
  });
}

function* fromOutside(scene: Scene, host: CompiledHost, own: readonly Candidate[], family: Family): Generator<Flow> {
  const asked = askedAt(scene, host, own);
  const addresses = addressesAt(scene, host.name, family);
  const named = own.flatMap(({ asks }) => (asks?.destination === undefined ? [] : [asks.destination.address]));
  const targets = host.share.forwards.flatMap((forward) => targetsOf(forward).map(({ to }) => to));
  const beyond = new Map(
    [...named, ...targets].filter((each) => each.family === family).map((each) => [printAddress(each), each]),
  );
  for (const each of addresses) beyond.delete(printAddress(each));
  const openLinks = scene.live.hosts.get(host.name)?.openLinks;
  for (const from of clientsOf(scene, host.name, family))
    for (const to of [
      ...addresses,
      ...[...beyond.values()].filter((each) => openLinks?.has(from.link) !== true || isPublicAddress(each)),
    ])
      for (const { port, protocol } of asked) yield { from, to, port, protocol };
  for (const to of addresses)
    for (const { port, protocol } of asked) yield { from: { kind: 'host', host: host.name }, to, port, protocol };
}

/**
 * From the host itself, and from its neighbours: to strangers, and to the hosts at the other ends of its tunnels. Which address a host asks
 * from is its own affair, but for those that a rule speaks of.
 */
function* fromBehind(scene: Scene, host: CompiledHost, own: readonly Candidate[], family: Family): Generator<Flow> {
  const { live, strangers, compiled } = scene;
  const peers = host.share.tunnels.map(({ peer }) => peer.host);
  const far = peers.flatMap((peer) => {
    const links = [...(live.hosts.get(peer)?.links.values() ?? [])].filter(
      (link) => !isOverlay(link) && link.kind !== 'loopback',
    );
    return [
      ...addressesAt(scene, peer, family),
      ...links.map(({ name }) => neighbourOn(live, peer, name, family, strangers[family])),
    ];
  });
  const to = new Map([strangers[family], ...far].map((each) => [printAddress(each), each]));
  const ports = [host, ...peers.flatMap((peer) => compiled.hosts.get(peer) ?? [])].flatMap((each) =>
    askedAt(scene, each, each === host ? own : scene.candidates.filter(({ host: at }) => at === each.name)),
  );
  const asked = new Map(ports.map((each) => [`${each.protocol} ${each.port}`, each]));
  const from: readonly Flow['from'][] = [
    { kind: 'host', host: host.name },
    ...addressesAt(scene, host.name, family).flatMap((address) =>
      own.some(({ made }) => made.kind === 'rule' && made.rule.from && containsAddress(made.rule.from, address))
        ? [{ kind: 'host' as const, host: host.name, address }]
        : [],
    ),
    ...clientsOf(scene, host.name, family).filter(
      ({ link }) => live.hosts.get(host.name)?.openLinks.has(link) !== true,
    ),
  ];
  for (const each of from)
    for (const destination of to.values())
      for (const { port, protocol } of asked.values()) yield { from: each, to: destination, port, protocol };
}
