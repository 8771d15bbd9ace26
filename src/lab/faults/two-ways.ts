/** A server with two ways to the Internet, both of which reach a client. */
import type { HostSpec } from '../topology.ts';
import { cable, FORWARDS, LOOSE, type NearMiss, network, on, plug } from './fault.ts';

export const PORT = 8080;

/** The server is 10.1.0.2 by wan1, its default, and 10.2.0.2 by wan2. `checks`: the provider of wan1 drops what is not from there. */
export const twoWays = (name: string, server: HostSpec['sysctls'], checks: boolean) =>
  network(
    name,
    [
      { name: 'client', title: 'someone', routes: [{ to: 'default', via: '192.0.2.1' }], sysctls: LOOSE },
      {
        name: 'internet',
        title: 'routes',
        sysctls: { ...LOOSE, ...FORWARDS },
        ...(checks && {
          nft: 'table ip check { chain c { type filter hook forward priority 0; iifname "one0" ip saddr != 10.1.0.0/24 drop\n}\n}\n',
        }),
      },
      {
        name: 'server',
        title: 'has two ways',
        routes: [{ to: 'default', via: '10.1.0.1' }],
        sysctls: { ...LOOSE, ...server },
      },
    ],
    [
      cable(plug('client', 'eth0', '192.0.2.10/24'), plug('internet', 'c0', '192.0.2.1/24')),
      cable(plug('server', 'wan1', '10.1.0.2/24'), plug('internet', 'one0', '10.1.0.1/24')),
      cable(plug('server', 'wan2', '10.2.0.2/24'), plug('internet', 'two0', '10.2.0.1/24')),
    ],
  );

/** What leaves from the second address leaves by the second way. */
export const byAddress = (title: string): NearMiss => ({
  title,
  async make(lab) {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await on(
      lab,
      'server',
      'ip route add default via 10.2.0.1 table 102; ip rule add from 10.2.0.2 lookup 102 priority 102',
    );
  },
});
