import { type LabFault, on } from './fault.ts';
import { forward, home, MASQUERADE, PUBLIC } from './home.ts';

const PORT = 8080;

export const clientAddressLost: LabFault = {
  code: 'clientAddressLost',
  title: 'a masquerade without a link hides every client from the server',
  topology: home('hidden'),
  host: 'router',
  async inject(lab) {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await on(
      lab,
      'router',
      `${forward('tcp', PORT)}\nnft 'table ip hide { chain post { type nat hook postrouting priority 100; masquerade; }; }'`,
    );
  },
  async symptom(lab) {
    const result = await lab.connect('client', { protocol: 'tcp', to: PUBLIC, port: PORT });
    if (!result.ok) return `no answer: ${result.error}`;
    const address = result.saw?.client.address;
    return address === '192.0.2.10' ? undefined : `the server sees ${address} in place of 192.0.2.10`;
  },
  typed:
    'a target that answers by another way than this host needs the masquerade, and only a person knows which it is',
  nearMisses: [
    {
      title: 'only what leaves by the WAN is masqueraded',
      async make(lab) {
        await lab.serve('server', { protocol: 'tcp', port: PORT });
        await on(lab, 'router', `${forward('tcp', PORT)}\n${MASQUERADE}`);
        await lab.connect('client', { protocol: 'tcp', to: PUBLIC, port: PORT });
      },
    },
  ],
};
