/** The way back without Sallyport: a text for a POSIX shell that lies in the host's state folder, kept current by each apply. */
import { SALLYPORT_PROTOCOL } from '../routing/index.ts';
import { ACCEPT_TAG } from './accept.ts';
import { takeFirewalld } from './accept-firewalld.ts';
import { takeUfw } from './accept-ufw.ts';
import { DAEMON_FILES, DAEMON_FOLDERS, FILE_MARK } from './daemon-files.ts';
import type { HostRecord } from './record.ts';

/**
 * The text of `undo.sh`: takes from the host everything that is ours, and its state folder last. What is gone already is passed
 * over; where a step fails it goes on, keeps the folder, and ends with status 1. The tunnels go first: the rules that guard them
 * must not go before them. `namespace` is the name of a netns host's namespace: run elsewhere, the script enters it, or refuses.
 */
export function undoScript(record: HostRecord, stateFolder: string, namespace?: string): string {
  const sysctls = [...record.sysctlsBefore].sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const protocol = String(SALLYPORT_PROTOCOL);
  return `#!/bin/sh
# Takes back what Sallyport ${oneLine(record.version)} put on this host, without Sallyport: sh ${oneLine(stateFolder)}/undo.sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL=C
${inOwnNetwork('undo', stateFolder, namespace)}
failed=0
try() { "$@" || { echo "undo: failed: $*" >&2; failed=1; }; }
# A sysctl that is gone went with its interface.
put() {
  [ -e "/proc/sys/$1" ] || return 0
  printf '%s\\n' "$2" >"/proc/sys/$1"
}
# What we let through in the firewalls of others: rules with our tag, and no other.
for program in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy iptables ip6tables; do
  command -v "$program-save" >/dev/null || continue
  # Of its older kind it lists what there is, and must not be the first to ask.
  case $program in ip6*) names=/proc/net/ip6_tables_names ;; *) names=/proc/net/ip_tables_names ;; esac
  case $("$program-save" -V) in *nf_tables*) ;; *) [ -n "$(cat "$names" 2>/dev/null)" ] || continue ;; esac
  rules=$("$program-save" 2>/dev/null | awk '
    /^[*]/ { table = $0 }
    /^-A .* --comment "?${ACCEPT_TAG}"?( |$)/ { sub(/^-A/, "-D"); rules[table] = rules[table] $0 "\\n" }
    END { for (table in rules) printf "%s\\n%sCOMMIT\\n", table, rules[table] }')
  [ -z "$rules" ] || printf '%s\\n' "$rules" | "$program-restore" --noflush --wait=10 || { echo "undo: failed: $program-restore" >&2; failed=1; }
done
rules=$(nft -a list ruleset 2>/dev/null | awk '
  $1 == "table" { table = $2 " " $3 }
  $1 == "chain" { chain = $2 }
  / comment "${ACCEPT_TAG}" # handle [0-9]+$/ { print "delete rule", table, chain, "handle", $NF }')
[ -z "$rules" ] || printf '%s\\n' "$rules" | nft -f - || { echo 'undo: failed: nft' >&2; failed=1; }
${takeFirewalld(isThere(stateFolder, 'nft list table inet firewalld'))}${takeUfw(isThere(stateFolder, 'iptables -S ufw-user-input'))}for link in $(ip -o link show | sed -n 's/^[0-9]*: \\(sp-[^:@ ]*\\)[:@].*/\\1/p'); do
  try ip link delete dev "$link"
done
for family in -4 -6; do
  [ "$family" = -4 ] || [ -d /proc/sys/net/ipv6 ] || continue
  try ip "$family" rule flush protocol ${protocol}
  try ip "$family" route flush table all proto ${protocol}
done
if nft list table inet sallyport >/dev/null 2>&1; then try nft delete table inet sallyport; fi
${stateFolder === '/etc/sallyport' ? takeDaemonFiles() : ''}${sysctls.map(([path, value]) => `try put ${quote(path)} ${quote(value)}\n`).join('')}[ "$failed" -eq 0 ] || exit 1
rm -rf ${quote(stateFolder)}
`;
}

/** The daemons are told and not restarted: they would delete the rules and routes of others. */
const takeDaemonFiles = (): string => `told=
for file in ${DAEMON_FILES.map(({ path }) => quote(path)).join(' ')}; do
  [ -f "$file" ] && head -n 1 "$file" | grep -qxF -e ${quote(FILE_MARK)} || continue
  try rm -f "$file"
  told=yes
done
rmdir --ignore-fail-on-non-empty ${DAEMON_FOLDERS.join(' ')} 2>/dev/null
runs() { [ -n "$told" ] && [ -d /run/systemd/system ] && systemctl is-active --quiet "$1.service"; }
if runs systemd-networkd; then try networkctl reload; fi
if runs NetworkManager; then try nmcli general reload conf; fi
if [ -n "$told" ] && [ -d /run/systemd/system ]; then try systemctl daemon-reload; fi
`;

/** What is written for all interfaces at once changes the single ones too, so it is put back before them. */
const rank = (path: string): number => {
  if (!path.includes('/conf/') || path.includes('/conf/all/')) return 0;
  return path.includes('/conf/default/') ? 1 : 2;
};

/** Run in another network namespace than its own, a script would change the wrong host. `who` is its name in messages. */
export function inOwnNetwork(who: string, stateFolder: string, namespace: string | undefined): string {
  const inode = /^\/run\/sallyport\/netns\/(\d+)$/.exec(stateFolder)?.[1];
  const here = 'here=$(stat -L -c %i /proc/self/ns/net)';
  if (inode === undefined) {
    return `${here}
if [ "$here" != "$(stat -L -c %i /proc/1/ns/net)" ]; then
  echo "${who}: run this in the network namespace of process 1" >&2
  exit 1
fi`;
  }
  const name = namespace === undefined ? '' : quote(`/run/netns/${namespace}`);
  const enter = `if [ "$(stat -L -c %i ${name} 2>/dev/null)" = ${inode} ]; then exec nsenter --net=${name} -- sh "$0" "$@"; fi`;
  return `${here}
if [ "$here" != ${inode} ]; then
  ${name === '' ? '' : `${enter}\n  `}echo "${who}: run this in the network namespace with inode ${inode}" >&2
  exit 1
fi`;
}

/** One word of a shell, whatever is in it. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Files in /etc are those of the host, and of another network namespace only where what they say of stands there. */
const isThere = (stateFolder: string, test: string): string =>
  stateFolder === '/etc/sallyport' ? ':' : `${test} >/dev/null 2>&1`;

/** For a comment. */
const oneLine = (text: string): string => text.replaceAll(/[\n\r]/g, ' ');
