import { setTimeout as sleep } from 'node:timers/promises';
import { type LabFault, on, unanswered } from './fault.ts';
import { connectSpoke, INSIDE, spokeNetwork } from './spoke.ts';

const PORT = 8080;
/** Lets in what answers, as every home router. */
const WALL =
  "nft 'table ip wall { chain f { type filter hook forward priority 0; iifname wan0 ct state new drop; }; chain i { type filter hook input priority 0; iifname wan0 ct state new drop; }; }'";

export const keepaliveMissing: LabFault = {
  code: 'keepaliveMissing',
  title: 'a silent spoke behind NAT cannot be reached by its hub',
  topology: spokeNetwork('quiet'),
  host: 'spoke',
  async inject(lab) {
    await on(lab, 'homerouter', WALL);
    await lab.serve('spoke', { protocol: 'tcp', port: PORT });
    await connectSpoke(lab, '');
  },
  async symptom(lab) {
    // The router forgets, as real ones do after 30 to 120 s of silence; then nothing is said for a while.
    await on(lab, 'homerouter', 'conntrack -F 2>/dev/null');
    await sleep(1_500);
    return await unanswered(lab, 'hub', INSIDE.spoke, PORT);
  },
  // The finding's 25 s are made for routers that forget after 30; the lab does not wait so long.
  fix: ['wg set wgs peer $(wg show wgs peers) persistent-keepalive 1; sleep 2'],
  nearMisses: [
    {
      title: 'with a keepalive',
      async make(lab) {
        await lab.serve('spoke', { protocol: 'tcp', port: PORT });
        await connectSpoke(lab, 'persistent-keepalive 25');
      },
    },
    {
      title: 'without one, and nobody listens on it',
      async make(lab) {
        await connectSpoke(lab, '');
      },
    },
  ],
};
