/** Faults of the field on a real kernel: each is seen, named and mended, and what is alike is not named. */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { LAB_FAULTS, showFault, showNearMiss } from '../lab/index.ts';
import { labDoctor } from './testdata/lab-doctor.ts';

const options = {
  sallyport: [process.execPath, fileURLToPath(new URL('../../bin/sallyport', import.meta.url))],
  out: () => {},
  doctor: labDoctor,
};

describe.concurrent.each(LAB_FAULTS.map((fault) => [fault.code, fault] as const))('%s', (_, fault) => {
  test('is seen, named by its code and by no other error, and gone after its fix', async () => {
    const { named, others } = await showFault(fault, options);
    expect(others).toEqual([]);
    expect(named.severity).not.toBe('info');
  });

  for (const miss of fault.nearMisses)
    test(`not named: ${miss.title}`, async () => {
      expect(await showNearMiss(fault, miss, options)).toEqual([]);
    });
});
