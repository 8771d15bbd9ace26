/** What a drawing of a trace shows, before anything has a place on it: hosts, what lies between them, and the way through both. */
import type { TunnelPlug, WayReport } from '../../simulate/index.ts';

export interface Scene {
  /** In the order in which the packet and its answer first come to them; those off its way last. */
  readonly places: readonly Place[];
  readonly media: readonly Medium[];
  /** Hosts that are off the way and not drawn. */
  readonly omitted: readonly string[];
  /** The numbered stretches, in words. */
  readonly steps: readonly Step[];
}

/** Where a packet may be: a host, the Internet (with all who ask from there), or what lies beyond a link and is no Host. */
export type Spot =
  | { readonly kind: 'host'; readonly host: string }
  | { readonly kind: 'internet' }
  | { readonly kind: 'outside'; readonly beyond: TunnelPlug; readonly address: string };

export interface Place {
  readonly spot: Spot;
  readonly name: string;
  readonly notes: readonly string[];
  readonly rows: readonly Row[];
  /** The packet does not come here. */
  readonly isIdle?: true;
}

export type Direction = 'request' | 'answer';

/** `arrives` at its end; `dies`; `unknown`: undecided from here; `leaves` the network that is known. */
export type Mark = 'arrives' | 'dies' | 'unknown' | 'leaves';

/** What happens to the packet inside a host. */
export interface Row {
  readonly direction: Direction;
  /** The number of the stretch by which it came; absent where the host sent it. */
  readonly after?: number;
  readonly text: string;
  readonly mark?: Mark;
}

/** What lies between places. */
export interface Medium {
  readonly id: string;
  readonly kind: 'tunnel' | 'link';
  readonly label?: string;
  /** The first is the one that the packet comes from first. */
  readonly ends: readonly Plug[];
  readonly cards: readonly Card[];
}

export interface Plug {
  readonly spot: Spot;
  /** The name of the link; absent at places that are no host. */
  readonly link?: string;
}

/** A packet as it crosses a medium. */
export interface Card {
  readonly direction: Direction;
  /** Several where it goes round in a ring. */
  readonly numbers: readonly number[];
  readonly packet: string;
  readonly from: Plug;
  /** Absent: it does not come out. */
  readonly to?: Plug;
  readonly mark?: Mark;
}

export interface Step {
  readonly direction: Direction;
  readonly number: number;
  readonly from: Plug;
  readonly to?: Plug;
  readonly packet: string;
  /** How many hops were told before it. */
  readonly after: number;
}

/** Tells spots apart. */
export function keyOf(spot: Spot): string {
  switch (spot.kind) {
    case 'internet':
      return 'internet';
    case 'host':
      return `host ${spot.host}`;
    case 'outside':
      return `outside ${spot.beyond.host} ${spot.beyond.link} ${spot.address}`;
  }
}

/** Tells links apart. */
export const plugKeyOf = ({ spot, link = '' }: Plug): string => `${keyOf(spot)} ${link}`;

export const hostSpot = (host: string): Spot => ({ kind: 'host', host });

type Ended = Pick<WayReport, 'verdict'>;

/** How the end of the request or of its answer is marked. What arrives, but not as it should, dies. */
export function markOf(
  works: WayReport['works'],
  request: Ended,
  reply: Ended | undefined,
  direction: Direction,
): Mark {
  const { verdict } = direction === 'request' || reply === undefined ? request : reply;
  if (verdict === 'exits') return 'leaves';
  if (verdict === 'undecided') return 'unknown';
  if (verdict !== 'delivered') return 'dies';
  // Where the request itself fails (the next packet of the connection), its answer is not to blame.
  const isBlamed = (direction === 'answer' || reply === undefined) && arrived(request);
  if (works === true || !isBlamed) return 'arrives';
  return works === false ? 'dies' : 'unknown';
}

const arrived = ({ verdict }: Ended): boolean => verdict === 'delivered' || verdict === 'exits';
