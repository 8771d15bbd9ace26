# What tailscaled makes beside its rules: a tun device, its routes in table 52 and the rules that lead there past its own packets.
ip tuntap add tailscale0 mode tun
ip address add 100.101.102.103/32 dev tailscale0
ip address add fd7a:115c:a1e0::7/128 dev tailscale0
ip link set tailscale0 mtu 1280 up
for f in -4 -6; do
  ip $f rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
  ip $f rule add pref 5230 fwmark 0x80000/0xff0000 lookup default
  ip $f rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
  ip $f rule add pref 5270 lookup 52
done
ip route add 100.100.100.100 dev tailscale0 table 52
ip route add 100.64.7.7 dev tailscale0 table 52
