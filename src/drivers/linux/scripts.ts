/** The fixed texts the driver gives to a POSIX shell on the host. What varies reaches them as arguments alone. */

/**
 * `wg show all dump` without its secrets: no private or preshared key leaves the host. A link whose wireguard-go just ended cannot
 * be read and makes `wg` fail; the others still count.
 */
export const DUMP_WIREGUARD = `
out=$(wg show all dump) || { s=$?; [ "$s" -eq 127 ] && exit 127; }
[ -z "$out" ] || printf '%s\\n' "$out" | awk -F '\\t' -v 'OFS=\\t' 'NF == 5 { $2 = "(hidden)" } NF == 9 && $3 != "(none)" { $3 = "(hidden)" } 1'`;

/** PATH: its text; nothing where there is no such file. */
export const READ_IF_THERE = '[ ! -e "$1" ] || exec cat "$1"';

/**
 * FOLDER: a line `LINK PUBLICKEY` for each key file in it. One that is no key counts as none. Where there are preshared keys, `:file NAME SHA256` for each,
 * and `:peer LINK PUBLICKEY SHA256` for each peer that has one set: none is an argument of a process, for printf is the shell's own.
 */
export const READ_KEYS = `
for f in "$1"/*.key; do
  [ -s "$f" ] || continue
  p=$(wg pubkey <"$f" 2>/dev/null) || continue
  l=\${f##*/}
  printf '%s %s %s\\n' "\${l%.key}" "$p" "$(date -r "$f" +%s 2>/dev/null)"
done
any=
for f in "$1"/*.psk; do
  [ -s "$f" ] && s=$(sha256sum <"$f") || continue
  any=yes f=\${f##*/}
  printf ':file %s %s\\n' "\${f%.psk}" "\${s%% *}"
done
[ -z "$any" ] || wg show all preshared-keys 2>/dev/null | while read -r l p k; do
  [ "$k" != '(none)' ] && s=$(printf '%s\\n' "$k" | sha256sum) && printf ':peer %s %s %s\\n' "$l" "$p" "\${s%% *}"
done
:`;

/**
 * FOLDER LINK PUBLICKEY COMMAND…: makes the private key of PUBLICKEY the one of LINK, where it lies beside, and runs COMMAND, which sets it. The key that
 * was in force lies beside then, so that the same takes it back. No key is lost wherever it ends: the file changes by one rename.
 */
export const EXCHANGE_KEY = `
umask 077
d=$1 l=$2 p=$3; shift 3
if [ "$(wg pubkey <"$d/$l.key" 2>/dev/null)" != "$p" ]; then
  for c in next before; do
    [ -s "$d/$l.$c.key" ] && [ "$(wg pubkey <"$d/$l.$c.key")" = "$p" ] || continue
    o=next; [ "$c" = before ] || o=before
    ln -f "$d/$l.key" "$d/$l.$o.key" && mv -f "$d/$l.$c.key" "$d/$l.key" && sync "$d/$l.key" "$d" || exit 1
    break
  done
fi
exec "$@"`;

/**
 * FOLDER: removes keys that are in no use, unless a change is pending: what takes that back may need them. Which preshared keys are, the record
 * says by their names.
 */
export const FORGET_KEYS = `
[ ! -e "$1/pending" ] || exit 0
for f in "$1"/keys/*.psk; do
  n=\${f##*/}
  [ ! -e "$f" ] || grep -qsF -e ""\${n%.psk}"" "$1/record.json" || rm -f -- "$f"
done
rm -f -- "$1"/keys/*.next.key "$1"/keys/*.before.key "$1"/keys/*_.key`;

/** FOLDER: it goes, with keys that were made for nothing, unless a record stands in it. */
export const FORGET_UNRECORDED = '[ -e "$1/record.json" ] || rm -rf -- "$1"';

/** `saver FAMILY BACKEND`: names the saver of iptables' rules in `c`, where there is one of that kind. */
const SAVER = `
saver() {
  w=iptables; [ "$1" = 4 ] || w=ip6tables
  if command -v "$w-$2-save" >/dev/null; then c=$w-$2-save; return; fi
  command -v "$w-save" >/dev/null || return
  case $("$w-save" -V 2>/dev/null) in *nf_tables*) b=nft ;; *) b=legacy ;; esac
  if [ "$b" = "$2" ]; then c=$w-save; else return 1; fi
}`;

/**
 * FAMILY BACKEND, rules for iptables-restore on stdin: changes these and leaves all else. It waits for whoever changes rules meanwhile,
 * as long as dockerd and kube-proxy do.
 */
