/** Who asks at a public link: with `allow`, the first and last address of each prefix, and those just outside. */
import {
  type Address,
  type AddressScope,
  addressBits,
  addressScope,
  containsAddress,
  type Family,
  lastAddress,
  type Prefix,
  printAddress,
} from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import { clientOn, isBorne } from './outsider.ts';
import type { Ground } from './promise.ts';

/** The kernel takes no packet from these (martians: fib_validate_source, ip6_rcv_core), or not from afar. */
const NOBODYS: ReadonlySet<AddressScope> = new Set([
  ...(['unspecified', 'thisNetwork', 'loopback', 'linkLocal'] as const),
  ...(['multicast', 'broadcast', 'reserved', 'mapped'] as const),
]);

export interface Clients {
  readonly inside: readonly Address[];
  readonly outside: readonly Address[];
}

/** The clients to ask as at a link of a host; without `allow` one stranger, inside. */
export function clientsOf(
  { network, outsiders }: Ground,
  host: string,
  link: string,
  family: Family,
  allow: readonly Prefix[] | undefined,
): Clients {
  const stranger = clientOn(network, host, link, family, outsiders[family]);
  if (allow === undefined) return { inside: [stranger], outside: [] };
  const own = allow.filter(({ address }) => address.family === family);
  if (own.some(({ length }) => length === 0)) return { inside: [stranger], outside: [] };
  const isInside = (address: Address): boolean => own.some((each) => containsAddress(each, address));
  const routes = network.hosts.get(host)?.routes;
  /** A client that the host would not answer by this link, or that no host may be, cannot come in there whatever is allowed. */
  const comesIn = (address: Address): boolean => {
    const way = routes === undefined ? undefined : lookupRoute(routes, { destination: address });
    // What a host of ours asks is asked as that host (inside.ts).
    const isStranger = !NOBODYS.has(addressScope(address)) && !isBorne(network, address);
    return way?.kind === 'route' && way.link === link && isStranger;
  };
  const edges = own.flatMap((each): readonly Address[] => {
    const { address } = each;
    const last = lastAddress(each);
    return [
      address,
      last,
      ...(address.value === 0n ? [] : [{ family, value: address.value - 1n }]),
      ...((last.value + 1n) >> BigInt(addressBits(family)) > 0n ? [] : [{ family, value: last.value + 1n }]),
    ];
  });
  const all = [...new Map([...edges, stranger].map((each) => [printAddress(each), each])).values()].filter(comesIn);
  return { inside: all.filter(isInside), outside: all.filter((each) => !isInside(each)) };
}
