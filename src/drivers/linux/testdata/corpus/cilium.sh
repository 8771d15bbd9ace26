# The pair that stands for the host, a pod's link, and the way to what the proxy takes.
ip link add cilium_host type veth peer name cilium_net
ip address add 10.244.0.1/32 dev cilium_host
ip link set cilium_net up
ip link set cilium_host up
ip route add 10.244.0.1 dev cilium_host scope link
ip route add 10.244.0.0/24 via 10.244.0.1 dev cilium_host src 10.244.0.1
ip link add lxc12345 type veth peer name pod0
ip link set pod0 up
ip link set lxc12345 up
ip rule add pref 9 fwmark 0x200/0xf00 lookup 2004
ip route add local default dev lo table 2004
