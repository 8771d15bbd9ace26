#!/bin/sh
# One boot after the other of an edge whose process 1 is Debian's systemd, with kernel WireGuard to a node. What was applied comes back after
# a loss of power and serves; a change that nobody confirms is taken back, by who waits, whatever the clock says, and at a boot. What a boot
# must know of the one before lies in /notes, a disk of its own: nothing but the product syncs the disk of the edge. Its last line is that of a test run.
set -u
edge=/etc/sallyport node=/run/sallyport/netns/$(stat -L -c %i /run/netns/node)
boot=$(cat /notes/boot 2>/dev/null || echo 0)
documents=scripts/vm/boot/edge.yaml
# In hundredths of a second. Two seconds are promised after the window; emulated, all takes ten times as long.
window=1500 late=2000

now() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}"; }
say() { echo "boot $boot, $(cut -d . -f 1 /proc/uptime) s after its start: $*"; }
end() { echo "$2"; echo "the VM ends: $1"; sync; echo o >/proc/sysrq-trigger; sleep 60; }
fail() {
  say "$*"
  systemctl --no-pager --full status 'sallyport-*' vm-network | tail -n 40
  end 1 '0 passed, 1 failed'
}
sallyport() { node bin/sallyport "$@" >/run/said 2>&1 || { cat /run/said; fail "sallyport $*"; }; }

