/** Rules that somebody made by hand and a plan takes over: what they are, and the host without them. */
import type { Family } from '../net/index.ts';
import type { Chain, Rule, Table } from '../nftables/index.ts';
import type { RoutingRule } from '../routing/index.ts';
import { ACCEPT_TAG, type ForeignAccept } from './accept.ts';
import { placeIn } from './accept-tables.ts';
import type { AcceptShare, ForwardShare } from './share.ts';
import type { HostState } from './state.ts';

/** Known by its own text in its place, as its tool lists it. */
export type HandMade = HandMadeRule | { readonly kind: 'rule'; readonly rule: RoutingRule };

export interface HandMadeRule {
  readonly kind: 'iptables';
  readonly family: Family;
  readonly backend: 'nft' | 'legacy';
  readonly table: string;
  readonly chain: string;
  /** How many lines that are not ours stand before it. */
  readonly behind: number;
  /** Some of ours do. */
  readonly behindOurs: boolean;
  /** `-A FORWARD -i eth0 -j ACCEPT`, as iptables-save lists it. */
  readonly text: string;
}

/** How connections without a mark of ours are told to be those of forwards and tunnels that stand for rules made by hand. */
export interface HandedOver {
  readonly mask: number;
  readonly forwarded: number;
  readonly masqueraded: number;
  /** On an edge: translated as these would. */
  readonly forwards: readonly ForwardShare[];
  /** On a node: answered from here by a rule that goes, and from now on by their tunnel, which is none of our links. */
  readonly accepts: readonly (Pick<AcceptShare, 'protocol' | 'address' | 'ports'> & { readonly mark: number })[];
}

/** The same text for the same rule, wherever in its chain it stands. */
export const handMadeKey = (made: HandMade): string =>
  made.kind === 'rule'
    ? JSON.stringify(made.rule, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
    : `${made.family} ${made.backend} ${made.table} ${made.text}`;

const isTagged = ({ comment }: Rule): boolean => comment === ACCEPT_TAG;

/** The lines of a chain that iptables made, each with the rules that it is read as. */
export function linesOfChain(
  table: Table,
  chain: Chain,
): readonly { readonly made: HandMadeRule; readonly rules: readonly Rule[] }[] {
  if (table.origin === undefined) return [];
  const place = {
    family: table.family === 'ip6' ? (6 as const) : (4 as const),
    backend: table.origin === 'iptables-legacy' ? ('legacy' as const) : ('nft' as const),
    ...{ table: table.name, chain: chain.name },
  };
  const lines: { made: HandMadeRule; rules: Rule[] }[] = [];
  let behind = 0;
  let behindOurs = false;
  for (const each of chain.rules) {
    if (each.continued === true) {
      lines.at(-1)?.rules.push(each);
      continue;
    }
    if (isTagged(each)) {
      behindOurs = true;
      continue;
    }
    lines.push({ made: { kind: 'iptables', ...place, behind, behindOurs, text: each.text ?? '' }, rules: [each] });
    behind += 1;
  }
  return lines;
}

/** Those of them that stand on the host, where they stand now. */
export function standingOf(state: HostState, hand: readonly HandMade[]): readonly HandMade[] {
  const wanted = new Set(hand.map(handMadeKey));
  if (wanted.size === 0) return [];
  return [
    ...state.rules.map((rule): HandMade => ({ kind: 'rule', rule })),
    ...state.tables.flatMap((table) =>
      table.chains.flatMap((chain) => linesOfChain(table, chain).map(({ made }) => made)),
    ),
  ].filter((made) => wanted.has(handMadeKey(made)));
}

/** The host as if nobody had made these. */
export function withoutHandMade(state: HostState, hand: readonly HandMade[]): HostState {
  const gone = new Set(standingOf(state, hand).map(handMadeKey));
  if (gone.size === 0) return state;
  return {
    ...state,
    rules: state.rules.filter((rule) => !gone.has(handMadeKey({ kind: 'rule', rule }))),
    tables: state.tables.map((table) => ({
      ...table,
      chains: table.chains.map((chain) => {
        const dropped = new Set(
          linesOfChain(table, chain).flatMap(({ made, rules }) => (gone.has(handMadeKey(made)) ? rules : [])),
        );
        return dropped.size === 0 ? chain : { ...chain, rules: chain.rules.filter((rule) => !dropped.has(rule)) };
      }),
    })),
    accepts: state.accepts.map((accept) =>
      movedTo(
        accept,
        (behind, lines) => behind - lines.slice(0, behind).filter((each) => gone.has(handMadeKey(each))).length,
        state,
      ),
    ),
  };
}

/**
 * An accept that is wanted where these do not stand, as it is written while they do: where ours stand already if that is the same place
 * without them, else before those that go.
 */
export function besideHandMade(accept: ForeignAccept, state: HostState, hand: readonly HandMade[]): ForeignAccept {
  const gone = new Set(hand.map(handMadeKey));
  return movedTo(
    accept,
    (wanted, lines) => {
      const staying = (behind: number): number =>
        behind - lines.slice(0, behind).filter((each) => gone.has(handMadeKey(each))).length;
      const now = state.accepts.find(({ place }) => samePlace(place, accept.place))?.place.behind;
      if (now !== undefined && staying(now) === wanted) return now;
      let behind = 0;
      while (behind < lines.length && staying(behind) < wanted) behind += 1;
      return behind;
    },
    state,
  );
}

type Place = ForeignAccept['place'];

const samePlace = (left: Place, right: Place): boolean =>
  left.kind === 'iptables' &&
  right.kind === 'iptables' &&
  left.family === right.family &&
  left.backend === right.backend &&
  left.table === right.table &&
  left.chain === right.chain;

function movedTo(
  accept: ForeignAccept,
  move: (behind: number, lines: readonly HandMadeRule[]) => number,
  { tables }: HostState,
): ForeignAccept {
  const { place } = accept;
  if (place.kind !== 'iptables' || place.behind === undefined) return accept;
  for (const table of tables)
    for (const chain of table.chains) {
      const found = placeIn(table, chain);
      if (found === undefined || !samePlace(found, place)) continue;
      const behind = move(
        place.behind,
        linesOfChain(table, chain).map(({ made }) => made),
      );
      return behind === place.behind ? accept : { ...accept, place: { ...place, behind } };
    }
  return accept;
}
