import { type LabFault, onTunnel, unanswered } from './fault.ts';
import { HEALTH, POD, podNetwork, wgQuick } from './pod.ts';

export const tunnelTakesReplies: LabFault = {
  code: 'tunnelTakesReplies',
  title: 'wg-quick takes the answers to a health check into the tunnel',
  topology: podNetwork,
  host: 'pod',
  inject: (lab) => wgQuick(lab),
  async symptom(lab) {
    const near = await unanswered(lab, 'near', POD, HEALTH);
    if (near !== undefined) return `not even on the subnet: ${near}`;
    return await unanswered(lab, 'prober', POD, HEALTH);
  },
  nearMisses: [
    {
      title: 'the same tunnel with Table = off',
      async make(lab) {
        await wgQuick(lab);
        await onTunnel(
          lab,
          'pod',
          'ip -4 rule del not fwmark 51820 table 51820; ip -4 rule del table main suppress_prefixlength 0',
        );
      },
    },
    {
      title: 'the answers marked on their way out',
      async make(lab) {
        await wgQuick(lab);
        await onTunnel(lab, 'pod', `iptables -t mangle -A OUTPUT -p tcp --sport ${HEALTH} -j MARK --set-mark 51820`);
      },
    },
  ],
};
