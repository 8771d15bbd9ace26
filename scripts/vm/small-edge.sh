#!/bin/sh
# small-edge.sh FOLDER: in a VM of 512 MB, whose own network is the edge: 50,000 forwards, 100,000 tracked connections, a client that is
# served all the same, no end for want of memory, and all as it was. Says what it used; its last line is that of a test run.
set -eu
folder=$1
state=/proc/sys/net/netfilter
trap '[ $? = 0 ] || echo "0 passed, 1 failed"' EXIT
fail() { echo "small edge: $*"; exit 1; }
available() { awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo; }

mount -t tmpfs -o mode=755 tmpfs /etc/sallyport 2>/dev/null || mkdir -p /etc/sallyport
for name in client node; do ip netns add $name; done
ip link add eth0 type veth peer name eth0 netns client
ip link add priv0 type veth peer name eth0 netns node
ip addr add 198.51.100.10/24 dev eth0; ip link set eth0 up
ip addr add 172.31.0.1/24 dev priv0; ip link set priv0 up
ip -n client addr add 198.51.100.1/24 dev eth0; ip -n client link set eth0 up
ip -n node addr add 172.31.0.2/24 dev eth0; ip -n node link set eth0 up; ip -n node route add default via 172.31.0.1
ip route add default via 198.51.100.1
modprobe nf_conntrack
max=$(cat $state/nf_conntrack_max) buckets=$(cat $state/nf_conntrack_buckets)
echo "small edge: $(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo) MiB, $(available) MiB of them available, nf_conntrack_max $max"

node bin/sallyport apply --yes -f "$folder/edge.yaml" >/run/applied || { cat /run/applied; fail 'apply failed'; }
grep -F 'connection tracking' /run/applied || fail 'apply says nothing of the room for connections'
[ "$(cat $state/nf_conntrack_max)" = 131072 ] || fail "nf_conntrack_max is $(cat $state/nf_conntrack_max)"
before=$(available)
nft -f "$folder/forwards.nft"
echo "small edge: 50,000 forwards took $((before - $(available))) MiB"

# Of a datagram without an answer the kernel would forget within 30 s what this machine may take minutes to send.
echo 900 >$state/nf_conntrack_udp_timeout
ip netns exec node nft -f - <<'RULES'
table inet quiet { chain input { type filter hook input priority 0; udp sport != 9 drop; }; }
RULES
before=$(available)
# Four ports of the client to each of the 25,000 that are forwarded by UDP.
ip netns exec client perl -MSocket -e '
  my $address = inet_aton("198.51.100.10");
  for (1 .. 4) {
    socket(my $s, PF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
    for my $port (1024 .. 26023) { defined send($s, "x", 0, pack_sockaddr_in($port, $address)) or die "send: $!\n" }
  }'
count=$(cat $state/nf_conntrack_count)
echo "small edge: $count connections took $((before - $(available))) MiB, $(available) MiB are available"
[ "$count" -ge 100000 ] || fail "of 100,000 connections the kernel tracks $count"

# And one that is answered: the last of the forwards by UDP.
ip netns exec node perl -MSocket -e '
  socket(my $s, PF_INET, SOCK_DGRAM, 0); bind($s, pack_sockaddr_in(44999, INADDR_ANY)) or die;
  $| = 1; print "ready\n";
  while (my $from = recv($s, my $said, 99, 0)) { send($s, inet_ntoa((unpack_sockaddr_in($from))[1]), 0, $from) }' >/run/server &
server=$!
until grep -q ready /run/server; do sleep 0.1; done
seen=$(ip netns exec client perl -MSocket -e '
  socket(my $s, PF_INET, SOCK_DGRAM, 0); bind($s, pack_sockaddr_in(9, INADDR_ANY)) or die;
  alarm 60;
  for (;;) {
    send($s, "x", 0, pack_sockaddr_in(26023, inet_aton("198.51.100.10")));
    vec(my $wait = "", fileno($s), 1) = 1;
    next unless select($wait, undef, undef, 2);
    recv($s, my $said, 99, 0); print $said; exit;
  }')
kill $server
[ "$seen" = 198.51.100.1 ] || fail "the server sees ${seen:-nobody} and not the client"
if dmesg | grep -iE 'out of memory|oom-kill|table full'; then fail 'the kernel ran out of room'; fi

sh /etc/sallyport/undo.sh || fail 'undo.sh failed'
[ "$(nft list ruleset)" = '' ] || fail 'rules are left'
[ "$(cat $state/nf_conntrack_buckets)" = "$buckets" ] || fail "nf_conntrack_buckets was $buckets, is $(cat $state/nf_conntrack_buckets)"
[ "$(cat $state/nf_conntrack_max)" = "$max" ] || fail "nf_conntrack_max was $max, is $(cat $state/nf_conntrack_max)"
echo '1 passed, 0 failed'
