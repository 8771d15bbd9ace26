/**
 * The texts by which a host is armed for a change of ours. In its folder lie `undo.sh`; `armed.TOKEN`, which who confirms or undoes takes
 * away, by a rename that only one can do; `lock`, which each command of the change holds; `begun`, the step that began last; `beat`, when
 * we were last heard of; copies of the files that change; and `watch` or `unit`, who waits.
 */
import type { Undo, UndoCommand } from './driver.ts';

/** Ends who waits, from the folder. A number may have come to somebody else. */
const STOP_WATCH = `
stop_watch() {
  if [ -e unit ]; then systemctl stop "$(cat unit).timer" 2>/dev/null
  elif read -r w <watch && read -r t <token; then
    line=; { read -r line <"/proc/$w/cmdline"; } 2>/dev/null
    case $line in *"$t"*) kill -- "-$w" 2>/dev/null ;; esac
  fi
}`;

/** In hundredths of a second since boot: no clock that anybody sets. */
const NOW = `
now() { read -r u _ </proc/uptime && echo "\${u%.*}\${u#*.}"; }`;

/**
 * FOLDER MILLISECONDS TOKEN TITLE GENERATION FILE…, stdin undo.sh: arms. Status 46 where a change is pending, and says which, as PENDING does. Nothing is left where it
 * fails. As few processes as can be: what is changed waits for it.
 */
export const ARM = `${NOW}${STOP_WATCH}
umask 077
state=\${1%/*} folder=$1 window=$2 token=$3 title=$4 generation=$5; shift 5
[ -d "$state" ] || mkdir -p "$state" || exit 1
if ! mkdir "$folder" 2>/dev/null; then
  [ ! -d "$folder" ] || { cat "$folder/generation" "$folder/title" >&2 2>/dev/null; exit 46; }
  mkdir "$folder" || exit 1
fi
# Of a full disk a shell says no more than "I/O error": cat says what it is.
fail() { if [ -n "$1" ]; then echo "$1" >&2; else echo | cat >why; fi; cd /; rm -rf "$folder"; rmdir "$state" 2>/dev/null; exit 1; }
cd "$folder" || exit 1
cat >undo.sh || fail
printf '%s\\n' "$title" >title && echo "$generation" >generation && printf '%s\\n' "$token" >token && : >lock && echo 0 >begun && now >beat || fail
i=0
for file; do
  i=$((i+1))
  [ ! -e "$file" ] || ln "$file" "file.$i" 2>/dev/null || cp -p "$file" "file.$i" || fail
done
if [ -e "$state/lock" ]; then read -r holder <"$state/lock" && printf '%s\n' "$holder" >holder || fail; fi
if [ "$state" = /etc/sallyport ]; then
  sync undo.sh token title generation . 2>/dev/null || sync
fi
if [ "$state" = /etc/sallyport ] && [ -d /run/systemd/system ]; then
  unit=sallyport-undo-$token
  echo "$unit" >unit
  systemd-run --quiet --collect --unit="$unit" --description="Sallyport: $title" --on-active="\${window}ms" --timer-property=AccuracySec=100ms -- sh "$folder/undo.sh" wait || fail
else
  command -v setsid >/dev/null || fail 'setsid is missing: install the Debian package util-linux'
  watch=$(setsid sh "$folder/undo.sh" wait "$token" &) && [ -n "$watch" ] || fail 'nothing waits'
  echo "$watch" >watch || fail
fi
: >"armed.$token" || { stop_watch; fail; }`;

/** FOLDER TOKEN: we are still there; where who waits is not (killed for memory, or by hand), another takes its place. Status 47: too late. */
export const BEAT = `${NOW}
cd "$1" 2>/dev/null && [ -e "armed.$2" ] || exit 47
now >beat.new && mv beat.new beat || exit 1
[ ! -e watch ] && exit 0
line=; read -r w <watch && { read -r line <"/proc/$w/cmdline"; } 2>/dev/null
case $line in *"$2"*) exit 0 ;; esac
watch=$(setsid sh "$1/undo.sh" wait "$2" &) && [ -n "$watch" ] && echo "$watch" >watch`;

