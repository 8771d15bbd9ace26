/**
 * `tracking: Stateless`: the edge rewrites each packet by itself and keeps no connection. What is asked is rewritten before it is routed;
 * an answer only on its way out, for with the edge's own source it would be a martian. nft cannot write address and port from one map, so
 * a map of verdicts finds the chain of the other address, and in it a map gives the port before the address is written over.
 *
 * The packet mark says what this rewriting made: connection marks of the same values mean something else, and an untracked packet has none.
 */
import { type ForwardShare, targetsOf } from '../host/index.ts';
import { type Address, type Family, type PortRange, portCount, printAddress, type Transport } from '../net/index.ts';
import {
  address,
  and,
  anonymousMap,
  anonymousSet,
  assign,
  type Chain,
  concat,
  ct,
  type Expression,
  fib,
  goTo,
  hash,
  join,
  jump,
  lookup,
  type MapElement,
  match,
  meta,
  type NamedMap,
  type NamedSet,
  notrack,
  number,
  payload,
  type Rule,
  rule,
  type SetElement,
  type Statement,
  setReference,
  symbol,
  text,
  type Value,
  verdictMap,
} from '../nftables/index.ts';
import { BUCKETS, spread, spreadSeed } from './spread.ts';
import { policyPart } from './table-policy.ts';
import { groupForwards, verdictMaps } from './table-verdicts.ts';
import {
  ADDRESS_TYPE,
  clientOf,
  FAMILIES,
  goBack,
  IP,
  isPorts,
  isRange,
  type Marks,
  type Part,
  portValue,
  regular,
  setMark,
} from './table-words.ts';

export interface Stateless {
  readonly part: Part;
  /** Before conntrack. */
  readonly untrack: readonly Rule[];
  /** Where a source is translated, after routing. */
  readonly source: readonly Rule[];
  /** What of it may go into a tunnel, and come out of one. */
  readonly into: readonly Rule[];
  readonly out: readonly Rule[];
}

/** The rules of the forwards that keep no state; `mask` is the bits of marks that are ours. */
export function statelessPart(forwards: readonly ForwardShare[], marks: Marks, mask: number): Stateless {
  if (forwards.length === 0) return { part: { chains: [] }, untrack: [], source: [], into: [], out: [] };
  const made = (mark: number): readonly Statement[] => [
    match(ct('state'), '==', symbol('untracked')),
    match(and(meta('mark'), number(mask)), '==', number(mark)),
  ];
  const policies = policyPart(forwards, 'sp_less_');
  const spreads = groupForwards(forwards, ({ balance, to: { family } }) => balance && { balance, family });
  const asked = verdictMaps(
    'sp_less',
    [
      ...forwards.flatMap((forward) => (forward.balance === undefined ? [{ forward, chain: toName(forward.to) }] : [])),
      ...spreads.flatMap(({ name, forwards: each }) =>
        each.map((forward) => ({ forward, chain: spreadName(name, forward) })),
      ),
    ].map(({ forward, chain }) => ({ forward, verdict: { kind: 'goto', chain } as const })),
  );
  const answers = answersOf(forwards);
  const from = answerSets(answers);
  const back = answerMaps(answers);
  const ends = [...endsOf(forwards, 'dport'), ...endsOf(forwards, 'sport')];
  const outside = [...new Set(forwards.flatMap(({ publicLinks }) => publicLinks))].sort().map(text);
  const tag: Readonly<Record<Side, readonly Statement[]>> = {
    dport: [setMark(meta('mark'), marks.forwarded, marks.keep), notrack],
    sport: [],
  };
  return {
    part: {
      sets: [...(policies.part.sets ?? []), ...from.map(({ set }) => set)],
      maps: [...(policies.part.maps ?? []), ...asked.maps, ...back.maps, ...portMaps(ends)],
      chains: [
        ...policies.part.chains,
        ...spreads.map(spreadChain),
        ...unsummedChains(ends),
        ...ends.map((end) => endChain(end, tag[end.side])),
        regular('sp_less_answers', back.rules),
      ],
    },
    untrack: [
      ...policies.before,
      ...asked.rules,
      ...from.map(({ set, family }) =>
        rule(
          isPorts,
          match(join(meta('iifname'), ...answering(family)), '==', setReference(set.name)),
          // To the Internet alone: not to the edge itself, nor to what lies beside it.
          match(fib('oifname', 'daddr'), '==', anonymousSet(...outside)),
          setMark(meta('mark'), marks.masqueraded, marks.keep),
          notrack,
        ),
      ),
    ],
    source: [rule(...made(marks.masqueraded), jump('sp_less_answers'))],
    into: [rule(...made(marks.forwarded), goBack)],
    out: [rule(...made(marks.masqueraded), goBack)],
  };
}

