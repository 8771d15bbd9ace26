import { defineConfig } from 'vitest/config';

// By sudo in another's checkout nothing is kept there: it would be root's.
const keep = process.env.SUDO_UID === undefined;

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
    pool: 'forks',
    isolate: false, // a process per worker, not per file: a sixth of the time for many small files
    maxWorkers: 2,
    cache: keep,
    fsModuleCache: keep,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', './scripts/totals.ts'],
    coverage: { provider: 'v8', include: ['src/**/*.ts'] },
  },
});
