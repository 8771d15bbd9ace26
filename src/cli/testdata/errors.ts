/**
 * Programs that speak UDP and TCP so that ICMP errors show: what Node's sockets keep to themselves. Perl, as on every Debian.
 */

const COMMON = `
use Socket qw(:all); use strict; use warnings;
use constant { MTU_DISCOVER => { 4 => 10, 6 => 23 }, RECVERR => { 4 => 11, 6 => 25 }, TTL => { 4 => 2, 6 => 16 } };
$| = 1;
my $level = { 4 => 0, 6 => 41 };
sub pack_at { my ($v, $port, $address) = @_; $v == 6 ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)) : pack_sockaddr_in($port, inet_pton(AF_INET, $address)) }
sub at { my ($name) = @_; my $v6 = sockaddr_family($name) == AF_INET6; my ($port, $address) = $v6 ? unpack_sockaddr_in6($name) : unpack_sockaddr_in($name); (inet_ntop($v6 ? AF_INET6 : AF_INET, $address), $port) }
sub option { my ($socket, $v, $which, $value) = @_; setsockopt($socket, $level->{$v}, $which->{$v}, pack('i', $value)) or die "setsockopt: $!" }
# The kernel queues an error and only then sets it on the socket (ip_icmp_error, then udp_err): who reads the queue in between clears what comes.
sub take { my ($socket) = @_; my ($from, $got, $error);
  for (1 .. 100) { $from = recv($socket, $got, 65535, 0x40); $error = defined $from ? undef : code(); last if ($error // '') ne 'EAGAIN'; select(undef, undef, undef, 0.002) }
  recv($socket, my $old, 65535, 0x2040) unless defined $from; ($from, $got, $error) }
sub code { (grep { $!{$_} } qw(EMSGSIZE ECONNREFUSED EHOSTUNREACH ENETUNREACH EACCES EPROTO EAGAIN))[0] // "$!" }
`;

/**
 * PORT: a server on the wildcard address of both families. \`size N\` is answered with N bytes that nobody on the way may fragment,
 * \`pieces N\` with N that anybody may; all else with itself. By TCP \`size N\` gets N bytes. Each error of a socket is a line.
 */
export const ERROR_SERVER = `${COMMON}
my ($port) = @ARGV; $SIG{CHLD} = 'IGNORE';
my %udp = map { my $v = $_; my $s;
  socket($s, $v == 6 ? PF_INET6 : PF_INET, SOCK_DGRAM, 0) or die; setsockopt($s, 41, 26, pack('i', 1)) if $v == 6;
  bind($s, pack_at($v, $port, $v == 6 ? '::' : '0.0.0.0')) or die "bind: $!";
  option($s, $v, RECVERR, 1);
  ($v => $s) } (4, 6);
socket(my $tcp, PF_INET6, SOCK_STREAM, 0) or die; setsockopt($tcp, SOL_SOCKET, SO_REUSEADDR, 1); setsockopt($tcp, 41, 26, pack('i', 0));
bind($tcp, pack_at(6, $port, '::')) or die; listen($tcp, 16) or die;
print "ready\\n";
while (1) {
  my $ready = ''; vec($ready, fileno($_), 1) = 1 for values %udp, $tcp;
  select($ready, undef, undef, undef);
  if (vec($ready, fileno($tcp), 1) && accept(my $one, $tcp)) {
    if (!fork) { my $line = <$one>; my ($n) = $line =~ /(\\d+)/; my $all = 'x' x $n; my $done = 0; while ($done < $n) { my $w = syswrite($one, $all, $n - $done, $done); last unless $w; $done += $w } shutdown($one, 1); my $end = <$one>; exit }
    close $one;
  }
  for my $v (4, 6) {
    next unless vec($ready, fileno($udp{$v}), 1);
    my ($from, $asked, $error) = take($udp{$v});
    if (!defined $from) { print "error IPv$v $error\\n"; next }
    my ($how, $n) = $asked =~ /^(size|pieces) (\\d+)/;
    option($udp{$v}, $v, MTU_DISCOVER, ($how // '') eq 'size' ? 2 : 0);
    print 'got ', length($asked), ' from ', join(' ', at($from)), "\\n";
    send($udp{$v}, defined $n ? 'x' x $n : $asked, 0, $from) or print "send IPv$v ", code(), "\\n";
  }
}
`;

/**
 * SOURCE SOURCEPORT TO PORT STEP...: asks from one connected socket and prints a line of JSON for each step:
 * \`hello\` is answered; \`large N\` sends N bytes that may not be fragmented; \`ttl N\` lets a datagram live for N hops; \`ask N\` asks for N bytes
 * in one piece and tells nothing; \`pieces N\` sends and asks for N in pieces, again after a second of silence; \`shards N SIZE\` sends N bytes over IPv4 in fragments
 * of SIZE that nobody may fragment again, and asks for as many; \`beside\` closes the ear to errors of others; \`tcp N\` fetches N bytes. What comes back first is told:
 * the answer's length, or the ICMP error with who sent it, the packet it speaks of and what the socket heard.
 */
