/** A client before an edge, and nodes of equal standing behind it: the ground of forwards with several targets. */
import type { Topology } from './topology.ts';

/** The edge's public address. */
export const RACK_EDGE = '198.51.100.10';

const GATEWAY = '172.31.0.1';

/** Where the node of that place (from 0) stands on the private network. */
export const rackAddress = (place: number): string => `172.31.0.${2 + place}`;

/** client 198.51.100.1 - edge 198.51.100.10 and 172.31.0.1 - the nodes, from 172.31.0.2 on, whose default route is by the edge or nowhere. */
export const rack = (nodes: readonly string[], way: 'by the edge' | 'nowhere'): Topology => ({
  name: 'rack',
  hosts: [
    { name: 'client', routes: [{ to: 'default', via: RACK_EDGE }] },
    { name: 'edge' },
    ...nodes.map((name) => ({ name, routes: way === 'nowhere' ? [] : [{ to: 'default', via: GATEWAY }] })),
  ],
  switches: [{ name: 'rack' }],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['198.51.100.1/24'] },
        { at: 'edge', interface: 'eth0', addresses: [`${RACK_EDGE}/24`] },
      ],
    },
    ...['edge', ...nodes].map((at, index): Topology['cables'][number] => ({
      ends: [
        { at, interface: 'priv0', addresses: [`${index === 0 ? GATEWAY : rackAddress(index - 1)}/24`] },
        { at: 'rack', interface: `to-${at}` },
      ],
    })),
  ],
});
