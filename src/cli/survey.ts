/** What a command knows of the hosts before it decides: observed, or declared where nobody may or could look. */
import { type ManagedHost, observeAll } from '../apply/index.ts';
import { declaredFacts } from '../compile/index.ts';
import type { HostFacts } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { CommandFailure } from './exit.ts';
import { manageAll } from './hosts.ts';
import type { Output } from './output.ts';

export interface Survey {
  readonly managed: readonly ManagedHost[];
  /** Of every host: what was seen, else what its resource declares. */
  readonly facts: ReadonlyMap<string, HostFacts>;
  /** Hosts that did not answer, and why. */
  readonly unreachable: ReadonlyMap<string, string>;
}

/** Looks at every host of the set side by side. */
export const surveyHosts = (set: ResourceSet, signal: AbortSignal, output: Output): Promise<Survey> =>
  surveyManaged(set, manageAll(set), signal, output);

/** The same by drivers that were used before: they know what cannot have changed. */
export async function surveyManaged(
  set: ResourceSet,
  managed: readonly ManagedHost[],
  signal: AbortSignal,
  output: Pick<Output, 'progress'>,
): Promise<Survey> {
  output.progress(`looking at ${[...set.hosts.keys()].join(', ')}`);
  const seen = await observeAll(managed, signal);
  const facts = new Map<string, HostFacts>();
  const unreachable = new Map<string, string>();
  for (const host of set.hosts.values()) {
    const answer = seen.get(host.name);
    if (answer?.kind === 'observed') facts.set(host.name, answer.facts);
    else {
      facts.set(host.name, declaredFacts(host));
      unreachable.set(host.name, answer?.reason ?? 'nobody looked');
    }
  }
  return { managed, facts, unreachable };
}

/** What `--offline` knows: the resources alone. */
export const declaredSurvey = (set: ResourceSet): Survey => ({
  managed: [],
  facts: new Map([...set.hosts.values()].map((host) => [host.name, declaredFacts(host)])),
  unreachable: new Map(),
});

/** Why hosts cannot be planned, a line each: no answer, or a record that is damaged or of a newer Sallyport. */
export function notUsable({ facts, unreachable }: Survey): readonly string[] {
  const lines = [...unreachable].map(([host, reason]) => `${host}: ${reason}`);
  for (const [host, { recordProblem }] of facts)
    if (recordProblem !== undefined) lines.push(`${host}: ${recordProblem}`);
  return lines;
}

/** Throws where some host cannot be used: nothing may be written then, on any. */
export function requireWritable(survey: Survey, hint?: string): void {
  const lines = notUsable(survey);
  if (lines.length > 0)
    throw new CommandFailure(`nothing was changed:\n  ${lines.join('\n  ')}${hint === undefined ? '' : `\n${hint}`}`);
}
