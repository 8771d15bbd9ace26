/**
 * An nftables ruleset as plain data. One type serves what we write and what stands on a host.
 * What `nft -j` shows and this model does not cover is kept as `opaque` with its JSON: never dropped, never guessed.
 */
import type { Address, Prefix } from '../net/index.ts';

export type TableFamily = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev';
export type Hook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress' | 'egress';

export interface Table {
  readonly family: TableFamily;
  readonly name: string;
  readonly sets: readonly NamedSet[];
  readonly maps: readonly NamedMap[];
  readonly chains: readonly Chain[];
  /** Absent: none. */
  readonly flowtables?: readonly Flowtable[];
  /** Objects that are not modelled (quotas, named counters, ct helpers), as `nft -j` shows them. */
  readonly opaque: readonly unknown[];
  /** Where it was read from iptables' own listing: rules that iptables wrote and alone can change. Absent for what nft lists itself. */
  readonly origin?: 'iptables-nft' | 'iptables-legacy';
}

/**
 * The kernel's fast path: packets of connections that a rule added to it (`flow add`), met at the ingress of these devices, are translated,
 * routed and sent there, past every chain.
 */
export interface Flowtable {
  readonly name: string;
  /** At the ingress hook of each device. */
  readonly priority: number;
  /** The kernel takes one that vanishes out of it, and has none that does not exist. */
  readonly devices: readonly string[];
  /** `counter`: what passes counts in conntrack's accounting, as elsewhere. nft's JSON shows neither of them: no part of its identity. */
  readonly properties: readonly ('counter' | 'offload')[];
}

export type Chain = BaseChain | RegularChain;

/** A chain the kernel calls by itself. One without a hook is a RegularChain and runs only when another jumps to it. */
export interface BaseChain {
  readonly kind: 'base';
  readonly name: string;
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: Hook;
  /** Signed; lower runs earlier. nft's `dstnat` is -100, conntrack itself sits at -200 (netfilter_ipv4.h). */
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
  /** Only for ingress and egress. */
  readonly devices?: readonly string[];
  readonly rules: readonly Rule[];
}

export interface RegularChain {
  readonly kind: 'regular';
  readonly name: string;
  readonly rules: readonly Rule[];
}

export interface Rule {
  readonly statements: readonly Statement[];
  readonly comment?: string;
  /** The kernel's name for the rule; only on what was observed, and no part of its identity. */
  readonly handle?: number;
  /** The rule as its own tool lists it, for reading and for that tool; no part of its identity. */
  readonly text?: string;
  /** Its tool asks for more in one rule than this type can: this one is a part of the rule before it. No part of its identity. */
  readonly continued?: true;
}

/** A type such as `ipv4_addr`, or several for a concatenation: `['ipv4_addr', 'inet_proto', 'inet_service']`. */
export type DataType = readonly string[];
export type SetFlag = 'constant' | 'interval' | 'timeout' | 'dynamic';

export interface NamedSet {
  readonly name: string;
  readonly type: DataType;
  readonly flags: readonly SetFlag[];
  readonly elements: readonly SetElement[];
  readonly comment?: string;
  /** Anything else the kernel shows of this set (timeout, size, gc-interval, auto-merge, statements), by nft's JSON names. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface NamedMap {
  readonly name: string;
  readonly type: DataType;
  /** `['verdict']` makes it a verdict map. */
  readonly data: DataType;
  readonly flags: readonly SetFlag[];
  readonly elements: readonly MapElement[];
  readonly comment?: string;
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface SetElement {
  readonly key: Value;
  readonly comment?: string;
  /** What else the kernel shows of this element (timeout, expires, counter), by nft's JSON names. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface MapElement {
  readonly key: Value;
  readonly data: Value | Verdict;
  readonly comment?: string;
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** A constant: what may stand in a set, or at the right of a match. */
export type Value =
  | { readonly kind: 'number'; readonly value: number }
  /** A name nft knows by itself: `tcp`, `established`, `local`, `syn`. */
  | { readonly kind: 'symbol'; readonly name: string }
  /** Printed in quotes: an interface name. */
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'address'; readonly address: Address }
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  | { readonly kind: 'range'; readonly first: Value; readonly last: Value }
  | { readonly kind: 'concat'; readonly parts: readonly Value[] }
  /** `*`: everything, in an interval set or map. */
  | { readonly kind: 'wildcard' }
  | { readonly kind: 'opaque'; readonly json: unknown };

export type Expression =
  | Value
  /** A header field: `ip daddr`, `tcp dport`, `th dport`, `ether saddr`, `icmpv6 type`. */
  | { readonly kind: 'payload'; readonly protocol: string; readonly field: string }
  /** `@nh,72,8`: bits counted from the start of the link, network or transport header. miniupnpd writes these. */
  | {
      readonly kind: 'rawPayload';
      readonly base: 'll' | 'nh' | 'th';
      readonly offsetBits: number;
      readonly lengthBits: number;
    }
  /** `meta l4proto`, `iifname`, `oifname`, `meta mark`, `meta nfproto`, ... */
  | { readonly kind: 'meta'; readonly key: string }
  /** `ct state`, `ct mark`, `ct status`, `ct direction`, `ct original ip daddr` (key `ip daddr`), `ct original zone`. */
  | { readonly kind: 'ct'; readonly key: string; readonly direction?: 'original' | 'reply' }
  | { readonly kind: 'fib'; readonly result: 'oif' | 'oifname' | 'type'; readonly flags: readonly string[] }
  | { readonly kind: 'rt'; readonly key: string }
  | { readonly kind: 'tcpOption'; readonly option: string; readonly field: string }
  | {
      readonly kind: 'binary';
      readonly operator: '&' | '|' | '^' | '<<' | '>>';
      readonly left: Expression;
      readonly right: Expression;
    }
  /** `jhash KEY mod MODULUS seed SEED offset OFFSET`; without a seed the kernel takes one of its own. */
  | {
      readonly kind: 'hash';
      readonly of: Expression;
      readonly modulus: number;
      readonly seed?: number;
      readonly offset?: number;
    }
  /** `symhash mod MODULUS`: by the flow, the same in both directions. */
  | { readonly kind: 'symhash'; readonly modulus: number; readonly offset?: number }
  | { readonly kind: 'numgen'; readonly mode: 'inc' | 'random'; readonly modulus: number; readonly offset?: number }
  /** A concatenation of which a part is no constant: `ip daddr . meta l4proto . th dport`. */
  | { readonly kind: 'join'; readonly parts: readonly Expression[] }
  /** `@name` */
  | { readonly kind: 'setReference'; readonly name: string }
  /** `{ a, b }` */
  | { readonly kind: 'anonymousSet'; readonly elements: readonly SetElement[] }
  | { readonly kind: 'anonymousMap'; readonly elements: readonly MapElement[] }
  /** `KEY map @name` or `KEY map { a : b }` */
  | { readonly kind: 'lookup'; readonly key: Expression; readonly map: Expression };

export type Verdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'return' }
  | { readonly kind: 'continue' }
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'goto'; readonly chain: string };

