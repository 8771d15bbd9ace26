/** Tunnels: what each end puts on its host. */
import type { AcceptShare, HostFacts, TunnelPeer, TunnelShare } from '../host/index.ts';
import {
  type Address,
  type Endpoint,
  type Family,
  hostPrefix,
  isAddress,
  type Prefix,
  printAddress,
  printPrefix,
  sameAddress,
  wholeFamily,
} from '../net/index.ts';
import type { Problem, ResourceSet, TunnelEnd, TunnelResource } from '../resources/index.ts';
import type { Vxlan } from '../routing/index.ts';
import type { PendingKey, PublicKey } from '../wireguard/index.ts';
import { chooseVni, ownLinkName, sharedLinkName } from './names.ts';
import { isPointToPoint, outerKind, type PointToPoint } from './point-to-point.ts';
import { presharedKeyOf } from './preshared.ts';
import { lacks } from './support.ts';
import { type HostView, linkOf } from './view.ts';

/** IANA's port for VXLAN (RFC 7348). */
const VXLAN_PORT = 4789;
/** Seconds; holds a mapping open in nearly every NAT (wg(8), PersistentKeepalive). */
const KEEPALIVE_SECONDS = 25;

export interface TunnelUse {
  /** Addresses behind the far end that this end sends into the tunnel. */
  readonly aims: readonly Address[];
  /** What this end takes from the tunnel. */
  readonly accepts: readonly AcceptShare[];
  /** Bytes. */
  readonly mtu: number;
}

/** The name of the link of one end; undefined for Direct where no interface of the host bears the address. */
export function linkName(tunnel: TunnelResource, end: TunnelEnd, facts: HostFacts): string | undefined {
  switch (tunnel.type) {
    case 'WireGuard':
      return end.endpoint === undefined
        ? ownLinkName(tunnel.name)
        : sharedLinkName(end.listenPort ?? end.endpoint.port);
    case 'Direct':
      return end.addresses.map(({ address }) => linkOf(facts, address)?.name).find((name) => name !== undefined);
    case 'VXLAN':
    case 'IPIP':
    case 'GRE':
      return ownLinkName(tunnel.name);
  }
}

/** Compiles one end of a tunnel for its host. */
export function compileEnd(
  set: ResourceSet,
  tunnel: TunnelResource,
  view: HostView,
  peer: HostView,
  use: TunnelUse,
): { readonly share?: TunnelShare; readonly problems: readonly Problem[] } {
  const index = tunnel.ends[0].host === view.name ? 0 : 1;
  const [end, far] = [tunnel.ends[index], tunnel.ends[1 - index] ?? tunnel.ends[0]];
  const at = (path: string, what: string): Problem => ({ code: 'cannotBe', at: tunnel.positionOf(path), path, what });
  const link = linkName(tunnel, end, view.facts);
  const type = tunnel.type;
  if (link === undefined) {
    const addresses = end.addresses.map(({ address }) => printAddress(address)).join(', ');
    return {
      problems: [
        at(
          `spec.ends[${index}].addresses`,
          `no interface of ${view.name} has ${addresses}; a Direct tunnel uses addresses that are there`,
        ),
      ],
    };
  }
  const problems: Problem[] = [];
  const returns = new Set(use.accepts.map(({ address }) => address.family));
  const farAddresses = far.addresses.map(({ address }) => address);
  const carrier = carrierOf(set, tunnel, view.name);
  const carryingLink = carrier && linkName(carrier.tunnel, carrier.end, view.facts);
  const share: TunnelShare = {
    name: tunnel.name,
    type,
    link,
    addresses: type === 'Direct' ? [] : end.addresses,
    mtu: use.mtu,
    ...(type === 'WireGuard' && end.listenPort !== undefined && { listenPort: end.listenPort }),
    ...(type === 'WireGuard' && end.endpoint !== undefined && { dialled: familiesOf(end.endpoint) }),
    ...(type === 'VXLAN' && { vxlan: vxlan(tunnel, end, far, view, peer) }),
    ...(isPointToPoint(type) && pointToPoint(type, tunnel, end, far, view)),
    ...(carrier !== undefined &&
      carryingLink !== undefined && {
        carrier: { link: carryingLink, from: carrier.far.addresses.map(({ address }) => address) },
      }),
    peer: {
      host: far.host,
      addresses: farAddresses,
      allowedIps: type === 'WireGuard' ? allowedIps(farAddresses, use, returns) : [],
      ...(type === 'WireGuard' && wireguardPeer(tunnel, end, far, peer, returns.size > 0)),
      ...(tunnel.presharedKeys && { presharedKey: presharedKeyOf(tunnel, view, peer) }),
      ...(type !== 'Direct' && publicOf(peer, returns, new Set(use.aims.map(({ family }) => family)))),
      ...(type === 'Direct' && macOf(peer.facts, farAddresses)),
    },
    routes:
      type === 'Direct'
        ? use.aims.filter((aim) => !farAddresses.some((each) => sameAddress(each, aim))).map(hostPrefix)
        : use.aims.map(hostPrefix),
    returns: ([4, 6] as const).filter((family) => returns.has(family)),
  };
  const missing = lacks(view.name, share, view.facts);
  if (missing !== undefined) problems.push(at('spec.type', missing));
  return { share, problems };
}