/** In a name of nft, which takes no colons. */
const identifier = (of: Address): string => printAddress(of).replaceAll(':', '.');
const toName = (to: Address): string => `sp_less_to_${identifier(to)}`;
const atName = (at: Address): string => `sp_less_at_${identifier(at)}`;
const spreadName = (name: string, { to: { family } }: ForwardShare): string => `sp_less_spread${family}_${name}`;

function spreadChain({ name, forwards }: { readonly name: string; readonly forwards: readonly ForwardShare[] }): Chain {
  const [first] = forwards;
  if (first === undefined) throw new TypeError(`no forward of ${name}`);
  const targets = targetsOf(first);
  const byBucket = spread(targets).map((index, bucket): MapElement => {
    const { to } = targets[index] ?? first;
    return { key: number(bucket), data: { kind: 'goto', chain: toName(to) } };
  });
  const pick = hash(clientOf(first.to.family), BUCKETS, spreadSeed(first.name));
  return regular(spreadName(name, first), [rule(verdictMap(pick, anonymousMap(...byBucket)))]);
}

// ---- what answers

/** A target's ports, the link it answers by, and the public address that the answer must bear. */
interface Answer {
  readonly link: string;
  readonly from: Address;
  readonly protocol: Transport;
  readonly ports: PortRange;
  readonly at: Address;
}

const answersOf = (forwards: readonly ForwardShare[]): readonly Answer[] =>
  forwards.flatMap((forward) =>
    targetsOf(forward).map(({ to, link }) => ({
      ...{ link: link ?? '', from: to, protocol: forward.protocol, ports: forward.targetPorts },
      at: publicOf(forward),
    })),
  );

/** The answer's source is written into the rules: a leased address is refused before (stateless.ts). */
function publicOf({ match: at, to }: ForwardShare): Address {
  return 'address' in at ? at.address : { family: to.family, value: 0n };
}

const answering = (family: Family): readonly Expression[] => [
  payload(IP[family], 'saddr'),
  meta('l4proto'),
  payload('th', 'sport'),
];

const answerKey = ({ from, protocol, ports }: Answer): readonly Value[] => [
  address(from),
  symbol(protocol),
  portValue(ports),
];

/** Exact ports and ranges apart: one interval makes a whole set slow. */
function byShape(answers: readonly Answer[]): readonly {
  readonly family: Family;
  readonly suffix: string;
  readonly flags: readonly 'interval'[];
  readonly of: readonly Answer[];
}[] {
  return FAMILIES.flatMap((family) =>
    [false, true].flatMap((ranges) => {
      const of = answers.filter(({ from, ports }) => from.family === family && isRange(ports) === ranges);
      const flags = ranges ? (['interval'] as const) : [];
      return of.length === 0 ? [] : [{ family, suffix: `${family}${ranges ? 'r' : ''}`, flags, of }];
    }),
  );
}

const answerSets = (answers: readonly Answer[]): readonly { readonly set: NamedSet; readonly family: Family }[] =>
  byShape(answers).map(({ family, suffix, flags, of }) => ({
    family,
    set: {
      name: `sp_less_from${suffix}`,
      type: ['ifname', ADDRESS_TYPE[family], 'inet_proto', 'inet_service'],
      flags,
      elements: of.map((answer): SetElement => ({ key: concat(text(answer.link), ...answerKey(answer)) })),
    },
  }));

/** Which public address an answer bears. Where a family has one alone there is nothing to look up. */
function answerMaps(answers: readonly Answer[]): {
  readonly maps: readonly NamedMap[];
  readonly rules: readonly Rule[];
} {
  const only = FAMILIES.flatMap((family) => {
    const own = answers.filter(({ at }) => at.family === family);
    const [first, second] = new Set(own.map(({ at }) => atName(at)));
    return first === undefined || second !== undefined ? [] : [{ family, chain: first }];
  });
  const several = answers.filter(({ at }) => !only.some(({ family }) => family === at.family));
  const shapes = byShape(several).map((shape) => ({ ...shape, name: `sp_less_back${shape.suffix}` }));
  return {
    maps: shapes.map(({ name, family, flags, of }) => ({
      name,
      type: [ADDRESS_TYPE[family], 'inet_proto', 'inet_service'],
      data: ['verdict'],
      flags,
      elements: of.map(
        (answer): MapElement => ({
          key: concat(...answerKey(answer)),
          data: { kind: 'goto', chain: atName(answer.at) },
        }),
      ),
    })),
    rules: [
      ...only.map(({ family, chain }) => rule(match(meta('nfproto'), '==', symbol(`ipv${family}`)), goTo(chain))),
      ...shapes.map(({ name, family }) => rule(isPorts, verdictMap(join(...answering(family)), setReference(name)))),
    ],
  };
}

