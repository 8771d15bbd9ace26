/** The commands by which `doctor` looks at a host beyond its facts, and what they say. They read; nothing is changed. */
import { type Address, parseAddress, parsePrefix } from '../../net/index.ts';
import { CONNTRACK_COMMANDS, CONNTRACK_STATUS, type ConntrackEntry, readConntrack } from '../../nftables/index.ts';
import type { Entry, HalfOpen, Looks, PathProbe, WireGuardFile } from './patient.ts';

interface Said {
  readonly stdout: string;
  readonly status: number;
}

const shell = (text: string): readonly string[] => ['sh', '-c', text];

/**
 * What wg-quick's files say: a line `file PATH LINK`, then of each its `Table`, and of each peer `peer`, `key`, `allowed`, `endpoint` and
 * `means` with what the resolver says. The private and preshared keys are never printed.
 */
const READ_FILES = `
for f in /etc/wireguard/*.conf; do
  [ -f "$f" ] || continue
  l=\${f##*/}; echo "file $f \${l%.conf}"
  sed -n -e 's/[[:space:]]*#.*//' -e 's/^[[:space:]]*//' \\
    -e 's/^\\[[Pp]eer\\].*/peer/p' -e 's/^[Tt]able[[:space:]]*=[[:space:]]*/table /p' \\
    -e 's/^[Pp]ublic[Kk]ey[[:space:]]*=[[:space:]]*/key /p' -e 's/^[Aa]llowed[Ii][Pp]s[[:space:]]*=[[:space:]]*/allowed /p' \\
    -e 's/^[Ee]ndpoint[[:space:]]*=[[:space:]]*/endpoint /p' "$f" |
  while read -r k v; do
    echo "$k $v"
    [ "$k" = endpoint ] || continue
    case $v in \\[*|*[!A-Za-z0-9._:-]*) continue ;; *[A-Za-z]*) ;; *) continue ;; esac
    echo means $(timeout 2 getent ahosts "\${v%:*}" | awk '{print $1}' | sort -u)
  done
done
:`;

/**
 * Of each peer with an endpoint a line LINK ENDPOINT MTU BYTES SMALL LARGE and what ping said: echo requests marked as the tunnel's own
 * packets are, with DF set. WireGuard adds 60 bytes over IPv4, 80 over IPv6 (the paper, 5.4.6).
 */
const PROBE_PATHS = `
command -v ping >/dev/null || exit 1
for l in $(wg show interfaces 2>/dev/null); do wg show "$l" endpoints | { while read -r k e; do
  [ "$e" != '(none)' ] || continue
  (
    a=\${e%:*}; a=\${a#\\[}; a=\${a%\\]}
    m=$(ip -o link show dev "$l" | sed -n 's/.* mtu \\([0-9]*\\) .*/\\1/p')
    w=$(wg show "$l" fwmark); [ "$w" = off ] && w=0
    case $a in *:*) o=$((m+80)); h=48 ;; *) o=$((m+60)); h=28 ;; esac
    s=no; b=no
    timeout 2 ping -n -q -c 1 -W 1 -m "$w" -M do -s 56 "$a" >/dev/null 2>&1 && s=yes
    if [ "$s" = yes ]; then
      t=$(timeout 3 ping -n -c 3 -i 0.3 -W 1 -m "$w" -M do -s "$((o-h))" "$a" 2>&1) && b=yes
      t=$(echo "$t" | grep -i -m 1 -E 'too long|too large|frag needed|packet too big')
    fi
    echo "$l $a $m $o $s $b $t"
  ) &
done; wait; }
done`;

const FLUSHES = `
grep -nHE '^[[:space:]]*flush[[:space:]]+ruleset' /etc/nftables.conf /etc/nftables/*.nft /etc/sysconfig/nftables.conf 2>/dev/null
grep -nHE '^[[:space:]]*FlushAllOnReload=yes' /etc/firewalld/firewalld.conf 2>/dev/null
:`;

const NETWORKD = `
grep -nHE '^[[:space:]]*ManageForeign' /etc/systemd/networkd.conf /etc/systemd/networkd.conf.d/*.conf /run/systemd/networkd.conf.d/*.conf /usr/lib/systemd/networkd.conf.d/*.conf 2>/dev/null
:`;

/** Independent of each other, for one round trip; readLooks reads what they say, in this order. */
export const LOOK_COMMANDS: readonly (readonly string[])[] = [
  CONNTRACK_COMMANDS[4],
  CONNTRACK_COMMANDS[6],
  ['conntrack', '-S'],
  ['cat', '/proc/self/net/netstat'],
  ['cat', '/proc/self/net/tcp'],
  ['cat', '/proc/self/net/tcp6'],
  shell(READ_FILES),
  shell(PROBE_PATHS),
  shell('[ -w /proc/sys/net/ipv4/conf/all/src_valid_mark ]'),
  shell(FLUSHES),
  shell(NETWORKD),
  ['date', '+%s'],
  shell('grep -q "sysctl -n net.ipv4.conf.all.src_valid_mark" "$(command -v wg-quick)"'),
];

