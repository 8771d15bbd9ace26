/**
 * The few fixed texts we give to a POSIX shell on a host. What varies reaches them as arguments or stdin alone, and is never
 * part of the text; `sh` before the arguments is the shell's own name in its messages.
 */

/** `sh -c SCRIPT sh ARGUMENTS…` */
export const script = (text: string, ...args: readonly string[]): readonly string[] => [
  'sh',
  '-c',
  text,
  'sh',
  ...args,
];

/**
 * LENGTH COMMAND…: runs COMMAND with our stdin once all LENGTH bytes of it are there. Were we killed while writing, `nft -f -`
 * and `ip -batch -` would otherwise carry out the part that came through. What it keeps meanwhile lies in /run, in memory: quicker
 * than a disk, and there while that is full.
 */
export const WITH_WHOLE_STDIN = `
umask 077
f=$(mktemp -p /run 2>/dev/null) || f=$(mktemp) || exit 125
trap 'rm -f "$f"; exit 143' TERM HUP PIPE
cat >"$f" || { rm -f "$f"; exit 125; }
n=$(wc -c <"$f")
exec <"$f"
rm -f "$f"
trap - TERM HUP PIPE
if [ "$n" -ne "$1" ]; then echo "only $n of $1 bytes of stdin came" >&2; exit 125; fi
shift
exec "$@"`;

/**
 * COUNT, then for each command its number of arguments and these: runs all at once without stdin. Gives a line of their
 * statuses, a line with the sizes of stdout and stderr for each, and then all of that itself. 127: no such program. Where nobody reads that any
 * more, as over a line that was cut, nothing of it is left.
 */
export const SEVERAL = `
umask 077
d=$(mktemp -d -p /run 2>/dev/null) || d=$(mktemp -d) || exit 125
trap 'rm -rf "$d"' EXIT
trap 'exit 143' TERM HUP PIPE
n=$1; shift; i=0; pids=
while [ "$i" -lt "$n" ]; do
  c=$1; shift
  (
    k=0; t=$#
    while [ "$k" -lt "$c" ]; do set -- "$@" "$1"; shift; k=$((k+1)); done
    shift "$((t-c))"
    exec "$@"
  ) </dev/null >"$d/$i.out" 2>"$d/$i.err" &
  pids="$pids $!"
  shift "$c"
  i=$((i+1))
done
s=; i=0
for p in $pids; do
  wait "$p"; s="$s $?"
  set -- "$@" "$d/$i.out" "$d/$i.err"
  i=$((i+1))
done
{ echo $s >"$d/s"; } 2>/dev/null || { echo "no space is left in \${d%/*} for what was read" >&2; exit 125; }
echo $s
stat -c %s "$@" | tr '\\n' ' '
echo
cat "$@"`;

/** PATH: its text; status 44 where there is no such file. */
export const READ_FILE = `
[ -e "$1" ] || exit 44
exec cat "$1"`;

/**
 * `put FILE MODE`: FILE.new becomes FILE. `keep FILE TEXT`: FILE has this one line, and is left alone where it has. The temporary file has a
 * fixed name, so that what a killed run left is overwritten and not gathered.
 */
const PUT_AND_KEEP = `
umask 077
put() { chmod "$2" "$1.new" && sync "$1.new" && mv -f "$1.new" "$1" && sync "\${1%/*}"; }
keep() {
  if [ -e "$1" ] && read -r l <"$1" && [ "$l" = "$2" ]; then return 0; fi
  mkdir -p "\${1%/*}" && printf '%s\\n' "$2" >"$1.new" && put "$1" 600
}`;

/**
 * PATH MODE LENGTH [NOTE LINE]: stdin becomes the file, whole or not at all. Its folder is made where missing, readable by root alone. Before
 * it the file NOTE has the one LINE.
 */
export const WRITE_FILE = `${PUT_AND_KEEP}
[ "$#" -lt 5 ] || keep "$4" "$5" || exit 1
mkdir -p "\${1%/*}" || exit 1
cat >"$1.new" || exit 1
n=$(wc -c <"$1.new") || exit 1
if [ "$n" -ne "$3" ]; then rm -f "$1.new"; echo "only $n of $3 bytes came" >&2; exit 1; fi
put "$1" "$2"`;

/**
 * PATH MODE HEAD TAIL SUM [NOTE LINE]: the file becomes its first HEAD bytes, stdin, and its last TAIL bytes; as above. SUM is what b2sum says
 * of that: status 45 and nothing done where it is another one, because the file is, because not all of stdin came, or without a b2sum.
 */
export const CHANGE_FILE = `${PUT_AND_KEEP}
[ -e "$1" ] || exit 45
[ "$#" -lt 7 ] || keep "$6" "$7" || exit 1
{ head -c "$3" "$1" && cat && tail -c "$4" "$1"; } >"$1.new" 2>/dev/null || { rm -f "$1.new"; exit 45; }
s=$(b2sum <"$1.new" 2>/dev/null)
if [ "\${s%% *}" != "$5" ]; then rm -f "$1.new"; exit 45; fi
put "$1" "$2"`;

/**
 * FOLDER COMMAND…: runs COMMAND with FOLDER at /run/wireguard, where the control sockets of wireguard-go lie. Without that
 * folder no such link was made here, and an empty place hides the sockets of other namespaces. Wants a mount namespace of its own.
 */
export const WITH_SOCKETS = `
if [ -d "$1" ]; then mkdir -p /run/wireguard && mount -n --bind "$1" /run/wireguard || exit 125
elif [ -d /run/wireguard ]; then mount -n -t tmpfs tmpfs /run/wireguard || exit 125
fi
shift
exec "$@"`;

/**
 * PATH of a namespace, FOLDER of states: the namespace's inode number and its birth, a line each. Inode numbers are used again: a
 * state folder with another birth noted in it was left by a namespace that is gone, and with it goes all but a lock just taken.
 */
export const FIND_NAMESPACE = `
i=$(stat -L -c %i "$1") && b=$(stat -L -c %z "$1") || exit 44
n=$2/$i/namespace
if [ -e "$n" ] && [ "$(cat "$n")" != "$b" ]; then
  find "$2/$i" -mindepth 1 -maxdepth 1 ! -name 'lock*' -exec rm -rf {} + || exit 1
fi
printf '%s\\n' "$i" "$b"`;

/**
 * The head of a script that goes on: it ends with its stdin, which whoever listens holds open and writes nothing to, and all of its process group
 * with it, a group of its own here and behind ssh: neither a lost connection nor a listener that was killed leaves anything running. The rest of the
 * script reads nothing, and waits for nobody but by number.
 */
export const END_UNHEARD = `
exec 3<&0 </dev/null
{ cat <&3 >/dev/null 2>&1; kill -TERM 0; } &
trap "kill $! 2>/dev/null" EXIT
exec 3<&-`;

/** Any command, to end as well when nobody listens any more: for `Transport.follow`. */
export const whileHeard = (argv: readonly string[]): readonly string[] => script(`${END_UNHEARD}\n"$@"`, ...argv);

/** GROUP: asks it to end, when our scripts take their temporary files away, and a second later ends what is left of it. */
export const END_GROUP = `
kill -TERM "-$1"
sleep 1
kill -KILL "-$1" 2>/dev/null`;
