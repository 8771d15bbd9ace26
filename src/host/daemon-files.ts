/** The daemons of a host that would take away what is ours, and who starts it; and the files by which they are told of us. */

export type NetworkDaemon = 'systemd-networkd' | 'NetworkManager';
export type Daemon = NetworkDaemon | 'systemd';

/** Their first line. What bears it is ours, what does not is never written over. */
export const FILE_MARK = '# Made by Sallyport. "sallyport destroy" takes it away.';

interface DaemonFile {
  readonly daemon: Daemon;
  readonly path: string;
  readonly content: string;
}

/** At a boot: a change that was pending is taken back, and what stood before it is brought back, as far as it can be without the network. */
const AT_BOOT =
  'cd /etc/sallyport || exit 0; [ ! -e pending/undo.sh ] || sh pending/undo.sh boot; [ ! -e restore.sh ] || exec sh restore.sh boot';

/**
 * Two units, as the network comes between. The first is ordered as nftables.service is (systemd.special(7), network-pre.target): after those
 * who flush the whole ruleset, before any link is set up, so that nothing is forwarded that the table has not seen. Without default dependencies:
 * on images with cloud-init the network comes before sysinit.target. It is wanted by a drop-in, as a link in sysinit.target.wants would be no text.
 */
const UNITS: readonly DaemonFile[] = [
  {
    daemon: 'systemd',
    path: '/etc/systemd/system/sallyport-online.service',
    content: `${FILE_MARK}
[Unit]
Description=Sallyport: what else stood here before the boot, once the network is up
ConditionPathExists=/etc/sallyport/restore.sh
Wants=network-online.target
After=network-online.target sallyport-boot.service

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=5min
ExecStart=/bin/sh /etc/sallyport/restore.sh online
`,
  },
  {
    daemon: 'systemd',
    path: '/etc/systemd/system/sallyport-boot.service',
    content: `${FILE_MARK}
[Unit]
Description=Sallyport: what stood here before the boot, before the network is up
DefaultDependencies=no
ConditionPathExists=/etc/sallyport
RequiresMountsFor=/etc/sallyport /usr
Wants=network-pre.target sallyport-online.service
After=local-fs.target systemd-sysctl.service systemd-modules-load.service nftables.service netfilter-persistent.service iptables.service ip6tables.service ufw.service
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=5min
ExecStart=/bin/sh -c '${AT_BOOT}'
`,
  },
  {
    daemon: 'systemd',
    path: '/etc/systemd/system/sysinit.target.d/90-sallyport.conf',
    content: `${FILE_MARK}
[Unit]
Wants=sallyport-boot.service
`,
  },
];

/**
 * networkd deletes rules and routes that it did not make, whenever it sets up a link (networkd.conf(5)), and whatever it did not make on a
 * link that some .network file matches, `Name=*` above all: the first file that matches a link decides. NetworkManager adds to a
 * list with `+=`; `=` would take the user's own entries away.
 */
export const DAEMON_FILES: readonly DaemonFile[] = [
  ...UNITS,
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

/** Folders that are there for us alone, where nobody else's file is in them. */
export const DAEMON_FOLDERS: readonly string[] = [
  '/etc/systemd/networkd.conf.d',
  '/etc/systemd/system/sysinit.target.d',
];

/** Whose file it is; undefined of one that is no daemon's. */
export const daemonOf = (path: string): Daemon | undefined => DAEMON_FILES.find((file) => file.path === path)?.daemon;

export const isOwnFile = (content: string): boolean => content.startsWith(`${FILE_MARK}\n`);

/** What starts a host that has no systemd. */
export type OtherInit = 'OpenRC' | 'procd';

/** The same for OpenRC, and for procd (OpenWrt): a file /etc/init.d/sallyport. */
export const INIT_SCRIPTS: Readonly<Record<OtherInit, string>> = {
  OpenRC: `#!/sbin/openrc-run
${FILE_MARK}
# Runs in "boot": rc-update add sallyport boot
description="Brings back what Sallyport put on this host"

depend() {
  need localmount
  after sysctl modules nftables iptables ip6tables ufw
  before net
}

start() {
  ebegin "Bringing back what Sallyport put here"
  (${AT_BOOT})
  eend $?
  # The rest waits for the network, two minutes at most.
  [ ! -e /etc/sallyport/restore.sh ] || sh /etc/sallyport/restore.sh online </dev/null >/dev/null 2>&1 &
}
`,
  procd: `#!/bin/sh /etc/rc.common
${FILE_MARK}
# Runs before the network, whose START is 20: /etc/init.d/sallyport enable
START=19

boot() {
  (${AT_BOOT})
  # The rest waits for the network, two minutes at most.
  [ ! -e /etc/sallyport/restore.sh ] || sh /etc/sallyport/restore.sh online </dev/null >/dev/null 2>&1 &
}

start() { boot; }
`,
};
