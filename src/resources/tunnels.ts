import {
  type Address,
  addressBits,
  containsAddress,
  type Endpoint,
  type Family,
  type InterfaceAddress,
  isAddress,
  lastAddress,
  networkOf,
  printAddress,
  printInterfaceAddress,
  sameAddress,
} from '../net/index.ts';
import type { LooseEndpoint } from './fields.ts';
import type { Problem } from './problem.ts';
import type { TunnelEnd, TunnelResource, TunnelType } from './resource.ts';
import type { TunnelDocument } from './schema.ts';
import type { Placed, ProblemMaker } from './validate.ts';

/** The port that IANA gave VXLAN (RFC 7348, 8.1). */
const VXLAN_PORT = 4_789;

type WrittenEnd = TunnelDocument['spec']['ends'][number];
type Written = Placed & { readonly spec: TunnelDocument['spec'] };

/** What a type of tunnel asks of its ends (design.md, "Ends of a tunnel"). */
const RULES: Readonly<
  Record<TunnelType, { readonly endpoints: 0 | 1 | 2; readonly defaultPort?: number; readonly listens: boolean }>
> = {
  WireGuard: { endpoints: 1, listens: true },
  VXLAN: { endpoints: 2, defaultPort: VXLAN_PORT, listens: true },
  IPIP: { endpoints: 2, listens: false },
  GRE: { endpoints: 2, listens: false },
  Direct: { endpoints: 0, listens: false },
};

/** Reads a tunnel whose form is right; gives undefined and tells why where its ends do not fit each other. */
export function toTunnel(written: Written, problems: Problem[]): TunnelResource | undefined {
  const { place, spec, problem } = written;
  const found: Problem[] = [];
  const [left, right] = spec.ends;
  // The schema holds both: two ends, and no provider yet.
  if (left?.host === undefined || right?.host === undefined) return undefined;
  if (left.host === right.host) found.push(problem('badTunnel', 'spec.ends[1].host', `both ends are ${left.host}`));
  found.push(...checkFields(spec, problem), ...checkEndpoints(spec, problem), ...checkAddresses(spec, problem));
  problems.push(...found);
  if (found.length > 0) return undefined;
  const { type, mtu, vni, presharedKeys } = spec;
  return {
    kind: 'Tunnel',
    ...place,
    type,
    ...(mtu === undefined ? {} : { mtu }),
    ...(vni === undefined ? {} : { vni }),
    presharedKeys,
    ends: [toEnd(type, left.host, left), toEnd(type, right.host, right)],
    families: familiesOf(left.addresses),
  };
}

function toEnd(type: TunnelType, host: string, { addresses, endpoint, listenPort }: WrittenEnd): TunnelEnd {
  const { defaultPort, listens } = RULES[type];
  const full = endpoint === undefined ? undefined : withPort(endpoint, listenPort ?? defaultPort ?? 0);
  const listening = listens ? (listenPort ?? full?.port ?? defaultPort) : undefined;
  return {
    host,
    addresses,
    ...(full === undefined ? {} : { endpoint: full }),
    ...(listening === undefined ? {} : { listenPort: listening }),
  };
}

const withPort = ({ host, port }: LooseEndpoint, otherwise: number): Endpoint => ({ host, port: port ?? otherwise });

/** Fields that mean nothing for the type would be ignored without a word. */
function checkFields(
  { type, vni, mtu, presharedKeys, ends }: TunnelDocument['spec'],
  problem: ProblemMaker,
): readonly Problem[] {
  const found: Problem[] = [];
  const needless = (path: string): number => found.push(problem('badTunnel', path, `means nothing for type ${type}`));
  if (vni !== undefined && type !== 'VXLAN') needless('spec.vni');
  if (mtu !== undefined && type === 'Direct') needless('spec.mtu');
  if (presharedKeys && type !== 'WireGuard') needless('spec.presharedKeys');
  for (const [index, end] of ends.entries()) {
    if (end.endpoint !== undefined && RULES[type].endpoints === 0) needless(`spec.ends[${index}].endpoint`);
    if (end.listenPort !== undefined && !RULES[type].listens) needless(`spec.ends[${index}].listenPort`);
  }
  // RFC 8200, 5: every link that carries IPv6 carries 1,280 bytes.
  if (mtu !== undefined && mtu < 1_280 && ends.some(({ addresses }) => familiesOf(addresses).includes(6))) {
    found.push(problem('badTunnel', 'spec.mtu', `${mtu} is too small for IPv6, which needs 1280`));
  }
  return found;
}

