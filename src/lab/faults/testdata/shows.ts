/** The tests of faults: each is seen, named and mended, and what is alike is not named. */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { LabFault } from '../fault.ts';
import { showFault, showNearMiss } from '../show.ts';

const options = {
  sallyport: [process.execPath, fileURLToPath(new URL('../../../../bin/sallyport', import.meta.url))],
  out: () => {},
};

export const testFaults = (faults: readonly LabFault[]): void =>
  describe.each(faults.map((fault) => [fault.code, fault] as const))('%s', (_, fault) => {
  test('is seen, named by its code and by no other error, and gone after its fix', async () => {
    const { named, others, doctorMs } = await showFault(fault, options);
    expect(others).toEqual([]);
    expect(named.severity).not.toBe('info');
    expect(doctorMs).toBeLessThan(5_000);
  });

  for (const miss of fault.nearMisses)
    test(`not named: ${miss.title}`, async () => {
      expect(await showNearMiss(fault, miss, options)).toEqual([]);
    });
});