export const ERROR_CLIENT = `${COMMON}
my ($source, $sourceport, $to, $port, @steps) = @ARGV; my $beside = 0;
my $v = $to =~ /:/ ? 6 : 4; my $family = $v == 6 ? AF_INET6 : AF_INET;
socket(my $icmp, $family, SOCK_RAW, $v == 6 ? 58 : 1) or die "raw: $!";
socket(my $s, $family, SOCK_DGRAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, pack_at($v, $sourceport, $source)) or die "bind: $!"; connect($s, pack_at($v, $port, $to)) or die "connect: $!";
option($s, $v, RECVERR, 1);
my ($sa, $sp) = at(getsockname($s)); my ($da, $dp) = at(getpeername($s));
sub say_it { my (%what) = @_; print '{', join(',', map { "\\"$_\\":\\"$what{$_}\\"" } sort keys %what), "}\\n" }
sub told { my ($from, $packet) = @_;
  my ($sender) = at($from); my $hl = $v == 4 ? (ord($packet) & 15) * 4 : 0;
  my ($type, $code) = unpack 'CC', substr($packet, $hl); my $mtu = $v == 4 ? unpack('n', substr($packet, $hl + 6)) : unpack('N', substr($packet, $hl + 4));
  return unless $v == 4 ? ($type == 3 || $type == 11) : $type < 4;
  my $in = substr($packet, $hl + 8); my ($a, $b, $p);
  if ($v == 4) { ($a, $b) = map { inet_ntop($family, substr($in, $_, 4)) } 12, 16; $p = (ord($in) & 15) * 4 } else { ($a, $b) = map { inet_ntop($family, substr($in, $_, 16)) } 8, 24; $p = 40 }
  my ($x, $y) = unpack 'nn', substr($in, $p);
  my $own = ($a eq $sa && $x == $sp && $b eq $da && $y == $dp) ? 'own' : "$a $x > $b $y";
  return if $beside && $own ne 'own';
  return (from => $sender, icmp => "$type/$code", about => $own, (($v == 4 ? $type == 3 && $code == 4 : $type == 2) ? (mtu => $mtu) : ()));
}
sub shards { my ($data, $size) = @_;
  socket(my $raw, AF_INET, SOCK_RAW, 255) or die "raw: $!";
  my $all = pack('nnnn', $sp, $dp, 8 + length $data, 0) . $data; my $id = 1 + int rand 65000;
  for (my $at = 0; $at < length $all; $at += $size) {
    my $part = substr($all, $at, $size); my $more = $at + $size < length $all ? 0x2000 : 0;
    send($raw, pack('CCnnnCCna4a4', 0x45, 0, 20 + length $part, $id, 0x4000 | $more | $at / 8, 64, 17, 0, inet_aton($sa), inet_aton($da)) . $part, 0, pack_at(4, 0, $da)) or die "send: $!";
  }
}
for my $step (@steps) {
  my ($what, $n, $size) = split ' ', $step; my %seen = (step => $step);
  if ($what eq 'beside') { $beside = 1; next }
  if ($what eq 'tcp') {
    socket(my $t, $family, SOCK_STREAM, 0) or die; alarm 20; connect($t, pack_at($v, $port, $to)) or do { say_it(%seen, error => code()); next };
    syswrite($t, "size $n\\n"); my $all = 0; while (my $r = sysread($t, my $part, 65536)) { $all += $r } say_it(%seen, bytes => $all); next;
  }
  option($s, $v, MTU_DISCOVER, $what eq 'pieces' ? 0 : 2);
  option($s, $v, TTL, $what eq 'ttl' ? $n : 64);
  my $data = $what eq 'ask' ? "size $n" : $what =~ /^(pieces|shards)$/ ? sprintf("%-\${n}s", "pieces $n") : $what eq 'large' ? 'y' x $n : $what;
  if ($what eq 'shards') { shards($data, $size) } else { send($s, $data, 0) // do { say_it(%seen, error => code()); next } }
  next if $what eq 'ask';
  my $until = time + ($what eq 'pieces' ? 8 : 3); my ($answer, $error, %icmp);
  while (time < $until) {
    my $ready = ''; vec($ready, fileno($_), 1) = 1 for $s, $icmp;
    if (!select($ready, undef, undef, $what eq 'pieces' ? 1 : $until - time)) { last if $what ne 'pieces'; send($s, $data, 0); next }
    if (vec($ready, fileno($icmp), 1)) { my $from = recv($icmp, my $packet, 65535, 0x40); next unless defined $from; my %it = told($from, $packet); %icmp = %it if %it }
    if (vec($ready, fileno($s), 1)) { my ($from, $got, $failed) = take($s); if (defined $from) { $answer = length $got } elsif ($failed ne 'EAGAIN') { $error = $failed } }
    if ($what eq 'pieces' && %icmp) { $error = undef; %icmp = () }
    last if defined $answer || (%icmp && defined $error);
  }
  $seen{bytes} = $answer if defined $answer; $seen{error} = $error if defined $error;
  say_it(%seen, %icmp);
}
`;
