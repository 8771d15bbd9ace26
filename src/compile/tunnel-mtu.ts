/** The largest packet that a tunnel carries: what its path carries, as both ends see theirs, less what the tunnel adds. */
import { type Address, type Family, printAddress } from '../net/index.ts';
import type { Problem, ResourceSet, TunnelEnd, TunnelResource, TunnelType } from '../resources/index.ts';
import { vxlanMtu } from '../routing/index.ts';
import { wireguardMtu } from '../wireguard/index.ts';
import { isPointToPoint, pointToPointMtu } from './point-to-point.ts';
import { carrierOf, outsideAddress } from './tunnel.ts';
import { defaultRoute, type HostView, linkOf, wayTo } from './view.ts';

/** RFC 8200, section 5: IPv6 needs links that carry 1,280 bytes. */
const IPV6_LEAST_MTU = 1280;
/** What a path has where nobody looked. */
const ETHERNET_MTU = 1500;

/** What an end's way to the other carries, in bytes, and what says so. */
interface Path {
  readonly mtu: number;
  readonly by: string;
}

interface Mtus {
  /** Of the end of a tunnel at a host, by `endKey`. */
  readonly mtus: ReadonlyMap<string, number>;
  readonly problems: readonly Problem[];
  readonly notes: readonly { readonly host: string; readonly text: string }[];
}

export const endKey = (tunnel: string, host: string): string => `${tunnel} ${host}`;

/** The MTU of every tunnel, at each of its ends. */
export function chooseMtus(set: ResourceSet, views: ReadonlyMap<string, HostView>): Mtus {
  const mtus = new Map<string, number>();
  const problems: Problem[] = [];
  const chosen = new Map<string, number>();
  const mtuOf = (tunnel: TunnelResource, around: readonly string[]): number => {
    const known = chosen.get(tunnel.name);
    if (known !== undefined) return known;
    const report = (path: string, what: string): number =>
      problems.push({ code: 'cannotBe', at: tunnel.positionOf(path), path, what });
    if (around.includes(tunnel.name)) {
      report('spec.ends', `its packets would go by itself: ${[...around, tunnel.name].join(' by ')}`);
      return ETHERNET_MTU;
    }
    const paths = tunnel.ends.flatMap((end, index) => {
      const view = views.get(end.host);
      const far = tunnel.ends[1 - index];
      return view === undefined || far === undefined ? [] : [pathOf(view, end, far)];
    });
    function pathOf(view: HostView, end: TunnelEnd, far: TunnelEnd): Path {
      const to = outsideAddress(far);
      const carrier = carrierOf(set, tunnel, view.name)?.tunnel;
      if (carrier !== undefined)
        return { mtu: mtuOf(carrier, [...around, tunnel.name]), by: `Tunnel ${carrier.name} at ${view.name}` };
      // Who is dialled by an address answers in its family.
      const family = end.endpoint === undefined ? undefined : outsideAddress(end)?.family;
      return narrowest(to === undefined ? strangerPaths(view, family) : [pathTo(view, to)]);
    }
    const mtu = mtuOver(tunnel, narrowest(paths), report);
    chosen.set(tunnel.name, mtu);
    return mtu;
  };
  for (const tunnel of set.tunnels.values())
    for (const end of tunnel.ends) {
      const facts = views.get(end.host)?.facts;
      const own = tunnel.type === 'Direct' && facts !== undefined;
      // Direct makes no link: the one that is there is as it is.
      const mtu = own
        ? (end.addresses.map(({ address }) => linkOf(facts, address)?.mtu).find((each) => each !== undefined) ??
          ETHERNET_MTU)
        : mtuOf(tunnel, []);
      mtus.set(endKey(tunnel.name, end.host), mtu);
    }
  const notes = [...set.tunnels.values()].flatMap((tunnel) =>
    tunnel.ends.flatMap(({ host }, index) => {
      const [view, mtu] = [views.get(host), mtus.get(endKey(tunnel.name, host))];
      const to = outsideAddress(tunnel.ends[1 - index] ?? tunnel.ends[0]);
      const text = view && mtu && to && learntNote(view, tunnel, mtu, to);
      return text ? [{ host, text }] : [];
    }),
  );
  return { mtus, problems, notes };
}

