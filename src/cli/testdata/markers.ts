/**
 * Those who mark packets, as they stand on a node by default: what each writes, for a shell there. The pod is 10.244.1.5 (and .6, and 10.244.2.5)
 * behind the link given; the tailnet is behind tailscale0. Typed from their documentation and listings; kube-proxy's own are in kube-proxy.ts.
 */

/** Of both families, by iptables-restore beside what stands there: `$f` is 4 or 6. */
const restore = (rules: string, more = ''): string => `
for f in 4 6; do
  case $f in 4) t=iptables-nft masq="10.244.0.0/16" ;; 6) t=ip6tables-nft masq="fd00:244::/63" ;; esac
${more}
  $t-restore --noflush <<END
${rules.trim()}
END
done`;

/**
 * Felix with its default mark mask 0xffff0000 (accept 0x10000, pass 0x20000, scratch 0x40000 and 0x80000), natural outgoing NAT, and a policy
 * that lets the pod be asked on its ports alone. Its jumps come first, as ChainInsertMode Insert says.
 */
export const calico = (link: string): string =>
  restore(
    `
*raw
:cali-PREROUTING - [0:0]
:cali-OUTPUT - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-to-host-endpoint - [0:0]
:cali-rpf-skip - [0:0]
-I PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
-I OUTPUT -m comment --comment "cali:tVnHkvAo15HuiPy0" -j cali-OUTPUT
-A cali-PREROUTING -m comment --comment "cali:XFX5xbM8B9qR10JG" -j MARK --set-xmark 0x0/0xf0000
-A cali-PREROUTING -i cali+ -m comment --comment "cali:EWMPb0zVROM-woQp" -j MARK --set-xmark 0x40000/0x40000
-A cali-PREROUTING -m comment --comment "cali:PWuxTAIaFCtsg5Qa" -m mark --mark 0x40000/0x40000 -j cali-rpf-skip
-A cali-PREROUTING -m comment --comment "cali:fSSbGND7dgyemWU7" -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP
-A cali-PREROUTING -m comment --comment "cali:ImU0-4Rl2WoOI9Ou" -m mark --mark 0x0/0x40000 -j cali-from-host-endpoint
-A cali-PREROUTING -m comment --comment "cali:lV4V2MPoMBf0hl9T" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT -m comment --comment "cali:njdnLwYeGqBJyMxW" -j MARK --set-xmark 0x0/0xf0000
-A cali-OUTPUT -m comment --comment "cali:rz86uTUcEZAfFsh7" -j cali-to-host-endpoint
-A cali-OUTPUT -m comment --comment "cali:pN0F5zD0b8yf9W1Z" -m mark --mark 0x10000/0x10000 -j ACCEPT
COMMIT
*mangle
:cali-PREROUTING - [0:0]
:cali-POSTROUTING - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-to-host-endpoint - [0:0]
-I PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
-I POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING
-A cali-PREROUTING -m comment --comment "cali:6BJqBjBC7crtA-7-" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-PREROUTING -m comment --comment "cali:KX7AGNd6rMcDUai6" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-PREROUTING -m comment --comment "cali:wNH7KsA3ILKJBsY9" -j cali-from-host-endpoint
-A cali-PREROUTING -m comment --comment "cali:Cg96MgVuoPm7UMRo" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-POSTROUTING -m comment --comment "cali:NX-7roTexQ3fGRfU" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-POSTROUTING -m comment --comment "cali:nnqPh8lh2VOogSzX" -j MARK --set-xmark 0x0/0xf0000
-A cali-POSTROUTING -m comment --comment "cali:nquN8Jw8Tz72pcBW" -m conntrack --ctstate DNAT -j cali-to-host-endpoint
-A cali-POSTROUTING -m comment --comment "cali:jWrgvDQ0xEZHmta3" -m mark --mark 0x10000/0x10000 -j RETURN
COMMIT
*nat
:cali-POSTROUTING - [0:0]
:cali-nat-outgoing - [0:0]
-I POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING
-A cali-POSTROUTING -m comment --comment "cali:Z-c7XtVd2Bq7s_hA" -j cali-nat-outgoing
-A cali-nat-outgoing -m comment --comment "cali:flqWnvo8yq4ULQLa" -m set --match-set cali\${f}0masq-ipam-pools src -m set ! --match-set cali\${f}0all-ipam-pools dst -j MASQUERADE --random-fully
COMMIT
*filter
:cali-FORWARD - [0:0]
:cali-INPUT - [0:0]
:cali-OUTPUT - [0:0]
:cali-from-hep-forward - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-fw-${link} - [0:0]
:cali-pi-default.web - [0:0]
:cali-pro-kns.default - [0:0]
:cali-to-hep-forward - [0:0]
:cali-to-host-endpoint - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-tw-${link} - [0:0]
:cali-wl-to-host - [0:0]
-I INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-I FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-I OUTPUT -m comment --comment "cali:tVnHkvAo15HuiPy0" -j cali-OUTPUT
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD -m comment --comment "cali:mp77cMpurHhyjLrM" -j MARK --set-xmark 0x10000/0x10000
-A cali-FORWARD -m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -m comment --comment "cali:A_sPAO0mcxbT9mOV" -m mark --mark 0x0/0x10000 -j cali-from-hep-forward
-A cali-FORWARD -i cali+ -m comment --comment "cali:8ZoYfO5HKXWbB3pk" -j cali-from-wl-dispatch
-A cali-FORWARD -o cali+ -m comment --comment "cali:jdEuaPBe14V2hutn" -j cali-to-wl-dispatch
-A cali-FORWARD -m comment --comment "cali:12bc6HljsMKsmfr-" -j cali-to-hep-forward
-A cali-INPUT -i cali+ -m comment --comment "cali:FewJpBykm9iJ-YNH" -g cali-wl-to-host
-A cali-INPUT -m comment --comment "cali:hder3ARWznqqv8Va" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-INPUT -m comment --comment "cali:xgOu2uJft6H9oDGF" -j MARK --set-xmark 0x0/0xf0000
-A cali-INPUT -m comment --comment "cali:_-d-qojMfHM6NwBo" -j cali-from-host-endpoint
-A cali-INPUT -m comment --comment "cali:LqmE76MP94lZTGhA" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT -m comment --comment "cali:Mq1_rAdXXH3YkrzW" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT -o cali+ -m comment --comment "cali:69FkRTJDvD5Vu6Vl" -j RETURN
-A cali-OUTPUT -m comment --comment "cali:Fskumj4SGQtDV6GC" -j MARK --set-xmark 0x0/0xf0000
-A cali-OUTPUT -m comment --comment "cali:1F4VWEsQu0QbRwKf" -m conntrack ! --ctstate DNAT -j cali-to-host-endpoint
-A cali-OUTPUT -m comment --comment "cali:m8Eqm15x1MjD24LD" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-from-wl-dispatch -i ${link} -m comment --comment "cali:zTj6P0TIgYvgz-md" -g cali-fw-${link}
-A cali-from-wl-dispatch -m comment --comment "cali:Hxv4-wZbbyrQcNbz" -m comment --comment "Unknown interface" -j DROP
-A cali-to-wl-dispatch -o ${link} -m comment --comment "cali:7KNphB1nNHw80nIO" -g cali-tw-${link}
-A cali-to-wl-dispatch -m comment --comment "cali:ttOwSaRiQXNrHCjI" -m comment --comment "Unknown interface" -j DROP
-A cali-fw-${link} -m comment --comment "cali:aZH0sbnVHfZv6BzO" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-fw-${link} -m comment --comment "cali:tbFo1QfDEGLJ2qDs" -m conntrack --ctstate INVALID -j DROP
-A cali-fw-${link} -m comment --comment "cali:yqKoUw3b8oI4eW6X" -j MARK --set-xmark 0x0/0x30000
-A cali-fw-${link} -p udp -m comment --comment "cali:lhTYDUlY0Ys5Cl8o" -m comment --comment "Drop VXLAN encapped packets originating in workloads" -m multiport --dports 4789 -j DROP
-A cali-fw-${link} -m comment --comment "cali:Gj7-vZ9B0pjLYlWW" -j cali-pro-kns.default
-A cali-fw-${link} -m comment --comment "cali:kxGSO1TyP7b0kEs4" -m comment --comment "Return if profile accepted" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-fw-${link} -m comment --comment "cali:vGt7dgGs1qYdQ-Sn" -m comment --comment "Drop if no profiles matched" -j DROP
-A cali-tw-${link} -m comment --comment "cali:0Lg4pbYPAwpfDtyS" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-tw-${link} -m comment --comment "cali:yTnHgk8eQ8jwYb6K" -m conntrack --ctstate INVALID -j DROP
-A cali-tw-${link} -m comment --comment "cali:3mXqkfJYfCDRfC4q" -j MARK --set-xmark 0x0/0x30000
-A cali-tw-${link} -m comment --comment "cali:b0nWAv9S6cvvvPQL" -m comment --comment "Start of tier default" -j MARK --set-xmark 0x0/0x20000
-A cali-tw-${link} -m comment --comment "cali:4goskqvxh5xcGw3s" -m mark --mark 0x0/0x20000 -j cali-pi-default.web
-A cali-tw-${link} -m comment --comment "cali:yAa7kCUaWwXxnZJQ" -m comment --comment "Return if policy accepted" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-tw-${link} -m comment --comment "cali:Ypgr5oF7a4OsnTGg" -m comment --comment "End of tier default. Drop if no policies passed packet" -m mark --mark 0x0/0x20000 -j DROP
-A cali-pi-default.web -p tcp -m comment --comment "cali:kZzWM4wu2A_MNzjD" -m multiport --dports 8080,8443 -j MARK --set-xmark 0x10000/0x10000
-A cali-pi-default.web -m comment --comment "cali:9nFzmcHkkMvBjmBH" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-pi-default.web -p udp -m comment --comment "cali:qDJNeLQY3MXa8ab5" -m multiport --dports 5353 -j MARK --set-xmark 0x10000/0x10000
-A cali-pro-kns.default -m comment --comment "cali:oLzzje5WExbgfib5" -j MARK --set-xmark 0x10000/0x10000
-A cali-pro-kns.default -m comment --comment "cali:g0E5Yw5gpyBTM8kR" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-wl-to-host -m comment --comment "cali:Ee9Sbo10IpVujdIY" -j cali-from-wl-dispatch
-A cali-wl-to-host -m comment --comment "cali:nSZbcOoG1xPONxb8" -m comment --comment "Configured DefaultEndpointToHostAction" -j ACCEPT
COMMIT`,
    `  for set in masq all; do
    ipset create cali\${f}0$set-ipam-pools hash:net family inet$([ $f = 4 ] || echo 6)
    ipset add cali\${f}0$set-ipam-pools $masq
  done`,
  );

