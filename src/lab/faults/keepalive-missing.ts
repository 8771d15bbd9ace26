import { type LabFault, on, onTunnel, unanswered } from './fault.ts';
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
    // The router forgets, as real ones do after 30 to 120 s of silence; the spoke says something when its keepalive is due, if it has one.
    await on(lab, 'homerouter', 'conntrack -F 2>/dev/null');
    const dueSeconds = Number(
      (await onTunnel(lab, 'spoke', 'wg show wgs persistent-keepalive')).trim().split(/\s+/)[1],
    );
    const next = ['timeout', String((dueSeconds || 0) + 1.5), 'conntrack', '-E', '-e', 'NEW', '-p', 'udp'];
    await lab
      .host('homerouter')
      .run(['sh', '-c', '"$@" 2>/dev/null | head -n 1', 'sh', ...next], { timeoutMs: 40_000 });
    return await unanswered(lab, 'hub', INSIDE.spoke, PORT);
  },
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
