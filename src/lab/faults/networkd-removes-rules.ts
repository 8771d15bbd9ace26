import type { Lab } from '../lab.ts';
import { type LabFault, network } from './fault.ts';

/** `eth0` as networkd is told to set it up. */
const LINK = `[Match]
Name=eth0
[Network]
Address=192.0.2.20/24
Gateway=192.0.2.1
IPv6AcceptRA=no
`;
/** The same with a rule that is networkd's own. */
const WITH_RULE = `${LINK}[RoutingPolicyRule]
From=192.0.2.20
Table=100
Priority=100
[Route]
Destination=0.0.0.0/0
Gateway=192.0.2.1
Table=100
`;

/** Until networkd has looked through all that stands. */
const SETTLED = '/lib/systemd/systemd-networkd-wait-online -i eth0 --timeout=90';
const run = async (lab: Lab, script: string): Promise<string> =>
  (await lab.run(['sh', '-ec', script], { timeoutMs: 120_000 })).stdout;
/** By a person, or by a script of his. */
const addRule = (lab: Lab): Promise<string> =>
  run(
    lab,
    `${SETTLED}\nip rule add from 192.0.2.20 lookup 100 priority 100\nip route replace default via 192.0.2.1 table 100`,
  );

/** As `netplan apply` does it: a file is written anew, with one more address, and networkd sets its link up by it. */
const CHANGE = `cd /etc/systemd/network
n=$(grep -c ^Address= 50-eth0.network)
sed -i "s/^Gateway=/Address=192.0.2.$((100+n))\\/24\\n&/" 50-eth0.network
networkctl reload
for i in $(seq 300); do ip -br addr show dev eth0 | grep -q "192.0.2.$((100+n))/" && break; sleep 0.05; done
${SETTLED}`;

const machine = (link: string) => ({
  units: ['dbus.service', 'systemd-networkd.service'],
  files: { '/etc/systemd/network/50-eth0.network': link },
  network: `mkdir -p /run/netns; ip netns add beyond
ip link add eth0 type veth peer name eth0 netns beyond
ip -n beyond addr add 192.0.2.1/24 dev eth0; ip -n beyond link set eth0 up`,
});

export const networkdRemovesRules: LabFault = {
  code: 'networkdRemovesRules',
  title: 'systemd-networkd sets its link up anew, and takes away a routing rule that it did not make',
  topology: network('machine', [{ name: 'beyond', title: 'the next router' }], []),
  machine: machine(LINK),
  host: 'machine',
  inject: async (lab) => void (await addRule(lab)),
  async symptom(lab) {
    await run(lab, CHANGE);
    const left = await run(lab, 'ip rule show priority 100');
    if (left !== '') return undefined;
    await addRule(lab);
    return '"from 192.0.2.20 lookup 100" is gone after networkctl reload';
  },
  nearMisses: [
    {
      title: 'a drop-in tells it to leave what others made',
      async make(lab) {
        const file = '/etc/systemd/networkd.conf.d/10-mine.conf';
        await run(
          lab,
          `mkdir -p /etc/systemd/networkd.conf.d; printf '[Network]\\nManageForeignRoutingPolicyRules=no\\nManageForeignRoutes=no\\n' >${file}`,
        );
        await addRule(lab);
      },
    },
    {
      title: 'the rule is its own',
      machine: machine(WITH_RULE),
      make: async (lab) => void (await run(lab, SETTLED)),
    },
  ],
};