/** tailscaled as subnet router, in its iptables mode: marks 0x40000 (from the tailnet) and 0x80000 (its own) of 0xff0000, rules 5210 to 5270. */
export const TAILSCALE = `${restore(
  `
*mangle
-A PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000
-A OUTPUT -m conntrack --ctstate NEW -m mark ! --mark 0x0/0xff0000 -j CONNMARK --save-mark --nfmask 0xff0000 --ctmask 0xff0000
COMMIT
*filter
:ts-forward - [0:0]
:ts-input - [0:0]
-I INPUT -j ts-input
-I FORWARD -j ts-forward
-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
$drop
-A ts-forward -o tailscale0 -j ACCEPT
$own
-A ts-input -i tailscale0 -j ACCEPT
-A ts-input -p udp -m udp --dport 41641 -j ACCEPT
COMMIT
*nat
:ts-postrouting - [0:0]
-I POSTROUTING -j ts-postrouting
-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
COMMIT`,
  `  case $f in
  4) drop='-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP' own='-A ts-input -s 100.101.102.103/32 -i lo -j ACCEPT
-A ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN
-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP' ;;
  6) drop='' own='-A ts-input -s fd7a:115c:a1e0::1/128 -i lo -j ACCEPT' ;;
  esac
  for pref in "5210 lookup main" "5230 lookup default" "5250 type unreachable"; do
    set -- $pref
    ip -$f rule add priority $1 fwmark 0x80000/0xff0000 $2 $3
  done
  ip -$f rule add priority 5270 lookup 52`,
)}
ip route add 100.90.0.9 dev tailscale0 table 52
ip route add 100.100.100.100 dev tailscale0 table 52
ip -6 route add fd7a:115c:a1e0::/48 dev tailscale0 table 52`;

