/** `doctor --fix CODE`: one fix carried out, armed, and believed only when the fault is no longer found. */
import { type ArmedStep, carryOutArmed, lockHost, type ManagedHost } from '../apply/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import type { FaultCode, Finding, FixStep } from '../verify/index.ts';
import { paint } from './color.ts';
import { apply } from './commands/apply.ts';
import type { DoctorFlags } from './commands/doctor.ts';
import { printFinding } from './doctor-text.ts';
import { examine, type ManyHosts } from './examine.ts';
import { CommandFailure, DONE, FAILED, UsageError } from './exit.ts';
import { listenForInterrupt } from './interrupt.ts';
import type { Output } from './output.ts';
import { ask, confirm } from './terminal.ts';

interface Hosts {
  readonly set: ResourceSet;
  readonly managed: readonly ManagedHost[];
}

interface Chosen {
  readonly finding: Finding;
  readonly host: ManagedHost;
  readonly before: ManyHosts;
}

/** Shows the fix of the one host that has the fault, asks, carries it out, and looks again. */
export async function fix(output: Output, flags: DoctorFlags, code: FaultCode, hosts: Hosts): Promise<number> {
  using interrupt = listenForInterrupt(true);
  const { signal } = interrupt;
  const [only, other] = hosts.managed;
  // One host is locked before it is looked at; of many, one says which it is, and is looked at again.
  const early =
    other === undefined && only !== undefined
      ? await lockHost(only.transport, `doctor --fix ${code}`, signal)
      : undefined;
  try {
    const chosen = await choose(output, code, hosts, signal);
    const { name, readOnly } = chosen.host;
    if (readOnly !== undefined) throw new CommandFailure(`${name}: ${readOnly}; nothing was changed`);
    if (code === 'reloadFlushedRules' && flags.file !== undefined) {
      await early?.release();
      return await applyAgain(output, flags);
    }
    return await mend(output, flags, { ...hosts, ...chosen, isLocked: early !== undefined }, signal);
  } finally {
    await early?.release();
  }
}

/** Shows it, asks, carries it out. */
async function mend(
  output: Output,
  flags: DoctorFlags,
  what: Hosts & Chosen & { readonly isLocked: boolean },
  signal: AbortSignal,
): Promise<number> {
  const { finding, host } = what;
  const { code } = finding;
  const steps = finding.steps.flatMap((step) => (isOurs(step) && step.run.lasting !== true ? [step] : []));
  const last = finding.steps.flatMap((step) => (isOurs(step) && step.run.lasting === true ? [step] : []));
  const left = finding.steps.filter((step) => !isOurs(step)).map(({ text }) => text);
  if (steps.length + last.length === 0) {
    await output.result({ done: [], left }, () => `${printFinding(finding, output.color).join('\n')}\n`);
    throw new CommandFailure(`${code} on ${host.name}: what mends it is not for sallyport to do: nothing was changed`);
  }
  if (output.format === 'text') await output.write(printFix(finding, { steps, last, left }, output.color));
  if (flags.yes !== true && !(await confirm('Carry this out?', signal))) {
    output.say('Nothing was changed.');
    return FAILED;
  }
  const lock = what.isLocked ? undefined : await lockHost(host.transport, `doctor --fix ${code}`, signal);
  try {
    if (!what.isLocked) await requireSame(output, what, finding, signal);
    await carryOutArmed(host.transport, steps, {
      title: `doctor --fix ${code}`,
      windowMs: flags.confirmTimeout ?? 30_000,
      signal,
      onStep: (text) => output.progress(`${host.name}: ${text}`),
      check: async () => wrongAfter(finding, what.before, await examine(output, what.set, what.managed, signal)),
      ...(flags.yes !== true && { confirm: (leftMs: number) => keepOrUndo(leftMs, signal) }),
    });
    for (const { run, text } of last) {
      const { status, stderr } = await host.transport.run(run);
      if (status !== 0)
        throw new CommandFailure(
          `${host.name}: ${code} is mended until the next start; not done: ${text}: ${stderr.trim()}`,
        );
    }
  } finally {
    await lock?.release();
  }
  const done = [...steps, ...last].map(({ text }) => text);
  await output.result(
    { fixed: { code, host: host.name, summary: finding.summary }, done, left },
    () => `${code} is no longer found on ${host.name}.\n${left.map((line) => `left to you: ${line}\n`).join('')}`,
  );
  return DONE;
}

