/** What a host must have for us, and how it stands: asked by whoever may log in, before anything is programmed. */
import { dirname, resolve } from 'node:path';
import type { Access } from '../resources/index.ts';
import {
  localTransport,
  type Packaging,
  script,
  sshTransport,
  type Transport,
  TransportError,
} from '../transport/index.ts';
import { UsageError } from './exit.ts';

export interface HostLook {
  /** As it calls itself: `Debian GNU/Linux 12 (bookworm)`. */
  readonly distribution: string;
  /** Undefined where nothing is known of its packages. */
  readonly packaging: Packaging | undefined;
  readonly kernel: string;
  readonly user: string;
  /** How its login becomes root: it is, or sudo lets it; or why not. */
  readonly root: 'root' | 'sudo' | { readonly refused: string };
  readonly isReadOnly: boolean;
  readonly hasSystemd: boolean;
  /** Programs that we run and that are not there, or are others of that name. */
  readonly missing: readonly string[];
  /** Its clock less this machine's. */
  readonly clockAheadSeconds: number;
}

const PROGRAMS = ['nft', 'ip', 'bridge', 'ss', 'wg', 'sysctl', 'conntrack', 'flock', 'setsid', 'stat', 'mktemp'];

/**
 * PROGRAM…: a line for each thing found, then the file that says what distribution it is. Nothing but a shell and what every Linux has is used:
 * it is looked for what is missing. The ip of busybox and an nft without JSON are not what we need.
 */
const LOOK = `
echo "user $(id -u) $(id -un)"
echo "kernel $(uname -r)"
echo "clock $(date +%s)"
there() { command -v "$1" >/dev/null 2>&1; }
for p; do
  there "$p" || { echo "missing $p"; continue; }
  case $p in
    ip) case $(ip -V 2>&1) in *iproute2*) ;; *) echo 'missing ip' ;; esac ;;
    nft) if nft -V 2>&1 | grep -q 'json:[[:space:]]*no'; then echo 'missing nft'; fi ;;
  esac
done
[ -e /sys/module/wireguard ] || modprobe -n -q wireguard 2>/dev/null || there wireguard-go || echo 'missing wireguard-go'
[ "$(id -u)" = 0 ] || { s=$(sudo -n true 2>&1) && s=yes; set -f; echo sudo $s; }
[ ! -d /run/systemd/system ] || echo systemd
r=; while read -r _ m _ o _; do [ "$m" != / ] || r=$o; done </proc/mounts
case $r in ro | ro,*) echo readonly ;; esac
echo release
cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null
exit 0`;

/** The way to a host for a look: any login will do there. Throws UsageError of a host that is no machine reached by ssh, nor this one. */
export function openLook(name: string, access: Access, file: string): Transport {
  if (access.kind === 'local')
    return localTransport(name, access.become === undefined ? {} : { become: access.become });
  if (access.kind !== 'ssh')
    throw new UsageError(`${name} is reached by ${access.kind}: name a host of access ssh or local`);
  return sshTransport(name, { ...sshOptions(access, file), anyUser: true });
}

/** Without `become`: a look needs no rights. */
export function sshOptions(
  { kind: _, become: __, identityFile, ...options }: Access & { readonly kind: 'ssh' },
  file: string,
) {
  return { ...options, ...(identityFile !== undefined && { identityFile: resolve(dirname(file), identityFile) }) };
}

/** Looks, in one round trip. Throws a TransportError where nobody answers. */
export async function lookAtHost(transport: Transport, signal?: AbortSignal): Promise<HostLook> {
  const argv = script(LOOK, ...PROGRAMS);
  const { stdout, stderr, status } = await transport.run({ argv }, signal);
  const look = readLook(stdout, Date.now() / 1000);
  if (look !== undefined) return look;
  throw new TransportError(
    transport.host,
    argv,
    `its shell did not say what is there: ${stderr.trim() || `status ${status}`}`,
  );
}

/** Reads what LOOK wrote; undefined where that is not whole. */
export function readLook(text: string, nowSeconds: number): HostLook | undefined {
  const [found = '', release] = text.split(/^release$/m);
  const after = (word: string): string | undefined => new RegExp(`^${word} (.*)$`, 'm').exec(found)?.[1];
  const [, uid, user] = /^(\d+) (\S+)$/.exec(after('user') ?? '') ?? [];
  if (uid === undefined || user === undefined || release === undefined) return undefined;
  const sudo = after('sudo') ?? '';
  const root = uid === '0' ? 'root' : sudo === 'yes' ? 'sudo' : { refused: refusal(sudo) };
  return {
    ...distributionIn(release),
    ...{ kernel: after('kernel') ?? 'unknown', user, root },
    isReadOnly: /^readonly$/m.test(found),
    hasSystemd: /^systemd$/m.test(found),
    missing: [...found.matchAll(/^missing (\S+)$/gm)].map(([, program = '']) => program),
    clockAheadSeconds: Math.round(Number(after('clock') ?? nowSeconds) - nowSeconds),
  };
}

const refusal = (said: string): string =>
  /not found$/.test(said) ? 'sudo is missing' : `sudo says: ${/sudo: (.+)$/.exec(said)?.[1] ?? said}`;

/** os-release(5). */
function distributionIn(release: string): Pick<HostLook, 'distribution' | 'packaging'> {
  const field = (name: string): string => new RegExp(`^${name}=(["']?)(.*)\\1\\s*$`, 'm').exec(release)?.[2] ?? '';
  const ids = [field('ID'), ...field('ID_LIKE').split(' ')];
  const packaging = ids.map((id) => PACKAGING.get(id)).find((each) => each !== undefined);
  return { distribution: field('PRETTY_NAME') || field('ID') || 'an unknown distribution', packaging };
}

const PACKAGING: ReadonlyMap<string, Packaging> = new Map([
  ['debian', 'debian'],
  ['ubuntu', 'debian'],
  ['alpine', 'alpine'],
  ['fedora', 'fedora'],
  ['rhel', 'fedora'],
  ['openwrt', 'openwrt'],
]);
