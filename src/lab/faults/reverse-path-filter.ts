import { type LabFault, on, unanswered } from './fault.ts';
import { byAddress, PORT, twoWays } from './two-ways.ts';

/** A connection that comes by wan2 is answered by it: by its mark. The filter does not look at marks. */
const BY_MARK = `ip route add default via 10.2.0.1 table 102
ip rule add fwmark 0x66 lookup 102 priority 102
nft -f - <<'END'
table inet by_mark {
  chain pre { type filter hook prerouting priority -150; iifname "wan2" ct mark set 0x66
  }
  chain out { type route hook output priority -150; meta mark set ct mark
  }
}
END`;

export const reversePathFilter: LabFault = {
  code: 'reversePathFilter',
  title: 'strict reverse path filtering drops what comes by the second way',
  topology: twoWays('rpf', { 'net.ipv4.conf.wan2.rp_filter': '1' }, false),
  host: 'server',
  async inject(lab) {
    await lab.serve('server', { protocol: 'tcp', port: PORT });
    await on(lab, 'server', BY_MARK);
  },
  symptom: (lab) => unanswered(lab, 'client', '10.2.0.2', PORT),
  nearMisses: [
    byAddress('strict, with a rule by the address'),
    {
      title: 'loose',
      async make(lab) {
        await lab.serve('server', { protocol: 'tcp', port: PORT });
        await on(lab, 'server', `${BY_MARK}\nsysctl -qw net.ipv4.conf.wan2.rp_filter=2`);
      },
    },
  ],
};
