import type { Lab } from '../lab.ts';
import { type LabFault, onTunnel, unanswered } from './fault.ts';
import { connectSpoke, INSIDE, spokeNetwork, writeConfig } from './spoke.ts';

const PORT = 8080;

/** The hub's file, with a second peer that asks for `allowed`; set as `wg setconf` would. */
async function withSecond(lab: Lab, allowed: string): Promise<void> {
  await lab.serve('spoke', { protocol: 'tcp', port: PORT });
  const { spoke } = await connectSpoke(lab, 'persistent-keepalive 25');
  const second = (await lab.run(['sh', '-c', 'wg genkey | wg pubkey'])).stdout.trim();
  const peer = (key: string, ips: string): string => `[Peer]\nPublicKey = ${key}\nAllowedIPs = ${ips}\n`;
  await writeConfig(lab, 'wgh', `[Interface]\n${peer(spoke, `${INSIDE.spoke}/32`)}${peer(second, allowed)}`);
  await onTunnel(lab, 'hub', `wg set wgh peer ${second} allowed-ips ${allowed}`);
}

export const allowedIpsOverlap: LabFault = {
  code: 'allowedIpsOverlap',
  title: 'a second peer takes the prefix of the first',
  topology: spokeNetwork('overlap'),
  host: 'hub',
  inject: (lab) => withSecond(lab, `${INSIDE.spoke}/32`),
  symptom: (lab) => unanswered(lab, 'hub', INSIDE.spoke, PORT),
  first: {
    commands: ["sed -i '$ s/10.9.0.2/10.9.0.3/' /etc/wireguard/wgh.conf"],
    why: 'which prefix the second peer is to have only its owner can say',
  },
  nearMisses: [{ title: 'a second peer with a wider prefix around it', make: (lab) => withSecond(lab, '10.9.0.0/24') }],
};
