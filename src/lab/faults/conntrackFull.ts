import type { Lab } from '../lab.ts';
import { type LabFault, on, unanswered } from './fault.ts';
import { forward, home, PUBLIC } from './home.ts';

const PORT = 8080;

/** Fills the router's table to a share of it, with flows of UDP that were answered, which give way to nobody. */
async function fill(lab: Lab, share: number): Promise<void> {
  await lab.serve('server', { protocol: 'tcp', port: PORT });
  await on(
    lab,
    'router',
    `sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600 net.netfilter.nf_conntrack_udp_timeout_stream=600\n${forward('tcp', PORT)}`,
  );
  const max = Number(await on(lab, 'router', 'cat /proc/sys/net/netfilter/nf_conntrack_max'));
  const count = Math.ceil(max * share);
  // Entries as `conntrack -I` makes them, in one stream: assured, so that none is thrown out for a new one.
  const script = `import sys
n = ${count}
for i in range(n):
    print('-I -p udp -s 10.%d.%d.%d -d 10.99.0.1 --sport %d --dport 9 -t 600 -u SEEN_REPLY,ASSURED' % (1 + (i >> 16), (i >> 8) & 255, i & 255, 1024 + (i & 1023)))
`;
  await lab
    .host('router')
    .run(
      ['sh', '-ec', `python3 - >/run/entries <<'END'\n${script}END\nconntrack -R /run/entries >/dev/null 2>&1 || :`],
      {
        timeoutMs: 60_000,
      },
    );
}

export const conntrackFull: LabFault = {
  code: 'conntrackFull',
  title: 'with the table of tracked connections full, new ones are dropped',
  topology: home('full'),
  host: 'router',
  inject: (lab) => fill(lab, 1.02),
  symptom: (lab) => unanswered(lab, 'client', PUBLIC, PORT),
  // The limit is the whole machine's; only its own network may raise it.
  fix: ['conntrack -D -p udp -d 10.99.0.1 >/dev/null 2>&1'],
  nearMisses: [{ title: 'a twentieth full', make: (lab) => fill(lab, 0.05) }],
};
