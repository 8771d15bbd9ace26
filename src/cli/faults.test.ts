/** Faults of the field on a real kernel: each is seen, named and mended, and what is alike is not named. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { type AimFor, carryOut, type ManagedHost, prepare } from '../apply/index.ts';
import type { HostChange } from '../host/index.ts';
import {
  LAB_FAULTS,
  type Lab,
  type LabFault,
  machineProblem,
  type Named,
  showFault,
  showNearMiss,
} from '../lab/index.ts';
import { FAULTS, isCode } from '../verify/index.ts';
import { dumpFault, filesOf, labDoctor, letTimePass, openFault } from './testdata/lab-doctor.ts';

const options = {
  sallyport: [process.execPath, fileURLToPath(new URL('../../bin/sallyport', import.meta.url))],
  out: () => {},
  doctor: labDoctor,
};
const NEVER = new AbortController().signal;

/** The fault's host and all files, as they are now. */
const everything = async (lab: Lab, fault: LabFault): Promise<readonly string[]> => [
  await dumpFault(lab, fault),
  await filesOf(lab),
];

/** Half a fix of which nobody sees to the rest, as after a kill, and a whole one that does not hold: the host is as it was after each. */
async function comesBack(lab: Lab, fault: LabFault, named: Named): Promise<void> {
  const { host: name, code } = fault;
  const changes = (named.steps ?? []).flatMap((step) => step.changes ?? []);
  // A namespace may not make the table of tracked connections larger: it is told what the host said.
  if (code === 'conntrackFull') {
    const refused = /^router: sysctl net\/netfilter\/nf_conntrack_max = \d+: .+; router is as it was$/;
    await expect(labDoctor.fix(lab, fault)).rejects.toThrow(refused);
    return;
  }
  // A flow that was ended is in no dump, and is there no more.
  if (changes.every((change) => change.action === 'remove')) return;
  const [host] = openFault(lab, fault).managed;
  if (host === undefined) throw new TypeError(name);
  const before = await dumpFault(lab, fault);
  const half = changes.slice(0, Math.ceil(changes.length / 2));
  await new Promise<void>((resolve, reject) => {
    const check = (): Promise<undefined> => {
      resolve();
      return new Promise(() => {});
    };
    mend(host, half, check).catch(reject);
  });
  await letTimePass(lab);
  expect(await dumpFault(lab, fault)).toBe(before);
  if (changes.length === half.length) return;
  await expect(mend(host, changes, async () => 'no')).rejects.toThrow(`no; ${name} is as it was`);
  expect(await dumpFault(lab, fault)).toBe(before);
}

/** As `doctor --fix` carries them out. */
async function mend(
  host: ManagedHost,
  changes: readonly HostChange[],
  check: () => Promise<string | undefined>,
): Promise<unknown> {
  const aimFor: AimFor = (facts) => {
    const { state, record } = facts.get(host.name) ?? {};
    if (state === undefined) throw new TypeError(host.name);
    const aim = { state, ...(record && { record }), keyLinks: [], notes: [], mend: changes };
    return { problems: [], hosts: new Map([[host.name, aim]]) };
  };
  const plan = prepare(new Map([[host.name, await host.driver.observe(NEVER)]]), aimFor, 'add');
  const options = { aimFor, signal: NEVER, agreed: false, windowMs: 60_000, check };
  return await carryOut([host], plan, { command: 'doctor --fix half', ...options });
}

/** The longest wait first: that for a keepalive. */
const faults = [...LAB_FAULTS].sort(
  (left, right) => Number(right.code === 'keepaliveMissing') - Number(left.code === 'keepaliveMissing'),
);

/** Of a machine with its own systemd: why none can be started here, if so. */
const problem = machineProblem();

/** What the tests have shown of a fault, for the table. */
interface Outcome {
  fixed?: string;
  lookMs?: number;
  misses: number;
}
const outcomes = new Map<string, Outcome>(LAB_FAULTS.map(({ code }) => [code, { misses: 0 }]));
const outcomeOf = (code: string): Outcome => outcomes.get(code) ?? { misses: 0 };

