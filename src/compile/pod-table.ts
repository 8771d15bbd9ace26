/** The table of a pod's tunnel: whom answers go back to, who may use its addresses, and what peers send on. */
import { containsPrefix, type Family, networkOf, type Prefix } from '../net/index.ts';
import {
  address,
  anonymousMap,
  anonymousSet,
  assign,
  baseChain,
  type Chain,
  counter,
  ct,
  drop,
  fib,
  join,
  lookup,
  mapElement,
  masquerade,
  match,
  meta,
  type NamedMap,
  type NamedSet,
  number,
  payload,
  prefix,
  type Rule,
  rule,
  setReference,
  symbol,
  type Table,
  text,
  update,
  updateMap,
} from '../nftables/index.ts';
import type { LinkAddress, Route } from '../routing/index.ts';

/** A link whose answers need a table of their own. */
export interface AnswerLink {
  readonly link: string;
  readonly mark: number;
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
}

interface PodTableParts {
  readonly link: string;
  readonly masquerade: boolean;
  readonly addresses: readonly LinkAddress[];
  readonly allowed: readonly Prefix[];
  readonly answers: readonly AnswerLink[];
  /** 0: nothing is marked. */
  readonly mark: number;
}

/** Link names may hold `=` and `+`, which nft's names may not. */
export const podTableName = (link: string): string => `sallyport-${link.replace(/[^A-Za-z0-9_.-]/g, '_')}`;

const FAMILIES = [4, 6] as const;
const IP = { 4: 'ip', 6: 'ip6' } as const;
const [BEFORE_CONNTRACK, RAW, MANGLE, AFTER_DNAT, SRCNAT] = [-310, -300, -150, -90, 100];

export function podTable(parts: PodTableParts): Table {
  const chains: Chain[] = [];
  if (parts.mark !== 0) {
    chains.push(
      baseChain('strangers', { type: 'filter', hook: 'prerouting', priority: RAW }, ...strangers(parts)),
      baseChain('arrive', { type: 'filter', hook: 'prerouting', priority: MANGLE }, ...arrive(parts)),
      baseChain('bound', { type: 'filter', hook: 'output', priority: BEFORE_CONNTRACK }, ...bound(parts)),
      baseChain('here', { type: 'filter', hook: 'prerouting', priority: AFTER_DNAT }, ...here(parts)),
      // A chain of this type has the way looked up again with the mark.
      baseChain('answer', { type: 'route', hook: 'output', priority: MANGLE }, answer(parts)),
    );
  }
  if (parts.masquerade)
    chains.push(baseChain('peers', { type: 'nat', hook: 'postrouting', priority: SRCNAT }, ...peers(parts)));
  const families = parts.mark === 0 ? [] : FAMILIES;
  return {
    ...{ family: 'inet', name: podTableName(parts.link), chains, opaque: [] },
    ...{ sets: families.map(askers), maps: families.map(asked) },
  };
}

const own = ({ link }: PodTableParts) => text(link);
const notOurs = (parts: PodTableParts) => match(meta('iifname'), '!=', anonymousSet(own(parts), text('lo')));

/** Who asks for an address of the tunnel by another link means to learn what goes through it (CVE-2019-14899); wg-quick drops that, too. */
const strangers = (parts: PodTableParts): readonly Rule[] =>
  FAMILIES.flatMap((family) => {
    const mine = parts.addresses.filter((each) => each.address.address.family === family);
    if (mine.length === 0) return [];
    return [
      rule(
        match(meta('iifname'), '!=', own(parts)),
        match(payload(IP[family], 'daddr'), '==', anonymousSet(...mine.map((each) => address(each.address.address)))),
        match(fib('type', 'saddr'), '!=', symbol('local')),
        counter,
        drop,
      ),
    ];
  });

/** The mark of what comes in by each link; by any other that of the line that main leads to. */
function marksOf({
  answers,
  mark,
}: PodTableParts): readonly { readonly links?: readonly string[]; readonly mark: number }[] {
  return [...answers.map((each) => ({ links: [each.link], mark: each.mark })), { mark }];
}

/** A connection remembers by which line it came. What another gave a mark keeps it: then its answers go as they would without us. */
function arrive(parts: PodTableParts): readonly Rule[] {
  const begins = [
    match(ct('state'), '==', symbol('new')),
    match(ct('direction'), '==', symbol('original')),
    match(ct('mark'), '==', 0),
  ];
  return [
    ...marksOf(parts).map(({ links, mark }) =>
      rule(
        ...(links === undefined ? [notOurs(parts)] : [match(meta('iifname'), '==', text(links[0] ?? ''))]),
        ...begins,
        assign(ct('mark'), number(mark)),
      ),
    ),
    ...askedRules(parts),
    // Answers of what stands behind this namespace.
    answer(parts),
  ];
}

