import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { FAULTS } from '../../verify/index.ts';
import { LAB_FAULTS } from './all.ts';

const docs = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../docs/faults/${name}`, import.meta.url)), 'utf8');

/** A row for each fault that doctor knows. What stands in LAB_FAULTS is injected, seen, named and mended by faults-1 and faults-2. */
const rows = Object.entries(FAULTS).map(([code, number]) => {
  const lab = LAB_FAULTS.find((fault) => fault.code === code);
  const shown = lab === undefined ? '- | - | - | - | -' : `yes | yes | yes | yes | ${lab.nearMisses.length}`;
  return `| ${number} | [${code}](${code}.md) | ${shown} |`;
});
const table = [
  '| no. | fault | injected | symptom seen | named | fixed | near misses not named |',
  '|---|---|---|---|---|---|---|',
  ...rows,
];

test('the table of docs/faults/README.md is what the tests show', () => {
  const lines = docs('README.md')
    .split('\n')
    .filter((line) => line.startsWith('|'));
  expect(lines).toEqual(table);
});

for (const code of Object.keys(FAULTS))
  test(`the page of ${code} says what is seen, why, how to tell and what mends it`, () => {
    const page = docs(`${code}.md`);
    for (const head of ['**Seen**', '**Why**', '**How to tell**', '**Fix**']) expect(page).toContain(head);
  });
