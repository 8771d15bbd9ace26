/** A home router with a server and a desk in its network, and a client on the Internet. */
import type { HostSpec } from '../topology.ts';
import { cable, FORWARDS, LOOSE, network, plug } from './fault.ts';

export const PUBLIC = '198.51.100.2';
export const SERVER = '192.168.1.20';
export const SPARE = '192.168.1.21';

export const home = (name: string, sysctls: HostSpec['sysctls'] = {}) =>
  network(
    name,
    [
      { name: 'client', title: 'someone', routes: [{ to: 'default', via: '192.0.2.1' }] },
      { name: 'internet', title: 'routes', sysctls: FORWARDS },
      {
        name: 'router',
        title: 'translates',
        routes: [{ to: 'default', via: '198.51.100.1' }],
        sysctls: { ...LOOSE, ...FORWARDS, ...sysctls },
      },
      { name: 'server', title: 'serves', routes: [{ to: 'default', via: '192.168.1.1' }] },
      { name: 'desk', title: 'asks from inside', routes: [{ to: 'default', via: '192.168.1.1' }] },
    ],
    [
      cable(plug('client', 'eth0', '192.0.2.10/24'), plug('internet', 'c0', '192.0.2.1/24')),
      cable(plug('router', 'wan0', `${PUBLIC}/24`), plug('internet', 'r0', '198.51.100.1/24')),
      cable(plug('router', 'lan0', '192.168.1.1/24'), plug('lan', 'port1')),
      cable(plug('server', 'eth0', `${SERVER}/24`, `${SPARE}/24`), plug('lan', 'port2')),
      cable(plug('desk', 'eth0', '192.168.1.30/24'), plug('lan', 'port3')),
    ],
    [{ name: 'lan', title: 'at home' }],
  );

/** Port `port` of the public address to the server's, by nft. */
export const forward = (protocol: 'tcp' | 'udp', port: number, to = `${SERVER}:${port}`): string => `nft -f - <<'END'
table ip home_nat {
  chain pre { type nat hook prerouting priority -100; ip daddr ${PUBLIC} ${protocol} dport ${port} dnat to ${to}
  }
}
END`;

/** What leaves by the WAN bears its address, as every home router has it. */
export const MASQUERADE = `nft -f - <<'END'
table ip home_out {
  chain post { type nat hook postrouting priority 100; ip saddr 192.168.1.0/24 oifname "wan0" masquerade
  }
}
END`;