function checkEndpoints({ type, ends }: TunnelDocument['spec'], problem: ProblemMaker): readonly Problem[] {
  const found: Problem[] = [];
  const { endpoints: needed } = RULES[type];
  const given = ends.filter(({ endpoint }) => endpoint !== undefined);
  if (needed === 1 && given.length === 0)
    found.push(
      problem(
        'badTunnel',
        'spec.ends',
        `${type} needs an endpoint at one end at least: an end without one dials the other, and here neither knows where`,
      ),
    );
  if (needed === 2)
    for (const [index, { endpoint }] of ends.entries())
      if (endpoint === undefined)
        found.push(
          problem(
            'badTunnel',
            `spec.ends[${index}]`,
            `has no endpoint; ${type} needs one at both ends: nobody dials, each sends to the other's address`,
          ),
        );
  for (const [index, { endpoint }] of ends.entries()) {
    if (endpoint === undefined || needed === 0) continue;
    const path = `spec.ends[${index}].endpoint`;
    if (endpoint.port === undefined && type === 'WireGuard') {
      found.push(problem('badTunnel', path, 'has no port; WireGuard has none of its own'));
    }
    if (!isAddress(endpoint.host) && type !== 'WireGuard') {
      found.push(
        problem(
          'badTunnel',
          path,
          `"${endpoint.host}" is a name; ${type} needs an address, to which its link is bound: only WireGuard follows a name`,
        ),
      );
    }
  }
  const hosts = given.flatMap(({ endpoint }) => (isAddress(endpoint?.host) ? [endpoint.host] : []));
  const [first, second] = hosts;
  if (first !== undefined && second !== undefined && first.family !== second.family) {
    const what = `is IPv${second.family}, but the other end's is IPv${first.family}`;
    found.push(problem('mixedFamilies', 'spec.ends[1].endpoint', what));
  }
  return found;
}

function checkAddresses({ type, ends }: TunnelDocument['spec'], problem: ProblemMaker): readonly Problem[] {
  const found: Problem[] = [];
  const [left = [], right = []] = ends.map(({ addresses }) => addresses);
  for (const [index, end] of ends.entries()) {
    const path = `spec.ends[${index}].addresses`;
    if (end.addresses.length === 0) found.push(problem('missingField', path, 'is missing: the addresses of this end'));
  }
  if (left.length === 0 || right.length === 0) return found;
  for (const family of [4, 6] as const) {
    const without = [left, right].findIndex((addresses) => !familiesOf(addresses).includes(family));
    if (without === -1 || (!familiesOf(left).includes(family) && !familiesOf(right).includes(family))) continue;
    const what = `has no IPv${family} address, but the other end has one`;
    found.push(problem('mixedFamilies', `spec.ends[${without}].addresses`, what));
  }
  if (found.length > 0 || type === 'Direct') return found;
  for (const [index, one] of left.entries()) {
    const path = `spec.ends[0].addresses[${index}]`;
    const why = unusable(one);
    if (why !== undefined) found.push(problem('badTunnel', path, why));
  }
  for (const [index, one] of right.entries()) {
    const path = `spec.ends[1].addresses[${index}]`;
    const why = unusable(one) ?? strange(one, left);
    if (why !== undefined) found.push(problem('badTunnel', path, why));
  }
  return found;
}

/** Why no link can carry the address as its own, if so. */
function unusable(one: InterfaceAddress): string | undefined {
  const { address, length } = one;
  const bits = addressBits(address.family);
  if (length === bits)
    return `${printAddress(address)} has no prefix length; both ends stand in one prefix, as ${printAddress(address)}/${bits - 2}`;
  // A prefix of two addresses has neither network nor broadcast address (RFC 3021, RFC 6164).
  if (length === bits - 1) return undefined;
  const network = networkOf(one);
  if (sameAddress(network.address, address))
    return `${printInterfaceAddress(one)} is the address of the network itself`;
  const broadcast = address.family === 4 && sameAddress(lastAddress(network), address);
  return broadcast ? `${printInterfaceAddress(one)} is the broadcast address of its network` : undefined;
}