/** What the outputs of LOOK_COMMANDS say. */
export function readLooks(outputs: readonly Said[]): Looks {
  const at = (index: number): string | undefined => (outputs[index]?.status === 0 ? outputs[index].stdout : undefined);
  const [ipv4, ipv6] = [at(0), at(1)];
  const entries = ipv4 === undefined ? undefined : readEntries(ipv4, ipv6 ?? '');
  const stats = at(2);
  const drops = reversePathDrops(at(3) ?? '');
  const [tcp, tcp6] = [at(4), at(5)];
  const [files, probes, writable, flushes, networkd] = [at(6), at(7), outputs[8], at(9), at(10)];
  const now = Number(at(11));
  const asksFirst = outputs[12]?.status === 0;
  return {
    ...(entries !== undefined && { entries }),
    ...(tcp !== undefined && { halfOpen: [...readHalfOpen(tcp), ...readHalfOpen(tcp6 ?? '')] }),
    ...(drops !== undefined && { reversePathDrops: drops }),
    ...(stats !== undefined && { conntrackStats: readStats(stats) }),
    ...(files !== undefined && { wireguardFiles: readFiles(files) }),
    ...(probes !== undefined && { probes: probes.split('\n').flatMap(readProbe) }),
    ...(writable !== undefined && { sysctlsWritable: writable.status === 0 }),
    wgQuickAsksFirst: asksFirst,
    ...(flushes !== undefined && { flushes: lines(flushes) }),
    ...(networkd !== undefined && { networkdSays: lines(networkd) }),
    ...(now > 0 && { nowSeconds: now }),
  };
}

const lines = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');

/** The entries of TCP and UDP; undefined where a line is of another form: then they cannot be read. */
function readEntries(...texts: readonly string[]): readonly Entry[] | undefined {
  try {
    return texts.flatMap(readConntrack).flatMap(entryOf);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function entryOf({ original, reply, tcpState, status, mark, text }: ConntrackEntry): readonly Entry[] {
  const protocol = original.protocol === 6 ? 'tcp' : original.protocol === 17 ? 'udp' : undefined;
  if (protocol === undefined) return [];
  return [
    {
      ...{ protocol, original, reply, mark, text },
      ...(tcpState !== undefined && { state: tcpState }),
      unreplied: (status & CONNTRACK_STATUS.seenReply) === 0,
      assured: (status & CONNTRACK_STATUS.assured) !== 0,
    },
  ];
}

/** The sums of `cpu=0 found=0 invalid=0 ...`, a line a processor. */
function readStats(text: string): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const [, name = '', value = ''] of text.matchAll(/(\w+)=(\d+)/g))
    if (name !== 'cpu') sums[name] = (sums[name] ?? 0) + Number(value);
  return sums;
}

/** /proc/net/netstat: a line of names, then one of values. */
function reversePathDrops(text: string): number | undefined {
  const [names, values] = text
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '));
  const index = names?.indexOf('IPReversePathFilter') ?? -1;
  return index === -1 ? undefined : Number(values?.[index]);
}

/** SYN_RECV is 03 (net/tcp_states.h). */
const readHalfOpen = (text: string): readonly HalfOpen[] =>
  text
    .split('\n')
    .slice(1)
    .flatMap((line): readonly HalfOpen[] => {
      const [, near = '', far = '', state] = line.trim().split(/\s+/);
      if (state !== '03') return [];
      const [local, remote] = [readHex(near.split(':')[0] ?? ''), readHex(far.split(':')[0] ?? '')];
      if (local === undefined || remote === undefined) return [];
      return [{ local, remote, port: Number.parseInt(near.split(':')[1] ?? '', 16) }];
    });

/** Words of 32 bits in the host's order, little-endian; an IPv4-mapped address is IPv4's. */
function readHex(hex: string): Address | undefined {
  if (!/^(?:[0-9A-F]{8}|[0-9A-F]{32})$/.test(hex)) return undefined;
  const bytes = (hex.match(/.{8}/g) ?? []).map((word) => (word.match(/../g) ?? []).reverse().join('')).join('');
  const value = BigInt(`0x${bytes}`);
  if (hex.length === 8) return { family: 4, value };
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffffffffn } : { family: 6, value };
}

function readFiles(text: string): readonly WireGuardFile[] {
  type Peer = WireGuardFile['peers'][number];
  const files: { path: string; link: string; tableOff: boolean; peers: Peer[] }[] = [];
  for (const line of lines(text)) {
    const [word, ...rest] = line.split(' ');
    const value = rest.join(' ').trim();
    if (word === 'file') files.push({ path: rest[0] ?? '', link: rest[1] ?? '', tableOff: false, peers: [] });
    const file = files.at(-1);
    if (file === undefined) continue;
    if (word === 'table') file.tableOff = value.toLowerCase() === 'off';
    if (word === 'peer') file.peers.push({ publicKey: '', allowedIps: [] });
    const peer = file.peers.pop();
    if (peer !== undefined) file.peers.push(readPeerLine(peer, word ?? '', value));
  }
  return files;
}

function readPeerLine(peer: WireGuardFile['peers'][number], word: string, value: string): typeof peer {
  switch (word) {
    case 'key':
      return { ...peer, publicKey: value };
    case 'allowed': {
      const more = value.split(/[\s,]+/).flatMap((text) => parsePrefix(text) ?? []);
      return { ...peer, allowedIps: [...peer.allowedIps, ...more] };
    }
    case 'endpoint':
      return { ...peer, endpoint: value };
    case 'means':
      return { ...peer, meanings: value.split(/\s+/).flatMap((text) => parseAddress(text) ?? []) };
    default:
      return peer;
  }
}

function readProbe(line: string): readonly PathProbe[] {
  const [link = '', address = '', mtu, outer, small, large, ...told] = line.split(' ');
  const endpoint = parseAddress(address);
  if (endpoint === undefined) return [];
  const said = told.join(' ').trim();
  return [
    {
      ...{
        link,
        endpoint,
        mtu: Number(mtu),
        outerBytes: Number(outer),
        small: small === 'yes',
        large: large === 'yes',
      },
      ...(said !== '' && { told: said }),
    },
  ];
}
