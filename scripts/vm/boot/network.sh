#!/bin/sh
# The links of the edge, and beyond them the Internet and a node behind a router that masquerades, as namespaces. Says first what stood of
# ours before there was a network. The node goes off with the edge and comes back by its own files too.
{ nft list ruleset; ls /etc/sallyport; } >/run/early 2>&1
set -e
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
for name in internet node; do
  ip netns add $name
  ip -n $name link set lo up
  ip netns exec $name sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.default.accept_dad=0
done
ip link add eth0 address 02:00:00:00:00:10 type veth peer name eth0 netns internet
ip -n internet link add lan0 type veth peer name eth0 netns node
ip -n internet addr add 198.51.100.1/24 dev eth0; ip -n internet link set eth0 up
ip -n internet addr add 192.168.1.1/24 dev lan0; ip -n internet link set lan0 up
ip -n node addr add 192.168.1.20/24 dev eth0; ip -n node link set eth0 up; ip -n node route add default via 192.168.1.1
ip netns exec internet nft 'table ip home { chain c { type nat hook postrouting priority 100; ip saddr 192.168.1.0/24 oifname "eth0" masquerade; }; }'
ip addr add 198.51.100.10/24 dev eth0; ip link set eth0 up; ip route add default via 198.51.100.1
if [ -e /notes/node ]; then
  inode=$(stat -L -c %i /run/netns/node)
  mkdir -p /run/sallyport/netns
  cp -a /notes/node "/run/sallyport/netns/$inode"
  # By its folder, and where they ask in which namespace they are.
  sed -i "s/\<$(cat /notes/inode)\>/$inode/g" "/run/sallyport/netns/$inode"/*.sh
  grep -q sp-edge-node "/run/sallyport/netns/$inode/restore.sh"
  ip netns exec node sh "/run/sallyport/netns/$inode/restore.sh"
fi
# Tells each who he is.
for port in 8080 8081; do
  ip netns exec node perl -MSocket -e '
    socket(my $s, PF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($s, pack_sockaddr_in(shift, INADDR_ANY)) or die; listen($s, 9) or die;
    while (my $from = accept(my $c, $s)) { send($c, inet_ntoa((unpack_sockaddr_in($from))[1]), 0); close $c }' $port </dev/null >/dev/null 2>&1 &
done
