/** Cryptokey routing: which peer a packet goes to, and from which peer it is believed (WireGuard paper, 2). */
import { type Address, buildPrefixTable, lookupPrefix, type Prefix, printPrefix } from '../net/index.ts';
import type { WireGuardDevice, WireGuardPeer } from './device.ts';
import { sameKey } from './key.ts';

/** The peer whose allowed IPs hold the address by the longest prefix. Of two that claim one prefix the last has it, as in the kernel. */
export const peerFor = (device: Pick<WireGuardDevice, 'peers'>, address: Address): WireGuardPeer | undefined =>
  lookupPrefix(
    buildPrefixTable(device.peers.flatMap((peer) => peer.allowedIps.map((prefix) => ({ prefix, value: peer })))),
    address,
  )?.value;

/** A prefix that several peers of a device claim. The kernel gives it to the last and takes it from the others, without a word. */
export interface AllowedIpClash {
  readonly prefix: Prefix;
  readonly peers: readonly WireGuardPeer[];
}

/** The prefixes that more than one peer claims, with the claimants in order. A prefix inside another's is no clash: the longer one has it. */
export function allowedIpClashes(peers: readonly WireGuardPeer[]): readonly AllowedIpClash[] {
  const claims = new Map<string, { readonly prefix: Prefix; readonly peers: WireGuardPeer[] }>();
  for (const peer of peers) {
    for (const prefix of peer.allowedIps) {
      const text = printPrefix(prefix);
      const claim = claims.get(text) ?? { prefix, peers: [] };
      claims.set(text, claim);
      if (!claim.peers.some((other) => sameKey(other.publicKey, peer.publicKey))) claim.peers.push(peer);
    }
  }
  return [...claims.values()].filter((claim) => claim.peers.length > 1);
}
