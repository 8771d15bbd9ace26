/** What two tunnels on one host, of one set or of two, cannot both have: a link, an address behind a link, a way. */
import { type HostShare, isOwnLink } from '../host/index.ts';
import {
  buildPrefixTable,
  comparePrefixes,
  containsPrefix,
  lookupPrefix,
  networkOf,
  type Prefix,
  printAddress,
  printPrefix,
} from '../net/index.ts';
import { type Problem, printPosition, type ResourceSet } from '../resources/index.ts';
import { tunnelsOf } from './assemble.ts';
import type { TunnelInTable } from './table-words.ts';

/** Each problem names both tunnels; it stands at the later one of this set, in the order of names. */
export function tunnelProblems(
  set: ResourceSet,
  host: string,
  sets: ReadonlyMap<string, HostShare>,
  setName: string,
): readonly Problem[] {
  const own = new Set([...set.tunnels.keys()].map((name) => `${setName}/${name}`));
  const tunnels = [...tunnelsOf(sets)].sort((a, b) => Number(own.has(a.key)) - Number(own.has(b.key)));
  const path = 'spec.ends';
  return [...linkClashes(tunnels), ...peerClashes(tunnels), ...wayClashes(tunnels)].flatMap(({ between, what }) => {
    const last = between.findLast(({ key }) => own.has(key));
    const resource = last && set.tunnels.get(last.name);
    if (resource === undefined) return [];
    const print = (tunnel: TunnelInTable): string => {
      const known = own.has(tunnel.key) ? set.tunnels.get(tunnel.name) : undefined;
      if (known === undefined) return `tunnel ${tunnel.key}`;
      return `Tunnel ${known.name}${known === resource ? '' : ` (${printPosition(known.positionOf(path))})`}`;
    };
    return [{ code: 'cannotBe', at: resource.positionOf(path), path, what: `${host}: ${what(print)}` }];
  });
}

/** Two tunnels in the order of claim. */
interface Clash {
  readonly between: readonly [TunnelInTable, TunnelInTable];
  readonly what: (print: (tunnel: TunnelInTable) => string) => string;
}

const isShared = ({ type, link, listenPort }: TunnelInTable): boolean =>
  type === 'WireGuard' && link.startsWith('sp-wg') && listenPort !== undefined;

/** A link has one kind, and one tunnel unless it is WireGuard's with a port. */
function linkClashes(tunnels: readonly TunnelInTable[]): readonly Clash[] {
  const owners = new Map<string, TunnelInTable>();
  return tunnels.flatMap((tunnel): readonly Clash[] => {
    const owner = owners.get(tunnel.link);
    if (owner === undefined) owners.set(tunnel.link, tunnel);
    if (owner === undefined || !isOwnLink(tunnel.link) || (isShared(tunnel) && isShared(owner))) return [];
    const what: Clash['what'] = (print) =>
      `the link ${tunnel.link} is that of ${print(owner)} already; rename one of them`;
    return [{ between: [owner, tunnel], what }];
  });
}

/**
 * WireGuard's cryptokey routing: of two peers on a link that claim one prefix the last silently has it, and of two that nest the inner
 * one takes from the outer one whoever calls with such an address. So no two peers of a link overlap.
 */
function peerClashes(tunnels: readonly TunnelInTable[]): readonly Clash[] {
  const order = new Map(tunnels.map((tunnel, index) => [tunnel, index]));
  const claims = tunnels
    .flatMap((tunnel) => tunnel.peer.allowedIps.map((prefix) => ({ tunnel, prefix })))
    .sort(
      (a, b) =>
        (a.tunnel.link < b.tunnel.link ? -1 : Number(a.tunnel.link > b.tunnel.link)) ||
        comparePrefixes(a.prefix, b.prefix) ||
        (order.get(a.tunnel) ?? 0) - (order.get(b.tunnel) ?? 0),
    );
  const clashes: Clash[] = [];
  let around: { readonly tunnel: TunnelInTable; readonly prefix: Prefix }[] = [];
  for (const claim of claims) {
    around = around.filter(
      ({ tunnel, prefix }) => tunnel.link === claim.tunnel.link && containsPrefix(prefix, claim.prefix),
    );
    for (const other of around) {
      if (other.tunnel === claim.tunnel) continue;
      const isLater = (order.get(claim.tunnel) ?? 0) > (order.get(other.tunnel) ?? 0);
      const [first, last] = isLater ? [other, claim] : [claim, other];
      clashes.push({
        between: [first.tunnel, last.tunnel],
        what: (print) =>
          `${printPrefix(last.prefix)} behind ${print(last.tunnel)} and ${printPrefix(first.prefix)} behind ${print(first.tunnel)} overlap on one link (${first.tunnel.link}), where WireGuard has one peer for an address; one of the two needs a listen port of its own here`,
      });
    }
    around.push(claim);
  }
  return clashes;
}

/** Two links may have the same addresses behind them while routes tell them apart: the ways in table main must. */
function wayClashes(tunnels: readonly TunnelInTable[]): readonly Clash[] {
  const clashes: Clash[] = [];
  const routed = new Map<string, TunnelInTable>();
  for (const tunnel of tunnels)
    for (const route of tunnel.routes) {
      const prefix = printPrefix(route);
      const other = routed.get(prefix);
      if (other === undefined) routed.set(prefix, tunnel);
      else if (other.link !== tunnel.link)
        clashes.push({
          between: [other, tunnel],
          what: (print) =>
            `${prefix} would be routed into ${print(tunnel)} and into ${print(other)}; one address has one way`,
        });
    }
  const own = tunnels.filter(({ link }) => isOwnLink(link));
  // Of equal networks the first one's way stands, as in the kernel.
  const networks = own
    .flatMap((tunnel) =>
      tunnel.addresses.map((address) => ({ prefix: networkOf(address), value: { tunnel, address } })),
    )
    .reverse();
  const table = buildPrefixTable(networks);
  for (const tunnel of own)
    for (const address of tunnel.peer.addresses) {
      const found = lookupPrefix(table, address)?.value;
      if (found === undefined || found.tunnel.link === tunnel.link) continue;
      clashes.push({
        between: [found.tunnel, tunnel],
        what: (print) =>
          `${printAddress(address)}, the other end of ${print(tunnel)}, lies in ${printPrefix(networkOf(found.address))} of ${print(found.tunnel)}, which is another link (${found.tunnel.link}); give them networks that do not overlap`,
      });
    }
  return clashes;
}
