/** The addresses that translations take of the host itself, and the ports of their ranges. */
import { type Address, containsAddress, type Family, networkOf } from '../net/index.ts';
import type { Translation } from '../nftables/index.ts';
import { type LinkAddress, sourceOfLink } from '../routing/index.ts';
import { type Connection, isTakenFrom, isTakenTo, type Target } from './connections.ts';
import type { SimulatedHost } from './network.ts';
import { familyOf, isIcmp, printPacket } from './packet.ts';
import type { Passage } from './passage.ts';
import { type End, end } from './trace.ts';

const LOOPBACK: Readonly<Record<Family, Address>> = {
  4: { family: 4, value: 0x7f000001n },
  6: { family: 6, value: 1n },
};

/** Where a translation leads: what the rule names, or the address of the host that it stands for. */
export function targetOf(passage: Passage, translation: Translation): Target | End {
  const port = isIcmp(passage.packet)
    ? {}
    : {
        ...(translation.port !== undefined && { port: translation.port }),
        ...(translation.ports && { ports: translation.ports }),
      };
  switch (translation.kind) {
    case 'dnat':
    case 'snat':
      return {
        ...port,
        ...(translation.address !== undefined && { address: translation.address }),
        ...(translation.addresses !== undefined && { addresses: translation.addresses }),
      };
    case 'redirect': {
      const family = familyOf(passage.packet);
      // What the host sends itself goes to its loopback (nf_nat_redirect_ipv4, nf_nat_redirect_ipv6).
      const address =
        passage.iif === undefined
          ? LOOPBACK[family]
          : firstAddress(passage.host, passage.iif, family, passage.packet.destination);
      return address === undefined
        ? end('undecided', 'to which address the redirect goes is not known')
        : { ...port, address };
    }
    case 'masquerade': {
      const address = masqueradeAddress(passage);
      const link = passage.oif ?? 'no link';
      return address === undefined
        ? end('undecided', `which address of ${link} on ${passage.host.name} the masquerade takes is not known`)
        : { ...port, address };
    }
  }
}

/** IPv4: inet_select_addr of the way out, else of any link; IPv6: the best of the way out for that destination, where it is told apart. */
function masqueradeAddress({ host, oif, nexthop, packet }: Passage): Address | undefined {
  if (oif === undefined) return undefined;
  if (packet.destination.family === 4) {
    const own = firstAddress(host, oif, 4, nexthop ?? packet.destination);
    return own ?? host.state.addresses.find(isGlobal4)?.address.address;
  }
  // An own address is its own best source (RFC 6724, 5, rule 1; IPV6_SADDR_RULE_LOCAL).
  if (host.isLocal(packet.destination)) return packet.destination;
  // Whatever way the routes would choose (nf_nat_masquerade_ipv6: ipv6_dev_get_saddr).
  return sourceOfLink(host.routes, oif, packet.destination);
}

const isGlobal4 = ({ scope, address }: LinkAddress): boolean => scope === 'global' && address.address.family === 4;

/** The link's global address in the network of `near`, else its first. */
function firstAddress(host: SimulatedHost, link: string, family: Family, near: Address): Address | undefined {
  const own = host.state.addresses.filter(
    (each) => each.link === link && each.scope === 'global' && each.address.address.family === family,
  );
  return firstOf(own, near);
}

const firstOf = (own: readonly LinkAddress[], near: Address): Address | undefined =>
  (own.find(({ address }) => containsAddress(networkOf(address), near)) ?? own[0])?.address.address;

/** A source's own address, where it is in the range, unless that would make it another's: then any of the range (get_unique_tuple). */
export function withOpenAddress(
  { host, connections, draws, packet }: Passage,
  connection: Connection,
  to: Target,
): Target | End {
  const { addresses } = to;
  if (addresses === undefined || !isTakenFrom(connections, connection, to)) return to;
  const count = addresses.last - addresses.first + 1n;
  const way =
    count > MOST_ADDRESSES
      ? undefined
      : draws?.drawNexthop(`${host.name} the source of ${printPacket(packet)}`, Number(count));
  return way === undefined
    ? end(
        'undecided',
        `which source of a range ${host.name} gives ${printPacket(packet)} is not known: its own is taken`,
      )
    : { ...to, address: { family: familyOf(packet), value: addresses.first + BigInt(way) } };
}

/** More are not told one by one. */
const MOST_ADDRESSES = 16n;

/** A destination's own port, where it is in the range, unless that would make it another's: then any of the range (get_unique_tuple). */
export function withOpenPort(
  { host, connections, draws, packet }: Passage,
  connection: Connection,
  to: Target,
): Target | End {
  if (to.ports === undefined || !isTakenTo(connections, connection, to)) return to;
  const { first, last } = to.ports;
  const way = draws?.drawNexthop(`${host.name} the port of ${printPacket(packet)}`, last - first + 1);
  return way === undefined
    ? end(
        'undecided',
        `which port of ${first} to ${last} ${host.name} gives ${printPacket(packet)} is not known: its own is taken`,
      )
    : { ...to, port: first + way };
}
