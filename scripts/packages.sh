#!/bin/sh
# packages.sh demo|test|bench: the Debian packages whose commands are missing, installed as root or by sudo, each named with its reason.
# Leaves no service behind: nginx, sshd, haproxy, ufw, firewalld and dockerd are started by the lab alone, in namespaces of its own.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin   # an ordinary user's PATH on Debian lacks them
for_whom=${1:?demo, test or bench}

missing='' units='' saying=''
while read -r whom command package why; do
  case "$for_whom $whom" in 'demo test' | 'demo bench' | 'test bench') continue ;; esac
  if command -v "$command" >/dev/null || [ -f "$command" ]; then continue; fi
  case " $missing " in *" $package "*) continue ;; esac
  missing="$missing $package"
  [ "$command" != nginx ] || units="$units nginx.service"
  [ "$command" != haproxy ] || units="$units haproxy.service"
  [ "$command" != NetworkManager ] || units="$units NetworkManager.service NetworkManager-wait-online.service NetworkManager-dispatcher.service"
  [ "$command" != knotd ] || units="$units knot.service"
  [ "$command" != radvd ] || units="$units radvd.service"
  case $command in
    ufw) units="$units ufw.service" ;;
    firewalld) units="$units firewalld.service" ;;
    dockerd) units="$units docker.service docker.socket containerd.service" ;;
  esac
  [ "$command" != sshd ] || units="$units ssh.service ssh.socket"
  saying="${saying}installing $package ($why)
"
done <<'END'
demo nft nftables loads and reads the packet rules
demo ip iproute2 links, addresses, routes, rules and network namespaces
demo wg wireguard-tools makes keys and sets WireGuard peers
demo wireguard-go wireguard-go WireGuard where the kernel has none
demo conntrack conntrack shows and ends tracked connections
demo tcpdump tcpdump captures what goes over the wire
demo curl curl the client in front of the edge, for HTTP
demo perl perl-base captures packets without root
demo nginx nginx the real server behind the edge; its service stays off
demo haproxy haproxy the load balancer before the pod, and a proxy to compare with; its service stays off
demo sysctl procps reads and sets kernel settings
demo ps procps tells which processes a lab still has
demo unshare util-linux gives a lab namespaces of its own
demo nsenter util-linux runs a command in a host of the lab
test iptables iptables a foreign firewall for the tests to live beside
test ipset ipset sets that a foreign firewall's rules ask
test busybox busybox-static another POSIX shell that our scripts must run in
test nfacct nfacct the accounting objects that kube-proxy's rules name
test ping iputils-ping a client of the tests, for ICMP errors and path MTU
test python3 python3 sends what no socket may
test cc gcc compiles the fuzzer's hands in its namespaces and the load tool of the benchmark
test /usr/include/stdio.h libc6-dev for the compiler
test openssl openssl makes the certificate of a server behind the edge
test nc netcat-openbsd a client of the tests, for bare TCP and UDP
test ufw ufw a foreign firewall for the tests; it stays disabled
test firewalld firewalld a foreign firewall for the tests; its service stays off
test dockerd docker.io forwards and shuts forwarding beside us in the tests; its service stays off
test sshd openssh-server the far end of ssh access; its service stays off
test sudo sudo a login over ssh that becomes root by it
test knotd knot a DNS server whose answers change; its service stays off
test knotc knot asks it to read its zone again
test networkctl systemd the host's own network daemon, for the tests to live beside
test dbus-daemon dbus networkd, NetworkManager and firewalld answer by it
test NetworkManager network-manager the other such daemon; its services stay off
test radvd radvd a router that advertises itself; its service stays off
bench ethtool ethtool turns offloads off and on
bench /usr/lib/nginx/modules/ngx_stream_module.so libnginx-mod-stream nginx for any TCP, to compare with
bench socat socat to compare with
END
[ -n "$missing" ] || exit 0

refuse() { echo "$1 install$missing first, or become root." >&2; exit 2; }
command -v apt-get >/dev/null || refuse 'This is no Debian or Ubuntu:'
if [ "$(id -u)" = 0 ]; then sudo=''
elif ! command -v sudo >/dev/null; then refuse 'Neither root nor sudo:'
elif [ -t 0 ] || sudo -n true 2>/dev/null; then sudo=sudo
else refuse 'sudo wants a password and there is no terminal:'
fi

printf '%s' "$saying" >&2

# Services: RUNLEVEL=1 holds back init scripts; under systemd, which does not look at it, the new units are masked meanwhile.
if [ -n "$units" ] && [ -d /run/systemd/system ]; then
  release() {
    for unit in $units; do
      $sudo systemctl unmask --quiet --runtime "$unit" 2>/dev/null || true
      $sudo systemctl disable --quiet --now "$unit" 2>/dev/null || true   # not every release has each
    done
  }
  trap release EXIT
  for unit in $units; do $sudo systemctl mask --quiet --runtime "$unit" 2>/dev/null || true; done
fi
apt() {
  $sudo env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 RUNLEVEL=1 \
    apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}
# shellcheck disable=SC2086 # words, each a package
install() { apt install -y --no-install-recommends $missing 2>&1; }
# Lists that are missing or too old show as a failed install: only then are they fetched.
if ! said=$(install); then
  echo 'updating the package lists (apt-get update: they are missing or too old)' >&2
  apt update >&2
  said=$(install) || { echo "$said" >&2; exit 1; }
fi
