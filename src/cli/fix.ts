/** `doctor --fix CODE`: one fix, planned, proven and carried out as `apply` does it, and believed only when the fault is no longer found. */
import { type AimFor, type Command, type ManagedHost, prepare } from '../apply/index.ts';
import type { HostChange, HostFacts } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { brought, type FaultCode, type Finding, stillFound } from '../verify/index.ts';
import { carry, settle } from './carry.ts';
import { apply } from './commands/apply.ts';
import type { DoctorFlags } from './commands/doctor.ts';
import { printFinding } from './doctor-text.ts';
import { diagnoseAll, type Examined, examine, lookAt, type ManyHosts } from './examine.ts';
import { CommandFailure, DONE, FAILED, UsageError } from './exit.ts';
import { aboutHosts } from './hosts.ts';
import { type Interrupt, listenForInterrupt } from './interrupt.ts';
import { proveMend } from './mend-proof.ts';
import type { Output } from './output.ts';
import { reportPlan } from './plan-report.ts';
import { printPlan } from './plan-text.ts';
import { lookForUsers, requirePromises } from './proof.ts';

interface Hosts {
  readonly set: ResourceSet;
  readonly managed: readonly ManagedHost[];
}

interface Chosen {
  readonly finding: Finding;
  readonly host: ManagedHost;
  readonly facts: HostFacts;
  readonly examined: Examined;
  readonly before: ManyHosts;
}

/** Shows the fix of the one host that has the fault, asks, carries it out, and looks again. */
export async function fix(output: Output, flags: DoctorFlags, code: FaultCode, hosts: Hosts): Promise<number> {
  using interrupt = listenForInterrupt(true);
  await settle(output, hosts.managed, interrupt, commandOf(code));
  const chosen = await choose(output, code, hosts, interrupt.signal);
  const { name, readOnly } = chosen.host;
  if (readOnly !== undefined) throw new CommandFailure(`${name}: ${readOnly}; nothing was changed`);
  // What was flushed is put back by the documents themselves.
  if (code === 'reloadFlushedRules' && flags.file !== undefined) return await applyAgain(output, flags);
  return await mend(output, flags, { ...hosts, ...chosen }, interrupt);
}

const commandOf = (code: FaultCode): Command => `doctor --fix ${code}`;

/** Shows it, asks, carries it out. */
async function mend(output: Output, flags: DoctorFlags, what: Hosts & Chosen, interrupt: Interrupt): Promise<number> {
  const { finding, host, facts, set, managed, before } = what;
  const { code, steps } = finding;
  const changes = steps.flatMap((step) => step.changes ?? []);
  const done = steps.flatMap(({ changes: ours, text }) => (ours === undefined ? [] : [text]));
  const left = steps.flatMap(({ changes: ours, text }) => (ours === undefined ? [text] : []));
  if (changes.length === 0) {
    await output.result({ done: [], left }, () => `${printFinding(finding, output.color).join('\n')}\n`);
    throw new CommandFailure(`${code} on ${host.name}: what mends it is not for sallyport to do: nothing was changed`);
  }
  const aimFor = aimOf(host.name, changes, finding);
  const plan = prepare(new Map([[host.name, facts]]), aimFor, 'add');
  const promises = proveMend(what.examined, finding, changes, await lookForUsers(managed, interrupt.signal));
  if (output.format === 'text')
    await output.write(show(output, what, reportPlan([host.name], plan, new Map(), promises)));
  for (const line of requirePromises(promises, {})) output.say(line);
  const carried = await carry(output, { file: flags.file ?? [], ...consentOf(flags) }, interrupt, {
    ...{ managed: [host], plan, aimFor, command: commandOf(code) },
    check: async () => wrongAfter(finding, before, await examine(output, set, managed, interrupt.signal)),
  });
  if (carried === undefined) return FAILED;
  const fixed = { code, host: host.name, summary: finding.summary };
  await output.result(
    { fixed, done, left, ...reportPlan([host.name], carried, new Map(), promises) },
    () => `${code} is no longer found on ${host.name}.\n${left.map((line) => `left to you: ${line}\n`).join('')}`,
  );
  return DONE;
}

/** The host as it stands, but for the changes. */
const aimOf =
  (host: string, mend: readonly HostChange[], { code, summary }: Finding): AimFor =>
  (facts) => {
    const known = facts.get(host);
    if (known === undefined) return { problems: [], hosts: new Map() };
    const { state, record } = known;
    const aim = { state, ...(record && { record }), keyLinks: [], notes: [`${code}: ${summary}`], mend };
    return { problems: [], hosts: new Map([[host, aim]]) };
  };

const consentOf = ({ yes, confirmTimeout }: DoctorFlags): Pick<DoctorFlags, 'yes' | 'confirmTimeout'> => ({
  ...(yes !== undefined && { yes }),
  ...(confirmTimeout !== undefined && { confirmTimeout }),
});

/** The plan, and of the fix what a person does. */
function show(output: Output, { set, finding, host }: Hosts & Chosen, report: ReturnType<typeof reportPlan>): string {
  const notes = [`${finding.code}: ${finding.summary}`];
  const { access = '' } = aboutHosts(set, { problems: [], hosts: [] }).get(host.name) ?? {};
  const about = new Map([[host.name, { access, notes }]]);
  const left = finding.steps.flatMap(({ changes, text }) => (changes === undefined ? [`left to you: ${text}\n`] : []));
  return `${printPlan(report, { color: output.color, full: true, about, unreachable: new Map() })}${left.join('')}`;
}

/** The worst finding of that code, on the one host that has it. */
async function choose(output: Output, code: FaultCode, { set, managed }: Hosts, signal: AbortSignal): Promise<Chosen> {
  const examined = await lookAt(output, set, managed, signal);
  const before = diagnoseAll(examined);
  const found = before.findings.filter((each) => each.code === code);
  const names = [...new Set(found.map(({ host }) => host))];
  const [finding] = found;
  const host = managed.find(({ name }) => name === finding?.host);
  const facts = examined.facts.get(host?.name ?? '');
  if (finding === undefined || host === undefined || facts === undefined) {
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
  return { finding, host, facts, examined, before };
}

/** Fewer of the fault, and no other that harms. */
function wrongAfter(finding: Finding, before: ManyHosts, after: ManyHosts): string | undefined {
  const [gone] = after.unreachable;
  if (gone !== undefined) return `after it ${gone.host} can no longer be looked at: ${gone.why}`;
  const still = stillFound(finding, before.findings, after.findings);
  if (still !== undefined) return `${finding.code} is found all the same: ${still.summary}`;
  const other = brought(before.findings, after.findings);
  return other && `it brings ${other.code} on ${other.host}: ${other.summary}`;
}

const applyAgain = (output: Output, flags: DoctorFlags): Promise<number> =>
  apply(output, { ...{ file: flags.file ?? [], set: 'default' }, ...consentOf(flags) });
