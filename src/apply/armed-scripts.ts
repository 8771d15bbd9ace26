/**
 * The texts by which a host is armed. In its folder lie `undo.sh`; `armed`, which who confirms, undoes or carries out a step takes away, by
 * a rename that only one can do; `begun` and `done`, the numbers of steps; what commands keep there; and `watch`, the process that waits.
 */
import type { ArmedCommand } from './armed.ts';

/** Takes away the folder $1 and those above it that are empty, up to /run. */
const CLEAN = `
clean() {
  rm -rf -- "$1"
  d=\${1%/*}
  while [ "$d" != /run ] && [ -n "$d" ]; do rmdir -- "$d" 2>/dev/null || break; d=\${d%/*}; done
}`;

/**
 * FOLDER SECONDS TOKEN TITLE LENGTH, stdin undo.sh: arms. Status 46 where a change is pending, and says which. The process that waits goes
 * by the token: an old one must not undo what came after it.
 */
export const BEGIN = `
umask 077
mkdir -p "\${1%/*}" || exit 1
mkdir "$1" 2>/dev/null || { cat "$1/title" >&2 2>/dev/null || ls -d "$1" >&2; exit 46; }
cd "$1" || exit 1
cat >undo.sh && [ "$(wc -c <undo.sh)" -eq "$5" ] && printf '%s\\n' "$4" >title && printf '%s\\n' "$3" >token || { cd /; rm -rf "$1"; exit 1; }
echo 0 >begun; echo 0 >done
setsid sh -c 'echo $$ >watch; : >armed; sleep "$2"; [ "$(cat "$1/token" 2>/dev/null)" = "$3" ] && exec sh "$1/undo.sh"' sh "$1" "$2" "$3" </dev/null >/dev/null 2>&1 &
n=0
while [ ! -e armed ]; do n=$((n+1)); [ "$n" -lt 200 ] || { echo 'nothing waits' >&2; cd /; rm -rf "$1"; exit 1; }; sleep 0.02; done`;

/** FOLDER NUMBER COMMAND…: carries one step out, unless the time is over (status 47). One that was refused, not killed, has nothing to take back. */
export const RUN = `
cd "$1" || exit 47
echo $$ >doing.pid
mv armed doing 2>/dev/null || exit 47
trap 'mv doing armed' EXIT
echo "$2" >begun
n=$2; shift 2
"$@"
r=$?
[ "$r" -ne 0 ] || { echo "$n" >done; exit 0; }
[ "$r" -gt 128 ] || echo "$((n-1))" >begun
exit 1`;

/** FOLDER: it stays as it is. Status 47: too late. */
export const CONFIRM = `${CLEAN}
cd "$1" || exit 47
mv armed confirmed 2>/dev/null || exit 47
kill -- "-$(cat watch)" 2>/dev/null
cd /
clean "$1"`;

/** FOLDER: takes everything back, or waits until that is done where somebody is at it. */
export const TAKE_BACK = `
[ -d "$1" ] || exit 0
w=$(cat "$1/watch")
sh "$1/undo.sh"
n=0
while [ -d "$1" ] && [ ! -e "$1/failed" ]; do n=$((n+1)); [ "$n" -lt 600 ] || { echo 'not done after a minute' >&2; exit 1; }; sleep 0.1; done
kill -- "-$w" 2>/dev/null
if [ -e "$1/failed" ]; then cat "$1/failed" >&2; exit 1; fi
exit 0`;

/**
 * `undo.sh`: takes the steps back that were begun, last first. A step whose process is at work is waited for; one that was killed in the
 * middle may have nothing to take back, so that what its undo says is not believed.
 */
export function armedScript(folder: string, undos: readonly (ArmedCommand | undefined)[]): string {
  const steps = undos.map((undo, index) => (undo === undefined ? '' : printUndo(undo, index + 1))).reverse();
  return `#!/bin/sh
# Takes back what was begun on this host; what that is the file "title" says.
cd ${quote(folder)} || exit 0
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL=C
while ! mv armed undoing 2>/dev/null; do
  [ -e doing ] || exit 0
  if kill -0 "$(cat doing.pid)" 2>/dev/null; then sleep 0.1; else mv doing undoing 2>/dev/null && break; fi
done
begun=$(cat begun); done=$(cat done); failed=
back() {
  said=$("$@" 2>&1) || { [ "$n" -gt "$done" ] || failed="$failed$n: $said
"; }
}
${steps.join('')}if [ -n "$failed" ]; then printf '%s' "$failed" >failed; exit 1; fi${CLEAN}
cd /
clean ${quote(folder)}
`;
}

function printUndo({ argv, stdin = '' }: ArmedCommand, number: number): string {
  const input = stdin === '' ? '</dev/null' : `<<'UNDO'\n${stdin}${stdin.endsWith('\n') ? '' : '\n'}UNDO`;
  return `n=${number}; [ "$begun" -lt "$n" ] || back ${argv.map(quote).join(' ')} ${input}\n`;
}

/** One word of a shell, whatever is in it. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
