/** What a kernel cannot do that a host's tunnels need: named before anything is changed. */
import type { HostFacts, TunnelShare } from '../host/index.ts';

/** Why the host cannot have this end of a tunnel, as a sentence; undefined where it can, or nobody looked. */
export function lacks(
  host: string,
  { type, kind, outer }: Pick<TunnelShare, 'type' | 'kind' | 'outer'>,
  facts: HostFacts,
): string | undefined {
  const says = (what: string, has: string): string => `${host}: ${what} is not supported by this kernel: ${has}`;
  switch (type) {
    case 'WireGuard':
      return facts.wireguard === 'absent'
        ? says('WireGuard', 'it has no wireguard links, and there is no wireguard-go with /dev/net/tun')
        : undefined;
    case 'VXLAN':
      return facts.vxlan === 'absent' ? says('VXLAN', 'it has no vxlan links') : undefined;
    case 'IPIP':
    case 'GRE':
      return kind !== undefined && facts.absentKinds?.includes(kind) === true
        ? says(`${type} over IPv${outer?.remote.family ?? 4}`, `it has no ${kind} links`)
        : undefined;
    case 'Direct':
      return undefined;
  }
}
