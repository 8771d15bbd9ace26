import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The Debian package each program of the lab comes from: a missing one is named by what to install. */
const packageOf: Readonly<Record<string, string>> = {
  conntrack: 'conntrack',
  containerd: 'containerd',
  curl: 'curl',
  'dbus-daemon': 'dbus',
  docker: 'docker.io',
  dockerd: 'docker.io',
  'firewall-cmd': 'firewalld',
  firewalld: 'firewalld',
  haproxy: 'haproxy',
  ip: 'iproute2',
  iptables: 'iptables',
  bridge: 'iproute2',
  nft: 'nftables',
  nginx: 'nginx-light',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  perl: 'perl-base',
  setpriv: 'util-linux',
  tcpdump: 'tcpdump',
  ufw: 'ufw',
  wg: 'wireguard-tools',
  'wg-quick': 'wireguard-tools',
  'wireguard-go': 'wireguard-go',
};

/** PATH as the lab uses it: an ordinary user's has no sbin, where Debian keeps nft and nginx. */
export function searchPath(): string {
  const given = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...new Set([...given, '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'])].join(delimiter);
}

/** What to install for `tool`, as half a sentence; empty for a program the lab does not know. */
export function installHint(tool: string): string {
  const name = packageOf[tool];
  return name === undefined ? '' : `${tool} is missing: install the Debian package ${name}`;
}

/** Throws one error that names every one of `tools` that is not in PATH, with the Debian package it comes from. */
export function needTools(tools: readonly string[]): void {
  const missing = tools.filter((tool) => !isInstalled(tool));
  if (missing.length === 0) return;
  throw new Error(missing.map((tool) => installHint(tool) || `${tool} is missing`).join('; '));
}

/** Whether `tool` stands executable in the lab's PATH. */
export function isInstalled(tool: string): boolean {
  return searchPath()
    .split(delimiter)
    .some((folder) => {
      try {
        accessSync(join(folder, tool), constants.X_OK);
        return true;
      } catch (error) {
        if (error instanceof Error) return false;
        throw error;
      }
    });
}

const FLOWTABLE =
  'table inet t {\n flowtable f { hook ingress priority 0; devices = { lo }; }\n chain c { type filter hook forward priority 0; flow add @f; }\n}\n';

/** Whether this kernel has flowtables, tried in a network namespace that is thrown away. */
export const hasFlowtables = (): boolean =>
  spawnSync('unshare', ['--net', 'nft', '-f', '-'], { input: FLOWTABLE, env: { PATH: searchPath() } }).status === 0;
