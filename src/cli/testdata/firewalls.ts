/** Firewalls of others as they are found: the commands that make them, for a shell on the host. Nothing in them knows of us. */

/** What iptables and ip6tables of a backend have in common; `$t` is the program, `$icmp` its ICMP, `$no` a refusal in its family. */
const both = (backend: 'nft' | 'legacy', rules: string): string => `
for t in iptables-${backend} ip6tables-${backend}; do
  case $t in ip6*) icmp=ipv6-icmp; no=icmp6-adm-prohibited ;; *) icmp=icmp; no=icmp-host-prohibited ;; esac
${rules.trim()}
done`;

const BRIDGE = 'ip link add docker0 type bridge; ip link set docker0 addrgenmode none; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up';

/** dockerd 20 with one published port: what it writes to filter and nat. */
export const DOCKER_20 = `${BRIDGE}
iptables-nft-restore --noflush <<'END'
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -s 192.0.2.66/32 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:80
COMMIT
END`;

/** dockerd 28: chains of their own for what it forwards, both families, and direct access to containers shut in raw. */
export const DOCKER_28 = `${BRIDGE}
for t in iptables-nft ip6tables-nft; do $t-restore --noflush <<'END'
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
COMMIT
END
done
iptables-nft -t raw -A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP`;

/** A cloud image: everything but ssh refused, and whatever is forwarded. */
export const CLOUD_IMAGE = both(
  'nft',
  `
  $t -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
  $t -A INPUT -p $icmp -j ACCEPT
  $t -A INPUT -i lo -j ACCEPT
  $t -A INPUT -p udp -m udp --sport 123 -j ACCEPT
  $t -A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
  $t -A INPUT -j REJECT --reject-with $no
  $t -A FORWARD -j REJECT --reject-with $no`,
);

/** Somebody moved to nft, and the older kind still stands beside it. */
export const LEGACY = both(
  'legacy',
  `
  $t -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  $t -A INPUT -p $icmp -j ACCEPT
  $t -A INPUT -i lo -j ACCEPT
  $t -A INPUT -p udp -m multiport --ports 53,67 -j ACCEPT
  $t -P INPUT DROP
  $t -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  $t -P FORWARD DROP`,
);

/** nft by hand: every hook shut but for answers, ICMPv6 and ssh. */
export const NFT = `nft -f - <<'END'
table inet fw {
  set banned { type ipv4_addr; elements = { 192.0.2.66 }; }
  chain early { type filter hook prerouting priority filter; policy drop; ct state established,related accept; meta l4proto ipv6-icmp accept; tcp dport 22 accept; fib daddr type != local iifname "lo" accept; }
  chain input { type filter hook input priority filter; policy drop; ip saddr @banned drop; ct state established,related accept; meta l4proto ipv6-icmp accept; iifname "lo" accept; tcp dport 22 accept; }
  chain forward { type filter hook forward priority filter; policy drop; ip saddr @banned counter drop; ct state established,related accept; }
  chain output { type filter hook output priority filter; policy drop; ip daddr @banned drop; meta l4proto { icmp, ipv6-icmp } accept; oifname "lo" accept; udp sport 51820 accept; }
}
END`;

/** The same with nothing said of answers, in a table for each family, as a chain that refuses. */
export const NFT_STATELESS = `nft -f - <<'END'
table ip fw4 {
  chain forward { type filter hook forward priority 10; policy accept; iifname "docker0" accept; counter reject with icmp type admin-prohibited; }
}
table ip6 fw6 {
  chain forward { type filter hook forward priority 10; policy accept; jump sorted; }
  chain sorted { tcp dport 22 accept; reject with icmpv6 type admin-prohibited; }
}
END`;
