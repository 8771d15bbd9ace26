/** Rules of ours that a firewall's own tool made, found among its tables by what its files say of them. */
import type { Chain, Rule, Table } from '../nftables/index.ts';
import { ACCEPT_TAG, type ForeignAccept, placeKey, trafficKey, trafficOf, type WrittenTraffic } from './accept.ts';
import { placeIn } from './accept-tables.ts';
import type { UfwRule } from './accept-ufw.ts';
import { isOwnLink } from './own.ts';

/** What lies in the files of such tools of ours. */
export interface OwnersFiles {
  readonly ufw: readonly UfwRule[];
  /** Undefined: they were changed by somebody. */
  readonly firewalld: readonly WrittenTraffic[] | undefined;
}

export const NO_OWNERS_FILES: OwnersFiles = { ufw: [], firewalld: [] };

/** The tables with our tag on the rules that the tools made for us: in the kernel those bear none. */
export function tagOwned(tables: readonly Table[], files: OwnersFiles): readonly Table[] {
  const keys = new Set(files.firewalld?.map(trafficKey));
  const tagged = tables.map((table) => {
    const chains = table.chains.map((chain) => tagChain(table, chain, files.ufw, keys));
    return chains.some((chain, index) => chain !== table.chains[index]) ? { ...table, chains } : table;
  });
  // Tables in which nothing is tagged are the very same: whoever knows them need not look again.
  return tagged.some((table, index) => table !== tables[index]) ? tagged : tables;
}

function tagChain(table: Table, chain: Chain, ufw: readonly UfwRule[], firewalld: ReadonlySet<string>): Chain {
  const place = placeIn(table, chain);
  if (place?.kind !== 'ufw' && place?.kind !== 'firewalld') return chain;
  const left = ufw.flatMap(({ family, own }) =>
    place.kind === 'ufw' && own?.chain === place.chain && family === place.family ? [trafficKey(own.traffic)] : [],
  );
  const isOurs = (rule: Rule): boolean => {
    const traffic = trafficOf(place.kind === 'firewalld' ? asAccept(rule) : rule);
    if (place.kind === 'firewalld')
      return traffic.kind === 'link' ? isOwnLink(traffic.link) : firewalld.has(trafficKey(traffic));
    const at = left.indexOf(trafficKey(traffic));
    if (at !== -1) left.splice(at, 1);
    return at !== -1;
  };
  const rules = chain.rules.map((rule) => (isOurs(rule) ? { ...rule, comment: ACCEPT_TAG } : rule));
  return rules.some((rule, index) => rule !== chain.rules[index]) ? { ...chain, rules } : chain;
}

/** A zone that accepts all, as the accept that it is. */
function asAccept(rule: Rule): Rule {
  const last = rule.statements.at(-1);
  const isTrusted =
    last?.kind === 'verdict' &&
    (last.verdict.kind === 'goto' || last.verdict.kind === 'jump') &&
    /^filter_(IN|FWD)_(trusted|sallyport)$/.test(last.verdict.chain);
  return isTrusted
    ? { ...rule, statements: [...rule.statements.slice(0, -1), { kind: 'verdict', verdict: { kind: 'accept' } }] }
    : rule;
}

/** What stands of ours in firewalld, running and in its files. `other`: for now alone, until it loads its files anew. */
export function firewalldAccept(tables: readonly Table[], files: OwnersFiles): readonly ForeignAccept[] {
  const table = tables.find(({ family, name }) => family === 'inet' && name === 'firewalld');
  const kept = new Map((files.firewalld ?? []).map((each) => [trafficKey(each), each]));
  const tagged = (table?.chains ?? []).flatMap((chain) =>
    table !== undefined && placeIn(table, chain)?.kind === 'firewalld'
      ? chain.rules.filter(({ comment }) => comment === ACCEPT_TAG).map((rule) => trafficOf(asAccept(rule)))
      : [],
  );
  const running = new Map(tagged.map((each) => [trafficKey(each), each]));
  const changed =
    files.firewalld === undefined ? [{ kind: 'other', text: 'files of ours that somebody changed' } as const] : [];
  const traffic = [...(table === undefined ? kept : running)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, each]) =>
      kept.has(key) || each.kind !== 'link'
        ? each
        : ({ kind: 'other', text: `${each.link}, until firewalld reloads` } as const),
    );
  return traffic.length + changed.length === 0
    ? []
    : [
        {
          place: { kind: 'firewalld', ...(table === undefined && { dormant: true }) },
          traffic: [...traffic, ...changed],
        },
      ];
}

/** What ufw would let through of ours once it is enabled. */
export function dormantUfw(tables: readonly Table[], { ufw }: OwnersFiles): readonly ForeignAccept[] {
  const running = new Set(
    tables.flatMap((table) =>
      table.chains.flatMap((chain) => {
        const place = placeIn(table, chain);
        return place?.kind === 'ufw' ? [placeKey(place)] : [];
      }),
    ),
  );
  const found = new Map<string, ForeignAccept>();
  for (const { family, own } of ufw) {
    if (own === undefined) continue;
    const place = { kind: 'ufw', family, chain: own.chain, dormant: true } as const;
    const key = placeKey(place);
    if (!running.has(key)) found.set(key, { place, traffic: [...(found.get(key)?.traffic ?? []), own.traffic] });
  }
  return [...found.values()];
}
