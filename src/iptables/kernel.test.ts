import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import type { Family } from '../net/index.ts';
import type { Rule, Table } from '../nftables/index.ts';
import { anyListing } from './any-rule.ts';
import { type IptablesReading, readIptablesSave } from './index.ts';

const runs = Number(process.env.SALLYPORT_RUNS ?? 60);

const command = (family: Family, backend: string, verb: string): string =>
  `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}-${verb}`;

/** Opaque parts say the same in other words: which they are is what is compared. */
const meaningOf = ({ statements, comment }: Rule): unknown => [
  comment,
  statements.flatMap((statement): readonly unknown[] => {
    if (statement.kind === 'counter') return [];
    if (statement.kind !== 'opaque') return [statement];
    return [JSON.stringify(statement.json).replace(/,"words".*/, '')];
  }),
];
const meanings = ({ tables }: IptablesReading): readonly (readonly [string, unknown])[] =>
  tables.flatMap((table: Table) =>
    table.chains.flatMap(({ kind, name, rules }) =>
      kind === 'regular' ? [[`${table.name} ${name}`, rules.map(meaningOf)] as const] : [],
    ),
  );

for (const backend of ['nft', 'legacy'] as const)
  for (const family of [4, 6] as const)
    test(`what ${command(family, backend, 'restore')} took is read from its listing with the same meaning`, async () => {
      await using kernel: Namespace = await startNamespace();
      const read = (text: string) => readIptablesSave(text, { family, origin: `iptables-${backend}` });
      await fc.assert(
        fc.asyncProperty(anyListing(family), fc.boolean(), async (listing, counters) => {
          const table = /^\*(\w+)/.exec(listing)?.[1] ?? '';
          await kernel.run([command(family, backend, 'restore')], { stdin: listing });
          const { stdout } = await kernel.run([
            command(family, backend, 'save'),
            '-t',
            table,
            ...(counters ? ['-c'] : []),
          ]);
          const [given, back] = [read(listing), read(stdout)];
          expect(given.problems).toEqual([]);
          expect(back.problems).toEqual([]);
          expect(meanings(back), stdout).toEqual(meanings(given));
          expect(meanings(back)).toHaveLength(2);
        }),
        { numRuns: runs },
      );
    });
