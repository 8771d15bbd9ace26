/** What a host tells of who may have changed something there: asked only where something differs. */
import { script, type Transport } from '../../transport/index.ts';
import { FIND_SETTINGS, readSettings, type SettingLine } from '../causes.ts';

/** A program that is known to program networks, and runs in the host's own network namespace. */
export interface RunningProgram {
  readonly name: string;
  readonly pid: number;
  /** Seconds since the epoch. */
  readonly since: number;
}

/** A command that somebody ran by sudo, as the journal has it. */
export interface SudoCommand {
  readonly seconds: number;
  readonly who: string;
  readonly command: string;
}

export interface Clues {
  /** The host is its machine: its network namespace is that of process 1, so files of /etc and services speak of it. */
  readonly isMachine: boolean;
  /** Seconds since the epoch; absent where they cannot be told. */
  readonly bootedAt?: number;
  /** When the record of our last apply was written; in seconds too. */
  readonly appliedAt?: number;
  readonly programs: readonly RunningProgram[];
  /** Lines of files that nftables.service loads: `/etc/nftables.conf:3:flush ruleset`, and the tables they make. */
  readonly nftFiles: readonly string[];
  /** Units of systemd by name: when they last started, reloaded or stopped. */
  readonly units: ReadonlyMap<string, number>;
  readonly sudo: readonly SudoCommand[];
  readonly settings: readonly SettingLine[];
}

/** As /proc/PID/comm has them: 15 characters. */
const PROGRAMS = [
  ...['systemd-network', 'NetworkManager', 'firewalld', 'dockerd', 'kube-proxy', 'k3s-server', 'k3s-agent'],
  ...['tailscaled', 'calico-node', 'cilium-agent', 'fail2ban-server', 'miniupnpd', 'dhclient', 'dhcpcd'],
];

const UNITS = ['nftables', 'ufw', 'firewalld', 'docker', 'netfilter-persistent', 'systemd-sysctl'];

/** Commands of people that change what is ours; whatever else they run is nobody's affair. */
const COMMANDS =
  'COMMAND=[^ ]*/(nft|ip|ip6?tables[-a-z]*|wg|wg-quick|sysctl|ufw|firewall-cmd|systemctl|netfilter-persistent|service|conntrack) ';

/**
 * FOLDER: lines `machine`, `boot SECONDS`, `applied SECONDS`, `program PID SINCE NAME`, `unit MICROSECONDS NAME` (since the boot), `nft LINE`,
 * `sudo LINE`; then, after an empty line, what FIND_SETTINGS finds. What a host does not have, it does not tell.
 */
export const FIND_CLUES = `
own=$(readlink /proc/self/ns/net)
machine=
[ "$own" = "$(readlink /proc/1/ns/net)" ] && { machine=yes; echo machine; }
sed -n 's/^btime /boot /p' /proc/stat
t=$(stat -c %Y "$1/record.json" 2>/dev/null) && echo "applied $t"
for p in /proc/[0-9]*; do
  { read -r c <"$p/comm"; } 2>/dev/null || continue
  case " ${PROGRAMS.join(' ')} " in *" $c "*) ;; *) continue ;; esac
  [ "$(readlink "$p/ns/net" 2>/dev/null)" = "$own" ] || continue
  t=$(stat -c %Y "$p" 2>/dev/null) && echo "program \${p#/proc/} $t $c"
done
grep -nHE '^[[:space:]]*(flush[[:space:]]+ruleset|table[[:space:]])' /etc/nftables.conf /etc/nftables/*.nft /etc/sysconfig/nftables.conf 2>/dev/null | sed 's/^/nft /'
if [ -n "$machine" ] && [ -d /run/systemd/system ]; then
  for u in ${UNITS.join(' ')}; do
    t=$(systemctl show -p StateChangeTimestampMonotonic "$u.service" 2>/dev/null) && echo "unit \${t#*=} $u"
  done
  journalctl -q -t sudo --since -2d -n 2000 --no-pager -o short-unix 2>/dev/null | grep -E '${COMMANDS}' | tail -n 50 | sed 's/^/sudo /'
fi
echo
${FIND_SETTINGS}`;

export const CLUES_COMMAND = (stateFolder: string): readonly string[] => script(FIND_CLUES, stateFolder);

export async function findClues(transport: Transport, signal: AbortSignal): Promise<Clues> {
  const folder = await transport.stateFolder(signal);
  const { stdout } = await transport.run({ argv: CLUES_COMMAND(folder) }, signal);
  return readClues(stdout);
}

/** Reads what FIND_CLUES prints. */
export function readClues(text: string): Clues {
  const end = text.indexOf('\n\n');
  const lines = (end === -1 ? text : text.slice(0, end + 1)).split('\n');
  const after = (word: string): readonly string[] =>
    lines.flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []));
  const seconds = (word: string): number | undefined => {
    const [first] = after(word);
    return first === undefined || !/^\d+$/.test(first) ? undefined : Number(first);
  };
  const [bootedAt, appliedAt] = [seconds('boot'), seconds('applied')];
  return {
    isMachine: lines.includes('machine'),
    programs: after('program').flatMap((line) => {
      const [, pid, since, name = ''] = /^(\d+) (\d+) (.+)$/.exec(line) ?? [];
      return pid === undefined ? [] : [{ name, pid: Number(pid), since: Number(since) }];
    }),
    nftFiles: after('nft'),
    units: new Map(
      after('unit').flatMap((line) => {
        const [, micros, name = ''] = /^([1-9]\d*) (.+)$/.exec(line) ?? [];
        return micros === undefined || bootedAt === undefined ? [] : [[name, bootedAt + Number(micros) / 1e6] as const];
      }),
    ),
    sudo: after('sudo').flatMap(readSudo),
    settings: readSettings(end === -1 ? '' : text.slice(end + 2)),
    ...(bootedAt !== undefined && { bootedAt }),
    ...(appliedAt !== undefined && { appliedAt }),
  };
}

/** `1764273056.123456 edge sudo[812]:    alice : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/sbin/nft flush ruleset` (sudoers(5)). */
function readSudo(line: string): readonly SudoCommand[] {
  const [, seconds, who = '', command = ''] =
    /^(\d+)(?:\.\d+)? \S+ sudo\[\d+\]:\s+(\S+) : .*?COMMAND=(.*)$/.exec(line) ?? [];
  return seconds === undefined ? [] : [{ seconds: Number(seconds), who, command }];
}
