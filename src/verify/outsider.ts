/** Addresses of nobody we know, to ask from. */
import {
  type Address,
  containsAddress,
  type Family,
  lastAddress,
  networkOf,
  parseAddress,
  sameAddress,
} from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import type { Network } from '../simulate/index.ts';

/** Somebody on the Internet, by family. */
export type Outsiders = Readonly<Record<Family, Address>>;

/** Tried in order; the first in no network or route of a host. None of them is special to the kernel. */
const CANDIDATES: Readonly<Record<Family, readonly string[]>> = {
  4: ['203.0.113.77', '198.51.100.77', '192.0.2.77', '8.8.8.8', '1.1.1.1', '9.9.9.9'],
  6: ['2001:db8:ffff::77', '2001:4860:4860::8888', '2606:4700:4700::1111', '2620:fe::fe'],
};

/** A client for each family that no host knows a way to but its default route. */
export const chooseOutsiders = (network: Network): Outsiders => ({ 4: outsider(network, 4), 6: outsider(network, 6) });

function outsider(network: Network, family: Family): Address {
  const candidates = CANDIDATES[family].flatMap((text) => parseAddress(text) ?? []);
  const [first] = candidates;
  if (first === undefined) throw new TypeError(`no candidate of IPv${family}`);
  const isKnown = (address: Address): boolean =>
    [...network.hosts.values()].some(
      ({ state, openAddresses }) =>
        openAddresses.some(({ outer }) => outer.family === family && outer.value === address.value) ||
        state.routes.some(({ destination }) => destination.length > 1 && containsAddress(destination, address)),
    );
  return candidates.find((address) => !isKnown(address)) ?? first;
}

/**
 * Who asks at a public link of a host: somebody on the Internet; where the host has no way back to strangers, a neighbour on the link,
 * for nobody else is meant.
 */
export function clientOn(network: Network, host: string, link: string, family: Family, stranger: Address): Address {
  const routes = network.hosts.get(host)?.routes;
  const hasWay = routes !== undefined && lookupRoute(routes, { destination: stranger }).kind === 'route';
  return hasWay ? stranger : neighbourOn(network, host, link, family, stranger);
}

/** An address that no host bears in the network of one that the host bears on the link: a neighbour there, none of `others`; without one, somebody else. */
export function neighbourOn(
  network: Network,
  host: string,
  link: string,
  family: Family,
  otherwise: Address,
  others: readonly Address[] = [],
): Address {
  const own = network.hosts
    .get(host)
    ?.state.addresses.find(
      (each) => each.link === link && each.scope === 'global' && each.address.address.family === family,
    );
  if (own === undefined) return otherwise;
  const prefix = networkOf(own.address);
  for (let offset = 1n; offset < 64n; offset++) {
    const address: Address = { family, value: own.address.address.value ^ offset };
    // The first and last of an IPv4 network are no hosts, but for those of two addresses (RFC 3021).
    const last = address.value & 0xffn;
    const isEnd =
      last === 0n ||
      last === 255n ||
      (prefix.length < 31 && (sameAddress(address, prefix.address) || sameAddress(address, lastAddress(prefix))));
    const isOther = others.some((each) => sameAddress(each, address));
    if (containsAddress(prefix, address) && !isEnd && !isOther && !isBorne(network, address)) return address;
  }
  return otherwise;
}

/** Whether a host has the address, or knows it as a router's. */
export const isBorne = (network: Network, { family, value }: Address): boolean =>
  [...network.hosts.values()].some(
    ({ state }) =>
      state.addresses.some(({ address }) => address.address.family === family && address.address.value === value) ||
      state.routes.some(({ gateway }) => gateway?.family === family && gateway.value === value),
  );
