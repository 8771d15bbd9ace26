/** The gate as a text for a POSIX shell, around its judgement: what comes, goes and runs. */

/** Where it lies on a host, root's alone. */
export const GATE_PATH = '/usr/local/sbin/sallyport-gate';

/** More than fifty thousand forwards take, and little enough for a host of 512 MB; bytes. */
const LONGEST = 16 * 1024 * 1024;

/** `judge`: the program for awk; `sum` and `version`: whom it hears. */
export const gateShell = (version: string, sum: string, judge: string): string => `#!/bin/sh
# The gate of Sallyport ${version}, put here by "sallyport host adopt". Who logs in by the key in authorized_keys that names it may do what plans of
# Sallyport do, and nothing else. To take it away: this file, and that line.
[ "$1" = within ] || exec /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "REQUEST=$SSH_ORIGINAL_COMMAND" /bin/sh "$0" within
set -f
umask 077
cd /
f=
finish() { [ -z "$f" ] || rm -f "$f"; printf '\\nsallyport-end %s\\n' "$1" >&2; exit "$1"; }
refuse() { printf 'sallyport-gate: %s\\n' "$1" >&2; finish 48; }
trap 'rm -f "$f"; exit 143' TERM HUP PIPE
printf 'sallyport-begin %s\\n' "$$"
printf 'sallyport-begin %s\\n' "$$" >&2
case $REQUEST in
'sallyport ${sum} '*) ;;
'sallyport '*) refuse 'it is of Sallyport ${version}, and another version asks: run "sallyport host adopt" again' ;;
*) refuse 'a shell, a file or a command: this key is for Sallyport alone' ;;
esac
case $REQUEST in *[!A-Za-z0-9_./,:@+%=\\ -]*) refuse 'a request that is not written as it should be' ;; esac
[ "$(id -u)" = 0 ] || refuse 'a login that is not root'
set -- $(stat -L -c %i /proc/self/ns/net /proc/1/ns/net 2>/dev/null)
case $1 in '' | *[!0-9]*) refuse 'anything: its network namespace is unknown' ;; esac
state=/etc/sallyport
[ "$1" = "$2" ] || state=/run/sallyport/netns/$1
if [ "$REQUEST" = 'sallyport ${sum} hold' ]; then
  echo "sallyport-ready 0 $(id -un) $(date +%s) $1 $2"
  exec cat >/dev/null
fi
case $REQUEST in 'sallyport ${sum} sh -c @WITH_WHOLE_STDIN sh '*)
  n=\${REQUEST#*' @WITH_WHOLE_STDIN sh '} n=\${n%% *}
  case $n in '' | *[!0-9]* | ?????????*) refuse 'so long a stdin' ;; esac
  [ "$n" -le ${LONGEST} ] || refuse "$n bytes of stdin: ${LONGEST} are the most"
  f=$(mktemp -p /run 2>/dev/null) || f=$(mktemp) || finish 125
  head -c "$n" | tr -d '\\000' >"$f"
  came=$(wc -c <"$f")
  [ "$came" -eq "$n" ] || { echo "only $came of $n bytes of stdin came" >&2; finish 125; }
  ;;
esac
said=$(INPUT=$f STATE=$state awk '${judge}' "$0") || refuse "\${said:-anything: awk cannot judge it here}"
unset REQUEST
how=\${said%% *}
eval "set -- \${said#* }"
said=
case $how in
text)
  exec 3<"$f"
  rm -f "$f"
  f=
  "$@" <&3 3<&-
  ;;
live) "$@" ;;
none) "$@" </dev/null ;;
*) refuse anything ;;
esac
finish "$?"
`;
