/** Matches on addresses, links, sizes, senders and sets. */
import { parseMac } from '../net/index.ts';
import type { Expression, Statement } from '../nftables/index.ts';
import * as nft from '../nftables/index.ts';
import {
  all,
  always,
  both,
  type Condition,
  eachOption,
  equality,
  type Match,
  never,
  type ReadOption,
  type ReadOptions,
} from './condition.ts';
import { addressField, readAddressRange, readNumber, readRange } from './value.ts';

const addressTypes: ReadonlySet<string> = new Set([
  ...['unspec', 'unicast', 'local', 'broadcast', 'anycast', 'multicast', 'blackhole', 'unreachable', 'prohibit'],
]);

const readAddressTypes: ReadOptions = (options, { family }) => {
  const limits = options.flatMap(({ name }) =>
    name === '--limit-iface-in' ? ['iif'] : name === '--limit-iface-out' ? ['oif'] : [],
  );
  let held = always;
  for (const option of options) {
    if (option.name.startsWith('--limit-iface')) continue;
    const names = (option.values[0] ?? '').toLowerCase().split(',');
    if (!names.every((name) => addressTypes.has(name))) return undefined;
    const field = option.name === '--src-type' ? 'saddr' : 'daddr';
    const routed = (types: readonly string[]): Test => typeIn(nft.fib('type', field, ...limits), types);
    const tests = family === 4 ? [routed(names)] : addressTests(names, field, routed);
    held = both(held, option.negated ? notAllHold(tests) : all(...tests.map((test) => test('=='))));
  }
  return held;
};

/** A match that can be turned round. */
type Test = (op: '==' | '!=') => Statement;

const typeIn =
  (of: Expression, [only = 'unspec', ...others]: readonly string[]): Test =>
  (op) =>
    nft.match(of, op, others.length === 0 ? nft.symbol(only) : nft.anonymousSet(...[only, ...others].map(nft.symbol)));

/** In IPv6 the bits of the address tell some types, a route the others, and all that are named must hold (match_type6 of xt_addrtype.c). */
function addressTests(
  names: readonly string[],
  field: 'saddr' | 'daddr',
  routed: (types: readonly string[]) => Test,
): readonly Test[] {
  const address = addressField(6, field);
  const multicast = nft.prefix({ address: { family: 6, value: 0xffn << 120n }, length: 8 });
  const unspecified = nft.address({ family: 6, value: 0n });
  const byRoute = names.filter((name) => name === 'local' || name === 'anycast' || name === 'unreachable');
  const opposite = { '==': '!=', '!=': '==' } as const;
  return [
    ...(names.includes('multicast') ? [(op: '==' | '!=') => nft.match(address, op, multicast)] : []),
    ...(names.includes('unicast')
      ? [(op: '==' | '!=') => nft.match(address, opposite[op], nft.anonymousSet(unspecified, multicast))]
      : []),
    ...(names.includes('unspec') ? [(op: '==' | '!=') => nft.match(address, op, unspecified)] : []),
    ...(byRoute.length === 0 ? [] : [routed(byRoute)]),
  ];
}

/** Not all of the tests: the first that fails tells the ways apart. */
const notAllHold = (tests: readonly Test[]): Condition =>
  tests.map((test, index) => [...tests.slice(0, index).map((before) => before('==')), test('!=')]);

/** Against the route back to the source; `--accept-local` has no equal in nft's fib. */
const readReversePath: ReadOptions = (options) => {
  const has = (name: string): boolean => options.some((option) => option.name === name);
  if (has('--accept-local')) return undefined;
  const flags = [...(has('--validmark') ? ['mark'] : []), ...(has('--loose') ? [] : ['iif'])];
  return all(nft.match(nft.fib('oif', 'saddr', ...flags), '==', nft.symbol(has('--invert') ? 'missing' : 'exists')));
};

