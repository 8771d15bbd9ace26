/** The packets that carry what goes into a tunnel, as flows of their own between its ends. */
import { isAddress } from '../net/index.ts';
import { isPendingKey, sameKey } from '../wireguard/index.ts';
import type { Network, TunnelPlug } from './network.ts';
import type { Packet } from './packet.ts';
import type { Flow } from './trace.ts';

/** A flow that carries, if it arrives at `to`; `answered`: if its answer comes back too. */
export interface Carrier {
  readonly flow: Flow;
  readonly to: string;
  readonly answered: boolean;
}

/**
 * Any one of them is enough. WireGuard is carried by either end's call and the answer to it, which goes to where the call came from. Empty where
 * nothing needs to be shown (a handshake was seen), or where the outer packets are not known.
 */
export function carriersOf(
  network: Network,
  near: TunnelPlug,
  far: TunnelPlug,
  { mark, destination }: Packet,
): readonly Carrier[] {
  const link = network.hosts.get(near.host)?.links.get(near.link);
  if (link?.kind === 'wireguard') return [...calls(network, near, far), ...calls(network, far, near)];
  const from = (address: Flow['to'] | undefined): Flow['from'] => ({
    ...{ kind: 'host', host: near.host },
    ...(address !== undefined && { address }),
  });
  if (link?.vxlan?.remote !== undefined) {
    const { local, remote, port } = link.vxlan;
    return [{ flow: { from: from(local), to: remote, port, protocol: 'udp', mark }, to: far.host, answered: false }];
  }
  const protocol =
    link?.kind === 'gre'
      ? 'gre'
      : link?.kind === 'ipip' && destination.family === 4
        ? 'ipip'
        : link?.kind === 'sit'
          ? 'sit'
          : undefined;
  if (link?.outer === undefined || protocol === undefined) return [];
  const { local, remote } = link.outer;
  return [{ flow: { from: from(local), to: remote, port: 0, protocol }, to: far.host, answered: false }];
}

/** One end calls the other at the endpoint it knows. */
function calls(network: Network, caller: TunnelPlug, called: TunnelPlug): readonly Carrier[] {
  const device = network.hosts.get(caller.host)?.cryptokeys.get(caller.link)?.device;
  const key = network.hosts.get(called.host)?.cryptokeys.get(called.link)?.device.publicKey;
  const peer = device?.peers.find(({ publicKey }) =>
    isPendingKey(publicKey) ? publicKey.pendingHost === called.host : key !== undefined && sameKey(publicKey, key),
  );
  if (device === undefined || peer?.endpoint === undefined || !isAddress(peer.endpoint.host)) return [];
  const { host: to, port } = peer.endpoint;
  const flow: Flow = {
    ...{ from: { kind: 'host', host: caller.host }, to, port, protocol: 'udp' },
    ...(device.listenPort !== undefined && { sourcePort: device.listenPort }),
    ...(device.firewallMark !== undefined && { mark: device.firewallMark }),
  };
  return [{ flow, to: called.host, answered: true }];
}

/** Whether a handshake between the ends was seen: what more would be to show. */
export const sawHandshake = (network: Network, near: TunnelPlug, far: TunnelPlug): boolean =>
  [near, far].some(
    ({ host, link }) =>
      network.hosts
        .get(host)
        ?.cryptokeys.get(link)
        ?.device.peers.some(
          ({ latestHandshake, publicKey }) =>
            latestHandshake !== undefined &&
            [near, far].some((other) => {
              const own = network.hosts.get(other.host)?.cryptokeys.get(other.link)?.device.publicKey;
              return other.host !== host && own !== undefined && sameKey(own, publicKey);
            }),
        ) === true,
  );