export type CompareOperator = '==' | '!=' | '<' | '>' | '<=' | '>=' | 'in';

export type Statement =
  | { readonly kind: 'match'; readonly left: Expression; readonly op: CompareOperator; readonly right: Expression }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  /** `KEY vmap { value : verdict, ... }` or `KEY vmap @name` */
  | { readonly kind: 'verdictMap'; readonly key: Expression; readonly map: Expression }
  /** `meta mark set ...`, `ct mark set ...`, `ct original zone set 1`, `tcp option maxseg size set 1380` */
  | { readonly kind: 'set'; readonly target: Expression; readonly value: Expression }
  /** The values count up in the kernel; they are no part of a rule's identity. */
  | { readonly kind: 'counter'; readonly packets?: number; readonly bytes?: number }
  /** `dnat ip to ADDRESS[:PORT]`; `address` may be a lookup that gives address and port together. */
  | {
      readonly kind: 'dnat' | 'snat';
      readonly family?: 'ip' | 'ip6';
      readonly address?: Expression;
      readonly port?: Expression;
      readonly flags: readonly string[];
    }
  | { readonly kind: 'masquerade'; readonly port?: Expression; readonly flags: readonly string[] }
  | { readonly kind: 'redirect'; readonly port?: Expression; readonly flags: readonly string[] }
  | { readonly kind: 'reject'; readonly type?: string; readonly with?: Value }
  | { readonly kind: 'notrack' }
  /** `flow add @FLOWTABLE`: the connection's next packets take the fast path. No verdict, and nothing happens to this packet. */
  | { readonly kind: 'flow'; readonly flowtable: string }
  /** `limit rate [over] RATE/PER burst BURST packets`; one of bytes is not modelled. */
  | {
      readonly kind: 'limit';
      readonly over: boolean;
      readonly rate: number;
      readonly per: 'second' | 'minute' | 'hour' | 'day' | 'week';
      /** nft takes 5 where none is named. */
      readonly burst?: number;
    }
  /** `ct count [over] COUNT`: connections that are alive, in all or, in an update, of one key. */
  | { readonly kind: 'connectionLimit'; readonly over: boolean; readonly count: number }
  /** `add|update|delete @SET { KEY timeout 5s STATEMENTS }`: the packet itself writes an element, and its statements judge the packet. */
  | {
      readonly kind: 'update';
      readonly operation: 'add' | 'update' | 'delete';
      readonly set: string;
      readonly key: Expression;
      readonly timeoutSeconds?: number;
      readonly statements: readonly Statement[];
      /** Of a map: what the key leads to. nft's JSON has no words for it, so it is written and never read. */
      readonly data?: Expression;
    }
  | { readonly kind: 'opaque'; readonly json: unknown };

/** A part of a table that a change adds or removes by itself. Chains and sets stand without rules' handles and without elements. */
export type RulesetObject =
  | { readonly kind: 'table'; readonly family: TableFamily; readonly table: string }
  | { readonly kind: 'chain'; readonly family: TableFamily; readonly table: string; readonly chain: Chain }
  | { readonly kind: 'set'; readonly family: TableFamily; readonly table: string; readonly set: NamedSet }
  | { readonly kind: 'map'; readonly family: TableFamily; readonly table: string; readonly map: NamedMap }
  | {
      readonly kind: 'setElement';
      readonly family: TableFamily;
      readonly table: string;
      readonly set: string;
      readonly element: SetElement;
    }
  | {
      readonly kind: 'mapElement';
      readonly family: TableFamily;
      readonly table: string;
      readonly map: string;
      readonly element: MapElement;
    }
  | { readonly kind: 'flowtable'; readonly family: TableFamily; readonly table: string; readonly flowtable: Flowtable }
  /** Seen and not modelled (a quota, a set of unknown type): nft can delete it by `type` and name, we cannot write it. */
  | {
      readonly kind: 'object';
      readonly family: TableFamily;
      readonly table: string;
      readonly type: string;
      readonly name: string;
      readonly json: unknown;
    };

export type RulesetChange =
  | { readonly action: 'add'; readonly after: RulesetObject }
  | { readonly action: 'change'; readonly before: RulesetObject; readonly after: RulesetObject }
  | { readonly action: 'remove'; readonly before: RulesetObject };
