ip rule add fwmark 0x539 lookup 133
ip route add local default dev lo table 133