/** FOLDER TOKEN: it stays as it is. Status 47: too late. */
export const CONFIRM = `${STOP_WATCH}
cd "$1" 2>/dev/null && mv "armed.$2" confirmed 2>/dev/null || exit 47
# What is said to stand must stand after a loss of power too.
[ "$1" != /etc/sallyport/pending ] || sync . 2>/dev/null || sync
stop_watch
cd /
rm -rf "$1"`;

/** FOLDER TOKEN: takes everything back, or waits until that is done where somebody is at it. Status 1: not all of it, and says what. */
export const TAKE_BACK = `
[ "$(cat "$1/token" 2>/dev/null)" = "$2" ] || exit 0
sh "$1/undo.sh" now
[ ! -e "$1/failed" ] || { cat "$1/failed" >&2; exit 1; }
exit 0`;

/**
 * FOLDER: as TAKE_BACK, whatever change is pending there. One that was never armed is not begun, and only forgotten; so is one that cannot
 * be taken back as it was written, for whoever looks at the host now sees what is left of it.
 */
export const SETTLE = `
[ -d "$1" ] || exit 0
cd "$1"
for f in armed.* undoing failed; do
  [ ! -e "$f" ] || { sh "$1/undo.sh" now; break; }
done
cd /
rm -rf "$1"`;

/** FOLDER TOKEN: status 0 while that change is pending there, 44 where it is not, or will never be taken back as it was written. */
export const IS_PENDING = `[ "$(cat "$1/token" 2>/dev/null)" = "$2" ] && [ ! -e "$1/failed" ] || exit 44`;

/** FOLDER: of the change that is pending there, if there is one, a line with its generation and its title. */
export const PENDING = '[ ! -d "$1" ] || cat "$1/generation" "$1/title" 2>/dev/null || echo 0';

export interface UndoText {
  readonly folder: string;
  readonly token: string;
  readonly windowMs: number;
  readonly undo: Undo;
  /** Nothing of ours stood there before: all goes that lies in the state folder, keys too. */
  readonly wipes: boolean;
  /** Commands there run in a mount namespace of their own, where sockets are shown to them. */
  readonly hasOwnMounts: boolean;
}

/**
 * `undo.sh`: takes back the steps that were begun, last first. `wait`: only when nobody was heard of for so long, and gives the host free for
 * others then. `boot`: of what is in the kernel nothing is left, so only what lasts is taken back; a change that was never confirmed is undone, armed or not.
 * What the last step that began had done is not known: what its way back says is not believed.
 */
export function undoText({ folder, token, windowMs, undo, wipes, hasOwnMounts }: UndoText): string {
  const state = folder.slice(0, folder.lastIndexOf('/'));
  const end = `END_${token.replaceAll('-', '')}`;
  const inode = /^\/run\/sallyport\/netns\/(\d+)\//.exec(folder)?.[1] ?? '"$(stat -L -c %i /proc/1/ns/net)"';
  const steps = undo.steps.map(({ step, commands, lasts }) =>
    [
      `n=${step}`,
      `if [ "$1" ${lasts === true ? '= boot ] ||' : '!= boot ] &&'} [ "$begun" -ge "$n" ]; then`,
      ...commands.map((each) => printCommand(each, end)),
      'fi\n',
    ].join('\n'),
  );
  const files = undo.files.map((path, index) => `put_back ${index + 1} ${quote(path)}\n`);
  return `#!/bin/sh
# Takes back a change of Sallyport's that was not confirmed; which one, the file "title" says.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL=C
umask 077
folder=${quote(folder)} state=${quote(state)} token=${token}
cd "$folder" 2>/dev/null && read -r its <token && [ "$its" = "$token" ] || exit 0
${WAIT.replace('WINDOW', String(Math.ceil(windowMs / 10)))}
[ "$(stat -L -c %i /proc/self/ns/net)" = ${inode} ] || { echo "undo: run this in the network namespace of $folder" >&2; exit 1; }
${CLAIM.replace('SHOW_SOCKETS', hasOwnMounts ? SHOW_SOCKETS : '')}
${steps.join('')}${files.join('')}${finish(wipes)}`;
}

