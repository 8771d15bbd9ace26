/**
 * Who may come in, and how much of it: judged for new connections alone, before our DNAT. A forward that asks for nothing has no element
 * here, so it costs one lookup in all.
 *
 * Limits are per client: the IPv4 address, the /64 of IPv6. Sets that clients write are bounded. While there is room each client has
 * an element of its own; once strangers have filled a set, who is not in it is judged by a bucket that it shares with others, and a bucket
 * is given more (SHARED_MORE), so that a flood of invented sources neither switches a limit off nor locks anybody out.
 */
import type { ForwardPolicy } from '../host/index.ts';
import type { Family, Prefix } from '../net/index.ts';
import {
  addTo,
  type Chain,
  connectionsOver,
  counter,
  drop,
  type Expression,
  hash,
  match,
  meta,
  type NamedSet,
  payload,
  prefix,
  type Rule,
  rateOver,
  rule,
  type Statement,
  setReference,
  symbol,
  update,
} from '../nftables/index.ts';
import type { Found } from './table-found.ts';
import { type ForwardGroup, groupForwards, verdictMaps } from './table-verdicts.ts';
import { ADDRESS_TYPE, clientOf, FAMILIES, IP, jumpTo, type Part, regular } from './table-words.ts';

/** Elements a set of clients has room for, and buckets for those beyond: 65,536 each. */
const ROOM = 0x1_0000;
/** A rate is full again after a second of silence: an element may be forgotten then. */
const REMEMBERED_SECONDS = 2;
/** What a shared bucket is given above the limit: invented sources, spread over all buckets by a hash whose seed nobody knows, take less. */
const SHARED_MORE = 64;
/** Forwards that lead to one chain: equal policies of one PortForward. */
interface Judged extends ForwardGroup {
  readonly policy: ForwardPolicy;
}

/** The maps, sets and chains of policies, their names beginning with `own`, and the rules that stand before a packet is translated. */
export function policyPart(
  forwards: readonly Found[],
  own: string,
): {
  readonly part: Part;
  readonly before: readonly Rule[];
  /** The same for what asks from inside for a leased address. */
  readonly beforeInside: readonly Rule[];
} {
  const judged = judgedOf(forwards);
  if (judged.length === 0) return { part: { chains: [] }, before: [], beforeInside: [] };
  const { maps, rules, inside } = verdictMaps(
    `${own}judge`,
    judged.flatMap(({ name, policy, forwards: each }) =>
      each
        .filter(({ to: { family } }) => asksOf(policy, family))
        .map((forward) => ({ forward, verdict: jumpTo(judgeName(own, name)) })),
    ),
  );
  const parts = judged.map((each) => judgePart(own, each));
  return {
    part: {
      maps,
      sets: parts.flatMap(({ sets }) => sets ?? []),
      chains: parts.flatMap(({ chains }) => chains),
    },
    before: rules,
    beforeInside: inside,
  };
}

const judgedOf = (forwards: readonly Found[]): readonly Judged[] =>
  groupForwards(forwards, ({ policy }) => policy).map((group) => ({
    ...group,
    policy: group.forwards[0]?.policy ?? {},
  }));

/** Whether the policy says anything of a family. */
const asksOf = ({ allow, newConnectionsPerSecond, connections }: ForwardPolicy, family: Family): boolean =>
  newConnectionsPerSecond !== undefined || connections !== undefined || !isEveryone(allow, family);

const isEveryone = (allow: readonly Prefix[] | undefined, family: Family): boolean =>
  allow === undefined || allow.some(({ address: { family: of }, length }) => of === family && length === 0);

const judgeName = (own: string, chain: string): string => `${own}judge_${chain}`;

function judgePart(own: string, { name: chain, policy, forwards }: Judged): Part {
  const families = FAMILIES.filter((family) => forwards.some(({ to }) => to.family === family));
  const allowed = families.map((family) => allowPart(own, chain, policy.allow, family));
  const limited = families.map((family) => limitPart(chain, policy, family));
  const parts = [...allowed, ...limited];
  const chains: readonly Chain[] = [
    regular(
      judgeName(own, chain),
      parts.flatMap(({ rules }) => rules),
    ),
  ];
  return { sets: parts.flatMap(({ sets }) => sets), chains };
}

