import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import { anyTable } from './any-table.ts';
import { diffTable, normalTable, printTable, printTransaction, readRuleset } from './index.ts';
import type { RulesetChange, Table } from './ruleset.ts';

const runs = Number(process.env.SALLYPORT_RUNS ?? 60);

const load = (kernel: Namespace, text: string) => kernel.run(['nft', '-f', '-'], { stdin: text });
async function listed(kernel: Namespace): Promise<Table | undefined> {
  const { stdout } = await kernel.run(['nft', '-j', 'list', 'ruleset']);
  return readRuleset(stdout)[0];
}
const normal = (table: Table | undefined) => (table === undefined ? undefined : printTable(normalTable(table)));

const invert = (change: RulesetChange): RulesetChange => {
  switch (change.action) {
    case 'add':
      return { action: 'remove', before: change.after };
    case 'change':
      return { action: 'change', before: change.after, after: change.before };
    case 'remove':
      return { action: 'add', after: change.before };
  }
};

test('the kernel gives back what was printed', async () => {
  await using kernel = await startNamespace();
  await fc.assert(
    fc.asyncProperty(anyTable, async (table) => {
      await load(kernel, `flush ruleset\n${printTable(table)}`);
      const back = await listed(kernel);
      expect(normal(back)).toBe(normal(table));
      expect(diffTable(back, table)).toEqual([]);
      expect(normal(normalTable(table))).toBe(normal(table));
    }),
    { numRuns: runs },
  );
});

test('a transaction leads from any table to any other, and its inverse back', async () => {
  await using kernel = await startNamespace();
  const maybe = fc.option(anyTable, { nil: undefined, freq: 12 });
  await fc.assert(
    fc.asyncProperty(maybe, maybe, async (before, after) => {
      await load(kernel, `flush ruleset\n${before === undefined ? '' : printTable(before)}`);
      const changes = diffTable(await listed(kernel), after);
      await load(kernel, printTransaction(changes));
      const there = await listed(kernel);
      expect(normal(there)).toBe(normal(after));
      expect(diffTable(there, after)).toEqual([]);
      await load(kernel, printTransaction(changes.map(invert).reverse()));
      expect(normal(await listed(kernel))).toBe(normal(before));
    }),
    { numRuns: Math.ceil(runs / 2) },
  );
});
