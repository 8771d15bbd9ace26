import { patient } from '../../lab/index.ts';

/**
 * PROTOCOL SOURCE SOURCEPORT PORT ADDRESS...: asks all addresses at once from that one port, which Node does not do, and prints each
 * answer. By UDP it asks again after a second: one of two first datagrams that reach the node in the same instant may get lost.
 */
export const FROM_ONE_PORT = `
use Socket qw(:all);
my ($protocol, $source, $sourceport, $port, @to) = @ARGV;
my $v6 = $source =~ /:/;
my $pack = sub { $v6 ? pack_sockaddr_in6($_[0], inet_pton(AF_INET6, $_[1])) : pack_sockaddr_in($_[0], inet_pton(AF_INET, $_[1])) };
my @sockets = map {
  socket(my $s, $v6 ? PF_INET6 : PF_INET, $protocol eq 'tcp' ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!";
  setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) or die "reuse: $!";
  bind($s, $pack->($sourceport, $source)) or die "bind: $!";
  connect($s, $pack->($port, $_)) or die "$_: $!";
  $s
} @to;
send($sockets[$_], "to $to[$_]\\n", 0) for 0..$#to;
alarm ${patient(10)};
for my $i (0..$#to) {
  for (1..5) {
    vec(my $ready = '', fileno($sockets[$i]), 1) = 1;
    last if select($ready, undef, undef, ${patient(1)});
    send($sockets[$i], "to $to[$i]\\n", 0) if $protocol eq 'udp';
  }
  recv($sockets[$i], my $answer, 4096, 0); $answer =~ s/\\s+$//; print "$answer\\n"
}
`;
