/** The host's own network daemons: which run, what of theirs is ours, and telling them of it. */
import {
  DAEMON_FILES,
  DAEMON_FOLDERS,
  type Daemon,
  FILE_MARK,
  type HostFacts,
  type OtherInit,
} from '../../host/index.ts';
import { script } from '../../transport/index.ts';

/** A file of a daemon to be written, or without `content` removed. */
export interface DaemonFileItem {
  readonly path: string;
  readonly content?: string;
}

/** Only a machine of its own has daemons: a network namespace beside it shares the machine's files, and is not what they look after. */
export const daemonsCommand = (stateFolder: string): readonly string[] | undefined =>
  stateFolder === '/etc/sallyport' ? script(OBSERVE_DAEMONS, ...DAEMON_FILES.map(({ path }) => path)) : undefined;

/** Reads the output of daemonsCommand. */
export function readDaemons(
  text: string,
): Required<Pick<HostFacts, 'daemons'>> & Pick<HostFacts['state'], 'files'> & { readonly init: OtherInit | undefined } {
  const [running = '', ...parts] = text.split(SEPARATOR);
  const words = running.split('\n').map((line) => line.split(' ')[1] ?? '');
  const names = words.flatMap((word) => NAMES.get(word) ?? []);
  const files = new Map<string, string>();
  for (const part of parts) {
    const end = part.indexOf('\n');
    files.set(part.slice(0, end), part.slice(end + 1, -1));
  }
  return { daemons: [...new Set(names)], files, init: INITS.find((name) => words.includes(name)) };
}

/** What the kernel calls their processes: 15 bytes at most. */
const NAMES: ReadonlyMap<string, Daemon> = new Map([
  ['systemd', 'systemd'],
  ['systemd-network', 'systemd-networkd'],
  ['NetworkManager', 'NetworkManager'],
]);

const INITS: readonly OtherInit[] = ['OpenRC', 'procd'];

const SEPARATOR = '\u0001';

/** PATH...: a line `PID NAME` for each daemon of this network, not of a container in it, and for who started the host; then each PATH that is there with its text, a link to nothing included. */
export const OBSERVE_DAEMONS = `
pgrep -l -x --ns $$ --nslist net,pid 'systemd-network|NetworkManager'
if [ -d /run/systemd/system ]; then echo '1 systemd'; elif [ -d /run/openrc ]; then echo '1 OpenRC'; elif [ -x /sbin/procd ]; then echo '1 procd'; fi
for f; do
  [ -e "$f" ] || [ -L "$f" ] || continue
  printf '\\001%s\\n' "$f"; cat "$f"; echo
done`;

/** Writes and removes files of one daemon and tells it, or leaves them as they were and fails. */
export const daemonFilesCommand = (
  stateFolder: string,
  daemon: Daemon,
  items: readonly DaemonFileItem[],
): readonly string[] =>
  script(
    CHANGE_DAEMON_FILES,
    stateFolder,
    daemon,
    FILE_MARK,
    ...items.flatMap(({ path, content = '' }) => [path, content]),
  );

/**
 * FOLDER DAEMON MARK, and PATH CONTENT again and again; no CONTENT: the file goes. One that does not bear MARK is somebody else's.
 * networkd takes networkd.conf when it starts (a reload reads .network files alone), so it is restarted once it is there: it keeps addresses and
 * leases then (RestartKillSignal). The .network file comes after that: where it stands, the restart was. When they go, nothing is
 * restarted: the daemon would delete whatever rules and routes of others have come meanwhile. NetworkManager takes all by a reload.
 */
export const CHANGE_DAEMON_FILES = `
umask 022
t=$1/daemon-file.new d=$2 mark=$3; shift 3; mkdir -p "\${t%/*}" || exit
ours() { [ ! -e "$1" ] && [ ! -L "$1" ] || head -n 1 "$1" | grep -qxF -e "$mark"; }
runs() { [ -d /run/systemd/system ] && systemctl is-active --quiet "$d.service"; }
ran=
restart() { [ "$d" = NetworkManager ] || ! runs || { ran=yes; systemctl try-restart "$d.service"; }; }
reload() {
  if [ "$d" = systemd ]; then [ ! -d /run/systemd/system ] || systemctl daemon-reload; return; fi
  runs || return 0
  if [ "$d" = systemd-networkd ]; then networkctl reload; return; fi
  for left in 9 8 7 6 5 4 3 2 1 0; do # just started, it runs for a moment before it answers
    said=$(nmcli general reload conf 2>&1) && return
    [ "$left" = 0 ] || sleep 0.2
  done
  echo "$said" >&2
  return 1
}
put() { mkdir -p "\${1%/*}" && printf %s "$2" >"$t" && sync "$t" && mv -f "$t" "$1"; }
take() { rm -f "$1" || return; case \${1%/*} in ${DAEMON_FOLDERS.join(' | ')}) rmdir --ignore-fail-on-non-empty "\${1%/*}" ;; esac; }
written=
fail() { for f in $written; do take "$f"; done; [ -z "$ran" ] || systemctl start "$d.service"; exit 1; }
restarted=
while [ "$#" -gt 0 ]; do
  ours "$1" || { echo "$1 is somebody else's" >&2; fail; }
  if [ -z "$2" ]; then [ ! -e "$1" ] || take "$1" || fail
  else
    case $1 in *.network) [ -n "$restarted" ] || restart || fail; restarted=yes ;; esac
    [ -e "$1" ] || written="$written $1"
    put "$1" "$2" || fail
    case $1 in *networkd.conf.d*) restart || fail; restarted=yes ;; esac
  fi
  shift 2
done
reload || fail`;
