/** What takes hold of conntrack when it is loaded: without it nothing is tracked, and nat chains do not run (nf_ct_netns_get). */
import type { HostState } from '../host/index.ts';

export const asksConntrack = ({ tables }: HostState, family: 'ip' | 'ip6'): boolean =>
  tables.some(
    (table) =>
      (table.family === family || table.family === 'inet') &&
      (table.opaque.some(objectAsks) ||
        table.chains.some(({ rules }) => rules.some(({ statements }) => asks(statements, family)))),
  );

const TRACKING: ReadonlySet<unknown> = new Set([
  ...['ct', 'dnat', 'snat', 'masquerade', 'redirect', 'connectionLimit', 'flow'],
]);

/** A translation of one family asks for that family alone (nft_nat_init). */
function asks(part: unknown, family: 'ip' | 'ip6'): boolean {
  if (typeof part !== 'object' || part === null) return false;
  const kind = 'kind' in part ? part.kind : undefined;
  if (kind === 'opaque') return 'json' in part && opaqueAsks(part.json);
  const isOthers =
    (kind === 'dnat' || kind === 'snat') && 'family' in part && part.family !== undefined && part.family !== family;
  return (TRACKING.has(kind) && !isOthers) || Object.values(part).some((each) => asks(each, family));
}

/** Statements and matches by nft's names that do not. Of `tproxy` it is the putting together of fragments alone (nft_tproxy_init). */
const APART: ReadonlySet<string> = new Set([
  ...[
    'match',
    'mangle',
    'log',
    'limit',
    'quota',
    'counter',
    'last',
    'meter',
    'set',
    'map',
    'vmap',
    'queue',
    'fwd',
    'dup',
  ],
  ...['reset', 'comment', 'accept', 'drop', 'jump', 'goto', 'return', 'reject'],
]);
/** The same of iptables: their modules have no use for it. */
const APART_XT: ReadonlySet<unknown> = new Set([
  ...['LOG', 'NFLOG', 'ULOG', 'TRACE', 'AUDIT', 'CHECKSUM', 'CLASSIFY', 'TCPMSS', 'TEE', 'IDLETIMER', 'LED', 'RATEEST'],
  ...['TOS', 'ECN', 'SET', 'HMARK', 'TTL', 'HL', 'TCPOPTSTRIP', 'NFQUEUE', 'REJECT', 'DSCP', 'MARK'],
  ...['physdev', 'policy', 'frag', 'ipv6header', 'rt', 'hbh', 'dst', 'eui64', 'time', 'string', 'u32', 'bpf', 'osf'],
  ...['cpu', 'tos', 'dscp', 'ttl', 'hl', 'quota', 'recent', 'owner', 'cgroup', 'devgroup', 'realm', 'set', 'esp', 'ah'],
  ...[
    'length',
    'mac',
    'limit',
    'hashlimit',
    'statistic',
    'addrtype',
    'multiport',
    'iprange',
    'pkttype',
    'nfacct',
    'ipcomp',
  ],
]);

/** What is not modelled, in nft's JSON: anywhere in it a word of conntrack, or what nobody knows. */
function opaqueAsks(json: unknown): boolean {
  if (typeof json === 'string') return /\bct\b/.test(json) || !/^(?:add|update|delete) @/.test(json);
  if (typeof json !== 'object' || json === null) return true;
  const [name, content] = Object.entries(json)[0] ?? [];
  if (name === 'xt') return !(typeof content === 'object' && content !== null && APART_XT.has(content.name));
  return name === undefined || !APART.has(name) || speaksOf(content);
}

const speaksOf = (json: unknown): boolean =>
  typeof json === 'object' &&
  json !== null &&
  Object.entries(json).some(([name, content]) => name === 'ct' || name.startsWith('ct ') || speaksOf(content));

/** Of a table's objects those of conntrack do, and what could not be read may. */
const objectAsks = (json: unknown): boolean => {
  const [name] = typeof json === 'object' && json !== null ? Object.keys(json) : [];
  return name === undefined || !APART.has(name);
};
