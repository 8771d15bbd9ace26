/** What a trace tells: how a packet and its answer went, hop by hop. */
import { type Address, isPublicAddress } from '../net/index.ts';
import type { Cause } from './fix.ts';
import type { TunnelPlug } from './network.ts';
import type { Notice, Told } from './notice.ts';
import type { Packet } from './packet.ts';

export type Ending = 'delivered' | 'dropped' | 'rejected' | 'unreachable' | 'looped' | 'exits' | 'undecided';

export interface Hop {
  readonly host: string;
  /** `prerouting`, `route`, `forward`, `link`, ...: where in the host. */
  readonly stage: string;
  readonly detail: string;
  /** The rule, route or setting that decided, in its own words; empty where nothing did. */
  readonly decidedBy: string;
  /** Of a packet that carries the one that is traced. */
  readonly carries?: true;
}

/** A packet on its way between two hosts. */
export interface Crossed {
  /** Where it left; absent: it came from beyond what is known. */
  readonly from?: TunnelPlug;
  /** Where it came out; absent: nowhere that is known, or back at who asked. */
  readonly to?: TunnelPlug;
  /** Between two hosts that find each other over the Internet. */
  readonly internet?: true;
  /** As it is in between. */
  readonly packet: Packet;
  /** How many hops were told before it. */
  readonly after: number;
}

/** Whether it came over the Internet from an address that nobody has there: some router on the way translates, and is not known. */
export const hidesRouter = ({ internet, packet }: Crossed): boolean =>
  internet === true && !isPublicAddress(packet.source);

/** The way of one packet to its end. */
export interface Way {
  readonly verdict: Ending;
  /** One sentence; absent where it was delivered. */
  readonly reason?: string;
  /** What it died of, where that is known. */
  readonly cause?: Cause;
  /** What its sender is told of that. */
  readonly tells?: Told;
  /** The packet of a tunnel that did not come to its other end, where it died of that. */
  readonly carrier?: Way;
  readonly hops: readonly Hop[];
  /** Told with the hops, as they are. */
  readonly crossings: readonly Crossed[];
  /** The hosts it came through, in order. */
  readonly through: readonly string[];
  /** As it was at the end. */
  readonly packet: Packet;
  /** As it came to the last host. */
  readonly arrived: Packet;
  /** The narrowest MTU of the tunnels it went through, in bytes; absent where there was none. */
  readonly tunnelMtu?: number;
  /** Where it ended; without a host: at the client. */
  readonly host?: string;
  /** The link by which it came in last, or went out for good. */
  readonly link?: string;
}

export interface Trace {
  readonly works: boolean | 'undecided';
  readonly request: Way;
  /** Absent where the request was not delivered. */
  readonly reply?: Way;
  /** What comes back of a request that died, or of its answer, where the host tells who sent that; only where hops are told. */
  readonly notice?: Heard;
  /** The next packet of the connection, which meets what an established one meets. Absent where there was no answer. */
  readonly next?: Way;
  /** Of an echo: the answer to the next, which its host gives as well. */
  readonly again?: Way;
  /** The hosts that hold a connection after it; those of flows before it count too. */
  readonly trackedBy: readonly string[];
}

/** The way of an ICMP error or a reset to who sent the packet that it tells of. */
export interface Heard {
  readonly notice: Notice;
  readonly way: Way;
  /** Why the sender makes nothing of it, though it arrived. */
  readonly unheard?: string;
}

/** Who asks: somebody beyond a link of a host (a client on the Internet, a neighbour, the far end of a tunnel), or the host itself. */
export type Origin =
  | { readonly kind: 'beyond'; readonly host: string; readonly link: string; readonly address: Address }
  | {
      readonly kind: 'host';
      readonly host: string;
      /** Of its socket; the one that the routes choose unless given. */
      readonly address?: Address;
    };

export interface Flow {
  readonly from: Origin;
  /** As it stands in the packet when it comes to the first host. */
  readonly to: Address;
  readonly port: number;
  /** ICMP: an echo, whose id is the source port. The others are packets in packets, which have no ports: those are 0. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | 'ipip' | 'sit' | 'gre';
  /** 40000 unless given. */
  readonly sourcePort?: number;
  /** On the packet when it starts; 0 unless given. */
  readonly mark?: number;
  /** The whole IP packet, in bytes; small enough for every link unless given. */
  readonly size?: number;
  /** Routers may not fragment it. */
  readonly df?: true;
  /** It belongs to a connection whose ends have met: of TCP it is an ACK, and of whatever protocol it is for a socket that knows of it. */
  readonly stands?: true;
}

/** Takes the hops of a way; `tell` is called only by one that keeps them, as most traces are never read. */
export type Recorder = (
  host: string,
  stage: string,
  tell: () => { readonly detail: string; readonly decidedBy?: string },
) => void;

/** What becomes of a packet that does not go on. */
export interface End {
  readonly kind: 'end';
  readonly verdict: Ending;
  readonly reason: string;
  readonly cause?: Cause;
  /** What the host tells its sender. */
  readonly tells?: Notice;
}

export const end = (verdict: Ending, reason: string, cause?: Cause, tells?: Notice): End => ({
  ...{ kind: 'end', verdict, reason },
  ...(cause !== undefined && { cause }),
  ...(tells !== undefined && { tells }),
});

/** What a way says of its end. */
export const endOf = ({ verdict, reason, cause }: End): Pick<Way, 'verdict' | 'reason' | 'cause'> => ({
  ...{ verdict, reason },
  ...(cause !== undefined && { cause }),
});
