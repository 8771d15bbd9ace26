/** Who leaves, and where to: of all packets of the sources of an EgressRoute one of each kind that rules, routes and keys tell apart. */
import {
  type Address,
  addressScope,
  containsAddress,
  type Family,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixInterval,
  printPrefix,
  samePrefix,
  wholeFamily,
} from '../net/index.ts';
import { lookupRoute, MAIN_TABLE } from '../routing/index.ts';
import { type Flow, isOverlay, type Network, type SimulatedHost, type TunnelPlug } from '../simulate/index.ts';
import { NOBODYS } from './clients.ts';
import { type Block, type Piece, pieceAt, piecesOf } from './pieces.ts';
import type { Ground } from './promise.ts';
import { type Tells, tellsAt } from './tells.ts';

/** Where packets of a source come in first. */
export interface Door extends TunnelPlug {
  readonly address: Address;
  readonly prefix: Prefix;
}

export interface Leaving {
  readonly doors: readonly Door[];
  readonly flows: readonly Flow[];
  /** Why not all are asked, or some cannot be. */
  readonly doubts: readonly string[];
}

/** More packets than that are not asked of one family. */
const MOST = 6_000;

/** The packets of these sources, all of one family, to everywhere but `except`. */
export function leavingFlows(
  ground: Ground,
  sources: readonly Prefix[],
  except: readonly Prefix[],
  family: Family,
): Leaving {
  const tells = tellsAt(ground, [...ground.network.hosts.keys()]);
  const found = sources.map((prefix) => doorsOf(ground.network, tells, prefix));
  const doors = found.flatMap((each) => each.doors);
  const targets = targetsOf(ground, tells, except, family);
  const ports = portsOf(tells.ports);
  const sourcePorts = portsOf(tells.sourcePorts);
  const kinds = [
    ...(['tcp', 'udp'] as const).flatMap((protocol) =>
      ports.flatMap((port) => sourcePorts.map((sourcePort) => ({ protocol, port, sourcePort }))),
    ),
    { protocol: family === 4 ? ('icmp' as const) : ('icmpv6' as const), port: 0, sourcePort: 7 },
  ];
  const flows = doors.flatMap(({ host, link, address }) =>
    targets.flatMap((to) =>
      kinds.map((kind): Flow => ({ from: { kind: 'beyond', host, link, address }, to, ...kind })),
    ),
  );
  const isCut = flows.length > MOST;
  return {
    doors,
    flows: isCut ? flows.slice(0, MOST) : flows,
    doubts: [
      ...found.flatMap(({ doubt }) => doubt ?? []),
      ...(tells.unclear === undefined ? [] : [`a rule asks for some bits of an address or a port: ${tells.unclear}`]),
      ...(isCut ? [`packets are told apart in ${flows.length} ways, of which ${MOST} were looked at`] : []),
    ],
  };
}

/** One address of each kind in the prefix, at the host behind whose link it is. */
function doorsOf(
  network: Network,
  tells: Tells,
  prefix: Prefix,
): { readonly doors: readonly Door[]; readonly doubt?: string } {
  const { family } = prefix.address;
  const whole = prefixInterval(prefix);
  const within = tells.addresses[family].filter(({ first, last }) => first <= whole.last && last >= whole.first);
  const pieces = piecesOf(within, whole);
  const doors = oneOfEach(pieces).flatMap((value) => {
    const address = { family, value };
    return [...network.hosts.values()].flatMap((host): readonly Door[] => {
      const link = linkTo(network, host, address);
      return link === undefined ? [] : [{ host: host.name, link, address, prefix }];
    });
  });
  return doors.length > 0
    ? { doors }
    : { doors, doubt: `no host has a way to ${printPrefix(prefix)}: who leaves there is not known` };
}

