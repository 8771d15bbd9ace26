/**
 * What asks targets, on the host that forwards to them: perl where it is (Debian and its relatives have it always), one process for all
 * targets; else bash, a process for each. Both end with their stdin (Transport.follow), which nobody writes to.
 */
import type { TargetProbe } from '../../compile/index.ts';
import { printAddress } from '../../net/index.ts';
import { END_UNHEARD, script } from '../../transport/index.ts';

/** A probe that was answered or not. */
export interface ProbeOutcome {
  /** Its place in the list that was asked. */
  readonly index: number;
  readonly answered: boolean;
  /** How long the answer took in milliseconds, or what came instead of one. */
  readonly said: string;
}

/** Said where a host has nothing to ask with. */
export const NO_PROBER = 'sallyport-no-prober';

/**
 * ONCE, then for each target INTERVAL ADDRESS PORT KIND, KIND being `tcp`, `any` (a refusal is an answer too) or the path of an HTTP
 * request. A line `PLACE ok MS` or `PLACE no WHY` for each probe; of many that are answered one after the other, one a second. After one that
 * was not, the next comes after a quarter of the interval, and while one is still waited for, after three quarters of that time: what has failed is
 * made certain of soon; what has failed eight times is asked at the interval again. It waits for an answer four times as
 * long as answers took so far, half an interval at least; at first, and with ONCE, a second. A connection is reset, not closed: of five a
 * second, each would be remembered for two minutes on both ends. Time is POSIX::times (a hundredth of a second, and
 * it only goes on): perl-base has no Time::HiRes.
 */
export const PERL = `
use strict; use Socket qw(:all); use Errno qw(EINPROGRESS ECONNREFUSED); use POSIX ();
$| = 1; my $once = shift @ARGV; my (@t, $n);
sub now { (POSIX::times())[0] * 1000 / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }
while (@ARGV) {
  my ($every, $addr, $port, $kind) = splice @ARGV, 0, 4;
  my $six = $addr =~ /:/;
  push @t, { i => $n++, every => $every, kind => $kind, host => $six ? "[$addr]" : $addr, fam => $six ? AF_INET6 : AF_INET, next => now(),
    to => $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $addr)) : pack_sockaddr_in($port, inet_aton($addr)), rtt => undef, run => 0, bad => 0, told => 0 };
}
my %open; my $left = @t;
sub hurry { my ($t, $at) = @_; $t->{next} = $at if $t->{next} > $at; }
sub done {
  my ($p, $ok, $why) = @_; my $t = $p->{t}; my $now = now();
  if ($p->{s}) { delete $open{fileno $p->{s}}; setsockopt($p->{s}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if !$p->{up}; close $p->{s}; }
  return if $once && $t->{over}++;
  if ($ok) { my $took = $now - $p->{at}; $t->{rtt} = defined $t->{rtt} ? ($t->{rtt} * 3 + $took) / 4 : $took; $t->{run}++; $t->{bad} = 0; $why = int $took; }
  else { $t->{run} = 0; hurry($t, $now + $t->{every} / 4) if $t->{bad}++ < 8 && !$p->{doubted}; }
  if (!$ok || $t->{run} < 20 || $now - $t->{told} >= 1000) { print "$t->{i} ", $ok ? 'ok' : 'no', " $why\\n"; $t->{told} = $now; }
  $left--; exit 0 if $once && $left == 0;
}
sub ask {
  my ($t) = @_; my $now = now(); $t->{next} = $now + $t->{every};
  my $wait = $once || !defined $t->{rtt} ? 1000 : $t->{rtt} * 4; $wait = $t->{every} / 2 if $wait < $t->{every} / 2; $wait = 3000 if $wait > 3000;
  my $p = { t => $t, at => $now, until => $now + $wait, doubt => $now + $wait * 3 / 4 };
  socket(my $s, $t->{fam}, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) or return done($p, 0, "$!");
  $p->{s} = $s; $open{fileno $s} = $p;
  return if connect($s, $t->{to});
  done($p, $t->{kind} eq 'any' && $! == ECONNREFUSED, "$!") if $! != EINPROGRESS;
}
sub ready {
  my ($p) = @_; my $t = $p->{t};
  if (!$p->{up}) {
    if (my $e = unpack 'i', getsockopt($p->{s}, SOL_SOCKET, SO_ERROR)) { $! = $e; return done($p, $t->{kind} eq 'any' && $e == ECONNREFUSED, "$!"); }
    return done($p, 1) if $t->{kind} !~ m{^/};
    $p->{up} = 1; $p->{got} = '';
    syswrite $p->{s}, "GET $t->{kind} HTTP/1.1\\r\\nHost: $t->{host}\\r\\nUser-Agent: sallyport\\r\\nConnection: close\\r\\n\\r\\n"; return;
  }
  my $got = sysread $p->{s}, $p->{got}, 512, length $p->{got};
  return done($p, $1 >= 200 && $1 < 400, "status $1") if $p->{got} =~ m{^HTTP/1\\.[01] (\\d\\d\\d)};
  done($p, 0, defined $got ? 'no HTTP' : "no HTTP: $!") if !$got || length $p->{got} > 64;
}
for (;;) {
  my $now = now(); my $wake = $now + 1000; my ($r, $w) = ('', ''); vec($r, 0, 1) = 1;
  for (@t) { ask($_) if $_->{next} <= $now && !($once && $_->{asked}++); $wake = $_->{next} if $_->{next} < $wake && !$once; }
  for my $f (keys %open) { my $p = $open{$f}; for ($p->{until}, $p->{doubt}) { $wake = $_ if $_ < $wake; } if ($p->{up}) { vec($r, $f, 1) = 1 } else { vec($w, $f, 1) = 1 } }
  my $wait = ($wake - now()) / 1000; select $r, $w, undef, $wait > 0 ? $wait : 0;
  exit 0 if vec($r, 0, 1) && !sysread STDIN, my $none, 1;
  for my $f (keys %open) { my $p = $open{$f} or next; ready($p) if vec($r, $f, 1) || vec($w, $f, 1); }
  $now = now(); for my $f (keys %open) { my $p = $open{$f} or next; 
    if ($p->{doubt} <= $now && !$p->{doubted}++) { $p->{doubt} = $p->{until}; hurry($p->{t}, $now) if !$once && $p->{t}{bad} < 8; }
    done($p, 0, 'no answer') if $p->{until} <= $now;
  }
}`;

