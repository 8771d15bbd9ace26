#!/bin/sh
# The first process of the VM once the host's files are there: says what kernel this is, runs the job, tells its status, ends the VM.
set -u
{ read -r checkout && read -r modules && read -r path; } </run/job
PATH=$checkout/.toolchain/node_modules/.bin:$checkout/node_modules/.bin:$path
export PATH HOME=/tmp LAB_LANE=vm LAB_PATIENCE=10 CI=true NO_COLOR=1 LC_ALL=C.UTF-8
cd "$checkout" || exit

run() (
  set -e
  release=$(uname -r)
  mkdir -p "/lib/modules/$release" /dev/pts /dev/shm
  mount --bind "$modules" "/lib/modules/$release"
  mount -t devpts -o ptmxmode=666 devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  # As udev, systemd and every container have them: `wg syncconf LINK /dev/stdin`.
  ln -s /proc/self/fd /dev/fd
  for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "/dev/${number#*:}"; done
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  ip link set lo up

  # Each file that a program opens is asked of the host, step by step; what all start is copied into the layer in memory.
  for program in sh env nsenter unshare mount mkdir mktemp rm stat cat grep sed awk tr wc uname ip nft wg conntrack perl sysctl; do
    at=$(command -v "$program") || continue
    readlink -f "$at"
    ldd "$at" 2>/dev/null | grep -o '/[^ ]*' | xargs -r readlink -f
  done | sort -u | while read -r file; do (: >>"$file") 2>/dev/null || :; done
  : >>/etc/ld.so.cache

  # WireGuard must be this kernel's: with no wireguard-go to be had, no test can pass by it.
  while program=$(command -v wireguard-go); do rm "$program"; done
  modprobe wireguard
  ip link add proof type wireguard
  echo "kernel $(uname -rv): modprobe wireguard: $(cat /sys/module/wireguard/version), $(ip -d link show proof | grep -ow wireguard)" \
    "in ip -d link; wireguard-go: $(command -v wireguard-go || echo none)"
  ip link delete proof

  xargs -0 -a /run/command sh -c '"$@"; echo $? >/run/status' sh </dev/null
)
# By way of a pipe: on a terminal the tools would draw.
run 2>&1 | cat
# What a program died of that no test meant to die.
dmesg | grep -E 'segfault at|traps: |[Oo]ut of memory'
[ ! -e /run/status ] || echo "the VM ends: $(cat /run/status)"
sync
echo o >/proc/sysrq-trigger
sleep 60
