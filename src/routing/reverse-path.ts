import { type Flow, lookupRoute, type RouteResult } from './lookup.ts';
import type { RouteIndex } from './route-index.ts';

export type ReversePath =
  | { readonly kind: 'accepted' }
  /** `martian`: the source is this host's own. `rpFilter`: replies would not go back by the link. `reverse` is what the kernel found. */
  | { readonly kind: 'refused'; readonly reason: 'martian' | 'rpFilter'; readonly reverse: RouteResult }
  | { readonly kind: 'undecided'; readonly why: string };

/** The sysctls below net/ipv4/conf/LINK and net/ipv4/conf/all that checkReversePath needs in the index. */
export const REVERSE_PATH_SYSCTLS: readonly string[] = ['rp_filter', 'src_valid_mark', 'accept_local'];

/**
 * Whether the kernel lets an IPv4 packet in by its link, `forward` being lookupRoute's answer for it (__fib_validate_source).
 * Of `all` and the link the larger rp_filter counts: 0 off, 1 strict, 2 loose (ip-sysctl.rst). IPv6 has no such check.
 */
export function checkReversePath(index: RouteIndex, flow: Flow, forward: RouteResult): ReversePath {
  const { source, destination, iif, mark } = flow;
  if (source?.family !== 4 || iif === undefined) return { kind: 'accepted' };
  if (forward.kind !== 'route' && forward.kind !== 'local') return { kind: 'accepted' }; // refused before the check
  const [rpFilter, usesMark, acceptsLocal] = REVERSE_PATH_SYSCTLS.map((name) => effective(index, iif, name));
  if (mark !== undefined && mark !== 0 && usesMark === undefined) return unknown(iif, 'src_valid_mark');
  const reverse = lookupRoute(index, {
    destination: source,
    source: destination,
    mark: usesMark ? (mark ?? 0) : 0,
    // To the rules the reply comes in where the packet goes out.
    ...(forward.kind === 'route' && { iif: forward.link }),
  });
  if (reverse.kind === 'undecided') return reverse;
  if (reverse.kind === 'local') {
    if (acceptsLocal === undefined) return unknown(iif, 'accept_local');
    if (acceptsLocal === 0) return { kind: 'refused', reason: 'martian', reverse };
  }
  const route = reverse.kind === 'route' || reverse.kind === 'local' ? reverse.route : undefined;
  const links = route === undefined ? [] : (route.nexthops ?? [route]).map(({ link }) => link);
  if (links.includes(iif) || (reverse.kind === 'local' && iif === 'lo')) return { kind: 'accepted' };
  if (rpFilter === undefined) return unknown(iif, 'rp_filter');
  // Loose is content with any route, but not on a link without an address.
  const found = route !== undefined && hasAddress(index, iif);
  const accepted = rpFilter === 0 || (rpFilter === 2 && found);
  return accepted ? { kind: 'accepted' } : { kind: 'refused', reason: 'rpFilter', reverse };
}

const unknown = (link: string, name: string): ReversePath => ({
  kind: 'undecided',
  why: `net.ipv4.conf.${link}.${name} is not known`,
});

/** The larger of `all` and the link (IN_DEV_MAXCONF, and IN_DEV_ORCONF, which is the same for 0 and 1). */
function effective(index: RouteIndex, link: string, name: string): number | undefined {
  const all = index.sysctls.get(`net/ipv4/conf/all/${name}`);
  const own = index.sysctls.get(`net/ipv4/conf/${link}/${name}`);
  return all === undefined || own === undefined ? undefined : Math.max(Number(all), Number(own));
}

const hasAddress = (index: RouteIndex, link: string): boolean =>
  (index.addresses.get(link) ?? []).some(({ address }) => address.address.family === 4);
