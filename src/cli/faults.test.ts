/** Faults of the field on a real kernel: each is seen, named and mended, and what is alike is not named. */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type ArmedStep, carryOutArmed } from '../apply/index.ts';
import { LAB_FAULTS, type Lab, type LabFault, type Named, showFault, showNearMiss } from '../lab/index.ts';
import { dumpWithTunnels, labDoctor, openLabHosts, untilUndone } from './testdata/lab-doctor.ts';

const options = {
  sallyport: [process.execPath, fileURLToPath(new URL('../../bin/sallyport', import.meta.url))],
  out: () => {},
  doctor: labDoctor,
};
const NEVER = new AbortController().signal;

/** Half a fix of which nobody sees to the rest, as after a kill, and a whole one that does not hold: the host is as it was after each. */
async function comesBack(lab: Lab, { host: name, code }: LabFault, named: Named): Promise<void> {
  const steps = (named.steps ?? []).flatMap(({ text, run }): readonly ArmedStep[] =>
    run === undefined ? [] : [{ text, run }],
  );
  // A flow that was ended is in no dump, and is there no more. A namespace may not make the table of tracked connections larger: see fix.test.ts.
  if (code === 'conntrackFull' || steps.every(({ run }) => run.undo === undefined)) return;
  const [host] = openLabHosts(lab, [name]).managed;
  if (host === undefined) throw new TypeError(name);
  const dump = steps.some(({ run }) => run.argv[0] === 'wg')
    ? dumpWithTunnels
    : (lab: Lab, host: string) => lab.dump(host);
  const before = await dump(lab, name);
  const half = steps.slice(0, Math.ceil(steps.length / 2));
  let left = half.length;
  await new Promise<void>((resolve, reject) => {
    const onStep = (): void => {
      left -= 1;
      if (left === 0) resolve();
    };
    const check = (): Promise<undefined> => new Promise(() => {});
    carryOutArmed(host.transport, half, { title: code, windowMs: 2_000, signal: NEVER, check, onStep }).catch(reject);
  });
  await untilUndone(lab);
  expect(await dump(lab, name)).toBe(before);
  const whole = carryOutArmed(host.transport, steps, {
    title: code,
    windowMs: 30_000,
    signal: NEVER,
    check: async () => 'no',
  });
  await expect(whole).rejects.toThrow(`${name}: no; ${name} is as it was`);
  expect(await dump(lab, name)).toBe(before);
}

/** The longest wait first: that for a keepalive. */
const faults = [...LAB_FAULTS].sort(
  (left, right) => Number(right.code === 'keepaliveMissing') - Number(left.code === 'keepaliveMissing'),
);

describe.concurrent.each(faults.map((fault) => [fault.code, fault] as const))('%s', (code, fault) => {
  test('is seen, named by its code and by no other error, and gone after its fix, which comes back while it is armed', async () => {
    const beforeFix = async (lab: Lab, named: Named): Promise<void> => {
      await comesBack(lab, fault, named);
      await fault.again?.(lab);
    };
    const { named, others, done } = await showFault(fault, { ...options, beforeFix });
    expect(others).toEqual([]);
    expect(named.severity).not.toBe('info');
    expect([code, done.length > 0]).toEqual([code, fault.instead === undefined && fault.documents === undefined]);
  });

  for (const miss of fault.nearMisses)
    test(`not named: ${miss.title}`, async () => {
      expect(await showNearMiss(fault, miss, options)).toEqual([]);
    });
});
