#!/bin/sh
# namespaces.sh demo|test COMMAND...: runs it with the rights to make network namespaces: root's, a user namespace's, or by sudo.
# A demo takes the user namespace first, which asks for nothing. Tests take sudo first: a user namespace cannot raise
# the socket buffer that an nft transaction of 10,000 elements needs.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
what=$1
shift

# The lab itself enters the user namespace; here is only asked whether it could, a tun device for wireguard-go included.
user_namespace() {
  unshare --user --map-root-user --net --mount sh -c 'ip link set lo up && mount -t tmpfs tmpfs /run && exec 3<>/dev/net/tun' 2>/dev/null
}
by_sudo() { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }
# No cache and no root-owned file in the checkout: bytecode and test caches stay off.
run_by_sudo() {
  echo "running as root by sudo (network namespaces): $*" >&2
  exec sudo env PATH="$PATH" CI="${CI:-}" NODE_DISABLE_COMPILE_CACHE=1 "$@"
}

[ "$(id -u)" != 0 ] || exec "$@"
if [ "$what" = demo ] && user_namespace; then exec "$@"; fi
if by_sudo; then run_by_sudo "$@"; fi
if user_namespace; then exec "$@"; fi
echo 'Become root, install sudo, or allow user namespaces (kernel.apparmor_restrict_unprivileged_userns=0, /dev/net/tun open to all): the lab makes network namespaces.' >&2
exit 2