interface FamilyPart {
  readonly sets: readonly NamedSet[];
  readonly rules: readonly Rule[];
}

/** Everybody, nobody, or who is in the set: what is left out is dropped, and counted. */
function allowPart(own: string, chain: string, allow: readonly Prefix[] | undefined, family: Family): FamilyPart {
  if (allow === undefined || isEveryone(allow, family)) return { sets: [], rules: [] };
  const these = allow.filter(({ address: { family: of } }) => of === family);
  if (these.length === 0) return { sets: [], rules: [rule(isFamily(family), counter, drop)] };
  const name = `${own}allow${family}_${chain}`;
  const set: NamedSet = {
    name,
    type: [ADDRESS_TYPE[family]],
    flags: ['interval'],
    elements: outermost(these).map((each) => ({ key: prefix(each) })),
  };
  return { sets: [set], rules: [rule(match(source(family), '!=', setReference(name)), counter, drop)] };
}

/** Without those that lie in another: the kernel refuses elements that overlap. */
function outermost(prefixes: readonly Prefix[]): readonly Prefix[] {
  const sorted = [...prefixes].sort((a, b) => a.length - b.length);
  const kept: Prefix[] = [];
  for (const each of sorted) if (!kept.some((outer) => contains(outer, each))) kept.push(each);
  return kept;
}

const contains = (outer: Prefix, inner: Prefix): boolean => {
  const bits = BigInt((outer.address.family === 4 ? 32 : 128) - outer.length);
  return outer.length <= inner.length && outer.address.value >> bits === inner.address.value >> bits;
};

const isFamily = (family: Family): Statement => match(meta('nfproto'), '==', symbol(`ipv${family}`));
const source = (family: Family): Expression => payload(IP[family], 'saddr');
function limitPart(
  chain: string,
  { newConnectionsPerSecond: rate, connections }: ForwardPolicy,
  family: Family,
): FamilyPart {
  const parts = [
    ...(rate === undefined
      ? []
      : [
          limit(
            `sp_rate${family}`,
            chain,
            family,
            update,
            (more) => rateOver(rate + more, rate + more),
            REMEMBERED_SECONDS,
          ),
        ]),
    // The kernel takes such an element away by itself once no connection is left (nft_connlimit_gc).
    ...(connections === undefined
      ? []
      : [limit(`sp_count${family}`, chain, family, addTo, (more) => connectionsOver(connections + more))]),
  ];
  return { sets: parts.flatMap(({ sets }) => sets), rules: parts.flatMap(({ rules }) => rules) };
}

/** The client's own element, or, where the set was full, its bucket's. */
function limit(
  prefixName: string,
  chain: string,
  family: Family,
  write: typeof update,
  judge: (more: number) => Statement,
  timeoutSeconds?: number,
): FamilyPart {
  const own = `${prefixName}_${chain}`;
  const shared = `${prefixName}s_${chain}`;
  const head = {
    flags: timeoutSeconds === undefined ? (['dynamic'] as const) : (['dynamic', 'timeout'] as const),
    elements: [],
    extra: { size: ROOM, ...(timeoutSeconds !== undefined && { timeout: timeoutSeconds }) },
  };
  return {
    sets: [
      { name: own, type: [ADDRESS_TYPE[family]], ...head },
      // A number of 32 bits, for which nft's sets have no other name than this.
      { name: shared, type: ['mark'], ...head },
    ],
    rules: [
      rule(write(own, clientOf(family), judge(0)), counter, drop),
      rule(
        match(clientOf(family), '!=', setReference(own)),
        write(shared, hash(clientOf(family), ROOM), judge(SHARED_MORE)),
        counter,
        drop,
      ),
    ],
  };
}
