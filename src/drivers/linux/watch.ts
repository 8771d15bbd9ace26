/**
 * Hears of changes on a host by the kernel's own notices. `nft monitor` reads the whole ruleset before it listens and keeps it, whatever it is asked
 * to tell (2 KB an element, nft 1.0.6); `ip monitor` tells nothing of the ruleset. So one small perl listens to both kinds of netlink itself, and looks
 * at settings and peers besides, of which the kernel tells hardly anything. Without perl it is the two monitors.
 */
import type { Notice } from '../../apply/index.ts';
import { END_UNHEARD, script, type Transport } from '../../transport/index.ts';
import { OBSERVED_SYSCTLS } from './sysctls.ts';

/** Said by the script: from now on nothing is missed. */
const LISTENING = 'sallyport-listening';

/** How often settings and WireGuard's peers are looked at, in seconds: a hundred files take a millisecond, wg two. */
const UNTOLD_SECONDS = 30;

/** It counts connections, and says nothing of how they are treated. */
const COUNTS = 'net/netfilter/nf_conntrack_count';

/**
 * INSTEAD SECONDS PATH…: INSTEAD is what a shell does where netlink cannot be listened to. Constants are of linux/netlink.h, rtnetlink.h and
 * netfilter/nf_tables.h: NETLINK_NETFILTER is 12 and its group for nftables the 7th. Routing tells links, addresses, routes, rules and what it calls
 * netconf (forwarding and rp_filter of links) by groups 1, 5, 7, 8, 24, and for IPv6 9, 11, 19, 25. The last message of a transaction is
 * NFT_MSG_NEWGEN, with who made it: NFTA_GEN_PROC_PID is 2, NFTA_GEN_PROC_NAME 3. ENOBUFS (105): more came than there was room for.
 */
const LISTEN = `
use strict; $| = 1;
my ($instead, $every, @paths) = @ARGV;
sub hear {
  my ($protocol, @groups) = @_; my $mask = 0; $mask |= 1 << $_ - 1 for @groups;
  my $s; socket($s, 16, 3, $protocol) && bind($s, pack 'SSLL', 16, 0, 0, $mask) or exec 'sh', '-c', $instead;
  return $s;
}
my $rules = hear(12, 7); my $network = hear(0, 1, 5, 7, 8, 24, 9, 11, 19, 25);
sub settings {
  my ($all, %in) = '';
  for (@paths) {
    my @files = $_;
    if (m{^(.*)/\\*/(.*)$}) {
      my ($folder, $name) = ($1, $2);
      if (!$in{$folder}) { opendir my $d, $folder; $in{$folder} = $d ? [sort grep !/^\\./, readdir $d] : []; }
      @files = map "$folder/$_/$name", @{$in{$folder}};
    }
    for my $file (@files) { sysopen(my $f, $file, 0) or next; sysread $f, my $text, 4096 or next; $all .= "$file $text"; }
  }
  return $all;
}
sub rest {
  my ($s, $see) = @_; my ($any, $got) = (0, '');
  for (;;) {
    if (defined recv $s, $got, 16384, 0x40) { $any = 1; $see->($got) if $see; }
    elsif ($! == 105) { $any = 1; }
    elsif ($! != 4) { return $any; }
  }
}
my $by = '';
sub who {
  my ($got) = @_;
  while (length $got >= 16) {
    my ($size, $type) = unpack 'LS', $got; last if $size < 16;
    if ($type == (10 << 8 | 15)) {
      my ($pid, $name) = (0, '');
      for (my $at = 20; $at + 4 <= $size;) {
        my ($l, $t) = unpack 'SS', substr $got, $at, 4; last if $l < 4; my $value = substr $got, $at + 4, $l - 4;
        $pid = unpack 'N', $value if ($t & 0x3fff) == 2; $name = unpack 'Z*', $value if ($t & 0x3fff) == 3;
        $at += $l + 3 & ~3;
      }
      $name =~ tr/\\x21-\\x7e/?/c; $by = " $pid $name";
    }
    $got = substr $got, $size + 3 & ~3;
  }
}
sub peers {
  open(my $links, '<', '/proc/net/dev') or return ''; return '' if !grep /^ *sp-/, <$links>;
  open(my $wg, '-|', 'sh', '-c', 'exec wg show all allowed-ips 2>/dev/null') or return '';
  my $all = join '', sort <$wg>; close $wg; return $all;
}
my ($before, $met, $next) = (settings(), peers(), 0); $next = time + $every;
print "${LISTENING}\\n";
for (;;) {
  my $r = ''; vec($r, fileno $_, 1) = 1 for $rules, $network, *STDIN;
  my $wait = $next - time; $wait = 0 if $wait < 0; $wait = $every if $wait > $every;
  select $r, undef, undef, $wait;
  exit 0 if vec($r, 0, 1) && !sysread STDIN, my $none, 1;
  $by = ''; if (rest($rules, \\&who)) { print "ruleset$by\\n"; }
  print "network\\n" if rest($network);
  if (time >= $next || time < $next - $every) {
    my $now = settings(); print "settings\\n" if $now ne $before; $before = $now;
    $now = peers(); print "peers\\n" if $now ne $met; $met = $now; $next = time + $every;
  }
}`;

/**
 * Where there is no perl. nft says nothing when it begins to listen: its socket stands in /proc/net/netlink with a group then (protocol 12 is
 * NETLINK_NETFILTER).
 */
const MONITORS = `${END_UNHEARD}
{ nft monitor 2>&1; kill -TERM 0; } &
{ ip monitor link address route rule netconf 2>&1; kill -TERM 0; } &
n=0
until awk '$2 == 12 && $4 != "00000000" { found = 1 } END { exit !found }' /proc/net/netlink || [ "$n" -ge 300 ]; do
  sleep 0.1 2>/dev/null || sleep 1
  n=$((n+1))
done
echo ${LISTENING}
wait`;

/** MONITORS LISTEN SECONDS PATH… */
export const WATCH = `i=$1; p=$2; shift 2
if command -v perl >/dev/null; then exec perl -e "$p" -- "$i" "$@"; fi
exec sh -c "$i"`;

export const watchCommand = (untoldSeconds = UNTOLD_SECONDS): readonly string[] =>
  script(
    WATCH,
    MONITORS,
    LISTEN,
    String(untoldSeconds),
    ...OBSERVED_SYSCTLS.filter((path) => path !== COUNTS).map((path) => `/proc/sys/${path}`),
  );

/** Calls `onNotice` when it begins to listen, and for what happens from then on, until the connection is lost or `signal` aborted. */
export async function watch(
  transport: Transport,
  onNotice: (notice: Notice) => void,
  signal: AbortSignal,
  untoldSeconds = UNTOLD_SECONDS,
): Promise<void> {
  await transport.follow(watchCommand(untoldSeconds), (line) => onNotice(readNotice(line)), signal);
}

/** What a line tells; one of a monitor that is not understood tells that something happened. */
function readNotice(line: string): Notice {
  if (line === LISTENING) return { kind: 'listening' };
  if (line === 'network' || line === 'settings' || line === 'peers') return { kind: line };
  const [, pid, name] =
    /^ruleset (\d+) (.+)$/.exec(line) ?? /^# new generation \d+ by process (\d+) \((.+)\)$/.exec(line) ?? [];
  return { kind: 'ruleset', ...(pid !== undefined && name !== undefined && { by: { pid: Number(pid), name } }) };
}
