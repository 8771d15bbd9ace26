import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { LAB_FAULTS } from './all.ts';
import { showFault, showNearMiss } from './show.ts';

const options = {
  sallyport: [process.execPath, fileURLToPath(new URL('../../../bin/sallyport', import.meta.url))],
  out: () => {},
};

describe.each(LAB_FAULTS.map((fault) => [fault.code, fault] as const))('%s', (_, fault) => {
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
