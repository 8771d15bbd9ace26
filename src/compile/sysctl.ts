/** The kernel settings a path needs, per interface where the kernel allows it; and what they were before us. */
import { type AcceptShare, type ForwardShare, type HostFacts, isOwnLink, targetsOf } from '../host/index.ts';
import type { Family } from '../net/index.ts';
import type { Sysctls } from '../routing/index.ts';
import { bucketsFor, CONNTRACK_BUCKETS, CONNTRACK_MAX } from './conntrack.ts';
import type { TunnelInTable } from './table-words.ts';

const FORWARDING_6 = 'net/ipv6/conf/all/forwarding';
/** A kernel's WireGuard link that comes up clears it for the whole namespace, and nothing sets it back (drivers/net/wireguard/device.c, wg_open). */
const SEND_REDIRECTS = 'net/ipv4/conf/all/send_redirects';
const EARLY_DEMUX = 'net/ipv4/ip_early_demux';
const setting = (family: Family, link: string, name: string): string => `net/ipv${family}/conf/${link}/${name}`;

/** Whether the kernel looks where answers would go before it takes a packet from a link. */
export const reversePathOf = (link: string): string => setting(4, link, 'rp_filter');

/** The value before us: what the record kept, else what stands now. */
const originally = (facts: HostFacts, before: ReadonlyMap<string, string>, path: string): string | undefined =>
  before.get(path) ?? facts.state.sysctls.get(path);

/**
 * Whether a link, or one that will come (`default`), listens to router advertisements without us: accept_ra 1 does so where the link does not
 * forward (addrconf.h, ipv6_accept_ra; `all` is never asked). A link that came after us forwards because we said so. The kernel's 2
 * listens whatever is forwarded; 0 is somebody's choice, systemd-networkd's too, which listens itself.
 */
function listens(facts: HostFacts, before: ReadonlyMap<string, string>, link: string): boolean {
  const path = setting(6, link, 'forwarding');
  const asDefault = before.get(setting(6, 'default', 'forwarding'));
  const forwarding = before.get(path) ?? asDefault ?? facts.state.sysctls.get(path);
  return originally(facts, before, setting(6, link, 'accept_ra')) === '1' && forwarding !== '1';
}

/**
 * Whether an established connection takes the packets of another that comes by a second tunnel from the same client and port: the socket is
 * looked up before the source port is told apart, and kernels before Linux 6.7 keep to it ("netfilter: nf_nat: undo erroneous tcp edemux
 * lookup after port clash", 2023; Debian's 6.1 has it not). ip_early_demux is of both families, and a look at the routes per packet.
 */
function mistakesSockets(tunnels: readonly TunnelInTable[], { versions }: HostFacts): boolean {
  if (tunnels.filter(({ returns, beside }) => returns.length > 0 && beside === undefined).length < 2) return false;
  const [major = 0, minor = 0] = /^(\d+)\.(\d+)/
    .exec(versions?.kernel ?? '')
    ?.slice(1)
    .map(Number) ?? [Infinity];
  return major < 6 || (major === 6 && minor < 7);
}

/** The links whose forwarding a host's forwards need, by family: where clients come in, and where the target's replies do. */
function forwardingLinks(
  forwards: readonly ForwardShare[],
  tunnels: readonly TunnelInTable[],
): ReadonlyMap<Family, ReadonlySet<string>> {
  const links = new Map<Family, Set<string>>([
    [4, new Set()],
    [6, new Set()],
  ]);
  for (const forward of forwards) {
    const wanted = links.get(forward.to.family);
    for (const each of forward.publicLinks) wanted?.add(each);
    for (const { to, link } of targetsOf(forward)) {
      if (link !== undefined) wanted?.add(link);
      for (const tunnel of tunnels)
        if (tunnel.routes.some((route) => route.address.family === to.family && route.address.value === to.value))
          wanted?.add(tunnel.link);
    }
  }
  for (const { link, accepts } of tunnels)
    for (const { address, behind } of accepts as readonly AcceptShare[]) {
      if (behind === undefined) continue;
      links.get(address.family)?.add(link).add(behind);
    }
  for (const wanted of links.values()) wanted.delete('lo');
  return links;
}

/**
 * IPv4 forwards what comes in by a link whose `forwarding` is set (route.c, ip_route_input_slow): so per link, and `ip_forward` stays.
 * IPv6 asks `all` (ip6_output.c, ip6_forward), which turns router advertisements off unless accept_ra is 2: that comes first.
 * rp_filter is 2 on links that bring strangers' addresses, never raised from 0 on a link that is not ours.
 * send_redirects is 0 where the kernel's WireGuard would make it so unasked: asked for, it is noted before and put back after.
 */
