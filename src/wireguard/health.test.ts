import { expect, test } from 'vitest';
import type { PublicKey, WireGuardDevice } from './device.ts';
import { type HealthPolicy, type TunnelSight, tunnelHealth } from './health.ts';
import { parsePublicKey } from './key.ts';

const NOW = 1_000_000;
const key = (letter: string): PublicKey => {
  const read = parsePublicKey(`${letter.repeat(42)}A=`);
  if (read === undefined) throw new Error(letter);
  return read;
};
/** Peers by the age of their last handshake; undefined: there was none. */
const device = (...ages: readonly (number | undefined)[]): WireGuardDevice => ({
  link: 'wg0',
  listenPort: 51_820,
  peers: ages.map((age, index) => ({
    publicKey: key('abcdef'[index] ?? 'z'),
    allowedIps: [],
    ...(age !== undefined && { latestHandshake: NOW - age }),
  })),
});
const up = (found: WireGuardDevice | undefined): TunnelSight => ({ device: found, isThere: true, isUp: true });
const of = (sight: TunnelSight, policy: HealthPolicy, listenPort?: number) =>
  tunnelHealth('wg0', sight, { policy, maxAge: 180, listenPort }, NOW);
const LISTENING: HealthPolicy = { kind: 'listening' };

test.each([
  ['healthy', up(device()), LISTENING],
  ['linkMissing', { device: undefined, isThere: false, isUp: false }, LISTENING],
  ['unreadable', up(undefined), LISTENING],
  ['linkDown', { device: device(), isThere: true, isUp: false }, LISTENING],
  ['notListening', up({ link: 'wg0', peers: [] }), LISTENING],
  ['selfProbeSilent', { ...up(device()), selfProbe: 'silent' }, LISTENING],
  ['healthy', { ...up(device()), selfProbe: 'answered' }, LISTENING],
  ['healthy', up(device(180, undefined)), { kind: 'any' }],
  ['peersStale', up(device(181, undefined)), { kind: 'any' }],
  ['peersStale', up(device()), { kind: 'any' }],
  ['healthy', up(device(1, 900)), { kind: 'peer', publicKey: key('a') }],
  ['peersStale', up(device(1, 900)), { kind: 'peer', publicKey: key('b') }],
  ['peersStale', up(device(1)), { kind: 'peer', publicKey: key('c') }],
  ['healthy', up(device(1, 900)), { kind: 'fraction', least: 0.5 }],
  ['peersStale', up(device(1, 900, 900)), { kind: 'fraction', least: 0.5 }],
  ['peersStale', up(device()), { kind: 'fraction', least: 0.1 }],
] as const)('%s: %j by %j', (cause, sight, policy) => {
  expect(of(sight, policy)).toMatchObject({ cause, healthy: cause === 'healthy' });
});

test('a socket at another port than the one that was asked for is none', () => {
  expect(of(up(device()), LISTENING, 51_820).cause).toBe('healthy');
  expect(of(up(device()), LISTENING, 51_821)).toMatchObject({
    cause: 'notListening',
    reason: 'wg0 listens at UDP port 51820, and should at 51821',
  });
});

test('says why', () => {
  expect(of(up(device(200, 30)), { kind: 'fraction', least: 1 })).toEqual({
    ...{ healthy: false, cause: 'peersStale', peers: 2, fresh: 1 },
    reason: '1 of 2 peers had a handshake within 180 s, 2 are asked for',
  });
});
