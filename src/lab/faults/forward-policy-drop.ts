import { type LabFault, on, unanswered } from './fault.ts';
import { forward, home, MASQUERADE, PUBLIC } from './home.ts';

const PORT = 8080;
/** What dockerd does where it was it that switched forwarding on, and its own bridge. */
const DOCKER = `iptables -P FORWARD DROP
iptables -N DOCKER-USER
iptables -A FORWARD -j DOCKER-USER`;
const OWN = `nft -f - <<'END'
table inet mine { chain forward { type filter hook forward priority -10; ct status dnat accept
 }
}
END`;

export const forwardPolicyDrop: LabFault = {
  code: 'forwardPolicyDrop',
  title: "Docker's FORWARD policy drops a forwarded port, an accept in a table of one's own notwithstanding",
  topology: home('docker'),
  host: 'router',
  async inject(lab) {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await on(lab, 'router', `${forward('tcp', PORT)}\n${OWN}\n${DOCKER}`);
  },
  symptom: (lab) => unanswered(lab, 'client', PUBLIC, PORT),
  nearMisses: [
    {
      title: 'the policy drops, and DOCKER-USER lets the port through',
      async make(lab) {
        await lab.serve('server', { protocol: 'tcp', port: PORT });
        const user = `iptables -A DOCKER-USER -p tcp --dport ${PORT} -j ACCEPT
iptables -A DOCKER-USER -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A DOCKER-USER -s 192.168.1.0/24 -j ACCEPT`;
        await on(lab, 'router', `${forward('tcp', PORT)}\n${MASQUERADE}\n${DOCKER}\n${user}`);
      },
    },
    {
      title: 'a policy that drops where nothing is translated',
      make: async (lab) => {
        await on(lab, 'router', DOCKER);
      },
    },
  ],
};