/** The link behind which the address is, where no other host is in between. */
function linkTo(network: Network, host: SimulatedHost, address: Address): string | undefined {
  const way = lookupRoute(host.routes, { destination: address });
  if (way.kind !== 'route' || way.route.destination.length === 0 || isOverlay(host.links.get(way.link)))
    return undefined;
  const { gateway } = way;
  const isHosts = gateway !== undefined && [...network.hosts.values()].some(({ isLocal }) => isLocal(gateway));
  return isHosts ? undefined : way.link;
}

/** A value of each kind of piece: of the widest the second, for the first of a network is nobody's. */
function oneOfEach(pieces: readonly Piece[]): readonly bigint[] {
  const widest = new Map<number, Piece>();
  for (const piece of pieces) {
    const known = widest.get(piece.kind);
    if (known === undefined || piece.last - piece.first > known.last - known.first) widest.set(piece.kind, piece);
  }
  return [...widest.values()].map(({ first, last }) => (first === last ? first : first + 1n));
}

/** A destination of each kind; of the Internet the outsider, where it is one of the kind. */
function targetsOf(ground: Ground, tells: Tells, except: readonly Prefix[], family: Family): readonly Address[] {
  const outsider = ground.outsiders[family];
  const blocks: readonly Block[] = [
    ...tells.addresses[family],
    ...SPECIAL[family].map((prefix) => ({ ...prefixInterval(prefix), by: `special ${printPrefix(prefix)}` })),
    ...except.flatMap((prefix) =>
      prefix.address.family === family ? [{ ...prefixInterval(prefix), by: `except ${printPrefix(prefix)}` }] : [],
    ),
  ];
  const pieces = piecesOf(blocks, prefixInterval(wholeFamily(family)));
  const usual = pieces[pieceAt(pieces, outsider.value)]?.kind;
  const others = pieces.filter(({ kind }) => kind !== usual);
  return [...(usual === undefined ? [] : [outsider.value]), ...oneOfEach(others)]
    .map((value): Address => ({ family, value }))
    .filter(
      (address) => !NOBODYS.has(addressScope(address)) && !except.some((prefix) => containsAddress(prefix, address)),
    );
}

/** What the kernel sends nowhere, or not beyond a link: they are cut out, so that no piece is half of them. */
const SPECIAL: Readonly<Record<Family, readonly Prefix[]>> = {
  4: prefixes('0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'),
  6: prefixes('::/8', 'fe80::/10', 'ff00::/8'),
};

function prefixes(...texts: readonly string[]): readonly Prefix[] {
  return texts.flatMap((text) => parsePrefix(text) ?? []);
}

/** A port of each kind. */
const portsOf = (blocks: readonly Block[]): readonly number[] => {
  const pieces = piecesOf(
    blocks.filter(({ last }) => last > 0n),
    { first: 1n, last: 65_535n },
  );
  return oneOfEach(pieces).map(Number);
};

/**
 * Networks of the other family behind the links of these doors, which nobody named: who is there leaves by them too. By the addresses of the
 * host there, and by its routes.
 */
export function unnamedBeside(network: Network, doors: readonly Door[], family: Family): readonly Prefix[] {
  const found = new Map<string, Prefix>();
  for (const { host, link } of doors) {
    const state = network.hosts.get(host)?.state;
    if (state === undefined) continue;
    const prefixes = [
      ...state.addresses.flatMap((each) =>
        each.link === link && each.scope === 'global' ? [networkOf(each.address)] : [],
      ),
      ...state.routes.flatMap((route) =>
        route.link === link && route.table === MAIN_TABLE && route.type === 'unicast' && route.destination.length > 0
          ? [route.destination]
          : [],
      ),
    ];
    for (const prefix of prefixes)
      if (
        prefix.address.family === family &&
        addressScope(prefix.address) !== 'linkLocal' &&
        addressScope(prefix.address) !== 'multicast'
      )
        found.set(printPrefix(prefix), prefix);
  }
  return [...found.values()].filter(
    (prefix, index, all) => all.findIndex((each) => samePrefix(each, prefix)) === index,
  );
}
