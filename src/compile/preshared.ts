/** Which preshared key a tunnel has. */
import type { HostFacts } from '../host/index.ts';
import type { TunnelResource } from '../resources/index.ts';
import { type PresharedKey, type PresharedKeyName, tunnelOfPresharedKey } from '../wireguard/index.ts';
import type { HostView } from './view.ts';

/** The one in force, where both hosts have it still; else another that both have. The same for both ends. */
export function presharedKeyOf({ name, ends }: TunnelResource, view: HostView, peer: HostView): PresharedKey {
  const [first, second] = ends[0].host === view.name ? [view, peer] : [peer, view];
  const inForce = [first, second].flatMap(({ facts }) => presharedKeysIn(facts, name));
  // Of a host that nobody looked at it is not known what it has.
  if ([first, second].some(({ facts }) => facts.source === 'declared')) return inForce[0] ?? 'pending';
  const shared = sharedBy(name, first.facts, second.facts);
  return inForce.find((each) => shared.some((one) => one === each)) ?? shared[0] ?? 'pending';
}

/** The one that takes the place of `inForce`: another that both hosts have. */
export const nextPresharedKey = (
  tunnel: string,
  inForce: PresharedKey,
  one: HostFacts,
  other: HostFacts,
): PresharedKey => sharedBy(tunnel, one, other).find((each) => each !== inForce) ?? 'pending';

/** In the same order whichever comes first. */
const sharedBy = (tunnel: string, one: HostFacts, other: HostFacts): readonly PresharedKeyName[] =>
  (one.presharedKeys ?? [])
    .filter((name) => tunnelOfPresharedKey(name) === tunnel && other.presharedKeys?.includes(name) === true)
    .sort();

const presharedKeysIn = ({ record }: HostFacts, tunnel: string): readonly PresharedKey[] =>
  [...(record?.sets.values() ?? [])].flatMap(({ tunnels }) =>
    tunnels.flatMap(({ name, peer }) => (name === tunnel ? (peer.presharedKey ?? []) : [])),
  );