const printCommand = ({ argv, stdin = '', mild }: UndoCommand, end: string): string => {
  const input = stdin === '' ? '</dev/null' : `<<'${end}'\n${stdin}${stdin.endsWith('\n') ? '' : '\n'}${end}`;
  return `${mild === true ? 'mild' : 'back'} ${argv.map(quote).join(' ')} ${input}`;
};

/** The folder of wireguard-go's sockets may have come since who waits was started. */
const SHOW_SOCKETS = `[ "$1" != wait ] || [ ! -d "$state/wireguard" ] || mount -n --bind "$state/wireguard" /run/wireguard
`;

/** Says who it is to whoever arms. */
const WAIT = `${NOW}${STOP_WATCH}
if [ "$1" = wait ]; then
  echo $$
  exec </dev/null >/dev/null 2>&1
  read -r heard <beat
  while
    read -r h <beat && heard=$h
    left=$((heard+WINDOW-$(now)))
    [ "$left" -gt 0 ]
  do sleep "$((left/100)).$((left%100/10))$((left%10))"
  done
fi`;

/** A change that is being carried out comes to its end first, or is ended after a second: who is locked out must not wait for it. */
const CLAIM = `if [ "$1" = boot ]; then
  [ ! -e confirmed ] || { cd / && rm -rf "$folder"; exit 0; }
  mv "armed.$token" undoing 2>/dev/null || : >undoing
fi
mv "armed.$token" undoing 2>/dev/null || [ -e undoing ] || [ -e failed ] || exit 0
exec 9<lock
n=0
until flock -n -x 9; do
  n=$((n+1))
  if [ "$n" = 10 ] && [ ! -e undoer ] && p=$(cat doing 2>/dev/null); then kill -KILL -- "-$p" 2>/dev/null || kill -KILL "$p" 2>/dev/null; fi
  [ "$n" -lt 600 ] || break
  sleep 0.1
done
[ "$(cat token 2>/dev/null)" = "$token" ] || exit 0
: >undoer
SHOW_SOCKETSbegun=$(cat begun) failed=
# What was begun last may not have come to the disk.
[ "$1" != boot ] || begun=0
wrong() { [ "$n" -ge "$begun" ] || failed="$failed$n: $1
"; }
back() { said=$("$@" 2>&1) || wrong "$said"; }
# Of ip and wg: it is so already.
mild() {
  said=$("$@" 2>&1) && return
  left=$(printf '%s\\n' "$said" | grep -v -e '^Command failed -:' -e 'exist' -e 'already assigned' -e 'not found' -e 'No such' -e 'Cannot find device' -e 'Cannot assign requested address')
  [ -z "$left" ] || wrong "$left"
}
put_back() {
  rm -f "$2.new"
  n=0
  if [ ! -e "file.$1" ]; then rm -f "$2" || wrong "$2"; return; fi
  [ ! "file.$1" -ef "$2" ] || return 0
  mkdir -p "\${2%/*}"
  { ln -f "file.$1" "$2.back" 2>/dev/null || cp -p "file.$1" "$2.back"; } && mv -f "$2.back" "$2" || failed="$failed$2 cannot be put back
"
  rm -f "$2.back"
}`;

/** The mark goes first, and then the lock of whoever began the change: nobody else may begin before that. */
const finish = (
  wipes: boolean,
): string => `if [ -n "$failed" ]; then printf '%s' "$failed" >failed; rm -f undoing undoer; exit 1; fi
${wipes ? `find "$state" -mindepth 1 -maxdepth 1 ! -name "\${folder##*/}" ! -name 'lock*' -exec rm -rf {} +\n` : ''}[ "$1" = wait ] || stop_watch
holder=$(cat holder 2>/dev/null)
cd /
mv "$folder" "$folder.gone" && rm -rf "$folder.gone"
if [ "$1" != now ] && [ -n "$holder" ]; then
  flock "$state" sh -c '[ "$(cat "$1/lock" 2>/dev/null)" = "$2" ] && rm -f "$1/lock"' sh "$state" "$holder"
fi
while [ "$state" != /run ] && [ "$state" != /etc ] && [ -n "$state" ]; do rmdir "$state" 2>/dev/null || break; state=\${state%/*}; done
exit 0
`;

/** One word of a shell, whatever is in it. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
