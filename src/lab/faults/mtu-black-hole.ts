import type { Lab } from '../lab.ts';
import { type LabFault, on } from './fault.ts';
import { connectSpoke, INSIDE, spokeNetwork } from './spoke.ts';

/** The Internet's router tells nobody that a packet is too large for the line. */
const SILENT =
  "nft 'table ip mute { chain o { type filter hook output priority 0; icmp type destination-unreachable drop; }; chain f { type filter hook forward priority 0; icmp type destination-unreachable drop; }; }'";

/** The kernel's WireGuard lets its packets be fragmented: then it is the fragments that do not arrive. */
const NO_FRAGMENTS =
  "nft 'table ip nofrag { chain p { type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 drop; }; }'";

async function build(lab: Lab): Promise<void> {
  for (const host of ['internet', 'homerouter']) await on(lab, host, SILENT);
  for (const host of ['hub', 'spoke']) await on(lab, host, NO_FRAGMENTS);
  await connectSpoke(lab, '');
}

async function ping(lab: Lab, size: number): Promise<boolean> {
  const argv = ['ping', '-n', '-q', '-c', '1', '-W', '1', '-s', String(size), INSIDE.hub];
  return (await lab.host('spoke').run(argv, { allowFailure: true })).status === 0;
}

export const mtuBlackHole: LabFault = {
  code: 'mtuBlackHole',
  title: 'what fills the tunnel vanishes on a narrower line, and no router says so',
  topology: spokeNetwork('narrow', 1400),
  host: 'spoke',
  inject: build,
  async symptom(lab) {
    if (!(await ping(lab, 56))) return 'not even small packets arrive';
    const shown = await lab.host('spoke').run(['ip', '-o', 'link', 'show', 'dev', 'wgs']);
    const mtu = Number(/mtu (\d+)/.exec(shown.stdout)?.[1]);
    return (await ping(lab, mtu - 28)) ? undefined : `packets of ${mtu} bytes vanish in the tunnel, small ones arrive`;
  },
  nearMisses: [
    {
      title: 'the same line, and an MTU that it carries',
      async make(lab) {
        await build(lab);
        await on(lab, 'spoke', 'ip link set dev wgs mtu 1340');
      },
    },
  ],
};
