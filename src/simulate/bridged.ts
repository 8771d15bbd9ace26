/** What crosses the bridge of a host on its way between two others, filtered as IP where br_netfilter is told to. */
import { printAddress, sameAddress } from '../net/index.ts';
import type { BridgeCrossed, SimulatedHost } from './network.ts';
import { familyOf, type Packet } from './packet.ts';
import { type Passage, runEntry, runExit, runForward } from './passage.ts';
import { filtersBridged } from './setting.ts';
import { type End, end } from './trace.ts';

/** Whether the host looks at what crosses this bridge. */
export const looksInto = (host: SimulatedHost, { bridge }: BridgeCrossed, packet: Packet): boolean =>
  filtersBridged(host, bridge, familyOf(packet));

/**
 * The packet as it leaves the bridge, or its end. The chains see the bridge as the link it comes in and leaves by (br_netfilter_hooks.c);
 * it is neither routed nor forwarded. `passage` is of that host, and new.
 */
export function crossBridge(passage: Passage, { host, bridge, from, to }: BridgeCrossed): Packet | End {
  const { destination } = passage.packet;
  passage.record(host, 'link', () => ({ detail: `crosses ${bridge} from ${from} to ${to}, filtered (br_netfilter)` }));
  passage.iif = bridge;
  const { fragment } = passage.packet;
  const entered = runEntry(passage, 'prerouting', () => undefined);
  if (entered !== undefined) return entered;
  if (!sameAddress(passage.packet.destination, destination)) {
    // br_nf_pre_routing_finish: to a neighbour on the bridge it stays there, else it is routed.
    const to = printAddress(passage.packet.destination);
    return end(
      'undecided',
      `${host} translates what crosses ${bridge}: whether it is then routed to ${to} is not known`,
    );
  }
  passage.oif = bridge;
  return (
    runForward(passage) ??
    runExit(passage, 'postrouting') ?? { ...passage.packet, ...(fragment !== undefined && { fragment }) }
  );
}