/** PROGRAM ONCE, then as above. Without perl HTTP cannot be asked, and a refusal is told from silence by how soon it comes. */
export const ASK = `
p=$1; shift
command -v perl >/dev/null && perl -MSocket -MPOSIX -e 1 2>/dev/null && exec perl -e "$p" -- "$@"
once=$1; shift
if command -v bash >/dev/null; then knock() { timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }
else echo ${NO_PROBER}; exit 0; fi
${END_UNHEARD}
i=0; p=
while [ "$#" -ge 4 ]; do
  (
    s=$(awk -v m="$1" 'BEGIN { print m / 1000 }')
    while :; do
      knock "$2" "$3"; e=$?
      if [ "$e" -eq 0 ]; then echo "$i ok 0"; elif [ "$4" = any ] && [ "$e" -ne 124 ]; then echo "$i ok 0"; else echo "$i no not connected"; fi
      [ -z "$once" ] || exit 0
      sleep "$s"
    done
  ) &
  p="$p $!"; i=$((i+1)); shift 4
done
wait $p`;

/** The command that asks, for Transport.follow; `once`: each target one time, then it ends. */
export const probeCommand = (probes: readonly TargetProbe[], once: boolean): readonly string[] =>
  script(
    ASK,
    PERL,
    once ? '1' : '',
    ...probes.flatMap(({ intervalMs, address, port, path, any }) => [
      String(intervalMs),
      printAddress(address),
      String(port),
      path ?? (any === true ? 'any' : 'tcp'),
    ]),
  );

/** Reads a line of its output; undefined where it is none of ours. */
export function readOutcome(line: string): ProbeOutcome | undefined {
  const [, index, word, said] = /^(\d+) (ok|no) (.*)$/.exec(line) ?? [];
  if (index === undefined || said === undefined) return undefined;
  return { index: Number(index), answered: word === 'ok', said };
}