const addressIn =
  (field: 'saddr' | 'daddr'): ReadOption =>
  (option, { family }) => {
    const wanted = readAddressRange(option.values[0], family);
    return wanted && all(nft.match(addressField(family, field), equality(option), wanted));
  };

const numberIn =
  (of: Expression, most: number, between = ':'): ReadOption =>
  (option) => {
    const wanted = readRange(option.values[0], most, between);
    return wanted && all(nft.match(of, equality(option), wanted));
  };
const numberIs =
  (of: Expression, op: '<' | '>'): ReadOption =>
  (option) => {
    const wanted = readNumber(option.values[0], 0xff);
    return wanted === undefined || option.negated ? undefined : all(nft.match(of, op, wanted));
  };

const macIs: ReadOption = (option) => {
  const mac = parseMac(option.values[0] ?? '');
  return mac === undefined
    ? undefined
    : all(nft.match(nft.payload('ether', 'saddr'), equality(option), nft.symbol(mac)));
};

/** PACKET_HOST is `unicast` to iptables and `host` to nft. */
const packetTypes: Readonly<Record<string, string>> = {
  ...{ unicast: 'host', host: 'host', broadcast: 'broadcast', multicast: 'multicast' },
};
const packetTypeIs: ReadOption = (option) => {
  const type = packetTypes[option.values[0]?.toLowerCase() ?? ''];
  return type === undefined ? undefined : all(nft.match(nft.meta('pkttype'), equality(option), nft.symbol(type)));
};

const dscpIs: ReadOption = (option, { family }) =>
  numberIn(nft.payload(family === 4 ? 'ip' : 'ip6', 'dscp'), 63)(option, { family, sets: new Map() });

const ttl = nft.payload('ip', 'ttl');
const hopLimit = nft.payload('ip6', 'hoplimit');

/** Without the option the packet has no size to compare, and `!` holds: nft has no word for that. */
const segmentIs: ReadOption = (option, context) =>
  option.negated ? undefined : numberIn(nft.tcpOption('maxseg', 'size'), 0xffff)(option, context);

/** `--match-set NAME src,dst`: what the set is keyed by is known only where the set is. */
const isInSet: ReadOption = (option, { family, sets }) => {
  const [name = '', words = ''] = option.values;
  const set = sets.get(name);
  const directions = words.split(',');
  if (set === undefined) return undefined;
  const parts: Expression[] = [];
  let at = 0;
  for (const type of set.type) {
    // A port counts as one word, and its protocol is asked with it.
    if (type === 'inet_proto') parts.push(nft.meta('l4proto'));
    else {
      const direction = directions[at++];
      if (direction !== 'src' && direction !== 'dst') return undefined;
      if (type === 'inet_service') parts.push(nft.payload('th', direction === 'src' ? 'sport' : 'dport'));
      else if (type === 'ifname') parts.push(nft.meta(direction === 'src' ? 'iifname' : 'oifname'));
      else if (type === (family === 4 ? 'ipv4_addr' : 'ipv6_addr')) {
        parts.push(addressField(family, direction === 'src' ? 'saddr' : 'daddr'));
      } else return undefined;
    }
  }
  const [only, ...others] = parts;
  if (only === undefined || at !== directions.length) return undefined;
  const key = others.length === 0 ? only : nft.join(...parts);
  return all(nft.match(key, equality(option), nft.setReference(name)));
};

/**
 * Ports of a bridge are asked of what came by one. Any other packet has none: then the match holds if each of its options has a `!`
 * (physdev_mt).
 */
const readBridgePorts: ReadOptions = (options) => {
  const words = options.map(({ name, negated, values }) => [...(negated ? ['!'] : []), name, ...values].join(' '));
  const unbridged = options.every(({ negated }) => negated);
  return all({ kind: 'opaque', json: { xt: { type: 'match', name: 'physdev', words: words.join(' '), unbridged } } });
};

