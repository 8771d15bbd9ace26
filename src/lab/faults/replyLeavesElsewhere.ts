import { type LabFault, on, unanswered } from './fault.ts';
import { twoWays } from './two-ways.ts';

const PORT = 8080;

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
  nearMisses: [
    {
      title: 'a rule and a table for the second address',
      async make(lab) {
        await lab.serve('server', { protocol: 'tcp', port: PORT });
        await on(
          lab,
          'server',
          'ip route add default via 10.2.0.1 table 102; ip rule add from 10.2.0.2 lookup 102 priority 102',
        );
      },
    },
  ],
};