/**
 * What the kernel learnt of the path is said and not followed: it forgets after ten minutes, and the tunnel would change back and forth.
 */
function learntNote({ facts }: HostView, tunnel: TunnelResource, mtu: number, to: Address): string | undefined {
  const learnt = facts.learntMtus?.get(printAddress(to));
  if (learnt === undefined || tunnel.type === 'Direct') return undefined;
  const most = largestMtu(tunnel.type, learnt, to.family);
  return mtu <= most
    ? undefined
    : `tunnel ${tunnel.name} counts on more than reaches ${printAddress(to)}, ${learnt} bytes as was found a short while ago: "mtu: ${most}" in the Tunnel would fit`;
}

/** By the route to the address: the link's MTU (PPPoE has 1492), or the route's own where that is less. */
function pathTo(view: HostView, to: Address): Path {
  const way = wayTo(view, to);
  if (way.kind !== 'route') return unseen(view);
  const links = way.choices?.flatMap(({ link }) => link ?? []) ?? [way.link];
  return narrowest(links.map((link) => pathBy(view, link, way.route.mtu, `to ${printAddress(to)}`)));
}

/** Where the other end is not known yet, or is a name: by the default route of the family, or of either. */
const strangerPaths = (view: HostView, family: Family | undefined): readonly Path[] =>
  (family === undefined ? ([4, 6] as const) : [family]).flatMap((each) => {
    const route = defaultRoute(view.facts, each);
    return route?.link === undefined ? [] : [pathBy(view, route.link, route.mtu, 'by default')];
  });

function pathBy({ name, facts }: HostView, link: string, route: number | undefined, where: string): Path {
  const own = facts.state.links.find((each) => each.name === link)?.mtu ?? ETHERNET_MTU;
  return route !== undefined && route < own
    ? { mtu: route, by: `the route ${where} at ${name}` }
    : { mtu: own, by: `${link} at ${name}` };
}

const unseen = ({ name }: HostView): Path => ({ mtu: ETHERNET_MTU, by: `as nobody knows the way at ${name}` });

const narrowest = (paths: readonly Path[]): Path =>
  paths.reduce(
    (least, each) => (each.mtu < least.mtu ? each : least),
    paths[0] ?? { mtu: ETHERNET_MTU, by: 'as usual' },
  );

function largestMtu(type: Exclude<TunnelType, 'Direct'>, path: number, outer: Family): number {
  if (isPointToPoint(type)) return pointToPointMtu(type, path, outer);
  return type === 'VXLAN' ? vxlanMtu(path, outer) : wireguardMtu(path, outer);
}

/** A larger one given by the user is a problem, with the sum. A name may be of either family: IPv6 takes more. */
function mtuOver(tunnel: TunnelResource, path: Path, report: (path: string, what: string) => void): number {
  if (tunnel.type === 'Direct') return path.mtu;
  const known = tunnel.ends.map(outsideAddress).find((address) => address !== undefined)?.family;
  const most = largestMtu(tunnel.type, path.mtu, known ?? 6);
  const takes = `${tunnel.type} over ${known === undefined ? 'IPv6, which the name may mean,' : `IPv${known}`} takes ${path.mtu - most}`;
  const sum = `the path carries ${path.mtu} bytes (${path.by}), ${takes}, which leaves ${path.mtu} - ${path.mtu - most} = ${most}`;
  if (tunnel.mtu !== undefined && tunnel.mtu > most) report('spec.mtu', `${tunnel.mtu} is too large: ${sum}`);
  if (tunnel.mtu === undefined && tunnel.families.includes(6) && most < IPV6_LEAST_MTU)
    report('spec.ends', `IPv6 inside needs ${IPV6_LEAST_MTU} bytes (RFC 8200): ${sum}`);
  return tunnel.mtu ?? most;
}