export const RESTORE_IPTABLES = `${SAVER}
saver "$1" "$2" || { echo "there is no iptables-restore for IPv$1 ($2)" >&2; exit 127; }
exec "\${c%-save}-restore" --noflush --wait=10`;

/** FAMILY BACKEND TABLE LINE: as RESTORE_IPTABLES, unless the line is listed. */
export const INSERT_UNLESS_LISTED = `${SAVER}
saver "$1" "$2" || { echo "there is no iptables-save for IPv$1 ($2)" >&2; exit 127; }
"$c" -t "$3" 2>/dev/null | grep -qxF -e "$4" && exit
exec "\${c%-save}-restore" --noflush --wait=10`;

/** FAMILY, a whole table on stdin: what iptables' older kind has there becomes this. */
export const EXCHANGE_LEGACY = `${SAVER}
saver "$1" legacy || { echo "there is no iptables-legacy for IPv$1" >&2; exit 127; }
exec "\${c%-save}-restore" --wait=10`;

/** FAMILY TABLE CHAIN COMMENT: deletes the rules that bear it. */
export const DELETE_NFT_RULE = `
for h in $(nft -a list chain "$1" "$2" "$3" | sed -n "s/.* comment \\"$4\\" # handle \\([0-9]*\\)$/\\1/p"); do
  nft delete rule "$1" "$2" "$3" handle "$h" || exit
done`;

/** PATH, its text on stdin: a new file, for whoever reads the folder. */
export const WRITE_FILE = `
umask 022
mkdir -p "\${1%/*}" && cat >"$1.new" && ln "$1.new" "$1"
r=$?
rm -f "$1.new"
exit "$r"`;

/** PATH TEXT: removes the file where it says this; a folder of networkd's goes with the last that is in it. */
export const REMOVE_FILE = `
rm -f "$1.new"
[ -e "$1" ] && [ "$(cat "$1"; echo .)" = "$2." ] || exit 0
rm -f "$1" && { [ "\${1%/*}" != /etc/systemd/networkd.conf.d ] || rmdir --ignore-fail-on-non-empty "\${1%/*}"; }`;

/**
 * FAMILY BACKEND TABLE, lines `BEHIND PAST -A CHAIN …` on stdin, in their order: puts each rule back where it stood, behind so many lines that
 * are not ours, and of ours right there before them (PAST 0) or behind them (1). One that is there still is left.
 */
export const PUT_BACK_IPTABLES = `${SAVER}
new=$(cat)
saver "$1" "$2" || { echo "there is no iptables-save for IPv$1 ($2)" >&2; exit 127; }
lines=$({ "$c" -t "$3" | grep '^-A '; echo; printf '%s\n' "$new"; } | awk '
  /^$/ { more = 1; next }
  { chain = more ? $4 : $2 }
  !more { line[chain, ++count[chain]] = $0; next }
  {
    behind = $1; past = $2; sub(/^[0-9]+ [01] /, "")
    there = 0
    for (i = 1; i <= count[chain]; i++) if (line[chain, i] == $0) there = 1
    if (there) next
    others = 0; at = 1
    while (at <= count[chain]) {
      ours = line[chain, at] ~ / --comment "?sallyport"?( |$)/
      if (others >= behind && !(ours && past)) break
      if (!ours) others++
      at++
    }
    for (i = ++count[chain]; i > at; i--) line[chain, i] = line[chain, i - 1]
    line[chain, at] = $0
    rest = $0; sub(/^-A [^ ]+ /, "", rest)
    print "-I", chain, at, rest
  }')
[ -n "$lines" ] || exit 0
printf '*%s\n%s\nCOMMIT\n' "$3" "$lines" | "\${c%-save}-restore" --noflush --wait=10`;

/**
 * FAMILY BACKEND TABLE CHAIN, lines `-I …` on stdin: takes all of ours out of the chain and puts these in, as RESTORE_IPTABLES would.
 * Nothing to do where there is no such chain and nothing is to be put in.
 */
export const EXCHANGE_IPTABLES = `${SAVER}
new=$(cat)
saver "$1" "$2" || { [ -z "$new" ] && exit 0; echo "there is no iptables-save for IPv$1 ($2)" >&2; exit 127; }
old=$("$c" -t "$3" 2>/dev/null | awk -v chain="$4" '$1 == "-A" && $2 == chain && / --comment "?sallyport"?( |$)/ { sub(/^-A/, "-D"); print }')
[ -n "$old$new" ] || exit 0
{ echo "*$3"; printf '%s\n' "$old" "$new" | sed '/^$/d'; echo COMMIT; } | "\${c%-save}-restore" --noflush --wait=10`;

