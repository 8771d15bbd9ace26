/** What is missing on a host, as packages to install, and how. */
import { type Packaging, packageOf, script, type Transport, TransportError } from '../transport/index.ts';
import type { HostLook } from './host-look.ts';

export interface Installation {
  readonly packages: readonly string[];
  /** Programs that no package is known of. */
  readonly unknown: readonly string[];
  /** As a person types them. Run by `install` on Debian and its relatives; elsewhere only shown. */
  readonly commands: readonly string[];
  readonly isTried: boolean;
}

/** What installs all that is missing. */
export function planInstallation({ missing, packaging }: Pick<HostLook, 'missing' | 'packaging'>): Installation {
  const known = (program: string): string | undefined =>
    packaging === undefined ? undefined : packageOf(program, packaging);
  const packages = [...new Set(missing.flatMap((program) => known(program) ?? []))].sort();
  return {
    packages,
    unknown: missing.filter((program) => known(program) === undefined),
    commands: packaging === undefined || packages.length === 0 ? [] : commandsOf(packaging, packages.join(' ')),
    isTried: packaging === 'debian',
  };
}

function commandsOf(packaging: Packaging, packages: string): readonly string[] {
  switch (packaging) {
    case 'debian':
      return [`apt-get install -y --no-install-recommends --no-upgrade --no-remove ${packages}`];
    case 'alpine':
      return [`apk add ${packages}`];
    case 'fedora':
      return [`dnf install -y --setopt=install_weak_deps=False ${packages}`];
    case 'openwrt':
      return ['opkg update', `opkg install ${packages}`];
  }
}

/** What is said of a package beside its name: what comes with it, and is kept from doing harm. */
export const notesOf = ({ packages, isTried }: Installation): readonly string[] =>
  isTried && packages.includes('nftables')
    ? [
        'nftables.service comes with nftables and is neither started nor enabled: it begins by flushing all rules of the host',
      ]
    : [];

/**
 * PACKAGE…: installs them. Nothing is asked, nothing that is there is upgraded or removed. No service is started: RUNLEVEL=1 holds init scripts
 * back, and nftables.service is masked meanwhile, for its package starts it anew where it ran before, which flushes all rules. What it says goes to a file: a connection that is lost in the
 * middle of it does not end it. Lists that are missing or too old show as a failed installation: only then are they fetched.
 */
const INSTALL = `
umask 077
log=$(mktemp) || exit 1
trap '' HUP PIPE
guard=
case " $* " in *' nftables '*) [ ! -d /run/systemd/system ] || guard=nftables.service ;; esac
[ -z "$guard" ] || systemctl mask --quiet --runtime "$guard" 2>/dev/null
apt() {
  env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 RUNLEVEL=1 apt-get -q -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" >"$log" 2>&1 </dev/null
}
install() { apt install -y --no-install-recommends --no-upgrade --no-remove "$@"; }
umask 022
s=0
install "$@" || { apt update && install "$@"; } || s=$?
[ -z "$guard" ] || systemctl unmask --quiet --runtime "$guard" 2>/dev/null
[ "$s" = 0 ] || tail -n 8 "$log" >&2
rm -f "$log"
exit "$s"`;

const INSTALL_MS = 15 * 60_000;

/** Installs the packages by apt-get; root there, or by the transport's sudo. Throws a TransportError with what apt-get said. */
export async function install(transport: Transport, { packages }: Installation): Promise<void> {
  const argv = script(INSTALL, ...packages);
  const { status, stderr } = await transport.run({ argv, timeoutMs: INSTALL_MS });
  if (status === 0) return;
  const said = stderr.trim() || `status ${status}`;
  throw new TransportError(
    transport.host,
    argv,
    `apt-get did not install ${packages.join(', ')}:\n${said.replace(/^/gm, '  ')}`,
  );
}
