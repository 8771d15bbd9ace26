import { type LabFault, on, unanswered } from './fault.ts';
import { forward, home, PUBLIC } from './home.ts';

const PORT = 8080;

export const forwardingOff: LabFault = {
  code: 'forwardingOff',
  title: 'a hardening file switches forwarding off again',
  topology: home('reset'),
  host: 'router',
  async inject(lab) {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await lab.run([
      'sh',
      '-ec',
      'mount -n -t tmpfs tmpfs /etc/sysctl.d; echo "net.ipv4.ip_forward = 0" >/etc/sysctl.d/60-cis.conf',
    ]);
    await on(lab, 'router', `${forward('tcp', PORT)}\nsysctl -q -p /etc/sysctl.d/60-cis.conf`);
  },
  symptom: (lab) => unanswered(lab, 'client', PUBLIC, PORT),
  nearMisses: [
    {
      title: 'forwarding is off on a host that translates nothing',
      make: async (lab) => {
        await on(lab, 'router', 'sysctl -qw net.ipv4.ip_forward=0');
      },
    },
  ],
};