/** Why the address does not stand opposite to one of the other end, if so. */
function strange(one: InterfaceAddress, others: readonly InterfaceAddress[]): string | undefined {
  const twin = others.find(({ address }) => sameAddress(address, one.address));
  if (twin !== undefined) return `${printAddress(one.address)} is the other end's address too`;
  const opposite = others.find(
    (other) => other.length === one.length && containsAddress(networkOf(other), one.address),
  );
  if (opposite !== undefined) return undefined;
  const family = others.filter(({ address }) => address.family === one.address.family).map(printInterfaceAddress);
  return `${printInterfaceAddress(one)} shares no prefix with the other end's ${family.join(', ')}`;
}

const familiesOf = (addresses: readonly InterfaceAddress[]): readonly Family[] =>
  ([4, 6] as const).filter((family) => addresses.some(({ address }) => address.family === family));

/** What two tunnels take from each other: a peer's address on a shared link, a host's address, a port, a VXLAN identifier. */
export function checkTunnelsTogether(
  tunnels: readonly { readonly tunnel: TunnelResource; readonly problem: ProblemMaker }[],
  printPlace: (tunnel: TunnelResource) => string,
): readonly Problem[] {
  const problems: Problem[] = [];
  const claimed = new Map<string, { readonly tunnel: TunnelResource; readonly link: string }>();
  for (const { tunnel, problem } of tunnels) {
    if (tunnel.type === 'Direct') continue;
    /** The first to claim something keeps it; `link` tells which claims are one and the same. */
    const claim = (what: string, link: string, path: string): void => {
      const first = claimed.get(what);
      if (first === undefined) claimed.set(what, { tunnel, link });
      else if (first.link !== link) {
        problems.push(problem('claimedTwice', path, `${what} is already taken by Tunnel ${printPlace(first.tunnel)}`));
      }
    };
    for (const [index, end] of tunnel.ends.entries()) {
      const link = linkOf(tunnel, end);
      const own = `spec.ends[${index}]`;
      if (end.listenPort !== undefined)
        claim(`UDP port ${end.listenPort} of ${end.host}`, tunnel.type, `${own}.listenPort`);
      if (tunnel.vni !== undefined) claim(`VXLAN identifier ${tunnel.vni} of ${end.host}`, tunnel.name, 'spec.vni');
      for (const [place, { address }] of end.addresses.entries()) {
        claim(`${printAddress(address)} of ${end.host}`, link, `${own}.addresses[${place}]`);
      }
      for (const { address } of tunnel.ends[1 - index]?.addresses ?? []) {
        claim(peerClaim(address, link), tunnel.name, `spec.ends[${1 - index}].addresses`);
      }
    }
    // The kernel has one link of a kind between two addresses.
    if (tunnel.type === 'IPIP' || tunnel.type === 'GRE')
      for (const [index, end] of tunnel.ends.entries()) {
        const [own, far] = [end, tunnel.ends[1 - index]].map((each) => outside(each));
        claim(`${tunnel.type} from ${own} to ${far} of ${end.host}`, tunnel.name, `spec.ends[${index}].endpoint`);
      }
    const [left, right] = tunnel.ends;
    const both = [linkOf(tunnel, left), linkOf(tunnel, right)].sort().join(' and ');
    claim(`the pair of ${both}`, tunnel.name, 'spec.ends');
  }
  return problems;
}

const outside = (end: TunnelEnd | undefined): string =>
  isAddress(end?.endpoint?.host) ? printAddress(end.endpoint.host) : '';

/** WireGuard tunnels whose ends share a host and a listen port share a link; every other has one of its own. */
const linkOf = ({ type, name }: TunnelResource, { host, listenPort }: TunnelEnd): string =>
  type === 'WireGuard' && listenPort !== undefined ? `port ${listenPort} of ${host}` : `tunnel ${name} of ${host}`;

const peerClaim = (address: Address, link: string): string => `a peer with ${printAddress(address)} at ${link}`;