// As long as conntrack keeps the connection of a datagram that was answered (nf_conntrack_udp_timeout_stream).
const YOUNG = { size: 65_536, timeout: 120 };

/** Who asked by UDP, from and to which port. */
const askers = (family: Family): NamedSet => ({
  name: `askers${family}`,
  type: [`ipv${family}_addr`, 'inet_service', 'inet_service'],
  ...{ flags: ['dynamic', 'timeout'], elements: [], extra: YOUNG },
});

/** At which address. Apart from the ports: nft before 1.1 ends itself over a longer key of IPv6 with data. */
const asked = (family: Family): NamedMap => ({
  ...{ name: `asked${family}`, type: [`ipv${family}_addr`], data: [`ipv${family}_addr`] },
  ...{ flags: ['dynamic', 'timeout'], elements: [], extra: YOUNG },
});

const askedRules = (parts: PodTableParts): readonly Rule[] =>
  FAMILIES.map((family) => {
    const from = payload(IP[family], 'saddr');
    return rule(
      notOurs(parts),
      update(`askers${family}`, join(from, payload('udp', 'sport'), payload('udp', 'dport'))),
      updateMap(`asked${family}`, from, payload(IP[family], 'daddr')),
    );
  });

/**
 * A socket that is bound to no address answers from that of the way out, which is the tunnel's: no answer to conntrack, nor to who asked.
 * It gets the address that was asked, before conntrack sees it.
 */
const bound = (parts: PodTableParts): readonly Rule[] =>
  FAMILIES.flatMap((family) => {
    const mine = parts.addresses.filter((each) => each.address.address.family === family);
    if (mine.length === 0) return [];
    return [
      rule(
        match(meta('oifname'), '==', own(parts)),
        match(payload(IP[family], 'saddr'), '==', anonymousSet(...mine.map((each) => address(each.address.address)))),
        match(
          join(payload(IP[family], 'daddr'), payload('udp', 'dport'), payload('udp', 'sport')),
          '==',
          setReference(`askers${family}`),
        ),
        assign(payload(IP[family], 'saddr'), lookup(payload(IP[family], 'daddr'), setReference(`asked${family}`))),
      ),
    ];
  });

/** What is for this namespace itself, once it is translated: its source is believed where its answer would go back (src_valid_mark). */
const here = (parts: PodTableParts): readonly Rule[] =>
  marksOf(parts).map(({ links, mark }) =>
    rule(
      ...(links === undefined ? [notOurs(parts)] : [match(meta('iifname'), '==', text(links[0] ?? ''))]),
      match(meta('mark'), '==', 0),
      match(fib('type', 'daddr'), '==', symbol('local')),
      assign(meta('mark'), number(mark)),
    ),
  );

const answer = (parts: PodTableParts): Rule => {
  const marks = marksOf(parts).map(({ mark }) => number(mark));
  return rule(
    match(meta('mark'), '==', 0),
    match(ct('direction'), '==', symbol('reply')),
    assign(meta('mark'), lookup(ct('mark'), anonymousMap(...marks.map((each) => mapElement(each, each))))),
  );
};

/** Exactly what may come out of the tunnel, from whom it may come: nobody else's packets are rewritten. */
const peers = (parts: PodTableParts): readonly Rule[] =>
  FAMILIES.flatMap((family) => {
    const networks = [...parts.addresses.map((each) => networkOf(each.address)), ...parts.allowed].filter(
      (each) => each.address.family === family && each.length > 0,
    );
    const isAll = parts.allowed.some((each) => each.address.family === family && each.length === 0);
    if (networks.length === 0 && !isAll) return [];
    return [
      rule(
        match(meta('iifname'), '==', own(parts)),
        match(meta('oifname'), '!=', anonymousSet(own(parts), text('lo'))),
        ...(isAll
          ? [match(meta('nfproto'), '==', symbol(`ipv${family}`))]
          : [match(payload(IP[family], 'saddr'), '==', anonymousSet(...disjoint(networks).map(prefix)))]),
        masquerade(),
      ),
    ];
  });

/** An interval set takes no two that overlap: the wider stay. */
function disjoint(networks: readonly Prefix[]): readonly Prefix[] {
  const sorted = networks.toSorted((left, right) => left.length - right.length);
  return sorted.filter((each, index) => !sorted.slice(0, index).some((wider) => containsPrefix(wider, each)));
}
