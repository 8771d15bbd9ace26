/** A WireGuard hub on the Internet and a spoke behind a home router that translates. */
import type { Lab } from '../lab.ts';
import { cable, FORWARDS, makeTunnel, network, on, onTunnel, plug } from './fault.ts';

export const HUB = '203.0.113.1';
export const HUB_MOVED = '203.0.113.2';

/** `mtu`: of the line between the home router and the Internet. */
export const spokeNetwork = (name: string, mtu?: number) =>
  network(
    name,
    [
      { name: 'hub', title: 'waits for calls', routes: [{ to: 'default', via: '203.0.113.254' }] },
      { name: 'internet', title: 'routes', sysctls: FORWARDS },
      { name: 'homerouter', title: 'translates', routes: [{ to: 'default', via: '198.51.100.1' }], sysctls: FORWARDS },
      { name: 'spoke', title: 'dials', routes: [{ to: 'default', via: '192.168.1.1' }] },
    ],
    [
      cable(plug('hub', 'eth0', `${HUB}/24`, `${HUB_MOVED}/24`), plug('internet', 'h0', '203.0.113.254/24')),
      cable(plug('homerouter', 'wan0', '198.51.100.2/24'), plug('internet', 'r0', '198.51.100.1/24'), mtu),
      cable(plug('homerouter', 'lan0', '192.168.1.1/24'), plug('spoke', 'eth0', '192.168.1.20/24')),
    ],
  );

export const INSIDE = { hub: '10.9.0.1', spoke: '10.9.0.2' } as const;

/** Both ends of the tunnel; `more` goes to the spoke's `wg set … peer HUB`. Gives the public keys. */
export async function connectSpoke(lab: Lab, more: string): Promise<{ readonly hub: string; readonly spoke: string }> {
  await on(
    lab,
    'homerouter',
    "nft 'table ip out { chain post { type nat hook postrouting priority 100; oifname wan0 masquerade; }; }'",
  );
  const hub = await makeTunnel(lab, 'hub', 'wgh', 51820);
  const spoke = await makeTunnel(lab, 'spoke', 'wgs', 51820);
  const up = (link: string, address: string): string =>
    `ip addr add ${address}/24 dev ${link}; ip link set dev ${link} mtu 1420 up`;
  await onTunnel(lab, 'hub', `wg set wgh peer ${spoke} allowed-ips ${INSIDE.spoke}/32; ${up('wgh', INSIDE.hub)}`);
  await onTunnel(
    lab,
    'spoke',
    `wg set wgs peer ${hub} allowed-ips ${INSIDE.hub}/32 endpoint ${HUB}:51820 ${more}; ${up('wgs', INSIDE.spoke)}`,
  );
  await on(lab, 'spoke', `ping -n -q -c 1 -W 5 ${INSIDE.hub} >/dev/null`);
  return { hub, spoke };
}

/** A file as wg-quick reads it, in a folder of the lab's own. */
export async function writeConfig(lab: Lab, link: string, text: string): Promise<void> {
  await lab.run([
    'sh',
    '-ec',
    'mkdir -p /etc/wireguard; mountpoint -q /etc/wireguard || mount -n -t tmpfs tmpfs /etc/wireguard',
  ]);
  await lab.run(['tee', `/etc/wireguard/${link}.conf`], { stdin: text });
}
