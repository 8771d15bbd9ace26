/** The script that `doctor --collect` prints: it runs commands on a host on which nothing can be installed, and writes a bundle. */
import { BUNDLE_FORMAT, BUNDLED_STATE, commandId, labelOf } from './bundle.ts';

/** `'it'\''s'`: a word for a POSIX shell. */
const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** As quote; the state folder is the host's own. */
const wordOf = (word: string): string =>
  word === BUNDLED_STATE || word.startsWith(`${BUNDLED_STATE}/`)
    ? `"$state"${quote(word.slice(BUNDLED_STATE.length))}`
    : quote(word);

/**
 * The script for these commands, which are thought to be asked of a host with its state in BUNDLED_STATE; each once. `further` is shell text
 * for what can be named on the host alone: there `more COMMAND...` runs one.
 */
export function collectScript(version: string, commands: readonly (readonly string[])[], further = ''): string {
  const byId = new Map(commands.map((argv) => [commandId(argv), argv]));
  const runs = [...byId].map(([id, argv]) => `run ${id} ${quote(labelOf(argv))} ${argv.map(wordOf).join(' ')}`);
  return `${HEAD(version)}${runs.join('\n')}\n${further}\n${TAIL}`;
}

const HEAD = (version: string): string => `#!/bin/sh
# Written by "sallyport doctor --collect", version ${version}. It reads how this host's network stands and changes nothing.
# As root: sh collect.sh >HOST.bundle   or   sh collect.sh FILE. No private or preshared key goes into it; addresses and rules do.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
umask 077
for p in sha256sum wc cat mktemp awk grep sort; do
  command -v "$p" >/dev/null || { echo "collect: there is no $p here, and nothing can be collected without it" >&2; exit 1; }
done
d=$(mktemp -d -p /run 2>/dev/null) || d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
limit=
if command -v timeout >/dev/null && timeout 5 true 2>/dev/null; then limit='timeout 60'; fi

net=$(stat -L -c %i /proc/self/ns/net 2>/dev/null)
first=$(stat -L -c %i /proc/1/ns/net 2>/dev/null)
state=${BUNDLED_STATE}
[ -z "$net" ] || [ "$net" = "$first" ] || state=/run/sallyport/netns/$net
name=-
for f in /run/netns/*; do
  [ -e "$f" ] && [ -n "$net" ] && [ "$(stat -L -c %i "$f" 2>/dev/null)" = "$net" ] && name=\${f##*/}
done
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=unknown
host=$(cat /proc/sys/kernel/hostname 2>/dev/null || uname -n)
[ "$name" = - ] || host=$name

# The keys that must not leave the host, only to look for them in what was said.
secrets=$({
  wg show all private-key
  wg show all preshared-keys | awk '{ print $NF }'
  grep -hiE '^[[:space:]#;]*(private|preshared)-?key' /etc/wireguard/*.conf /etc/systemd/network/*.netdev \\
    /run/systemd/network/*.netdev /etc/NetworkManager/system-connections/*
  cat "$state"/keys/*.key "$state"/keys/*.psk
} 2>/dev/null | grep -oE '[A-Za-z0-9+/]{43}=' | sort -u)

# FILE: keys in it are hidden; where that cannot be done it is emptied, and the status says so.
hide() {
  [ -n "$secrets" ] || return 0
  printf '%s\\n' "$secrets" >"$d/keys"
  if grep -qF -f "$d/keys" "$1"; then
    awk 'NR == FNR { s[$0]; next }
      { for (k in s) while (i = index($0, k)) $0 = substr($0, 1, i - 1) "(hidden)" substr($0, i + length(k)) } 1' "$d/keys" "$1" >"$d/hidden" &&
      mv -f "$d/hidden" "$1" || { : >"$1"; status=125; }
  fi
  rm -f "$d/keys"
}

# PROGRAM: its file in "program". BusyBox would take its own ip or grep for the host's.
find_program() {
  program=$1
  IFS=:
  for f in $PATH; do
    if [ -x "$f/$1" ] && [ ! -d "$f/$1" ]; then program=$f/$1; break; fi
  done
  unset IFS
}

count=0 failed=
{ echo "sallyport-bundle ${BUNDLE_FORMAT} ${version}"; echo "host $host"; echo "state $state"; echo "boot $boot"; echo "namespace $name"; } >"$d/bundle" || exit 1

# ID LABEL COMMAND...: its status, stdout and stderr become part of the bundle.
run() {
  id=$1 label=$2
  shift 2
  find_program "$1"
  shift
  $limit "$program" "$@" </dev/null >"$d/out" 2>"$d/err"
  status=$?
  hide "$d/out"
  hide "$d/err"
  about="$status $(($(wc -c <"$d/out"))) $(($(wc -c <"$d/err")))"
  { printf '%s %s %s\\n' "$id" "$about" "$label"; cat "$d/out"; echo; cat "$d/err"; echo; } >"$d/part" || exit 1
  sum=$(sha256sum <"$d/part") || exit 1
  { printf 'output %s %s %s %s\\n' "$id" "$about" "\${sum%% *}" "$label"; cat "$d/out"; echo; cat "$d/err"; echo; } >>"$d/bundle" || exit 1
  count=$((count+1))
  [ "$status" -eq 0 ] || [ ! -s "$d/err" ] || failed="$failed
  $label: $(head -n 1 "$d/err")"
}

more() {
  id=$(printf '%s\\0' "$@" | sha256sum)
  run "$(printf %.32s "$id")" "$*" "$@"
}

`;

const TAIL = `
sum=$(sha256sum <"$d/bundle") || exit 1
printf 'end %s %s\\n' "$count" "\${sum%% *}" >>"$d/bundle" || exit 1
[ "$(id -u)" = 0 ] || echo 'collect: not run as root: what only root may see is missing' >&2
[ -z "$failed" ] || printf 'collect: could not be collected:%s\\n' "$failed" >&2
file=\${1:-}
if [ -z "$file" ] && [ -t 1 ]; then file=$host.bundle; fi
if [ -z "$file" ]; then cat "$d/bundle"; exit; fi
cat "$d/bundle" >"$file" && echo "collect: written to $file" >&2
`;