/** What comes in came by no IPsec that is followed here; what goes out is for its policies, which nobody looked at. */
const readPolicy: ReadOptions = (options) => {
  const word = (of: string): string | undefined => options.find(({ name }) => name === of)?.values[0];
  if (options.length !== 2 || options.some(({ negated }) => negated) || word('--dir') !== 'in') return undefined;
  const policy = word('--pol');
  return policy === 'none' ? always : policy === 'ipsec' ? never : undefined;
};

/** Says nothing about the packet. */
const holds: ReadOptions = () => always;

/** By the name after `-m`. */
export const packetMatches: Readonly<Record<string, Match>> = {
  comment: { values: { '--comment': 1 }, read: holds },
  nfacct: { values: { '--nfacct-name': 1 }, read: holds },
  addrtype: {
    values: { '--src-type': 1, '--dst-type': 1, '--limit-iface-in': 0, '--limit-iface-out': 0 },
    read: readAddressTypes,
  },
  rpfilter: {
    values: { '--loose': 0, '--validmark': 0, '--accept-local': 0, '--invert': 0 },
    read: readReversePath,
  },
  iprange: {
    values: { '--src-range': 1, '--dst-range': 1 },
    read: eachOption({ '--src-range': addressIn('saddr'), '--dst-range': addressIn('daddr') }),
  },
  length: { values: { '--length': 1 }, read: eachOption({ '--length': numberIn(nft.meta('length'), 0xffff) }) },
  dscp: { values: { '--dscp': 1, '--dscp-class': 1 }, read: eachOption({ '--dscp': dscpIs }) },
  ttl: {
    values: { '--ttl-eq': 1, '--ttl-lt': 1, '--ttl-gt': 1 },
    read: eachOption({
      '--ttl-eq': numberIn(ttl, 0xff),
      '--ttl-lt': numberIs(ttl, '<'),
      '--ttl-gt': numberIs(ttl, '>'),
    }),
  },
  hl: {
    values: { '--hl-eq': 1, '--hl-lt': 1, '--hl-gt': 1 },
    read: eachOption({
      '--hl-eq': numberIn(hopLimit, 0xff),
      '--hl-lt': numberIs(hopLimit, '<'),
      '--hl-gt': numberIs(hopLimit, '>'),
    }),
  },
  rt: { values: { '--rt-type': 1 }, read: eachOption({ '--rt-type': numberIn(nft.payload('rt', 'type'), 0xff) }) },
  mac: { values: { '--mac-source': 1 }, read: eachOption({ '--mac-source': macIs }) },
  pkttype: { values: { '--pkt-type': 1 }, read: eachOption({ '--pkt-type': packetTypeIs }) },
  owner: {
    values: { '--uid-owner': 1, '--gid-owner': 1, '--socket-exists': 0, '--suppl-groups': 0 },
    read: eachOption({
      '--uid-owner': numberIn(nft.meta('skuid'), 0xffffffff, '-'),
      '--gid-owner': numberIn(nft.meta('skgid'), 0xffffffff, '-'),
    }),
  },
  physdev: {
    values: {
      ...{ '--physdev-in': 1, '--physdev-out': 1 },
      ...{ '--physdev-is-in': 0, '--physdev-is-out': 0, '--physdev-is-bridged': 0 },
    },
    read: readBridgePorts,
  },
  policy: { values: { '--dir': 1, '--pol': 1 }, read: readPolicy },
  tcpmss: { values: { '--mss': 1 }, read: eachOption({ '--mss': segmentIs }) },
  set: {
    values: {
      ...{ '--match-set': 2, '--return-nomatch': 0, '--update-counters': 0, '--update-subcounters': 0 },
      ...{ '--packets-eq': 1, '--packets-lt': 1, '--packets-gt': 1, '--bytes-eq': 1, '--bytes-lt': 1, '--bytes-gt': 1 },
    },
    read: eachOption({ '--match-set': isInSet }),
  },
};