describe.concurrent.each(faults.map((fault) => [fault.code, fault] as const))('%s', (code, fault) => {
  const isHere = fault.machine === undefined || problem === undefined;
  test.runIf(isHere)(
    'is seen, named by its code and by no other error, and gone after its fix, which comes back while it is armed',
    async () => {
      let before: readonly string[] = [];
      const beforeLook = async (lab: Lab): Promise<void> => {
        before = await everything(lab, fault);
      };
      const beforeFix = async (lab: Lab, named: Named): Promise<void> => {
        expect(await everything(lab, fault), 'a look changes nothing').toEqual(before);
        await comesBack(lab, fault, named);
        await fault.again?.(lab);
      };
      const { named, others, done, lookMs } = await showFault(fault, { ...options, beforeLook, beforeFix });
      expect(others).toEqual([]);
      expect(named.severity).not.toBe('info');
      const isOurs = fault.instead === undefined && fault.typed === undefined;
      expect([code, done.length > 0]).toEqual([code, isOurs]);
      Object.assign(outcomeOf(code), {
        lookMs,
        fixed: isOurs ? '`--fix`' : fault.instead === undefined ? 'its commands, typed' : 'by hand',
      });
    },
  );

  for (const miss of fault.nearMisses)
    test.runIf(isHere)(`not named: ${miss.title}`, async () => {
      expect(await showNearMiss(fault, miss, options)).toEqual([]);
      outcomeOf(code).misses += 1;
    });
});

const README = fileURLToPath(new URL('../../docs/faults/README.md', import.meta.url));
const [BEGIN, END] = ['<!-- made by make faults -->', '<!-- until here -->'];

/** As docs/faults/README.md has it: a row for each fault that was shown here, and what is not by the finding's own commands. */
function table(): readonly string[] {
  const rows = LAB_FAULTS.map(({ code }) => {
    const { fixed, lookMs, misses } = outcomeOf(code);
    const shown = fixed === undefined ? '- | - | - | -' : `yes | yes | yes | ${fixed}`;
    return `| ${isCode(code) ? FAULTS[code] : ''} | [${code}](${code}.md) | ${shown} | ${misses} | ${lookMs === undefined ? '-' : `${(lookMs / 1000).toFixed(1)} s`} |`;
  });
  const whys = LAB_FAULTS.flatMap(({ code, first, typed, instead }) => [
    ...(first === undefined ? [] : [`- ${code}, before its fix, by hand: ${first.why}.`]),
    ...(typed === undefined ? [] : [`- ${code}, typed by a person: ${typed}.`]),
    ...(instead === undefined ? [] : [`- ${code}, by hand: ${instead.why}.`]),
  ]);
  return [
    '| no. | fault | injected | symptom seen | named | fixed by | near misses not named | named within |',
    '|---|---|---|---|---|---|---|---|',
    ...rows,
    '',
    ...whys,
  ];
}

afterAll(async () => {
  if ([...outcomes.values()].some(({ fixed }) => fixed === undefined)) return; // not all of them ran here
  const text = await readFile(README, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)];
  if (process.env.FAULTS_TABLE === 'write') {
    await writeFile(README, `${text.slice(0, begin)}\n${table().join('\n')}\n${text.slice(end)}`);
    return;
  }
  // How long it took is another figure each time.
  const timeless = (lines: readonly string[]): readonly string[] =>
    lines.map((line) => line.replace(/[\d.]+ s \|$/, '|'));
  expect(timeless(text.slice(begin, end).trim().split('\n'))).toEqual(timeless(table()));
});

test('each fault that doctor knows is built here', () => {
  expect(LAB_FAULTS.map(({ code }) => code).sort()).toEqual(Object.keys(FAULTS).sort());
});
