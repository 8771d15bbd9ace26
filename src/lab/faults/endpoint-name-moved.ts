import type { Lab } from '../lab.ts';
import { type LabFault, on, onTunnel } from './fault.ts';
import { connectSpoke, HUB, HUB_MOVED, INSIDE, spokeNetwork, writeConfig } from './spoke.ts';

const NAME = 'hub.example.net';

/** What the resolver says of the name, from now on. */
const means = (lab: Lab, address: string): Promise<unknown> =>
  lab.run([
    'sh',
    '-ec',
    `echo "127.0.0.1 localhost\n${address} ${NAME}" >/run/hosts; mountpoint -q /etc/hosts || mount -n --bind /run/hosts /etc/hosts`,
  ]);

async function dial(lab: Lab): Promise<string> {
  await means(lab, HUB);
  const { hub } = await connectSpoke(lab, '');
  const config = `[Interface]\nPrivateKey = (not shown)\n[Peer]\nPublicKey = ${hub}\nAllowedIPs = ${INSIDE.hub}/32\nEndpoint = ${NAME}:51820\n`;
  await writeConfig(lab, 'wgs', config);
  return hub;
}

/** As after 180 s of silence. */
const endSession = (lab: Lab, hub: string): Promise<string> =>
  onTunnel(
    lab,
    'spoke',
    `wg set wgs peer ${hub} remove; wg set wgs peer ${hub} allowed-ips ${INSIDE.hub}/32 endpoint ${HUB}:51820`,
  );

export const endpointNameMoved: LabFault = {
  code: 'endpointNameMoved',
  title: 'the name of an endpoint means another address, and the tunnel calls the old one',
  topology: spokeNetwork('moved'),
  host: 'spoke',
  async inject(lab) {
    const hub = await dial(lab);
    await means(lab, HUB_MOVED);
    // It has left: what it says by itself comes from its new address too, and brings no spoke back to the old one.
    await on(
      lab,
      'hub',
      `ip addr flush dev eth0; ip addr add ${HUB_MOVED}/24 dev eth0; ip route add default via 203.0.113.254`,
    );
    await endSession(lab, hub);
  },
  // With the right endpoint a handshake was made, and its session is alive.
  again: async (lab) => endSession(lab, (await onTunnel(lab, 'spoke', 'wg show wgs peers')).trim()),
  async symptom(lab) {
    // A call that was not answered is made again after 5 s (REKEY_TIMEOUT).
    const isOld = (await onTunnel(lab, 'spoke', 'wg show wgs endpoints')).includes(`${HUB}:`);
    const ping = ['ping', '-n', '-q', '-c', '1', '-w', isOld ? '3' : '15', INSIDE.hub];
    return (await lab.host('spoke').run(ping, { allowFailure: true })).status === 0
      ? undefined
      : `${INSIDE.hub} does not answer by the tunnel`;
  },
  nearMisses: [
    { title: 'the name means what the kernel calls', make: async (lab) => void (await dial(lab)) },
    {
      title: 'the name means another address, and the session is alive: the hub has both',
      async make(lab) {
        await dial(lab);
        await means(lab, HUB_MOVED);
      },
    },
  ],
};
