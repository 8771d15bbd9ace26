/** Prints a table that was read from iptables-save, for iptables-restore, which puts it in the place of the whole table. */
import type { Table } from '../nftables/index.ts';

/** Counters begin anew. A rule that was not read from there has no text, and is left out. */
export const printIptablesTable = ({ name, chains }: Pick<Table, 'name' | 'chains'>): string =>
  [
    `*${name}`,
    ...chains.map((chain) => `:${chain.name} ${chain.kind === 'base' ? chain.policy.toUpperCase() : '-'} [0:0]`),
    // A line that became several rules is one line.
    ...chains.flatMap(({ rules }) => rules.flatMap(({ text, continued }) => (continued === true ? [] : (text ?? [])))),
    'COMMIT\n',
  ].join('\n');
