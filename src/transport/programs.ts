/** By what a distribution's programs are installed. */
export type Packaging = 'debian' | 'alpine' | 'fedora' | 'openwrt';

/** The package each program we run on a host comes from, for Debian, Alpine, Fedora and OpenWrt; a dash where there is none. */
const PACKAGES: ReadonlyMap<string, readonly [debian: string, alpine: string, fedora: string, openwrt: string]> =
  new Map([
    ['nft', ['nftables', 'nftables', 'nftables', 'nftables-json']], // OpenWrt's other nft speaks no JSON
    ['ip', ['iproute2', 'iproute2', 'iproute', 'ip-full']],
    ['bridge', ['iproute2', 'iproute2', 'iproute', 'ip-bridge']],
    ['ss', ['iproute2', 'iproute2', 'iproute', 'ss']],
    ['wg', ['wireguard-tools', 'wireguard-tools', 'wireguard-tools', 'wireguard-tools']],
    ['wireguard-go', ['wireguard-go', 'wireguard-go', '-', 'kmod-wireguard']],
    ['sysctl', ['procps', 'procps-ng', 'procps-ng', 'procps-ng-sysctl']],
    ['conntrack', ['conntrack', 'conntrack-tools', 'conntrack-tools', 'conntrack']],
    ['nsenter', ['util-linux', 'util-linux-misc', 'util-linux', 'nsenter']],
    ['unshare', ['util-linux', 'util-linux-misc', 'util-linux', 'unshare']],
    ['setsid', ['util-linux', 'util-linux-misc', 'util-linux', '-']],
    ['flock', ['util-linux', 'flock', 'util-linux', 'flock']],
    ['mount', ['mount', 'mount', 'util-linux', 'mount-utils']],
    ['sudo', ['sudo', 'sudo', 'sudo', 'sudo']],
    ['ssh', ['openssh-client', 'openssh-client', 'openssh-clients', 'openssh-client']],
    ['uname', ['coreutils', 'coreutils', 'coreutils', 'coreutils-uname']],
    ['stat', ['coreutils', 'coreutils', 'coreutils', 'coreutils-stat']],
    ['mktemp', ['coreutils', 'coreutils', 'coreutils', 'coreutils-mktemp']],
    ['sh', ['dash', 'busybox', 'bash', 'busybox']],
  ]);

const COLUMNS: readonly Packaging[] = ['debian', 'alpine', 'fedora', 'openwrt'];

/** The package of a program there, where it is known. */
export function packageOf(program: string, packaging: Packaging): string | undefined {
  const name = PACKAGES.get(program)?.[COLUMNS.indexOf(packaging)];
  return name === '-' ? undefined : name;
}

/** What to say of a program that is not there: `nft is missing: install the Debian package nftables`. */
export function missingProgram(program: string): string {
  const name = packageOf(program, 'debian');
  return name === undefined ? `${program} is missing` : `${program} is missing: install the Debian package ${name}`;
}
