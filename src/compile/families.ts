/** Families that a host has switched off: its tunnels cannot carry them. */
import type { HostFacts } from '../host/index.ts';
import type { Problem, ResourceSet, TunnelResource } from '../resources/index.ts';
import type { HostView } from './view.ts';

/**
 * Whether IPv6 is off for new links: no such settings at all (`ipv6.disable=1`), or disable_ipv6 as the default. Nobody's choice is
 * overruled: a tunnel link would be the one interface with IPv6, and `lo` could not take the route that answers need.
 */
const lacksIPv6 = ({ source, state: { sysctls } }: HostFacts): boolean =>
  source === 'observed' &&
  (sysctls.get('net/ipv6/conf/default/disable_ipv6') === '1' || !sysctls.has('net/ipv6/conf/all/forwarding'));

interface WithoutOff {
  readonly set: ResourceSet;
  readonly notes: readonly { readonly host: string; readonly text: string }[];
  readonly problems: readonly Problem[];
}

/** The set with IPv6 taken out of every tunnel that ends at a host without it. */
export function withoutFamiliesOff(set: ResourceSet, views: ReadonlyMap<string, HostView>): WithoutOff {
  const notes: { host: string; text: string }[] = [];
  const problems: Problem[] = [];
  const tunnels = new Map<string, TunnelResource>();
  for (const tunnel of set.tunnels.values()) {
    const off = tunnel.ends
      .map(({ host }) => views.get(host))
      .find((view) => view !== undefined && lacksIPv6(view.facts));
    if (off === undefined || !tunnel.families.includes(6)) {
      tunnels.set(tunnel.name, tunnel);
      continue;
    }
    const text = `IPv6 is switched off on ${off.name}: tunnel ${tunnel.name} carries IPv4 alone`;
    if (tunnel.families.length === 1)
      problems.push({
        code: 'cannotBe',
        at: tunnel.positionOf('spec.ends'),
        path: 'spec.ends',
        what: `IPv6 is switched off on ${off.name}, and the tunnel has no other family`,
      });
    else notes.push(...tunnel.ends.map(({ host }) => ({ host, text })));
    const [left, right] = tunnel.ends;
    tunnels.set(tunnel.name, { ...tunnel, families: [4], ends: [onlyIPv4(left), onlyIPv4(right)] });
  }
  return { set: { ...set, tunnels }, notes, problems };
}

const onlyIPv4 = (end: TunnelResource['ends'][0]): TunnelResource['ends'][0] => ({
  ...end,
  addresses: end.addresses.filter(({ address }) => address.family === 4),
});
