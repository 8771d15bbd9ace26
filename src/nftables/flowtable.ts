/** A table and its fast path, which stands later than the rest: the kernel takes no flowtable before all of its devices are there. */
import type { Chain, Flowtable, Table } from './ruleset.ts';

const addsTo = ({ rules }: Chain): readonly string[] =>
  rules.flatMap(({ statements }) => statements.flatMap((each) => (each.kind === 'flow' ? [each.flowtable] : [])));

/** Whether a rule of the chain brings connections into a flowtable. */
export const addsFlows = (chain: Chain): boolean => addsTo(chain).length > 0;

/** The table with these flowtables alone, without chains that add to others. */
export function withFlowtables({ flowtables: _, ...table }: Table, flowtables: readonly Flowtable[]): Table {
  const names = new Set(flowtables.map(({ name }) => name));
  return {
    ...table,
    ...(flowtables.length > 0 && { flowtables }),
    chains: table.chains.filter((chain) => addsTo(chain).every((name) => names.has(name))),
  };
}

/** The flowtables of the table and the chains that add to them; undefined where it has none. */
export const fastPathOf = (table: Table): Table | undefined =>
  (table.flowtables ?? []).length === 0
    ? undefined
    : { ...table, sets: [], maps: [], opaque: [], chains: table.chains.filter(addsFlows) };
