import { type LabFault, on, unanswered } from './fault.ts';
import { forward, home, MASQUERADE, PUBLIC } from './home.ts';

const PORT = 8080;

export const hairpinUnanswered: LabFault = {
  code: 'hairpinUnanswered',
  title: 'asked by its public address from its own network, a server answers past the router',
  topology: home('hairpin'),
  host: 'router',
  async inject(lab) {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await on(lab, 'router', `${forward('tcp', PORT)}\n${MASQUERADE}`);
  },
  symptom: (lab) => unanswered(lab, 'desk', PUBLIC, PORT),
  nearMisses: [
    {
      title: 'the same forward, asked from outside, with hairpin translation inside',
      async make(lab) {
        await lab.serve('server', { protocol: 'tcp', port: PORT });
        const hairpin =
          "nft 'table ip hair { chain post { type nat hook postrouting priority 99; ip saddr 192.168.1.0/24 ip daddr 192.168.1.20 ct status dnat masquerade; }; }'";
        await on(lab, 'router', `${forward('tcp', PORT)}\n${MASQUERADE}\n${hairpin}`);
        for (const host of ['desk', 'client']) await lab.connect(host, { protocol: 'tcp', to: PUBLIC, port: PORT });
      },
    },
  ],
};
