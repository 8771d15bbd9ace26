/**
 * Whether anybody changed the packet rules since the last look, without listing them: fifty thousand elements take nft a second. The
 * kernel counts the transactions that changed something in a network namespace (NFT_MSG_GETGEN, nf_tables_api.c), whoever made them.
 */
import { script } from '../../transport/index.ts';

/** A ruleset as it was listed. */
export interface Listing {
  readonly text: string;
  /** Undefined where it cannot be told, or where a transaction came between. */
  readonly generation?: string;
}

/**
 * Asks nfnetlink for the generation: nlmsghdr and nfgenmsg, and of the answer the attribute NFTA_GEN_ID (linux/netfilter/nf_tables.h).
 * nft does not show it; where there is no perl, the rules are listed each time.
 */
const GENERATION = `
socket(my $s, 16, 3, 12) or exit 1;
send($s, pack("LSSLLCCn", 20, 10 << 8 | 16, 1, 1, 0, 0, 0, 0), 0, pack("SSLL", 16, 0, 0, 0)) or exit 1;
defined recv($s, my $r, 65536, 64) or exit 1;
(unpack("LS", $r))[1] == (10 << 8 | 15) or exit 1;
for (my $i = 20; $i + 8 <= length $r;) {
  my ($l, $t) = unpack("SS", substr($r, $i, 4));
  if (($t & 0x3fff) == 1) { print unpack("N", substr($r, $i + 4, 4)); exit 0 }
  last if $l < 4;
  $i += $l + 3 & ~3;
}
exit 1`;

/**
 * GENERATION NAMESPACE: the word \`same\` where the ruleset is still of that generation, else a line with the one it is of, the
 * ruleset, and a line with the one it is of now. Counts begin again with a boot and in each network namespace: both are part of a
 * generation. NAMESPACE is the path by which one is kept; its time of birth holds as long as that does. An empty one is our own,
 * which is there as long as we are.
 */
export const LIST = `
count() { perl -e '${GENERATION}' 2>/dev/null; }
n=$(stat -L -c %i /proc/self/ns/net)
case $2 in
  '') i=$n ;;
  *) i=$(stat -L -c '%i %z' "$2"); [ "\${i%% *}" = "$n" ] || i= ;;
esac
if [ -n "$i" ] && c=$(count); then i="$(cat /proc/sys/kernel/random/boot_id) $i"; g="$i $c"; else i=; g=; fi
if [ -n "$g" ] && [ "$g" = "$1" ]; then echo same; exit 0; fi
printf '%s\\n' "$g"
nft -j list ruleset || exit
[ -z "$i" ] || printf '%s %s\\n' "$i" "$(count)"`;

/** Lists the ruleset of a host in that network namespace of `ip netns` (absent: our own), where it is not of the generation `known` any more. */
export const listCommand = (namespace: string | undefined, known = ''): readonly string[] =>
  script(LIST, known, namespace === undefined ? '' : `/run/netns/${namespace}`);

/** The answer to listCommand; undefined: it is of the known generation. */
export function readListing(stdout: string): Listing | undefined {
  if (stdout === 'same\n') return undefined;
  const [before = ''] = stdout.split('\n', 1);
  if (before === '') return { text: stdout.slice(1) };
  const end = stdout.lastIndexOf('\n', stdout.length - 2);
  const after = stdout.slice(end + 1, -1);
  return { text: stdout.slice(before.length + 1, end + 1), ...(before === after && { generation: before }) };
}