# All that the edge is, and its files.
dump() {
  nft -s list ruleset
  # At a boot what is ours may be there before the network.
  for at in /sys/class/net/*; do { ip -d link show dev "${at##*/}"; ip addr show dev "${at##*/}"; } | sed 's/^[0-9]*: //'; done
  for f in -4 -6; do ip $f rule; ip $f route show table all | sort; done
  wg show all private-key | sha256sum; wg show all allowed-ips; wg show all persistent-keepalive; wg show all listen-port
  grep -rs '' /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward | grep -v stable_secret
  find $edge /etc/systemd/system/sallyport-* /etc/systemd/system/sysinit.target.d -type f -exec sha256sum {} + | sort
}
served() {
  [ "$(ip netns exec internet perl -MSocket -e '
    alarm 5; socket(my $s, PF_INET, SOCK_STREAM, 0); connect($s, pack_sockaddr_in(shift, inet_aton("198.51.100.10"))) or die "connect: $!\n";
    print scalar <$s>' "$1" 2>&1)" = 198.51.100.1 ]
}
# Within a minute: links take a moment to have a carrier, and the node says hello again.
soon() { n=0; until "$@"; do n=$((n+1)); [ "$n" -lt 120 ] || return 1; sleep 0.5; done; }
is_as_applied() { dump >/run/now; cmp -s /notes/applied /run/now; }
as_applied() { soon is_as_applied || { diff /notes/applied /run/now; fail "$1: the edge is not as it was applied"; }; }
# The power is gone: no process is told, nothing is written any more.
power_off() {
  echo $((boot+1)) >/notes/boot
  sync -f /notes
  say "$1; the power fails"
  echo b >/proc/sysrq-trigger
  sleep 60
}

set_clock() { date -s "@$(($(date +%s) + $1))" >/dev/null; }
# A change of both hosts, that stands and that nobody has confirmed.
change() {
  sed -i s/8080/8081/ "$1"
  node bin/sallyport apply --yes --confirm-timeout "$2" -f "$1" >/run/said 2>&1 &
  changing=$!
  n=0
  until [ -e $edge/pending ] && [ -e "$node/pending" ] && nft list table inet sallyport | grep -q 8081 && ip netns exec node nft list table inet sallyport | grep -q 8081; do
    n=$((n+1)); [ "$n" -lt 600 ] && kill -0 $changing || { cat /run/said; fail 'nothing was changed'; }
    sleep 0.1
  done
}
# NAME FOLDER: when its way back begins, and when it is over, after it last heard of us.
how_long() (
  start=$(now) heard=0
  overdue() { [ $(($(now) - start)) -gt $((window + 2 * late)) ]; }
  while set -- "$1" "$2" "$2"/pending/armed.* && [ -e "$3" ] && ! overdue; do
    if read -r beat <"$2/pending/beat"; then heard=$beat; fi
    sleep 0.05
  done 2>/dev/null
  begun=$(($(now) - heard))
  while [ -e "$2/pending" ] && ! overdue; do sleep 0.05; done
  over=$(($(now) - heard))
  echo "$1 began $begun and was done $over hundredths of a second after it last heard of apply"
  [ $begun -ge $window ] && [ $over -le $((window + late)) ]
)
# No packet is asked for then: WireGuard takes no handshake that is older than the last one (its paper, 5.1), and both ends have this clock.
# The one who applies is killed, and the clock set on by an hour, and then to an hour before what it was: the timer of systemd goes off on the
# edge, and a process's on the node. Who goes by the clock comes at once or an hour too late.
nobody_is_heard_of() {
  ip netns exec node nft -s list ruleset >/run/node
  cp $documents /run/more.yaml
  change /run/more.yaml $((window / 100))s
  kill -KILL $changing
  say 'a change stands on both hosts, and apply is killed'
  set_clock 3600
  how_long edge $edge >/run/edge.times & edge_times=$!
  how_long node "$node" >/run/node.times & node_times=$!
  [ "$(systemctl list-units --no-legend 'sallyport-undo-*.timer' | grep -c waiting)" = 1 ] || fail 'no timer of systemd waits'
  sleep $((window / 300))
  for pending in $edge/pending "$node/pending"; do [ -e "$pending" ] || fail "the clock set on by an hour: $pending was not waited for"; done
  set_clock -7200
  wait $edge_times; edge_status=$?
  wait $node_times || edge_status=1
  set_clock 3600
  say "the clock set, nobody is heard of: $(cat /run/edge.times), $(cat /run/node.times)"
  [ $edge_status = 0 ] || fail "not between $window and $((window + late))"
  as_applied 'taken back'
  ip netns exec node nft -s list ruleset | diff /run/node - || fail 'the node is not as it was'
  [ -z "$(systemctl list-units --all --no-legend 'sallyport-undo-*')" ] || fail 'something waits still'
}
came_back() {
  as_applied "$1"
  soon served 80 || fail "$1: nothing is served"
  if ! grep -q ' 8080' /run/early || grep -q -e 8081 -e pending /run/early; then cat /run/early; fail 'so it was before the network'; fi
  [ "$(systemctl is-active sallyport-boot sallyport-online | sort -u)" = active ] || fail 'a unit failed'
}

say 'begins'
case $boot in
  0)
    sallyport apply --yes --confirm-timeout 10m -f $documents
    ip -br link show type wireguard | grep -q sp-wg51820 || fail 'there is no link of kernel WireGuard'
    soon served 80 || fail 'nothing is served after apply'
    dump >/notes/applied
    cp -a "$node" /notes/node
    echo "${node##*/}" >/notes/inode
    power_off 'applied and served'
    ;;
  1)
    came_back 'after a loss of power'
    say 'all came back by itself, with the same keys, and is served'
    nobody_is_heard_of
    cp $documents /run/more.yaml
    change /run/more.yaml 10m
    kill -STOP $changing
    grep -q '"generation": 2,' $edge/record.json || fail 'the record is not the next one'
    power_off 'a change is pending'
    ;;
  2)
    grep -q '"generation": 1,' $edge/record.json || fail 'the record is not that of before the change'
    came_back 'after a loss of power while a change was pending'
    sallyport destroy --yes --confirm-timeout 10m -f $documents
    left=$(ls -d $edge /etc/systemd/system/sallyport-* /etc/systemd/system/sysinit.target.d 2>/dev/null)
    [ -z "$left" ] || fail "destroy left $left"
    say 'the change is taken back, what stood before it is served; destroyed, nothing is left'
    end 0 '4 passed, 0 failed'
    ;;
esac
