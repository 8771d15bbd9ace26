/** Real packets that tell whether what was proven is so: which to send, and what the model says of each. */
import type { Compiled } from '../compile/index.ts';
import {
  type Address,
  containsAddress,
  isPublicAddress,
  networkOf,
  sameAddress,
  type Transport,
} from '../net/index.ts';
import { type Flow, type Network, simulateAll } from '../simulate/index.ts';
import { chooseOutsiders } from './outsider.ts';
import { boundaries, placesOf } from './places.ts';

/** A port of a forward to ask from outside. */
export interface Probe {
  /** `PortForward/web`. */
  readonly resource: string;
  readonly edge: string;
  readonly link: string;
  /** The address as the edge bears it, and as the Internet sees it. */
  readonly inner: Address;
  readonly outer: Address;
  readonly protocol: Transport;
  readonly port: number;
}

/** `undecided`: not known, or by chance one way or the other. */
export type Prediction = 'answered' | 'refused' | 'lost' | 'undecided';

/** The first and last port of each forward at each of its addresses, once. */
export function probesOf(compiled: Compiled): readonly Probe[] {
  const probes = new Map<string, Probe>();
  for (const edge of compiled.hosts.values())
    for (const forward of edge.share.forwards)
      for (const { address: inner, link } of placesOf(forward, edge)) {
        const outer = edge.publicAddresses.find((each) => sameAddress(each.inner, inner))?.outer ?? inner;
        for (const [port] of boundaries(forward)) {
          const { protocol } = forward;
          const probe = {
            resource: `PortForward/${forward.name}`,
            edge: edge.name,
            link,
            inner,
            outer,
            protocol,
            port,
          };
          probes.set(`${outer.value} ${outer.family} ${protocol} ${port}`, probe);
        }
      }
  return [...probes.values()];
}

/** What will come of it, asked from an address: that of a host, a neighbour's, or as somebody on the Internet. */
export function predict(network: Network, probe: Probe, client: Address): Prediction {
  const { traces, complete } = simulateAll(network, flowOf(network, probe, client));
  const found = new Set(
    traces.map(({ works, request }): Prediction => {
      if (works === true) return 'answered';
      if (works === 'undecided') return 'undecided';
      return request.verdict === 'rejected' ? 'refused' : 'lost';
    }),
  );
  const [only, other] = found;
  return complete && other === undefined && only !== undefined ? only : 'undecided';
}

function flowOf(network: Network, { edge, link, inner, outer, protocol, port }: Probe, client: Address): Flow {
  const asker = [...network.hosts.values()].find(({ state }) =>
    state.addresses.some(({ address }) => sameAddress(address.address, client)),
  );
  if (asker !== undefined)
    return { from: { kind: 'host', host: asker.name, address: client }, to: outer, protocol, port };
  const isNeighbour = network.hosts
    .get(edge)
    ?.state.addresses.some((each) => each.link === link && containsAddress(networkOf(each.address), client));
  // Behind a translation of somebody's: the edge sees another.
  const seen = isPublicAddress(client) || isNeighbour === true ? client : chooseOutsiders(network)[inner.family];
  return { from: { kind: 'beyond', host: edge, link, address: seen }, to: inner, protocol, port };
}
