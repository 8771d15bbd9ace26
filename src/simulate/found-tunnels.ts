/** Tunnels between hosts as their links say, whoever made them. */
import type { HostState } from '../host/index.ts';
import { type Address, sameAddress } from '../net/index.ts';
import { sameKey } from '../wireguard/index.ts';
import type { TunnelInput, TunnelPlug } from './network.ts';

type Named = Readonly<{ name: string; state: HostState }>;

/** WireGuard: a peer's key is the other device's. VXLAN, IPIP, GRE: each one's remote address is the other's. Each pair once. */
export function findTunnels(hosts: readonly Named[]): readonly TunnelInput[] {
  const pairs = hosts.flatMap((one, index) => hosts.slice(index + 1).flatMap((other) => between(one, other)));
  return pairs.map((ends) => ({ name: ends.map(({ host, link }) => `${host} ${link}`).join(' - '), ends }));
}

const between = (one: Named, other: Named): readonly (readonly [TunnelPlug, TunnelPlug])[] => [
  ...one.state.devices.flatMap((device) =>
    other.state.devices
      .filter(
        ({ publicKey }) => publicKey !== undefined && device.peers.some((peer) => sameKey(peer.publicKey, publicKey)),
      )
      .map((far) => plugs(one, device.link, other, far.link)),
  ),
  ...one.state.links.flatMap((link) => {
    const near = link.outer ?? link.vxlan;
    if (near?.remote === undefined) return [];
    const { remote } = near;
    return other.state.links
      .filter((far) => {
        const there = far.outer ?? far.vxlan;
        return (
          far.kind === link.kind &&
          there?.remote !== undefined &&
          has(other, remote) &&
          has(one, there.remote) &&
          far.vxlan?.vni === link.vxlan?.vni
        );
      })
      .map((far) => plugs(one, link.name, other, far.name));
  }),
];

const plugs = (one: Named, link: string, other: Named, farLink: string): readonly [TunnelPlug, TunnelPlug] => [
  { host: one.name, link },
  { host: other.name, link: farLink },
];

const has = ({ state }: Named, address: Address): boolean =>
  state.addresses.some((each) => sameAddress(each.address.address, address));