// ---- writing

/** `dport`: asked, towards a target. `sport`: answered, from a public address. */
type Side = 'dport' | 'sport';

/** All that is written over with one address; `ports` are those that change besides, a map's elements. */
interface End {
  readonly side: Side;
  readonly family: Family;
  readonly address: Address;
  readonly ports: ReadonlyMap<string, MapElement>;
  readonly protocols: ReadonlySet<Transport>;
}

const ADDRESS_FIELD = { dport: 'daddr', sport: 'saddr' } as const;
const portMapName = (side: Side, family: Family): string => `sp_less_${side}${family}`;
const unsummedName = (side: Side, family: Family): string => `sp_less_${side}${family}_unsummed`;

/** For each target, or each public address, what is written. */
function endsOf(forwards: readonly ForwardShare[], side: Side): readonly End[] {
  const ends = new Map<string, End & { readonly ports: Map<string, MapElement>; readonly protocols: Set<Transport> }>();
  for (const forward of forwards)
    for (const { to } of targetsOf(forward)) {
      const [written, known] = side === 'dport' ? [to, publicOf(forward)] : [publicOf(forward), to];
      const end = ends.get(printAddress(written)) ?? {
        ...{ side, family: to.family, address: written, ports: new Map(), protocols: new Set() },
      };
      ends.set(printAddress(written), end);
      const { protocol, ports, targetPorts } = forward;
      if (ports.first === targetPorts.first) continue;
      end.protocols.add(protocol);
      const [before, after] = side === 'dport' ? [ports, targetPorts] : [targetPorts, ports];
      for (let offset = 0; offset < portCount(ports); offset++)
        end.ports.set(`${printAddress(known)} ${protocol} ${before.first + offset}`, {
          key: concat(address(known), symbol(protocol), number(before.first + offset)),
          data: number(after.first + offset),
        });
    }
  return [...ends].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, end]) => end);
}

/** The port of a tuple, of all targets and all public addresses in one map. */
function portMaps(ends: readonly End[]): readonly NamedMap[] {
  return (['dport', 'sport'] as const).flatMap((side) =>
    FAMILIES.flatMap((family) => {
      const elements = new Map(
        ends.flatMap((end) => (end.side === side && end.family === family ? [...end.ports] : [])),
      );
      if (elements.size === 0) return [];
      const type = [ADDRESS_TYPE[family], 'inet_proto', 'inet_service'];
      return [
        { name: portMapName(side, family), type, data: ['inet_service'], flags: [], elements: [...elements.values()] },
      ];
    }),
  );
}

const writePort = (side: Side, family: Family, protocol: Transport | 'th'): Statement => {
  const port = payload(protocol, side);
  const key = join(payload(IP[family], ADDRESS_FIELD[side]), meta('l4proto'), port);
  return assign(port, lookup(key, setReference(portMapName(side, family))));
};

const checksum = payload('udp', 'checksum');

/** Port first, which is found by the old address. Where the map says nothing the port stays, and the rule ends there. */
function endChain({ side, family, address: written, protocols }: End, tag: readonly Statement[]): Chain {
  return regular(side === 'dport' ? toName(written) : atName(written), [
    ...(protocols.has('tcp') ? [rule(writePort(side, family, 'tcp'))] : []),
    ...(protocols.has('udp')
      ? [
          rule(match(checksum, '==', number(0)), jump(unsummedName(side, family))),
          rule(match(checksum, '!=', number(0)), writePort(side, family, 'udp')),
        ]
      : []),
    rule(assign(payload(IP[family], ADDRESS_FIELD[side]), address(written)), ...tag),
  ]);
}

/** A datagram may come without a checksum (RFC 768), and `udp dport set` would mend that into a wrong one; `th` knows of none. */
const unsummedChains = (ends: readonly End[]): readonly Chain[] =>
  [
    ...new Map(
      ends
        .filter(({ protocols }) => protocols.has('udp'))
        .map(({ side, family }) => [unsummedName(side, family), { side, family }]),
    ),
  ].map(([name, { side, family }]) => regular(name, [rule(writePort(side, family, 'th'))]));
