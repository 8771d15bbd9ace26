import { defineConfig } from 'vitest/config';

// By sudo in another's checkout nothing is kept there: it would be root's.
const keep = process.env.SUDO_UID === undefined;

/** Set by scripts/vm/guest.sh: there all takes about ten times as long. */
const inVm = process.env.LAB_LANE === 'vm';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'scripts/**/*.test.ts', 'fuzz/**/*.test.ts'],
    pool: 'forks',
    isolate: false, // a process per worker, not per file: a sixth of the time for many small files
    maxWorkers: inVm ? 2 : 3, // tests mostly wait for processes and packets
    cache: keep,
    fsModuleCache: keep,
    tags: [
      { name: 'vm', description: 'also on the stock Debian kernel of the VM (make test-kernel)' },
      { name: 'vm-only', description: 'only there: it needs what this kernel or this machine lacks' },
    ],
    ...(inVm
      ? { testTimeout: 600_000, hookTimeout: 600_000 }
      : { testTimeout: 240_000, hookTimeout: 240_000, tagsFilter: ['!vm-only'] }),
    reporters: ['default', './scripts/totals.ts'],
    coverage: { provider: 'v8', include: ['src/**/*.ts'] },
  },
});
