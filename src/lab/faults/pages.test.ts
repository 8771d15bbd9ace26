import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { FAULTS } from '../../verify/index.ts';

for (const code of Object.keys(FAULTS))
  test(`the page of ${code} says what is seen, why, how to tell and what mends it`, () => {
    const page = readFileSync(fileURLToPath(new URL(`../../../docs/faults/${code}.md`, import.meta.url)), 'utf8');
    for (const head of ['**Seen**', '**Why**', '**How to tell**', '**Fix**']) expect(page).toContain(head);
    expect(page).toContain(`sallyport lab fault ${code}`);
  });
