/** Two listings of one table: iptables-save knows what every rule says, nft its handle. */
import type { Rule, Statement, Table } from '../nftables/index.ts';

/** Finds what nft shows for a line of a chain; undefined where the two listings differ in length, or there is no other. */
export type FindListed = (chain: string, at: number) => Rule | undefined;

/** `lines`: how many rules the chains have in iptables-save. */
export function listedRules(
  lines: ReadonlyMap<string, { readonly lines: number }>,
  beside: Table | undefined,
): FindListed {
  const chains = new Map(beside?.chains.map(({ name, rules }) => [name, rules]));
  return (chain, at) => {
    const rules = chains.get(chain);
    return rules?.length === lines.get(chain)?.lines ? rules?.[at] : undefined;
  };
}

/**
 * The readings of one line with the handle of its rule. Where nft shows the rule in full, its own reading is kept: it is what the
 * kernel runs. Where what nft hides has other names than the line, the rules changed between the listings, and nothing is taken over.
 */
export function withListed(
  read: readonly Rule[],
  listed: Rule | undefined,
  names: ReadonlySet<string>,
): readonly Rule[] {
  if (listed === undefined) return read;
  const hidden = listed.statements.flatMap((statement) => hiddenName(statement) ?? []);
  if (!hidden.every((name) => names.has(name))) return read;
  const handle = listed.handle === undefined ? {} : { handle: listed.handle };
  if (hidden.length > 0) return read.map((rule) => ({ ...rule, ...handle }));
  // iptables asks no sets of nft, and where a rule does, iptables-save leaves that out: `-j DROP` for all.
  if (listed.statements.some(asksSet)) return [listed];
  const { comment = read[0]?.comment } = listed;
  const text = read[0]?.text;
  return [
    {
      ...{ statements: listed.statements, ...handle },
      ...(comment !== undefined && { comment }),
      ...(text !== undefined && { text }),
    },
  ];
}

const asksSet = (statement: Statement): boolean =>
  (statement.kind === 'match' && statement.right.kind === 'setReference') || statement.kind === 'verdictMap';

/** `conntrack` of `{"xt": {"type": "match", "name": "conntrack"}}`. */
function hiddenName(statement: Statement): string | undefined {
  if (statement.kind !== 'opaque') return undefined;
  const { json } = statement;
  if (typeof json !== 'object' || json === null || !('xt' in json)) return undefined;
  const { xt } = json;
  return typeof xt === 'object' && xt !== null && 'name' in xt ? String(xt.name) : undefined;
}
