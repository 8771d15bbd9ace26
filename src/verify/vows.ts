/** What is promised, in the words by which people accept it, and what may happen where it is not kept: a clause that names who is hurt. */
import type { Family } from '../net/index.ts';
import type { Vow } from './promise.ts';

/** Of a PortForward. */
export const forwardVows = {
  reachable: (edge: string, places: string): Vow => ({
    promise: `reachable from outside by ${edge} at ${places}`,
    risk: 'clients from outside are not served',
  }),
  allowed: (edge: string): Vow => ({
    promise: `nobody outside allow comes in by ${edge}`,
    risk: 'clients that are not allowed come in',
  }),
  hidden: {
    promise: "the client's address is hidden from the target",
    risk: 'the target sees who its clients are, and answers them past the edge',
  },
  seen: {
    promise: "the target sees the client's own address",
    risk: 'the target takes all clients for one: its logs, bans and limits go wrong',
  },
  answered: (edge: string): Vow => ({
    promise: `answers leave by ${edge}, from the address that was asked`,
    risk: 'what clients ask arrives, and they are not answered',
  }),
  fits: {
    promise: 'TCP segments fit the tunnels on the way',
    risk: 'connections open, and hang once there is much to send',
  },
  sized: {
    promise: 'who sends packets too large for the way is told what fits',
    risk: 'small questions are answered, and whatever is large is lost without a word',
  },
  untracked: (edge: string): Vow => ({
    promise: `${edge} tracks none of its connections`,
    risk: `a flood of connections fills the table of ${edge}, and new ones fail`,
  }),
  inside: (edge: string): Vow => ({
    promise: `reachable from ${edge} itself and from the target's network`,
    risk: `${edge} itself and machines beside the target are not served at the public address`,
  }),
  notInside: (edge: string): Vow => ({
    promise: `not reachable from ${edge} itself and from the target's network`,
    risk: `${edge} itself and machines beside the target come in, who should not`,
  }),
} as const;

/** Of a Tunnel. */
export const tunnelVows = {
  letIn: (host: string, what: string): Vow => ({
    promise: `${host} lets in its packets ${what}`,
    risk: 'the tunnel does not come up, and nothing that is to go through it arrives',
  }),
  notInto: (host: string): Vow => ({
    promise: `a neighbour of ${host} does not come into it past the forwards`,
    risk: `neighbours of ${host} reach ports behind the tunnel that nobody forwards`,
  }),
  notOutOf: (host: string): Vow => ({
    promise: `nothing else comes out of it at ${host}`,
    risk: `who comes by the tunnel reaches ports of ${host}, or its neighbours, that nobody declared`,
  }),
  together: (host: string): Vow => ({
    promise: `one client may come to ${host} by it and by another tunnel at once`,
    risk: 'a client that comes by both with one source port is answered by the wrong one, or not at all',
  }),
} as const;

/** Of a Host. */
export const hostVows = {
  noRouter: (host: string): Vow => ({
    promise: 'forwards nothing of strangers that it did not forward before',
    risk: `strangers use ${host} as a router`,
  }),
  reached: (host: string): Vow => ({
    promise: 'what reached it before reaches it still, and it the Internet',
    risk: `${host} is no longer reached, by you either, or does not reach the Internet`,
  }),
  listeners: {
    promise: 'who listens on it is reached as before',
    risk: 'clients of who listens there come to another or to nobody',
  },
  connections: {
    promise: 'the connections that it tracks go on',
    risk: 'connections that are open now break off',
  },
} as const;

/** Of an EgressRoute. */
export const egressVows = {
  alone: (family: Family, way: string, when: string): Vow => ({
    promise: `its IPv${family} sources leave by ${way} alone, or not at all, ${when}`,
    risk: 'packets of these sources go out in the open: the WAN sees who asks, and what',
  }),
} as const;
