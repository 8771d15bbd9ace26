/** What the kernel's table of connections may grow to on a host that forwards, and what there is to hold it. */
import type { HostFacts, HostShare } from '../host/index.ts';

export const CONNTRACK_MAX = 'net/netfilter/nf_conntrack_max';
const CONNTRACK_COUNT = 'net/netfilter/nf_conntrack_count';
export const CONNTRACK_BUCKETS = 'net/netfilter/nf_conntrack_buckets';

/** struct nf_conn in its slab on 64 bits, and its extensions (NF_CT_EXT_PREALLOC, nf_conntrack_extend.c). */
const ENTRY_BYTES = 256 + 128;
/** An hlist_nulls_head (nf_conntrack_core.c). */
const BUCKET_BYTES = 8;
/** nf_ct_alloc_hashtable rounds up to whole pages of them. */
const BUCKETS_IN_A_PAGE = 4096 / BUCKET_BYTES;
const MIB = 1024 * 1024;

/**
 * Buckets for `max` connections: as many, which is the kernel's own ratio. Each connection is in two lists, and a new one is dropped where
 * a list has more than 50 to 80 entries (MIN_CHAINLEN, nf_conntrack_core.c): of 100,000 in 4,096 buckets 700 were.
 */
export const bucketsFor = (max: number): number => Math.ceil(max / BUCKETS_IN_A_PAGE) * BUCKETS_IN_A_PAGE;

/** A sentence on the table's room, its memory when full, and what is available; none where the host forwards nothing, or nobody looked. */
export function conntrackNotes(share: HostShare, facts: HostFacts): readonly string[] {
  const { sysctls } = facts.state;
  const number = (path: string): number | undefined => {
    const text = sysctls.get(path);
    return text === undefined ? undefined : Number(text);
  };
  const max = share.conntrackMax ?? number(CONNTRACK_MAX);
  if (share.forwards.length === 0 || max === undefined) return [];
  const count = number(CONNTRACK_COUNT);
  const buckets = Math.max(number(CONNTRACK_BUCKETS) ?? 0, share.conntrackMax === undefined ? 0 : bucketsFor(max));
  const full = max * ENTRY_BYTES + buckets * BUCKET_BYTES;
  const free = facts.memoryAvailableBytes;
  const of = free === undefined ? '' : ` of ${mib(free)} available`;
  const said = `connection tracking: ${count === undefined ? '' : `${count} of `}${max} connections (nf_conntrack_max); full, they take ${mib(full)}${of}`;
  return free !== undefined && full > free ? [`${said}: more than there is; lower conntrack.max of the Host`] : [said];
}

const mib = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`;

/** Why conntrack.max cannot be set there, if so: the limit belongs to the machine, its other network namespaces see it read-only (nf_conntrack_standalone.c). */
export const cannotSetMax = ({ stateFolder }: HostFacts): string | undefined =>
  stateFolder?.startsWith('/run/sallyport/netns/') === true
    ? "only the machine's own network namespace can change nf_conntrack_max, and this host is another one"
    : undefined;
