import type { WireGuardPeer } from './device.ts';

/** Seconds after which a session's keys are refused (REJECT_AFTER_TIME, WireGuard paper, 6.1). */
const REJECT_AFTER_SECONDS = 180;

/**
 * Whether the peer's session is alive: its latest handshake is younger than REJECT_AFTER_TIME, `nowSeconds` since the epoch by the
 * clock of its host. A session without traffic grows older than that: without a keepalive, false may also mean that nobody spoke.
 */
export const tunnelUp = (peer: Pick<WireGuardPeer, 'latestHandshake'>, nowSeconds: number): boolean =>
  peer.latestHandshake !== undefined && nowSeconds - peer.latestHandshake < REJECT_AFTER_SECONDS;
