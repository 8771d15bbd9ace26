import { type LabFault, on, unanswered } from './fault.ts';
import { byAddress, PORT, twoWays } from './two-ways.ts';

export const replyLeavesElsewhere: LabFault = {
  code: 'replyLeavesElsewhere',
  title: 'what is asked by the second way is answered by the first',
  topology: twoWays('ways', {}, true),
  host: 'server',
  inject: async (lab) => {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await on(lab, 'server', 'ip route add default via 10.2.0.1 dev wan2 metric 200');
  },
  symptom: (lab) => unanswered(lab, 'client', '10.2.0.2', PORT),
  nearMisses: [byAddress('a rule and a table for the second address')],
};
