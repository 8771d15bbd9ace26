/** The Debian package each program we run on a host comes from: a missing one is named by what to install. */
const PACKAGES: ReadonlyMap<string, string> = new Map([
  ['nft', 'nftables'],
  ['ip', 'iproute2'],
  ['bridge', 'iproute2'],
  ['wg', 'wireguard-tools'],
  ['wireguard-go', 'wireguard-go'],
  ['sysctl', 'procps'],
  ['conntrack', 'conntrack'],
  ['nsenter', 'util-linux'],
  ['unshare', 'util-linux'],
  ['setsid', 'util-linux'],
  ['mount', 'mount'],
  ['sudo', 'sudo'],
  ['ssh', 'openssh-client'],
  ['uname', 'coreutils'],
  ['stat', 'coreutils'],
  ['sh', 'dash'],
]);

/** What to say of a program that is not there: `nft is missing: install the Debian package nftables`. */
export function missingProgram(program: string): string {
  const name = PACKAGES.get(program);
  return name === undefined ? `${program} is missing` : `${program} is missing: install the Debian package ${name}`;
}