/**
 * FAMILY TABLE CHAIN BEHIND, rules a line on stdin: takes all of ours out of a chain that is another's and puts these in, behind so many
 * rules of its owner. Nothing to do where there is no such chain and nothing is to be put in.
 */
export const EXCHANGE_NFT = `
new=$(cat)
list=$(nft -a list chain "$1" "$2" "$3" 2>&1) || { [ -z "$new" ] && exit 0; printf '%s\n' "$list" >&2; exit 1; }
{ printf '%s\n' "$list"; echo; printf '%s\n' "$new"; } | awk -v place="$1 $2 $3" -v behind="$4" '
  /^$/ { rules = 1; next }
  !rules && /# handle [0-9]+$/ && !/^[ \t]*(table|chain) / {
    if (/ comment "sallyport" # handle [0-9]+$/) print "delete rule", place, "handle", $NF
    else if (others++ == behind) next_one = $NF
  }
  rules { if (next_one) print "insert rule", place, "handle", next_one, $0; else print "add rule", place, $0 }' | nft -f -`;

/**
 * FAMILY BACKEND: what that saver of iptables lists, after a line `= FAMILY BACKEND STATUS`; 127 where there is none. Then,
 * where a rule asks a set, `= ipset STATUS` and all sets. Their own comments (the date) are left out, so that the same rules give the
 * same text; what they warn of a table stays.
 */
export const LIST_IPTABLES = `${SAVER}
if saver "$1" "$2"; then t=$("$c" 2>/dev/null); s=$?; else t=; s=127; fi
printf '= %s %s %s\\n' "$1" "$2" "$s"
printf '%s\\n' "$t" | grep -v '^# \\(Generated\\|Completed\\|Warning\\)'
case $t in *--match-set*) ;; *) exit 0 ;; esac
t=$(ipset save 2>/dev/null)
printf '= ipset %s\\n%s\\n' "$?" "$t"`;

/**
 * FOLDER LINK…: makes FOLDER/LINK.key for each link that has no usable one, and gives the lines of READ_KEYS for all of them. Status
 * 127: no wg. The key goes from `wg genkey` to the file and nowhere else, by cat, which says of a full disk that it is full; wg does not notice. What a
 * killed run left is written anew.
 */
export const MAKE_KEYS = `
umask 077
command -v wg >/dev/null || exit 127
mkdir -p "$1" || exit 1
d=$1; shift
for l; do
  f=$d/$l.key
  if ! [ -s "$f" ] || ! wg pubkey <"$f" >/dev/null 2>&1; then
    k=$(wg genkey) && printf '%s\\n' "$k" | cat >"$f.new" && sync "$f.new" && mv -f "$f.new" "$f" || { rm -f "$f.new"; exit 1; }
  fi
  chmod 600 "$f" || exit 1
  p=$(wg pubkey <"$f") || exit 1
  printf '%s %s\\n' "$l" "$p"
done
sync "$d"`;

/**
 * PROBE_INSIDE: what links can be made, tried in a network namespace that is thrown away: the words kernel, userspace or absent for WireGuard, then
 * kernel or absent for VXLAN, then kernel, forgetful or absent for flowtables; unknown for all three where there may be no such namespace.
 * That may load a module, as the first real link would. Where nf_flowtable_tcp_timeout came (Linux 5.14), a connection that leaves the
 * flowtable keeps the time that others have; before that it was two minutes, whatever nf_conntrack_tcp_timeout_established says.
 * Last `absent:` with the kinds for IPIP and GRE that there is no module for, or `unknown` where nobody can say. Those are not tried: their
 * modules make a device of their own in every namespace (tunl0, gre0).
 */
export const PROBE_LINKS = `
unshare --net sh -c "$1" 2>/dev/null || { echo unknown; echo unknown; echo unknown; }
a=absent:
for m in ipip sit ip6tnl:ip6_tunnel gre:ip_gre ip6gre:ip6_gre; do
  [ -d "/sys/module/\${m#*:}" ] || modprobe -n -q "\${m#*:}" 2>/dev/null || a="$a \${m%:*}"
done
command -v modprobe >/dev/null || [ ! -e /proc/modules ] || a=unknown
echo "$a"`;

/** What PROBE_LINKS runs in that namespace, one for all: to make one and take it away costs more than what is tried in it. */
export const PROBE_INSIDE = `
if ip link add sp-probe type wireguard; then echo kernel
elif command -v wireguard-go >/dev/null && [ -c /dev/net/tun ]; then echo userspace
else echo absent
fi
if ip link add sp-probe2 type vxlan id 1 dstport 4789; then echo kernel; else echo absent; fi
if ! nft -f - <<'END'
table inet p {
  flowtable f { hook ingress priority 0; devices = { "lo" }; counter; }
  chain c { type filter hook forward priority 0; flow add @f; }
}
END
then echo absent
elif [ -e /proc/sys/net/netfilter/nf_flowtable_tcp_timeout ]; then echo kernel
else echo forgetful
fi`;

