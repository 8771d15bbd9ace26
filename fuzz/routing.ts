/** What a host of a drawn network has of routing: routes and next hops, rules, settings; in the words of `ip`. */
import type { Random } from './random.ts';

export const MARKS = ['0x1', '0x2', '0x3', '0x10', '0xff00', '0x80000001'] as const;
export const MASKS = ['0xffffffff', '0x1', '0xf', '0xff00', '0xfffffffe'] as const;
export const TABLES = ['100', '101', '102'] as const;
/** Around which sizes are drawn; IPv6 asks for 1280. */
export const MTUS = [1300, 1400] as const;

const twoOf = (random: Random, from: readonly string[]): readonly [string, string] => {
  const one = random.below(from.length);
  const other = (one + 1 + random.below(from.length - 1)) % from.length;
  return [from[one] ?? '', from[other] ?? ''];
};

/** Of IPv6 they are others: a number is one family's. */
const firstId = (family: 4 | 6): number => (family === 4 ? 1 : 11);

/** Two of them and a group of both. */
export const drawNexthops = (random: Random, family: 4 | 6, gateways: readonly string[]): readonly string[] => {
  const id = firstId(family);
  const [one, other] = twoOf(random, gateways);
  return [
    `-${family} id ${id} ${one}`,
    `-${family} id ${id + 1} ${other}`,
    `-${family} id ${id + 2} group ${id}/${id + 1}`,
  ];
};

/** By objects, or written out. */
export function drawSeveral(random: Random, family: 4 | 6, gateways: readonly string[]): string {
  const id = firstId(family);
  if (random.chance(0.5)) return `nhid ${random.pick([id, id + 2, id + 2])}`;
  const [one, other] = twoOf(random, gateways);
  return `nexthop ${one} nexthop ${other} weight ${random.pick([1, 2])}`;
}

export const routeMtu = (random: Random, isWide: boolean): string =>
  isWide && random.chance(0.15) ? ` mtu ${random.pick(MTUS)}` : '';

export function drawRoute(
  random: Random,
  target: string,
  ways: readonly [string, ...string[]],
  isWide: boolean,
): string {
  const kind = random.below(12);
  if (kind === 0) return `blackhole ${target}`;
  if (kind === 1) return `unreachable ${target}`;
  if (kind === 2) return `prohibit ${target}`;
  if (kind === 3) return `throw ${target}`;
  return `${target} ${random.pick(ways)}${routeMtu(random, isWide)}`;
}

export function drawRule(
  random: Random,
  family: 4 | 6,
  somewhere: () => string,
  links: readonly [string, ...string[]],
): string {
  const words: string[] = [];
  if (random.chance(0.1)) words.push('not');
  if (random.chance(0.3)) words.push(`from ${somewhere()}`);
  if (random.chance(0.3)) words.push(`to ${somewhere()}`);
  if (random.chance(0.25)) words.push(`iif ${random.pick(['lo', ...links])}`);
  if (random.chance(0.45)) words.push(`fwmark ${random.pick(MARKS)}/${random.pick(MASKS)}`);
  const protocol = random.pick(['udp', 'tcp', 'tcp']);
  if (random.chance(0.12)) words.push(`ipproto ${random.pick(['udp', 'tcp', family === 4 ? 'icmp' : 'ipv6-icmp'])}`);
  if (random.chance(0.12)) words.push(`ipproto ${protocol} dport 5000-5001`);
  if (random.chance(0.06)) words.push(`ipproto ${protocol} sport 4${random.below(3)}000`);
  const selectors = dedupe(words);
  // The default ones keep working: most rules come between local (0) and main (32766), some before and after.
  const priority = random.pick([100, 110, 120, 130, 1000, 32_766, 33_000]);
  const action = random.below(14);
  const what =
    action === 0
      ? 'unreachable'
      : action === 1
        ? 'blackhole'
        : action === 2
          ? 'prohibit'
          : action === 3
            ? 'nop'
            : action === 4
              ? `goto ${random.pick([120, 1000, 32_766, 32_767])}`
              : `lookup ${random.pick([...TABLES, 'main'])}`;
  const target = Number(what.split(' ')[1]);
  const safe = what.startsWith('goto') && target <= priority ? 'nop' : what;
  const suppress =
    safe.startsWith('lookup') && random.chance(0.3)
      ? ` suppress_prefixlength ${random.pick([0, 8, family === 4 ? 24 : 64])}`
      : '';
  return `${[...selectors, `priority ${priority}`, safe].join(' ')}${suppress}`;
}

const dedupe = (words: readonly string[]): readonly string[] =>
  words.filter((word, at) => words.findIndex((other) => other.split(' ')[0] === word.split(' ')[0]) === at);

export function drawSysctls(random: Random, links: readonly string[]): readonly (readonly [string, string])[] {
  const forwards = random.chance(0.93) ? '1' : '0';
  const set: (readonly [string, string])[] = [
    ['net/ipv4/ip_forward', forwards],
    ['net/ipv6/conf/all/forwarding', random.chance(0.93) ? '1' : '0'],
    ['net/ipv4/conf/all/rp_filter', random.chance(0.7) ? '0' : random.pick(['1', '2'])],
  ];
  if (random.chance(0.2)) set.push(['net/ipv4/conf/all/src_valid_mark', '1']);
  if (random.chance(0.15)) set.push(['net/ipv4/conf/all/accept_local', '1']);
  if (random.chance(0.2)) set.push(['net/netfilter/nf_conntrack_tcp_loose', '0']);
  for (const link of links) {
    if (random.chance(0.3)) set.push([`net/ipv4/conf/${link}/rp_filter`, random.pick(['0', '1', '2'])]);
    if (random.chance(0.08)) set.push([`net/ipv4/conf/${link}/forwarding`, random.pick(['0', '1'])]);
    if (random.chance(0.08)) set.push([`net/ipv4/conf/${link}/accept_local`, '1']);
    if (random.chance(0.08)) set.push([`net/ipv4/conf/${link}/src_valid_mark`, '1']);
    if (random.chance(0.05)) set.push([`net/ipv6/conf/${link}/forwarding`, '0']);
  }
  return set;
}
