import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lab.ts';
import { cable, type LabFault, network, on, plug } from './fault.ts';

/** A router's advertisement, once: prefix 2001:db8:5::/64, itself as the default for half an hour (RFC 4861, 4.2). */
const ADVERTISE = `python3 - <<'END'
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
i = socket.if_nametoindex('lan0')
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, i)
prefix = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 7200, 3600, 0) + socket.inet_pton(socket.AF_INET6, '2001:db8:5::')
s.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ('ff02::1', 0, 0, i))
END`;

/** Advertises until it was heard: an address that is still tentative is no router's. */
async function hear(lab: Lab): Promise<void> {
  for (let tries = 0; tries < 40; tries++) {
    await on(lab, 'router', ADVERTISE);
    const { stdout } = await lab.host('node').run(['ip', '-6', 'route', 'show', 'default', 'proto', 'ra']);
    if (stdout !== '') return;
    await sleep(100);
  }
  throw new Error('the advertisement was not heard');
}

export const ipv6DefaultRouteLost: LabFault = {
  code: 'ipv6DefaultRouteLost',
  title: 'a host that starts to forward loses the IPv6 default route it had learnt',
  topology: network(
    'ra',
    [
      { name: 'router', title: 'advertises', sysctls: { 'net.ipv6.conf.all.forwarding': '1' } },
      { name: 'node', title: 'listens', sysctls: { 'net.ipv6.conf.eth0.accept_ra': '1' } },
    ],
    [cable(plug('router', 'lan0', '2001:db8:5::1/64'), plug('node', 'eth0'))],
  ),
  host: 'node',
  async inject(lab) {
    await hear(lab);
    await on(lab, 'node', 'sysctl -qw net.ipv6.conf.all.forwarding=1');
  },
  async symptom(lab) {
    await on(lab, 'router', ADVERTISE);
    await on(lab, 'node', 'sleep 0.3');
    const { status, stderr } = await lab
      .host('node')
      .run(['ping', '-6', '-n', '-c', '1', '-W', '1', '2001:db8:99::1'], { allowFailure: true });
    return status === 2 && /unreachable/i.test(stderr) ? stderr.trim() : undefined;
  },
  nearMisses: [
    {
      title: 'accept_ra at 2 before forwarding',
      async make(lab) {
        await on(lab, 'node', 'sysctl -qw net.ipv6.conf.eth0.accept_ra=2');
        await hear(lab);
        await on(lab, 'node', 'sysctl -qw net.ipv6.conf.all.forwarding=1');
      },
    },
    {
      title: 'a host that listens and does not forward',
      async make(lab) {
        await hear(lab);
      },
    },
  ],
};
