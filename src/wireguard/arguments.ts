/** What `wg` is told: argument vectors without the leading `wg`. Keys are given by file, never as an argument that `ps` shows. */
import { printEndpoint, printPrefix } from '../net/index.ts';
import type { WireGuardDevice, WireGuardPeer } from './device.ts';
import { isPendingKey, printKey } from './key.ts';

/**
 * Sets private key, listen port and mark of a link at once; peers stay, and sessions too where nothing differs (the key is compared
 * first, noise.c). No port: the one it has, as `listen-port 0` would draw another each time. No mark: none.
 */
export const wgSetDeviceArguments = (device: Omit<WireGuardDevice, 'peers'>, keyFile: string): readonly string[] => [
  ...['set', device.link],
  ...(device.listenPort === undefined ? [] : ['listen-port', String(device.listenPort)]),
  ...['fwmark', device.firewallMark ? `0x${device.firewallMark.toString(16)}` : '0'],
  ...['private-key', keyFile],
];

/**
 * Adds the peer, or changes it in place: one `wg set`, which keeps its session. Its allowed IPs become exactly these.
 * An endpoint that is not named stays as the peer's last packet set it, and so does a preshared key without a file; one that is empty takes
 * it away. Throws a TypeError while its key is pending.
 */
export const wgSetPeerArguments = (link: string, peer: WireGuardPeer, presharedKeyFile?: string): readonly string[] => [
  ...['set', link, 'peer', knownKey(peer)],
  ...(presharedKeyFile === undefined ? [] : ['preshared-key', presharedKeyFile]),
  ...(peer.endpoint === undefined ? [] : ['endpoint', printEndpoint(peer.endpoint)]),
  ...['persistent-keepalive', String(peer.keepaliveSeconds ?? 0)],
  ...['allowed-ips', peer.allowedIps.map(printPrefix).join(',')],
];

/** Removes the peer and its allowed IPs. Throws a TypeError while its key is pending. */
export const wgRemovePeerArguments = (link: string, peer: WireGuardPeer): readonly string[] => [
  ...['set', link, 'peer', knownKey(peer), 'remove'],
];

function knownKey({ publicKey }: WireGuardPeer): string {
  if (isPendingKey(publicKey)) throw new TypeError(`not to be told to wg yet: ${printKey(publicKey)}`);
  return publicKey;
}
