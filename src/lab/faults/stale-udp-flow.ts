import type { Lab } from '../lab.ts';
import { type LabFault, on } from './fault.ts';
import { forward, home, PUBLIC, SERVER, SPARE } from './home.ts';

const PORT = 5353;
const MOVE = `nft -f - <<'END'
flush chain ip home_nat pre
add rule ip home_nat pre ip daddr ${PUBLIC} udp dport ${PORT} dnat to ${SPARE}:${PORT}
END`;

/** By which address the server was reached by a client that keeps its port. */
async function reached(lab: Lab): Promise<string | undefined> {
  const result = await lab.connect('client', { protocol: 'udp', to: PUBLIC, port: PORT, sourcePort: 40_123 });
  return result.ok ? result.saw?.local.address : undefined;
}

const serve = async (lab: Lab): Promise<void> => {
  for (const address of [SERVER, SPARE]) await lab.serve('server', { protocol: 'udp', port: PORT, address });
  await on(lab, 'router', forward('udp', PORT));
  await reached(lab);
};

export const staleUdpFlow: LabFault = {
  code: 'staleUdpFlow',
  title: 'a flow of UDP keeps its old target after the rule has changed',
  topology: home('stale'),
  host: 'router',
  async inject(lab) {
    await serve(lab);
    await on(lab, 'router', MOVE);
  },
  async symptom(lab) {
    const by = await reached(lab);
    return by === SPARE ? undefined : `the client's datagrams still come to ${by ?? 'nobody'}`;
  },
  nearMisses: [{ title: 'a flow that goes where the rule says', make: serve }],
};
