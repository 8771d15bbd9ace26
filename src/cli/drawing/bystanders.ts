/** The hosts that the packet does not come to, where they are joined to those it does: the rest of the network, drawn faintly. */
import { isOverlay, type Network, type TunnelPlug } from '../../simulate/index.ts';
import { hostSpot, type Medium, type Place, type Plug, plugKeyOf } from './scene.ts';

/** More would hide the way. */
const MOST = 6;

/** Hosts a tunnel or a wire away from those of the way, and what joins them. What else there is, is named alone. */
export function bystanders(
  network: Network,
  places: readonly Place[],
): { readonly places: readonly Place[]; readonly media: readonly Medium[]; readonly omitted: readonly string[] } {
  const drawn = new Set(places.flatMap(({ spot }) => (spot.kind === 'host' ? [spot.host] : [])));
  const rest = [...network.hosts.keys()].filter((name) => !drawn.has(name));
  const joints = jointsOf(network).filter(({ ends }) => {
    const names = new Set(ends.map(({ host }) => host));
    return [...names].some((name) => drawn.has(name)) && [...names].some((name) => !drawn.has(name));
  });
  const joined = rest.filter((name) => joints.some(({ ends }) => ends.some(({ host }) => host === name)));
  const shown = joined.length > MOST ? [] : joined;
  const known = new Set([...drawn, ...shown]);
  const idle = joints
    .map(({ kind, ends }): Medium => {
      const plugs: readonly Plug[] = ends
        .filter(({ host }) => known.has(host))
        // Those of the way stand first: a medium hangs below its first end.
        .sort((a, b) => Number(drawn.has(b.host)) - Number(drawn.has(a.host)))
        .map(({ host, link }) => ({ spot: hostSpot(host), link }));
      return { id: `idle ${plugs.map(plugKeyOf).join(' = ')}`, kind, ends: plugs, cards: [] };
    })
    .filter(({ ends }) => ends.some(({ spot }) => spot.kind === 'host' && !drawn.has(spot.host)) && ends.length > 1);
  return {
    places: shown.map((name) => ({ spot: hostSpot(name), name, notes: [], rows: [], isIdle: true })),
    media: idle,
    omitted: rest.filter((name) => !shown.includes(name)),
  };
}

interface Joint {
  readonly kind: Medium['kind'];
  readonly ends: readonly TunnelPlug[];
}

/** What joins hosts: each tunnel, and each wire or switch, once. */
function jointsOf({ hosts, farEnds, wires }: Network): readonly Joint[] {
  const joints = new Map<string, Joint>();
  const add = (kind: Joint['kind'], ends: readonly TunnelPlug[]): void => {
    const key = ends
      .map(({ host, link }) => `${host} ${link}`)
      .sort()
      .join(' = ');
    if (!joints.has(key)) joints.set(key, { kind, ends });
  };
  for (const { name, links } of hosts.values())
    for (const [link, each] of links) {
      const own: TunnelPlug = { host: name, link };
      const key = `${name} ${link}`;
      if (isOverlay(each)) for (const far of farEnds.get(key) ?? []) add('tunnel', [own, far]);
      const others = (wires.segments.get(key)?.plugs ?? []).filter(({ host }) => host !== name);
      if (each.master === undefined && others.length > 0) add('link', [own, ...others]);
    }
  return [...joints.values()];
}
