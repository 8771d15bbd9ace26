/**
 * `policy: Balance`: a chain for each forward and family picks the bucket of the client's address, a chain for each target translates.
 * The buckets' targets are in the rule itself, so a target that leaves is one rule changed.
 */
import { type ForwardTarget, targetsOf } from '../host/index.ts';
import { type Family, portCount } from '../net/index.ts';
import {
  address,
  anonymousMap,
  anonymousSet,
  type Chain,
  concat,
  ct,
  dnat,
  hash,
  join,
  lookup,
  type MapElement,
  match,
  meta,
  number,
  payload,
  type Rule,
  rule,
  symbol,
  type Value,
  verdictMap,
} from '../nftables/index.ts';
import { BUCKETS, spread, spreadSeed } from './spread.ts';
import type { Found } from './table-found.ts';
import { groupForwards, type Verdicts, verdictMaps } from './table-verdicts.ts';
import { clientOf, IP, isPorts, isRange, type Marks, type Part, portValue, regular, setMark } from './table-words.ts';

/** The maps, chains and rules of balanced forwards; the rules go before the translating ones, and what they find is done with. */
export function balancePart(
  forwards: readonly Found[],
  marks: Marks,
): { readonly part: Part; readonly before: readonly Rule[]; readonly beforeInside: readonly Rule[] } {
  const groups = groupForwards(forwards, ({ balance, to: { family } }) => balance && { balance, family });
  const named = groups.map((group) => ({ ...group, chain: chainName(group) }));
  const { maps, rules, inside }: Verdicts = verdictMaps(
    'sp_spread',
    named.flatMap(({ chain, forwards: each }) =>
      each.map((forward) => ({ forward, verdict: { kind: 'goto', chain } as const })),
    ),
  );
  return {
    part: { maps, chains: named.flatMap((group) => chainsOf(group, marks)) },
    before: rules,
    beforeInside: inside,
  };
}

interface Group {
  readonly name: string;
  readonly chain: string;
  readonly forwards: readonly Found[];
}

const familyOf = ([forward]: readonly Found[]): Family => forward?.to.family ?? 4;
const chainName = ({ name, forwards }: Omit<Group, 'chain'>): string => `sp_spread${familyOf(forwards)}_${name}`;

function chainsOf({ chain, forwards }: Group, marks: Marks): readonly Chain[] {
  const [first] = forwards;
  if (first === undefined) return [];
  const family = familyOf(forwards);
  const targets = targetsOf(first);
  const targetChain = (index: number): string => `${chain}/${index + 1}`;
  const byBucket = spread(targets).map(
    (index, bucket): MapElement => ({ key: number(bucket), data: { kind: 'goto', chain: targetChain(index) } }),
  );
  const pick = hash(clientOf(family), BUCKETS, spreadSeed(first.name));
  return [
    regular(chain, [rule(verdictMap(pick, anonymousMap(...byBucket)))]),
    ...targets.map((each, index) => regular(targetChain(index), translate(forwards, each, family, marks))),
  ];
}

/** To one target: ranges that keep their ports by the address alone, all else by address and port. */
function translate(
  forwards: readonly Found[],
  { to, masquerade }: ForwardTarget,
  family: Family,
  marks: Marks,
): readonly Rule[] {
  const ranges = new Map<string, Value>();
  const exact = new Map<string, MapElement>();
  for (const { protocol, ports, targetPorts } of forwards) {
    if (isRange(ports) && ports.first === targetPorts.first) {
      ranges.set(`${protocol} ${ports.first}`, concat(symbol(protocol), portValue(ports)));
      continue;
    }
    for (let offset = 0; offset < portCount(ports); offset++)
      exact.set(`${protocol} ${ports.first + offset}`, {
        key: concat(symbol(protocol), number(ports.first + offset)),
        data: concat(address(to), number(targetPorts.first + offset)),
      });
  }
  const asked = join(meta('l4proto'), payload('th', 'dport'));
  return [
    rule(setMark(ct('mark'), masquerade ? marks.masqueraded : marks.forwarded, marks.keep)),
    ...(exact.size === 0 ? [] : [rule(isPorts, dnat(IP[family], lookup(asked, anonymousMap(...exact.values()))))]),
    ...(ranges.size === 0
      ? []
      : [rule(isPorts, match(asked, '==', anonymousSet(...ranges.values())), dnat(IP[family], address(to)))]),
  ];
}
