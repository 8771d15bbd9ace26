import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkScenario } from './check.ts';
import type { Scenario } from './scenario.ts';

const folder = new URL('cases/', import.meta.url);

// Each was a difference once; docs/verification.md says what of.
for (const file of readdirSync(folder).sort())
  test(`the model says what the kernel does: ${file}`, async () => {
    const scenario: Scenario = JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
    const { difference, undecided } = await checkScenario(scenario);
    expect(difference?.text).toBeUndefined();
    expect(undecided).toEqual([]);
  });
