/** What the state of a tunnel says of its health, by what is asked of it. */
import type { PublicKey, WireGuardDevice } from './device.ts';

/** Which handshakes must be fresh. */
export type HealthPolicy =
  | { readonly kind: 'listening' }
  | { readonly kind: 'any' }
  | { readonly kind: 'peer'; readonly publicKey: PublicKey }
  /** At least this part of the peers, above 0 and up to 1. */
  | { readonly kind: 'fraction'; readonly least: number };

/**
 * A session is renewed after 120 s at the earliest (REKEY_AFTER_TIME), and a handshake takes up to 5 s and is tried again (WireGuard paper, 6.1):
 * below this a peer that is alive would count as gone now and then.
 */
export const LEAST_MAX_AGE_SECONDS = 150;

export interface TunnelSight {
  /** Undefined: wg knows no such link. */
  readonly device: WireGuardDevice | undefined;
  /** Whether there is a link of that name, whatever it is. */
  readonly isThere: boolean;
  readonly isUp: boolean;
  /** What a handshake with its own socket found; absent: none was tried. */
  readonly selfProbe?: 'answered' | 'silent';
}

export type HealthCause =
  | 'healthy'
  | 'linkMissing'
  | 'unreadable'
  | 'linkDown'
  | 'notListening'
  | 'selfProbeSilent'
  | 'peersStale';

export interface TunnelHealth {
  readonly healthy: boolean;
  readonly cause: HealthCause;
  /** A sentence. */
  readonly reason: string;
  readonly peers: number;
  /** With a handshake that is young enough. */
  readonly fresh: number;
}

export interface HealthRule {
  readonly policy: HealthPolicy;
  /** Seconds. */
  readonly maxAge: number;
  /** Where it should listen; undefined: wherever it does. */
  readonly listenPort?: number | undefined;
}

/** `nowSeconds` since the epoch. */
export function tunnelHealth(
  link: string,
  { device, isThere, isUp, selfProbe }: TunnelSight,
  { policy, maxAge, listenPort = device?.listenPort }: HealthRule,
  nowSeconds: number,
): TunnelHealth {
  const peers = device?.peers ?? [];
  const isFresh = ({ latestHandshake = 0 }: (typeof peers)[number]): boolean => nowSeconds - latestHandshake <= maxAge;
  const fresh = peers.filter(isFresh).length;
  const say = (cause: HealthCause, reason: string): TunnelHealth => ({
    ...{ healthy: cause === 'healthy', cause, reason, peers: peers.length, fresh },
  });
  if (device === undefined && isThere)
    return say(
      'unreadable',
      `${link} is there, and wg cannot read it (is CAP_NET_ADMIN missing, or /run/wireguard of who made it?)`,
    );
  if (device === undefined) return say('linkMissing', `there is no WireGuard link ${link}`);
  if (!isUp) return say('linkDown', `${link} is down`);
  if (device.listenPort === undefined) return say('notListening', `${link} has no socket: no port is set`);
  if (device.listenPort !== listenPort)
    return say('notListening', `${link} listens at UDP port ${device.listenPort}, and should at ${listenPort}`);
  if (selfProbe === 'silent')
    return say(
      'selfProbeSilent',
      `nothing answered a handshake at the socket of ${link}, UDP port ${device.listenPort}`,
    );
  const within = `within ${maxAge} s`;
  switch (policy.kind) {
    case 'listening':
      return say('healthy', `${link} is up and listens at UDP port ${device.listenPort}`);
    case 'any':
      return fresh > 0
        ? say('healthy', `${fresh} of ${peers.length} peers had a handshake ${within}`)
        : say('peersStale', `none of ${peers.length} peers had a handshake ${within}`);
    case 'peer': {
      const peer = peers.find(({ publicKey }) => publicKey === policy.publicKey);
      if (peer === undefined) return say('peersStale', `${link} has no peer ${policy.publicKey}`);
      const age = peer.latestHandshake === undefined ? 'never' : `${nowSeconds - peer.latestHandshake} s ago`;
      return say(
        isFresh(peer) ? 'healthy' : 'peersStale',
        `the peer ${policy.publicKey} had its last handshake ${age}`,
      );
    }
    case 'fraction': {
      const needed = Math.ceil(policy.least * peers.length);
      const has = `${fresh} of ${peers.length} peers had a handshake ${within}, ${needed} are asked for`;
      return say(peers.length > 0 && fresh >= needed ? 'healthy' : 'peersStale', has);
    }
  }
}
