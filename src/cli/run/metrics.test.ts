import { expect, test } from 'vitest';
import type { KeptHost } from './keeper.ts';
import { printMetrics, readinessOf, type Standing } from './metrics.ts';

const host = (name: string, goodAt?: number, reachable = true): KeptHost => ({
  ...{ name, reachable, looks: 7, repairs: 2, failures: 1, lookWithinMs: 10_000 },
  ...(goodAt !== undefined && { goodAt }),
});
const standing = (hosts: readonly KeptHost[], more: Partial<Standing> = {}): Standing => ({
  ...{ hosts, targets: [], hasDocuments: true, refused: 3, now: 100_000 },
  ...more,
});

test('metrics are as Prometheus reads them: a name has no more than one type, and what is in a label is escaped', () => {
  const text = printMetrics(standing([host('edge', 98_500), host('a"\\\n')]));
  expect(text).toContain('sallyport_host_good_age_seconds{host="edge"} 1.5\n');
  expect(text).toContain('sallyport_host_repairs_total{host="a\\"\\\\\\n"} 2\n');
  expect(text).not.toContain('good_age_seconds{host="a');
  expect(text).toContain('\nsallyport_documents_refused_total 3\n');
  const types = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  expect(new Set(types).size).toBe(types.length);
  for (const line of text.trim().split('\n'))
    expect(line).toMatch(/^(# (HELP|TYPE) .+|[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)+\})? [0-9.]+)$/);
});

for (const [what, ready, hosts, more] of [
  ['hosts that were good just now are ready', true, [host('edge', 99_000), host('node', 75_000)], {}],
  ['a host that cannot be reached is ready until its last good look is old', true, [host('edge', 75_000, false)], {}],
  ['one that was not good for long is not', false, [host('edge', 99_000), host('node', 60_000)], {}],
  ['nor one that never was', false, [host('edge')], {}],
  ['nor anything without documents', false, [host('edge', 99_000)], { hasDocuments: false }],
  ['nor nothing', false, [], {}],
] as const)
  test(what, () => expect(readinessOf(standing(hosts, more)).ready).toBe(ready));