/**
 * LINK COMMAND…: starts wireguard-go in a session of its own, so that no Ctrl-C of ours reaches it, waits until it answers (its
 * socket resets the first connections), and runs COMMAND.
 */
export const START_WIREGUARD_GO = `
l=$1; shift
setsid wireguard-go "$l" </dev/null 9>&- || exit
i=0
until wg show "$l" listen-port >/dev/null 2>&1; do
  i=$((i+1))
  if [ "$i" -gt 250 ]; then
    echo 'wireguard-go was started and does not answer' >&2
    ip link delete dev "$l"
    exit 1
  fi
  sleep 0.02
done
"$@" || { ip link delete dev "$l"; exit 1; }`;

/**
 * LINK: deletes it, and where a wireguard-go of this network namespace held it, waits until that is gone. Its end removes the
 * socket, which may be its successor's by then.
 */
export const REMOVE_WIREGUARD = `
n=$(readlink /proc/self/ns/net); holder=
for p in $(pgrep -x wireguard-go); do
  [ "$(readlink "/proc/$p/ns/net")" = "$n" ] && tr '\\0' '\\n' <"/proc/$p/cmdline" | grep -qxF -e "$1" && holder=$p
done
runs() { [ -n "$holder" ] && grep -qs '^State:.[^ZX]' "/proc/$holder/status"; }
ip link delete dev "$1" || exit
s=/run/wireguard/$1.sock; i=0
while { [ -S "$s" ] || runs; } && [ "$i" -lt 100 ]; do i=$((i+1)); sleep 0.02; done
rm -f "$s"`;

/** PATH VALUE, and again: each becomes so where it is not; one that is gone went with its link. */
export const PUT_SYSCTLS = `
set -f
r=0
while [ "$#" -gt 0 ]; do
  f=/proc/sys/$1
  if [ -e "$f" ]; then
    v=$(cat "$f")
    is=$(set -- $v; echo "$*")
    wanted=$(set -- $2; echo "$*")
    [ "$is" = "$wanted" ] || printf '%s\n' "$2" >"$f" || { echo "$1" >&2; r=1; }
  fi
  shift 2
done
exit "$r"`;

/** PATH VALUE, and again: as PUT_SYSCTLS, and one that is not there is missing. */
export const RESTORE_SYSCTLS = `
r=0
m=
for w; do
  if [ -z "$m" ]; then [ -e "/proc/sys/$w" ] || { echo "$w is not there" >&2; r=1; }; m=value; else m=; fi
done
(
${PUT_SYSCTLS}
) || r=1
exit "$r"`;

/** LINK: as REMOVE_WIREGUARD, where there is such a link. */
export const REMOVE_WIREGUARD_IF_THERE = `ip link show dev "$1" >/dev/null 2>&1 || exit 0
${REMOVE_WIREGUARD}`;

/** LINK FOLDER COMMAND…: as START_WIREGUARD_GO, where there is no such link; FOLDER is for its socket. */
export const START_IF_ABSENT = `! ip link show dev "$1" >/dev/null 2>&1 || exit 0
mkdir -p -m 700 "$2" || exit
l=$1; shift 2; set -- "$l" "$@"
${START_WIREGUARD_GO}`;

/** COMMAND…: tries it, and says nothing of it. */
export const TRY = '"$@" 2>/dev/null || :';

/** PATH CONTENT COMMAND…: runs COMMAND unless the file says CONTENT, or is not there for none. */
export const UNLESS_IT_SAYS = `
if [ -z "$2" ]; then [ -e "$1" ] || [ -L "$1" ] || exit 0
elif [ -e "$1" ] && [ "$(cat "$1"; echo .)" = "$2." ]; then exit 0
fi
shift 2
exec "$@"`;

/** PATH VALUE, and again: writes each sysctl and reads it back. Stops at the first that does not take its value, and says how many stand. */
export const WRITE_SYSCTLS = `
set -f
n=0
while [ "$#" -gt 0 ]; do
  f=/proc/sys/$1
  if ! printf '%s\\n' "$2" >"$f" || ! v=$(cat "$f"); then echo "$n"; exit 1; fi
  is=$(set -- $v; echo "$*")
  wanted=$(set -- $2; echo "$*")
  if [ "$is" != "$wanted" ]; then echo "$n"; echo "it stays $is" >&2; exit 1; fi
  n=$((n+1))
  shift 2
done
echo "$n"`;
