/** Facts made from a Host resource alone: what `plan --offline` knows. */
import { EMPTY_STATE, type HostFacts } from '../host/index.ts';
import { type Address, printAddress, printInterfaceAddress, sameAddress, wholeFamily } from '../net/index.ts';
import type { HostResource, Problem } from '../resources/index.ts';
import { type Link, type LinkAddress, MAIN_TABLE, type Route } from '../routing/index.ts';

/** Ethernet's: what a link has unless somebody set it otherwise. */
const ETHERNET_MTU = 1500;

/**
 * The declared interfaces as links with their addresses; a public one is taken for the way to the Internet.
 * An interface declared by hardware address alone bears that address as its name: nobody looked.
 */
export function declaredFacts(host: HostResource): HostFacts {
  const links: Link[] = host.interfaces.map(({ match }) => ({
    name: 'name' in match ? match.name : match.mac,
    kind: 'ether',
    mtu: ETHERNET_MTU,
    up: true,
    ...('mac' in match && { mac: match.mac }),
  }));
  const addresses: LinkAddress[] = host.interfaces.flatMap(({ addresses: declared }, index) =>
    (declared ?? []).map((address) => ({ link: links[index]?.name ?? '', address, scope: 'global' })),
  );
  const open = host.interfaces.findIndex(({ zone, outside }) => zone === 'public' || outside.length > 0);
  const way = links[open === -1 ? 0 : open]?.name;
  const families = new Set(addresses.filter(({ link }) => link === way).map(({ address }) => address.address.family));
  const routes: Route[] =
    way === undefined
      ? []
      : [...families].map((family) => ({
          table: MAIN_TABLE,
          destination: wholeFamily(family),
          type: 'unicast',
          link: way,
          metric: 0,
          protocol: 4,
        }));
  return {
    source: 'declared',
    state: { ...EMPTY_STATE, links, addresses, routes },
    keys: new Map(),
    wireguard: 'unknown',
    vxlan: 'unknown',
  };
}

/** Where a Host declares an interface that the host does not have, or addresses that are not on it: an error with both. */
export function declaredDiffers(host: HostResource, facts: HostFacts): readonly Problem[] {
  if (facts.source === 'declared') return [];
  return host.interfaces.flatMap(({ match, addresses, outside }, index): readonly Problem[] => {
    const path = `spec.interfaces[${index}]`;
    const at = (field: string, what: string): Problem => ({
      code: 'cannotBe',
      at: host.positionOf(`${path}${field}`),
      path: `${path}${field}`,
      what,
    });
    const link = facts.state.links.find(({ name, mac }) => ('name' in match ? name === match.name : mac === match.mac));
    if (link === undefined) {
      const there = facts.state.links.filter(({ kind }) => kind !== 'loopback').map(({ name }) => name);
      return [
        at(
          '',
          `${host.name} has no interface ${'name' in match ? match.name : match.mac}; it has ${there.join(', ') || 'none'}`,
        ),
      ];
    }
    const found = facts.state.addresses
      .filter((each) => each.link === link.name && each.scope === 'global')
      .map(({ address }) => address);
    const stands = (wanted: Address): boolean => found.some(({ address }) => sameAddress(address, wanted));
    const list = found.map(printInterfaceAddress).join(', ') || 'none';
    return [
      ...(addresses ?? [])
        .filter(({ address }) => !stands(address))
        .map((wanted) => at('.addresses', `declared ${printInterfaceAddress(wanted)}; ${link.name} has ${list}`)),
      ...outside
        .filter(({ inner }) => !stands(inner))
        .map(({ inner }) => at('.outside', `declared ${printAddress(inner)}; ${link.name} has ${list}`)),
    ];
  });
}
