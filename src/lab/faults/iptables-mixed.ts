import { type LabFault, on, unanswered } from './fault.ts';
import { home, PUBLIC, SERVER } from './home.ts';

const PORT = 8080;
const NEWER = `iptables -t nat -A PREROUTING -d ${PUBLIC} -p tcp --dport ${PORT} -j DNAT --to-destination ${SERVER}:${PORT}`;

export const iptablesMixed: LabFault = {
  code: 'iptablesMixed',
  title: "a rule left behind by iptables-legacy drops what iptables' newer kind forwards",
  topology: home('mixed'),
  host: 'router',
  async inject(lab) {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await on(lab, 'router', `iptables-legacy -A FORWARD -p tcp --dport ${PORT} -j DROP\n${NEWER}`);
  },
  symptom: (lab) => unanswered(lab, 'client', PUBLIC, PORT),
  nearMisses: [
    {
      title: 'both kinds, and the older one harms no flow',
      async make(lab) {
        await lab.serve('server', { protocol: 'tcp', port: PORT });
        await on(lab, 'router', `iptables-legacy -A INPUT -p tcp --dport 23 -j DROP\n${NEWER}`);
      },
    },
  ],
};
