import type { Lab } from '../lab.ts';
import { cable, FORWARDS, type LabFault, LOOSE, makeTunnel, network, on, onTunnel, plug } from './fault.ts';

const PORT = 8080;
const BIG = 'x'.repeat(20_000);

/** A desk behind a router, a far host at the other end of the router's tunnel; errors of ICMP reach neither. */
const wall =
  "nft 'table ip wall { chain i { type filter hook input priority 0; icmp type destination-unreachable drop; }; }'";

async function build(lab: Lab, clamps: readonly string[]): Promise<void> {
  const near = await makeTunnel(lab, 'router', 'wgn', 51820);
  const far = await makeTunnel(lab, 'far', 'wgf', 51821);
  const set = (link: string, key: string, allowed: string, endpoint: string, address: string): string =>
    `wg set ${link} peer ${key} allowed-ips ${allowed} endpoint ${endpoint}; ip addr add ${address} dev ${link}; ip link set dev ${link} mtu 1300 up`;
  await onTunnel(lab, 'router', set('wgn', far, '10.9.0.0/24', '203.0.113.2:51821', '10.9.0.1/24'));
  await onTunnel(
    lab,
    'far',
    `${set('wgf', near, '10.9.0.0/24,192.168.1.0/24', '203.0.113.1:51820', '10.9.0.2/24')}; ip route add 192.168.1.0/24 dev wgf`,
  );
  // A server far away that does not know of the tunnel: its own link would carry more.
  for (const host of ['desk', 'far']) await on(lab, host, wall);
  await on(lab, 'far', 'ip link set dev wgf mtu 1420');
  if (clamps.length > 0)
    await on(
      lab,
      'router',
      `nft 'table inet clamp { chain f { type filter hook forward priority -150; ${clamps.map((each) => `${each};`).join(' ')} }; }'`,
    );
  await lab.serve('desk', { protocol: 'tcp', port: PORT });
  await lab.serve('far', { protocol: 'tcp', port: PORT });
}

const INTO = 'oifname wgn tcp flags syn tcp option maxseg size set 1260';
const OUT = 'iifname wgn tcp flags syn tcp option maxseg size set 1260';

export const mssClampOneSided: LabFault = {
  code: 'mssClampOneSided',
  title: 'the MSS is clamped towards the tunnel alone, and what the desk sends back is too large',
  topology: network(
    'mss',
    [
      {
        name: 'desk',
        title: 'behind the router',
        routes: [{ to: 'default', via: '192.168.1.1' }],
        sysctls: { 'net.ipv4.tcp_mtu_probing': '0' },
      },
      { name: 'router', title: 'has a tunnel', sysctls: { ...LOOSE, ...FORWARDS } },
      { name: 'far', title: 'at its other end', sysctls: LOOSE },
    ],
    [
      cable(plug('desk', 'eth0', '192.168.1.20/24'), plug('router', 'lan0', '192.168.1.1/24')),
      cable(plug('router', 'wan0', '203.0.113.1/24'), plug('far', 'eth0', '203.0.113.2/24')),
    ],
  ),
  host: 'router',
  inject: (lab) => build(lab, [INTO]),
  async symptom(lab) {
    const result = await lab.connect('far', {
      protocol: 'tcp',
      to: '192.168.1.20',
      port: PORT,
      payload: BIG,
      timeoutMs: 2_500,
    });
    return result.ok ? undefined : `20 kB from far to desk and back: ${result.error}, small requests are answered`;
  },
  nearMisses: [{ title: 'clamped in both directions', make: (lab) => build(lab, [INTO, OUT]) }],
};
