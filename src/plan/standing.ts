/** A host as it is once a plan of ours is carried out: for the plan after it. */
import { type HostFacts, ownState } from '../host/index.ts';
import { sameKey, type WireGuardDevice, type WireGuardPeer } from '../wireguard/index.ts';
import type { Desired } from './order.ts';

/** The facts with everything of ours as desired, and nothing else changed. What others own is not looked through: accepts are given beside it. */
export function standing({ record: _, ...facts }: HostFacts, { state, record }: Desired): HostFacts {
  const own = ownState(facts.state);
  const others = <T>(all: readonly T[], ours: readonly T[]): readonly T[] => {
    const known = new Set(ours);
    return all.filter((each) => !known.has(each));
  };
  return {
    ...facts,
    ...(record !== undefined && { record }),
    state: {
      links: [...others(facts.state.links, own.links), ...state.links],
      addresses: [...others(facts.state.addresses, own.addresses), ...state.addresses],
      routes: [...others(facts.state.routes, own.routes), ...state.routes],
      rules: [...others(facts.state.rules, own.rules), ...state.rules],
      sysctls: new Map([...facts.state.sysctls, ...state.sysctls]),
      devices: [
        ...others(facts.state.devices, own.devices),
        ...state.devices.map((device) => heard(device, own.devices)),
      ],
      tables: [...others(facts.state.tables, own.tables), ...state.tables],
      accepts: state.accepts,
      files: new Map([...facts.state.files, ...state.files]),
    },
  };
}

/** Where a peer was heard of is known on, for whoever adds it again: who may not be called must wait until it calls. */
const heard = (device: WireGuardDevice, before: readonly WireGuardDevice[]): WireGuardDevice => ({
  ...device,
  peers: device.peers.map((peer): WireGuardPeer => {
    const known = before.find(({ link }) => link === device.link)?.peers ?? [];
    const endpoint = known.find(({ publicKey }) => sameKey(publicKey, peer.publicKey))?.endpoint;
    return { ...(endpoint !== undefined && { endpoint }), ...peer };
  }),
});
