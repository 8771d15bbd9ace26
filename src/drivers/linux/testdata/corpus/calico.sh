# A pod of this node: its link, the route to it and the answer for its gateway.
ip link add cali0123456789a type veth peer name pod0
ip link set pod0 up
ip link set cali0123456789a up
ip route add 10.244.3.5/32 dev cali0123456789a scope link
ip route add blackhole 10.244.3.0/26 proto 80
sysctl -qw net.ipv4.conf.cali0123456789a.proxy_arp=1 net.ipv4.conf.cali0123456789a.rp_filter=1
