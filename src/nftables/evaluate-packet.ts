/** What a ruleset sees of a packet, and what it may change. */
import type { Address, Family } from '../net/index.ts';
import type { BaseChain, Rule, Table } from './ruleset.ts';

export type AddressType = 'local' | 'unicast' | 'blackhole' | 'unreachable' | 'prohibit';

/** One packet at one hook. Numbers are IANA's; absent is what the packet does not have. */
export interface PacketContext {
  readonly family: Family;
  readonly source: Address;
  readonly destination: Address;
  /** 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6. */
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** fin 1, syn 2, rst 4, psh 8, ack 16. */
  readonly tcpFlags?: number;
  readonly icmpType?: number;
  /** 0 unless given. */
  readonly icmpCode?: number;
  /** It is a part of a packet: its first, or one that has an IP header and none of what is within. */
  readonly fragment?: 'first' | 'later';
  /** The TCP option of a SYN, in bytes. */
  readonly maxseg?: number;
  /** Of the sender on the last link; null where the link has none (a tunnel), absent where it is not known. */
  readonly hardwareSource?: string | null;
  readonly iif?: string;
  readonly oif?: string;
  /** It came by no port of a bridge, or was made here. Absent: that is not known. */
  readonly unbridged?: true;
  readonly mark: number;
  /** Absent before conntrack, and where it does not look. */
  readonly connection?: ConnectionContext;
  /** `notrack` was said. */
  readonly untracked?: boolean;
  /** `ct zone set` was said in a chain before: it waits for conntrack. */
  readonly zone?: ZoneSet;
  /** `fib daddr type`, and with a link whether it is that one's (`fib daddr . iif type`); undefined where the model does not know. */
  readonly addressType: (address: Address, link?: string) => AddressType | undefined;
  /** `fib daddr oifname`: the link by which the routes send a packet there, none for `''`. Absent, or undefined: not known. */
  readonly linkTowards?: (destination: Address) => string | undefined;
  /** Whether the host would send to `destination`, by that link where one is named; undefined where the model does not know. */
  readonly sendsTo?: (destination: Address, source: Address, mark: number, link?: string) => boolean | undefined;
  /** The socket that waits at an address and port for this packet, without an address at one of the link's own. Absent, or undefined: not known. */
  readonly socketAt?: (address: Address | undefined, port: number) => SocketSight | undefined;
  /** Whether a connection of these ends is expected there already. Absent: nobody looked. */
  readonly isExpected?: (first: Omit<Tuple, 'sourcePort'>) => boolean;
  /** Which of `count` ways chance takes at a rule, from 0, the same each time it is asked. Absent: that is not known. */
  readonly draw?: (at: RuleReference, count: number) => number;
}

/** What a lookup of sockets found; `transparent` is absent where it is not known. */
export type SocketSight = 'none' | { readonly wildcard: boolean; readonly transparent?: boolean };

/** Where a transparent proxy waits; without an address at one of the link's own. */
export interface SocketPlace {
  readonly address?: Address;
  readonly port: number;
}

export interface ConnectionContext {
  readonly state: 'new' | 'established' | 'related' | 'invalid';
  readonly direction: 'original' | 'reply';
  readonly mark: number;
  /** A bit for each. Absent: none. */
  readonly labels?: bigint | 'unknown';
  /** It stood before, and nobody can see whether another expected it. */
  readonly mayBeExpected?: true;
  /** IPS_* of nf_conntrack_common.h: 0x01 expected, 0x02 seen reply, 0x08 confirmed, 0x10 source NAT, 0x20 destination NAT. */
  readonly status: number;
  /** By direction. */
  readonly zone: Readonly<Record<'original' | 'reply', number>>;
  readonly original: Tuple;
  readonly reply: Tuple;
}

/** Whether another connection made it known beforehand, as far as one can see (ct->master). */
export const mayHaveMaster = ({ mayBeExpected, status }: ConnectionContext): boolean =>
  mayBeExpected === true || (status & 1) !== 0;

export interface Tuple {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A rule, or where `rule` is absent the policy of a base chain. */
export interface RuleReference {
  readonly table: Pick<Table, 'family' | 'name' | 'origin'>;
  readonly chain: string;
  readonly rule?: Rule;
  readonly policy?: BaseChain['policy'];
}

/** `ct zone set`: for both directions where none is named. */
export interface ZoneSet {
  readonly id: number;
  readonly direction?: 'original' | 'reply';
}

/** What the rules did to the packet and its connection; absent is untouched. */
export interface PacketChanges {
  readonly mark?: number;
  readonly connectionMark?: number;
  /** All that it has now. */
  readonly labels?: bigint | 'unknown';
  readonly zone?: ZoneSet;
  readonly notrack?: true;
  /** `ip daddr set`, `tcp sport set`: written into the packet itself. */
  readonly rewritten?: Rewritten;
  /** `tcp option maxseg size set`, in bytes. */
  readonly maxseg?: number;
  /** The mark or an address was changed in a chain of type `route`: the kernel looks the route up again, before any other chain runs. */
  readonly reroute?: true;
  readonly translation?: Translation;
  /** `tproxy`: where the packet is delivered to this host, the socket there takes it. */
  readonly proxy?: SocketPlace;
}

/** What of a packet's addresses and ports its rules may write over. */
export type Rewritten = Partial<Pick<PacketContext, 'source' | 'destination' | 'sourcePort' | 'destinationPort'>>;

/** What a nat chain asks for. `masquerade` takes the address of the way out, `redirect` that of the host. */
export type Translation =
  | {
      readonly kind: 'dnat' | 'snat';
      readonly address?: Address;
      /** Of a source that keeps its own: any of these where that is taken. */
      readonly addresses?: { readonly first: bigint; readonly last: bigint };
      readonly port?: number;
      readonly ports?: PortRange;
    }
  | { readonly kind: 'masquerade' | 'redirect'; readonly port?: number; readonly ports?: PortRange };

/** One that is free is taken, the packet's own before others. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export type Evaluation =
  | {
      readonly verdict: 'accept' | 'drop' | 'reject';
      /** The rule or policy that dropped, or the rule that accepted last; absent where no chain stood there. */
      readonly decidedBy?: RuleReference;
      /** Others that would do the same: which of them it is hangs on what is not known. Absent: none. */
      readonly orBy?: readonly RuleReference[];
      readonly changes: PacketChanges;
      /** Rules that changed something, in order. */
      readonly changedBy: readonly RuleReference[];
      /** So many chains ran, and there are more for a packet that still has a way (ChainSelection's `skip`). Absent: all. */
      readonly ran?: number;
    }
  /** The fate hangs on something that is not modelled: `why` names it. */
  | { readonly verdict: 'undecided'; readonly why: string; readonly decidedBy?: RuleReference };

/** The packet while it runs through the chains of a hook: evaluation's own, nobody else sees it. */
export interface Registers {
  /** With what was written into it so far. */
  packet: PacketContext;
  rewritten: Rewritten | undefined;
  mark: number;
  connectionMark: number | undefined;
  labels: bigint | 'unknown' | undefined;
  zone: ZoneSet | undefined;
  notrack: boolean;
  maxseg: number | undefined;
  reroute: boolean;
  translation: Translation | undefined;
  proxy: SocketPlace | undefined;
  at: RuleReference | undefined;
  decidedBy: RuleReference | undefined;
  changedBy: RuleReference[];
  /** What is taken for true of each thing not known, in the order they are met; those beyond the list are taken for false. */
  readonly guesses: readonly boolean[];
  readonly guessed: RuleReference[];
  /** Set where no guess would be honest: a statement with an unknown effect. */
  why: string | undefined;
}