/**
 * Where this end's addresses are routed into the tunnel (`answered`), the peer answers by it whatever this end asks; a lease is not known in
 * advance. And what the peer asks of a forward to itself comes from there (`aimed`): a lease that ends moves that forward too.
 */
function publicOf(
  { publicAddresses }: HostView,
  answered: ReadonlySet<Family>,
  aimed: ReadonlySet<Family>,
): Pick<TunnelPeer, 'publicAddresses'> {
  const found = publicAddresses.filter(
    ({ dynamic, outer: { family } }) => aimed.has(family) || (!dynamic && answered.has(family)),
  );
  return found.length === 0 ? {} : { publicAddresses: found.map(({ outer }) => outer) };
}

/** What the peer may send and what is sent to it: its own addresses and our aims, or everybody where clients come in by it. */
function allowedIps(farAddresses: readonly Address[], use: TunnelUse, returns: ReadonlySet<Family>): readonly Prefix[] {
  const single = [...farAddresses, ...use.aims].filter(({ family }) => !returns.has(family)).map(hostPrefix);
  const all = [...[...returns].map(wholeFamily), ...single];
  return [...new Map(all.map((prefix) => [printPrefix(prefix), prefix])).values()];
}

function wireguardPeer(
  tunnel: TunnelResource,
  end: TunnelEnd,
  far: TunnelEnd,
  peer: HostView,
  answers: boolean,
): Partial<TunnelPeer> {
  const link = linkName(tunnel, far, peer.facts);
  const known = link === undefined ? undefined : peer.facts.keys.get(link);
  const publicKey: PublicKey | PendingKey = known ?? { pendingHost: far.host, pendingTunnel: tunnel.name };
  // Who has no endpoint must dial; who answers clients keeps the path open even when both could be dialled.
  const dials = far.endpoint !== undefined && (end.endpoint === undefined || answers);
  return {
    publicKey,
    ...(far.endpoint !== undefined && { endpoint: far.endpoint }),
    ...(dials && { keepaliveSeconds: KEEPALIVE_SECONDS }),
  };
}

function vxlan(tunnel: TunnelResource, end: TunnelEnd, far: TunnelEnd, view: HostView, peer: HostView): Vxlan {
  const local = insideOf(view, outsideAddress(end));
  const remote = outsideAddress(far) ?? insideOf(peer, undefined);
  return {
    vni: tunnel.vni ?? chooseVni(tunnel.name),
    port: end.listenPort ?? end.endpoint?.port ?? VXLAN_PORT,
    ...(local !== undefined && { local }),
    ...(remote !== undefined && { remote }),
  };
}

/** Both ends have endpoints, and the schema holds that they are addresses of one family. */
function pointToPoint(
  type: PointToPoint,
  tunnel: TunnelResource,
  end: TunnelEnd,
  far: TunnelEnd,
  view: HostView,
): Pick<TunnelShare, 'kind' | 'outer'> {
  const local = insideOf(view, outsideAddress(end));
  const remote = outsideAddress(far);
  if (local === undefined || remote === undefined) return {};
  return { kind: outerKind(type, remote.family, tunnel.families), outer: { local, remote } };
}

/** What a name stands for is not known. */
const familiesOf = ({ host }: Endpoint): readonly Family[] => (isAddress(host) ? [host.family] : [4, 6]);

export const outsideAddress = ({ endpoint }: TunnelEnd): Address | undefined =>
  endpoint !== undefined && isAddress(endpoint.host) ? endpoint.host : undefined;

/** The address as it stands on the host, where the provider translates it. */
const insideOf = (view: HostView, address: Address | undefined): Address | undefined =>
  address === undefined
    ? undefined
    : (view.publicAddresses.find(({ outer }) => sameAddress(outer, address))?.inner ?? address);

/** The hardware address behind a Direct peer: tells its packets from those of other neighbours on the same link. */
function macOf(facts: HostFacts, addresses: readonly Address[]): { readonly mac?: string } {
  const mac = addresses.map((address) => linkOf(facts, address)?.mac).find((each) => each !== undefined);
  return facts.source === 'observed' && mac !== undefined ? { mac } : {};
}

/** The tunnel of the set by which another one's packets go at a host: the far end's endpoint, or where that has none its own, is an address in it. */
export function carrierOf(
  { tunnels }: Pick<ResourceSet, 'tunnels'>,
  tunnel: TunnelResource,
  host: string,
): { readonly tunnel: TunnelResource; readonly end: TunnelEnd; readonly far: TunnelEnd } | undefined {
  const [own, other] = endsAt(tunnel, host);
  const outside = other.endpoint === undefined ? outsideAddress(own) : outsideAddress(other);
  if (outside === undefined) return undefined;
  for (const each of tunnels.values()) {
    if (each === tunnel || each.type === 'Direct' || !each.ends.some((end) => end.host === host)) continue;
    const [end, far] = endsAt(each, host);
    const { addresses } = other.endpoint === undefined ? end : far;
    if (addresses.some(({ address }) => sameAddress(address, outside))) return { tunnel: each, end, far };
  }
  return undefined;
}

const endsAt = ({ ends: [left, right] }: TunnelResource, host: string): readonly [TunnelEnd, TunnelEnd] =>
  left.host === host ? [left, right] : [right, left];
