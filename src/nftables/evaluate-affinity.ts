/** Balancers that remember their clients: which target one has, hangs on what came before, and each of them is a way. */
import type { Chain, Rule, Statement, Table } from './ruleset.ts';

/**
 * `ip saddr @seen goto target`, where the rules of `target` write into `seen`: who is in it came by there. For whoever asks that is chance
 * as well (kube-proxy's sessionAffinity); a set by which a rule drops or accepts is not.
 */
export function withAffinity(table: Table, rule: Rule): readonly Statement[] {
  // Few rules ask so: the chains, of which there may be ten thousand, are looked through for those alone.
  if (!rule.statements.some((statement) => setAsked(table, statement) !== undefined)) return rule.statements;
  const target = targetOf(table, rule);
  if (target === undefined) return rule.statements;
  return rule.statements.map((statement) => {
    const set = setAsked(table, statement);
    return set !== undefined && writes(target, set) ? SEEN_BEFORE : statement;
  });
}

/** The set that rules write to, where the statement asks whether the packet is in one. */
const setAsked = ({ sets }: Table, statement: Statement): string | undefined =>
  statement.kind === 'match' && statement.op === '==' && statement.right.kind === 'setReference'
    ? dynamicNamed(sets, statement.right.name)
    : undefined;

/** One of two ways: it is in the set, or not. */
export const SEEN_BEFORE: Extract<Statement, { readonly kind: 'match' }> = {
  kind: 'match',
  left: { kind: 'numgen', mode: 'random', modulus: 2 },
  op: '==',
  right: { kind: 'number', value: 1 },
};

function targetOf({ chains }: Table, { statements }: Rule): Chain | undefined {
  const last = statements.at(-1);
  const verdict = last?.kind === 'verdict' ? last.verdict : undefined;
  return verdict?.kind === 'goto' || verdict?.kind === 'jump'
    ? chains.find(({ name }) => name === verdict.chain)
    : undefined;
}

const writes = ({ rules }: Chain, set: string): boolean =>
  rules.some(({ statements }) => statements.some((each) => each.kind === 'update' && each.set === set));

const dynamicNamed = (sets: Table['sets'], name: string): string | undefined =>
  sets.find((set) => set.name === name && set.flags.includes('dynamic'))?.name;