const isOurs = (step: FixStep): step is FixStep & ArmedStep => step.run !== undefined;

/** The worst finding of that code, on the one host that has it. */
async function choose(output: Output, code: FaultCode, { set, managed }: Hosts, signal: AbortSignal): Promise<Chosen> {
  const before = await examine(output, set, managed, signal);
  const found = before.findings.filter((each) => each.code === code);
  const names = [...new Set(found.map(({ host }) => host))];
  const [finding] = found;
  const host = managed.find(({ name }) => name === finding?.host);
  if (finding === undefined || host === undefined) {
    const asked = managed.map(({ name }) => name).join(', ');
    const why = [
      ...before.notLooked.filter((each) => each.code === code).map(({ host: name, why: what }) => `${name}: ${what}`),
      ...before.unreachable.map(({ host: name, why: what }) => `${name} was not looked at: ${what}`),
    ];
    throw new CommandFailure([`${code} is not found on ${asked}: nothing was changed`, ...why].join('\n  '));
  }
  if (names.length > 1)
    throw new UsageError(
      `${code} is found on ${names.join(' and ')}: one host at a time, by --netns or documents with it alone`,
    );
  if (found.length > 1) output.say(`${code} is found ${found.length} times on ${host.name}: this is the first`);
  return { finding, host, before };
}

/** What was shown is what is done. */
async function requireSame(
  output: Output,
  { set, managed }: Hosts,
  shown: Finding,
  signal: AbortSignal,
): Promise<void> {
  const now = await examine(output, set, managed, signal);
  const same = now.findings.some(
    ({ code, host, fix: commands }) =>
      code === shown.code && host === shown.host && commands.join('\n') === shown.fix.join('\n'),
  );
  if (!same)
    throw new CommandFailure(`${shown.host} changed since it was looked at; nothing was changed: once more, please`);
}

/** Fewer of the fault, and no other that harms. */
function wrongAfter({ code, host, severity }: Finding, before: ManyHosts, after: ManyHosts): string | undefined {
  const [gone] = after.unreachable;
  if (gone !== undefined) return `after it ${gone.host} can no longer be looked at: ${gone.why}`;
  const ofIt = ({ findings }: ManyHosts): readonly Finding[] =>
    findings.filter((each) => each.code === code && each.host === host);
  const [still] = ofIt(after);
  const isLess = still?.severity === 'info' && severity !== 'info';
  if (still !== undefined && !isLess && ofIt(after).length >= ofIt(before).length)
    return `${code} is found all the same: ${still.summary}`;
  const other = after.findings.find(
    (each) =>
      each.severity === 'error' &&
      !before.findings.some(
        (known) => known.code === each.code && known.host === each.host && known.severity === 'error',
      ),
  );
  return other && `it brings ${other.code} on ${other.host}: ${other.summary}`;
}

/** As `netplan try`: whoever locked himself out cannot press Enter. The host does not wait longer than we. */
async function keepOrUndo(leftMs: number, signal: AbortSignal): Promise<boolean> {
  const timeoutMs = Math.max(0, leftMs - 500);
  const question = `\nIt is no longer found. Press Enter within ${Math.round(timeoutMs / 1000)} s to keep the change; else it is undone. `;
  return (await ask(question, { signal, timeoutMs })) !== undefined;
}

/** What was flushed is put back by the documents themselves. */
const applyAgain = (output: Output, { file = [], yes, confirmTimeout }: DoctorFlags): Promise<number> =>
  apply(output, {
    ...{ file, set: 'default' },
    ...(yes !== undefined && { yes }),
    ...(confirmTimeout !== undefined && { confirmTimeout }),
  });

function printFix(
  finding: Finding,
  {
    steps,
    last,
    left,
  }: { readonly steps: readonly ArmedStep[]; readonly last: readonly ArmedStep[]; readonly left: readonly string[] },
  color: boolean,
): string {
  const { strong } = paint(color);
  return `${[
    `${strong(finding.code)} on ${finding.host}: ${finding.summary}`,
    ...steps.map(({ text }) => `  do     ${text}`),
    ...last.map(({ text }) => `  then   ${text}`),
    ...left.map((line) => `  you    ${line}`),
  ].join('\n')}\n`;
}
