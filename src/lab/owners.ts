/**
 * Other people's firewalls, the real ones. Their files in /etc and /var lie in memory of the lab's own, one of each in a lab: what this
 * machine has of them is neither read nor changed.
 */
import type { Lab } from './lab.ts';
import { type Service, startService } from './service.ts';
import { needTools } from './tools.ts';

/** A folder of the lab's own over the machine's. */
const OWN_FOLDER = 'own() { mkdir -p "$1"; mount -t tmpfs -o mode=755 tmpfs "$1"; }';

/** ufw as its package leaves it, enabled: denies what comes in and what is forwarded. */
export async function startUfw(lab: Lab, name: string): Promise<void> {
  needTools(['ufw']);
  const fresh = `${OWN_FOLDER}
own /etc/ufw
mkdir /etc/ufw/applications.d
cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/*.init /usr/share/ufw/ufw.conf /etc/ufw/
chmod 640 /etc/ufw/*.rules`;
  await lab.run(['sh', '-ec', fresh]);
  await lab.host(name).run(['ufw', '--force', 'enable']);
}

const BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
`;

/** firewalld with its own defaults, and the message bus it is asked by: what comes in by no zone is of `public`, which lets in ssh. */
export async function startFirewalld(lab: Lab, name: string): Promise<Service> {
  needTools(['firewalld', 'firewall-cmd', 'dbus-daemon']);
  await lab.run([
    'sh',
    '-ec',
    `${OWN_FOLDER}\nown /etc/firewalld\nmkdir -p /run/dbus /etc/firewalld/zones /etc/firewalld/policies`,
  ]);
  await lab.run(['tee', '/run/dbus/lab.conf'], { stdin: BUS });
  const host = lab.host(name);
  const bus = ['dbus-daemon', '--config-file=/run/dbus/lab.conf', '--nofork', '--nopidfile', '--nosyslog'];
  await startService(host, bus, ['test', '-S', '/run/dbus/system_bus_socket']);
  return startService(host, ['firewalld', '--nofork', '--nopid'], ['firewall-cmd', '--state']);
}

/** dockerd with a containerd of its own, in memory; it shuts the host's forwarding as it does everywhere. */
export async function startDocker(lab: Lab, name: string): Promise<Service> {
  needTools(['dockerd', 'containerd', 'docker', 'iptables']);
  await lab.run([
    'sh',
    '-ec',
    `${OWN_FOLDER}\nown /var/lib/docker\nown /var/lib/containerd\nown /etc/docker\nown /opt`,
  ]);
  const argv = ['dockerd', '--iptables=true', '--ip6tables=true', '--experimental', '--storage-driver=vfs'];
  const ipv6 = ['--ipv6', '--fixed-cidr-v6=fd17::/64'];
  return startService(lab.host(name), [...argv, ...ipv6], ['docker', 'version']);
}
