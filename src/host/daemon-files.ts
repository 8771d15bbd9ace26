/** The network daemons of a host that would take away what is ours, and the files that keep them from it. */

export type NetworkDaemon = 'systemd-networkd' | 'NetworkManager';

/** Their first line. What bears it is ours, what does not is never written over. */
export const FILE_MARK = '# Made by Sallyport. "sallyport destroy" takes it away.';

interface DaemonFile {
  readonly daemon: NetworkDaemon;
  readonly path: string;
  readonly content: string;
}

/**
 * networkd deletes rules and routes that it did not make, whenever it sets up a link (networkd.conf(5)), and whatever it did not make on a
 * link that some .network file matches, `Name=*` above all: the first file that matches a link decides. NetworkManager adds to a
 * list with `+=`; `=` would take the user's own entries away.
 */
export const DAEMON_FILES: readonly DaemonFile[] = [
  {
    daemon: 'systemd-networkd',
    path: '/etc/systemd/networkd.conf.d/90-sallyport.conf',
    content: `${FILE_MARK}\n[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no\n`,
  },
  {
    daemon: 'systemd-networkd',
    path: '/etc/systemd/network/00-sallyport.network',
    content: `${FILE_MARK}\n[Match]\nName=sp-*\n\n[Link]\nUnmanaged=yes\n`,
  },
  {
    daemon: 'NetworkManager',
    path: '/etc/NetworkManager/conf.d/90-sallyport.conf',
    content: `${FILE_MARK}\n[keyfile]\nunmanaged-devices+=interface-name:sp-*\n`,
  },
];

/** Whose file it is; undefined of one that is no daemon's. */
export const daemonOf = (path: string): NetworkDaemon | undefined =>
  DAEMON_FILES.find((file) => file.path === path)?.daemon;

export const isOwnFile = (content: string): boolean => content.startsWith(`${FILE_MARK}\n`);