/**
 * The agent of Cilium with its L7 proxy and on AWS ENIs (0x80 of both marks), the local table's rule moved behind its own. Instead of its eBPF
 * at the pod's link a chain marks what the DNS proxy is to see: 0x0200 and the proxy's port in network order.
 */
export const cilium = (link: string): string => `${restore(
  `
*raw
:CILIUM_OUTPUT_raw - [0:0]
:CILIUM_PRE_raw - [0:0]
-I PREROUTING -m comment --comment "cilium-feeder: CILIUM_PRE_raw" -j CILIUM_PRE_raw
-I OUTPUT -m comment --comment "cilium-feeder: CILIUM_OUTPUT_raw" -j CILIUM_OUTPUT_raw
-A CILIUM_OUTPUT_raw -o lxc+ -m mark --mark 0xa00/0xfffffeff -m comment --comment "cilium: NOTRACK for proxy return traffic" -j CT --notrack
-A CILIUM_OUTPUT_raw -o cilium_host -m mark --mark 0xa00/0xfffffeff -m comment --comment "cilium: NOTRACK for proxy return traffic" -j CT --notrack
-A CILIUM_OUTPUT_raw -o lxc+ -m mark --mark 0x800/0xe00 -m comment --comment "cilium: NOTRACK for L7 proxy upstream traffic" -j CT --notrack
-A CILIUM_PRE_raw -m mark --mark 0x200/0xf00 -m comment --comment "cilium: NOTRACK for proxy traffic" -j CT --notrack
COMMIT
*mangle
:CILIUM_POST_mangle - [0:0]
:CILIUM_PRE_mangle - [0:0]
-I PREROUTING -m comment --comment "cilium-feeder: CILIUM_PRE_mangle" -j CILIUM_PRE_mangle
-I POSTROUTING -m comment --comment "cilium-feeder: CILIUM_POST_mangle" -j CILIUM_POST_mangle
-A CILIUM_PRE_mangle ! -i lo -m socket --transparent -m mark ! --mark 0xe00/0xf00 -m mark ! --mark 0x800/0xf00 -m comment --comment "cilium: any->pod redirect proxied traffic to host proxy" -j MARK --set-xmark 0x200/0xffffffff
-A CILIUM_PRE_mangle -p tcp -m mark --mark 0x3d9a0200 -m comment --comment "cilium: TPROXY to host cilium-dns-egress proxy" -j TPROXY --on-port 39485 --on-ip $lo --tproxy-mark 0x200/0xffffffff
-A CILIUM_PRE_mangle -p udp -m mark --mark 0x3d9a0200 -m comment --comment "cilium: TPROXY to host cilium-dns-egress proxy" -j TPROXY --on-port 39485 --on-ip $lo --tproxy-mark 0x200/0xffffffff
-A CILIUM_PRE_mangle -i eth0 -m comment --comment "cilium: primary ENI" -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark 0x80/0x80
-A CILIUM_PRE_mangle -i lxc+ -m comment --comment "cilium: primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
COMMIT
*filter
:CILIUM_FORWARD - [0:0]
:CILIUM_INPUT - [0:0]
:CILIUM_OUTPUT - [0:0]
-I INPUT -m comment --comment "cilium-feeder: CILIUM_INPUT" -j CILIUM_INPUT
-I FORWARD -m comment --comment "cilium-feeder: CILIUM_FORWARD" -j CILIUM_FORWARD
-I OUTPUT -m comment --comment "cilium-feeder: CILIUM_OUTPUT" -j CILIUM_OUTPUT
-A CILIUM_FORWARD -o cilium_host -m comment --comment "cilium: any->cluster on cilium_host forward accept" -j ACCEPT
-A CILIUM_FORWARD -i cilium_host -m comment --comment "cilium: cluster->any on cilium_host forward accept (nodeport)" -j ACCEPT
-A CILIUM_FORWARD -i lxc+ -m comment --comment "cilium: cluster->any on lxc+ forward accept" -j ACCEPT
-A CILIUM_INPUT -m mark --mark 0x200/0xf00 -m comment --comment "cilium: ACCEPT for proxy traffic" -j ACCEPT
-A CILIUM_OUTPUT -m mark --mark 0xa00/0xe00 -m comment --comment "cilium: ACCEPT for proxy traffic" -j ACCEPT
-A CILIUM_OUTPUT -m mark ! --mark 0xe00/0xf00 -m mark ! --mark 0xd00/0xf00 -m mark ! --mark 0x400/0xf00 -m mark ! --mark 0xa00/0xe00 -m mark ! --mark 0x800/0xe00 -m mark ! --mark 0xf00/0xf00 -m comment --comment "cilium: host->any mark as from host" -j MARK --set-xmark 0xc00/0xf00
COMMIT
*nat
:CILIUM_POST_nat - [0:0]
-I POSTROUTING -m comment --comment "cilium-feeder: CILIUM_POST_nat" -j CILIUM_POST_nat
-A CILIUM_POST_nat -s $pods ! -d $cluster ! -o cilium_+ -m comment --comment "cilium masquerade non-cluster" -j MASQUERADE
-A CILIUM_POST_nat -m mark --mark 0xa00/0xe00 -m comment --comment "exclude proxy return traffic from masquerade" -j ACCEPT
COMMIT`,
  `  case $f in 4) lo=127.0.0.1 pods=10.244.1.0/24 cluster=10.0.0.0/8 ;; 6) lo=::1 pods=fd00:244::/64 cluster=fd00:244::/63 ;; esac
  ip -$f route add local default dev lo table 2004
  ip -$f rule add priority 9 fwmark 0x200/0xf00 lookup 2004
  ip -$f rule add priority 109 fwmark 0x80/0x80 lookup main
  ip -$f rule add priority 100 lookup local
  ip -$f rule delete priority 0`,
)}
nft -f - <<'END'
table netdev ebpf {
  chain ${link} { type filter hook ingress device "${link}" priority 0; tcp dport 53 meta mark set 0x3d9a0200; }
}
END`;
