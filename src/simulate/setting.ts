/** The kernel settings that decide on a packet's way, as the kernel combines them. */
import type { Family } from '../net/index.ts';
import type { SimulatedHost } from './network.ts';

/** The value of a link; a link that was just made has that of `default`. Undefined where nobody looked. */
function ofLink({ state: { sysctls } }: SimulatedHost, family: Family, link: string, name: string): string | undefined {
  const folder = `net/ipv${family}/conf`;
  return sysctls.get(`${folder}/${link}/${name}`) ?? sysctls.get(`${folder}/default/${name}`);
}

const ofAll = ({ state: { sysctls } }: SimulatedHost, family: Family, name: string): string | undefined =>
  sysctls.get(`net/ipv${family}/conf/all/${name}`);

export interface Setting {
  /** `sysctl net.ipv4.conf.eth0.forwarding=0`. */
  readonly text: string;
  /** Undefined where nobody looked. */
  readonly on: boolean | undefined;
}

/** IPv4 asks the link a packet came in by (ip_route_input_slow), IPv6 the setting of all (ip6_forward). */
export function forwarding(host: SimulatedHost, family: Family, link: string): Setting {
  const value = family === 4 ? ofLink(host, 4, link, 'forwarding') : ofAll(host, 6, 'forwarding');
  const text = `sysctl net/ipv${family}/conf/${family === 4 ? link : 'all'}/forwarding=${value ?? 'not known'}`;
  return { text, on: value === undefined ? undefined : value !== '0' };
}

/** Whether addresses of 127.0.0.0/8 may cross a link: either setting will do (IN_DEV_ROUTE_LOCALNET). */
export function routesLocalnet(host: SimulatedHost, link: string): Setting {
  const [own, all] = [ofLink(host, 4, link, 'route_localnet'), ofAll(host, 4, 'route_localnet')];
  const text = `sysctl net/ipv4/conf/${link}/route_localnet=${own ?? 'not known'}`;
  return { text, on: own === '1' || all === '1' ? true : own === undefined || all === undefined ? undefined : false };
}

/** Whether ARP is answered for others (IN_DEV_PROXY_ARP: either setting will do). */
export const proxiesArp = (host: SimulatedHost, link: string): boolean =>
  ofLink(host, 4, link, 'proxy_arp') === '1' || ofAll(host, 4, 'proxy_arp') === '1';

/** Whether neighbour discovery is answered for others, whose addresses are a list of their own (ndisc_recv_ns). */
export const proxiesNeighbours = (host: SimulatedHost, link: string): boolean =>
  ofLink(host, 6, link, 'proxy_ndp') === '1' || ofAll(host, 6, 'proxy_ndp') === '1';

/** Whether what crosses a bridge is filtered as IP: by the sysctl, once br_netfilter is there, or by the bridge's own setting. */
export const filtersBridged = (host: SimulatedHost, bridge: string, family: Family): boolean =>
  host.state.sysctls.get(`net/bridge/bridge-nf-call-ip${family === 4 ? '' : '6'}tables`) === '1' ||
  host.links.get(bridge)?.filtersCrossing?.includes(family) === true;

export interface ReversePath {
  /** 0 none, 1 strict, 2 loose: the larger of `all` and the link's (IN_DEV_RPFILTER). Undefined where nobody looked. */
  readonly mode: number | undefined;
  readonly usesMark: boolean;
  readonly acceptsLocal: boolean;
  readonly text: string;
}

/** How IPv4 judges the source of what comes in by a link. */
export function reversePath(host: SimulatedHost, link: string): ReversePath {
  const own = ofLink(host, 4, link, 'rp_filter');
  const all = ofAll(host, 4, 'rp_filter');
  // Loose is the largest: where one says so the other does not matter.
  const isKnown = (own !== undefined && all !== undefined) || own === '2' || all === '2';
  const either = (name: string): boolean => ofLink(host, 4, link, name) === '1' || ofAll(host, 4, name) === '1';
  return {
    mode: isKnown ? Math.max(Number(own ?? 0), Number(all ?? 0)) : undefined,
    usesMark: either('src_valid_mark'),
    acceptsLocal: either('accept_local'),
    text: `sysctl net/ipv4/conf/{all,${link}}/rp_filter=${all ?? '?'},${own ?? '?'}`,
  };
}

export const hasNoIpv6 = (host: SimulatedHost, link: string): boolean => ofLink(host, 6, link, 'disable_ipv6') === '1';

/** Whether the host leaves echoes unanswered. */
export function ignoresEchoes({ state: { sysctls } }: SimulatedHost, family: Family): Setting {
  const path = family === 4 ? 'net/ipv4/icmp_echo_ignore_all' : 'net/ipv6/icmp/echo_ignore_all';
  const value = sysctls.get(path);
  return { text: `sysctl ${path}=${value ?? 'not known'}`, on: value === undefined ? undefined : value === '1' };
}

/** Whether the kernel's own answers bear the mark of what they answer. */
export const echoesBearMark = ({ state: { sysctls } }: SimulatedHost, family: Family): boolean =>
  sysctls.get(`net/ipv${family}/fwmark_reflect`) === '1';

/** Whether ICMP errors bear the address of the link by which the packet came that they tell of. */
export const errorsBearInbound = ({ state: { sysctls } }: SimulatedHost): boolean =>
  sysctls.get('net/ipv4/icmp_errors_use_inbound_ifaddr') === '1';

/**
 * The sysctl that limits how often the host sends such an error to one address; undefined where none does. Unless somebody set it
 * otherwise: six at once, and then one a second, of IPv6 ten in late kernels (icmpv4_xrlim_allow, icmpv6_xrlim_allow, inet_peer_xrlim_allow).
 */
export function errorLimit({ state: { sysctls } }: SimulatedHost, family: Family, type: number): string | undefined {
  const [path, maskPath] =
    family === 4
      ? (['net/ipv4/icmp_ratelimit', 'net/ipv4/icmp_ratemask'] as const)
      : (['net/ipv6/icmp/ratelimit', 'net/ipv6/icmp/ratemask'] as const);
  const value = sysctls.get(path) ?? 'not known';
  const mask = sysctls.get(maskPath);
  const isMasked = family === 4 ? ((Number(mask ?? 6168) >>> type) & 1) === 1 : listHas(mask ?? '0-1,3-127', type);
  return value === '0' || !isMasked ? undefined : `sysctl ${path}=${value}`;
}

/** `0-1,3-127`. */
const listHas = (list: string, wanted: number): boolean =>
  list.split(',').some((part) => {
    const [first = Number.NaN, last = first] = part.split('-').map(Number);
    return first <= wanted && wanted <= last;
  });

/** Whether answers to a TCP connection bear the mark of its first packet. */
export const answersBearMark = ({ state: { sysctls } }: SimulatedHost): boolean =>
  sysctls.get('net/ipv4/tcp_fwmark_accept') === '1';

/** Whether conntrack takes up a TCP connection in its midst; so it does unless somebody said no (nf_conntrack_tcp_init_net). */
export const takesUpTcp = ({ state: { sysctls } }: SimulatedHost): boolean =>
  sysctls.get('net/netfilter/nf_conntrack_tcp_loose') !== '0';
