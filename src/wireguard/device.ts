/** WireGuard devices and peers as `wg show all dump` knows them. A private key has no place here: it never leaves its host. */
import type { Endpoint, Prefix } from '../net/index.ts';
import type { PresharedKey } from './preshared.ts';

/** A Curve25519 public key: 44 characters of base64 (32 bytes). */
export type PublicKey = string & { readonly brand: 'PublicKey' };

/** The public key of a tunnel end whose host has not made it yet; known after the first apply. */
export interface PendingKey {
  readonly pendingHost: string;
  readonly pendingTunnel: string;
}

export interface WireGuardPeer {
  readonly publicKey: PublicKey | PendingKey;
  readonly endpoint?: Endpoint;
  readonly allowedIps: readonly Prefix[];
  readonly keepaliveSeconds?: number;
  /** Observed only: seconds since the epoch, absent while there was no handshake. */
  readonly latestHandshake?: number;
  readonly receivedBytes?: number;
  readonly sentBytes?: number;
  /** Absent: none. The key itself is never read. */
  readonly presharedKey?: PresharedKey;
}

export interface WireGuardDevice {
  readonly link: string;
  /** Absent while no private key is set. */
  readonly publicKey?: PublicKey | PendingKey;
  /** Absent: any free port. */
  readonly listenPort?: number;
  /** Mark of the encrypted packets; absent or 0: none. */
  readonly firewallMark?: number;
  readonly peers: readonly WireGuardPeer[];
}