export function desiredSysctls(
  tunnels: readonly TunnelInTable[],
  forwards: readonly ForwardShare[],
  facts: HostFacts,
  before: ReadonlyMap<string, string>,
  conntrackMax?: number,
): Sysctls {
  const wanted = new Map<string, string>();
  const forwarding = forwardingLinks(forwards, tunnels);
  for (const link of [...(forwarding.get(4) ?? [])].sort()) wanted.set(setting(4, link, 'forwarding'), '1');
  if ((forwarding.get(6)?.size ?? 0) > 0) {
    if (originally(facts, before, FORWARDING_6) !== '1') {
      // A link of ours brings no advertisements: the table drops them.
      const others = facts.state.links.map(({ name }) => name).filter((name) => name !== 'lo' && !isOwnLink(name));
      for (const link of ['default', ...others])
        if (listens(facts, before, link)) wanted.set(setting(6, link, 'accept_ra'), '2');
    }
    wanted.set(FORWARDING_6, '1');
  }
  // Of two links of one tunnel the check finds the other one, by which is sent.
  const paired = new Set(tunnels.flatMap(({ link, beside }) => (beside === undefined ? [] : [link, beside])));
  for (const { link, returns } of tunnels) {
    if (returns.includes(4) || paired.has(link)) {
      const path = reversePathOf(link);
      const effective = Math.max(
        Number(facts.state.sysctls.get('net/ipv4/conf/all/rp_filter') ?? 0),
        Number(originally(facts, before, path) ?? 0),
      );
      if (isOwnLink(link) || effective === 1) wanted.set(path, '2');
    }
  }
  if (mistakesSockets(tunnels, facts)) wanted.set(EARLY_DEMUX, '0');
  const kernelWireGuard = facts.wireguard === 'kernel' && tunnels.some(({ type }) => type === 'WireGuard');
  if (kernelWireGuard && originally(facts, before, SEND_REDIRECTS) === '1') wanted.set(SEND_REDIRECTS, '0');
  if (conntrackMax !== undefined) {
    const buckets = bucketsFor(conntrackMax);
    const few = Number(originally(facts, before, CONNTRACK_BUCKETS) ?? buckets) < buckets;
    if (few) wanted.set(CONNTRACK_BUCKETS, String(buckets));
    wanted.set(CONNTRACK_MAX, String(conntrackMax));
  }
  return wanted;
}

/**
 * What to note before the first write, beside what is noted already: the present value of each setting that will change, its side effects included.
 * Writing net.ipv6.conf.all.forwarding sets it on every link (addrconf.c, addrconf_forward_change). Links of ours go, and their settings with them.
 */
export function sysctlsBefore(
  wanted: Sysctls,
  facts: HostFacts,
  noted: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const before = new Map<string, string>();
  const note = (path: string): void => {
    const value = noted.get(path) ?? facts.state.sysctls.get(path);
    if (value !== undefined && !isOwnLink(path.split('/')[3] ?? '')) before.set(path, value);
  };
  for (const [path, value] of wanted) {
    if (noted.has(path) || facts.state.sysctls.get(path) !== value) note(path);
  }
  if (noted.has(FORWARDING_6) && before.has(FORWARDING_6)) {
    // A link that came since then has its values from us, and one that went may come again.
    for (const path of noted.keys()) if (path.startsWith('net/ipv6/conf/')) note(path);
  } else if (before.has(FORWARDING_6)) {
    for (const path of facts.state.sysctls.keys())
      if (path.startsWith('net/ipv6/conf/') && path.endsWith('/forwarding')) note(path);
  }
  return before;
}

/** Public links on which nothing was forwarded before us: nothing of others may pass there because of us. */
export function guardedLinks(
  forwards: readonly ForwardShare[],
  facts: HostFacts,
  before: ReadonlyMap<string, string>,
): { readonly 4: readonly string[]; readonly 6: readonly string[] } {
  const open = (family: Family): readonly string[] =>
    [...new Set(forwards.filter(({ to }) => to.family === family).flatMap(({ publicLinks }) => publicLinks))].sort();
  const routesAlready = facts.state.sysctls.get('net/ipv4/ip_forward') === '1';
  return {
    4: routesAlready ? [] : open(4).filter((link) => originally(facts, before, setting(4, link, 'forwarding')) !== '1'),
    6: originally(facts, before, FORWARDING_6) === '1' ? [] : open(6),
  };
}
