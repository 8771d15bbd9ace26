/** Who changed something behind our back, as reports and their text give it. */
import type { ManagedHost } from '../../apply/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { describeChange, type HostChange } from '../../plan/index.ts';
import type { SettingLine } from '../causes.ts';
import { sallyportVersion } from '../version.ts';
import { findClues } from './clues.ts';
import { type DriftGroup, driftOf, type Suspect, suspectsOf } from './suspects.ts';

/** One thing that somebody did, as `plan -o json` and `status -o json` give it. */
export interface SuspectReport extends Suspect {
  /** How many changes put it right. */
  readonly changes: number;
}

export interface HostDrift {
  readonly groups: readonly DriftGroup[];
  /** What its sysctl files set. */
  readonly settings: readonly SettingLine[];
}

/** By host; hosts that nobody asked are not in it. */
export type DriftByHost = ReadonlyMap<string, HostDrift>;

/** What changed on each of these hosts since our last apply, and who it looks like: one command each. */
export async function findDrift(
  managed: readonly ManagedHost[],
  facts: ReadonlyMap<string, HostFacts>,
  signal: AbortSignal,
): Promise<DriftByHost> {
  const found = managed.map(async ({ name, transport }): Promise<readonly (readonly [string, HostDrift])[]> => {
    const known = facts.get(name);
    if (known === undefined) return [];
    const clues = await findClues(transport, signal);
    const changes = driftOf(name, known, sallyportVersion());
    return [[name, { groups: suspectsOf(changes, known, clues), settings: clues.settings }]];
  });
  return new Map((await Promise.all(found)).flat());
}

export const reportSuspects = (groups: readonly DriftGroup[]): readonly SuspectReport[] =>
  groups.map(({ did, who, evidence, changes }) => ({ did, who, evidence, changes: changes.length }));

/** Tells of a change of a plan who made it needed; undefined where the documents did. */
export function whoOf(groups: readonly DriftGroup[]): (change: HostChange) => string | null | undefined {
  const known = new Map<string, string | null>();
  for (const { who, changes } of groups) for (const change of changes) known.set(keyOf(change), who);
  return (change) => known.get(keyOf(change));
}

function keyOf(change: HostChange): string {
  const { action, object, name, before = '', after = '' } = describeChange(change);
  return [action, object, name, before, after].join('\n');
}

/** Two lines or more for each: what, who, and what shows it. */
export const printSuspects = (suspects: readonly SuspectReport[]): readonly string[] =>
  suspects.flatMap(({ did, who, evidence }) => [
    `changed behind our back: ${did}: ${who === null ? 'nobody is known to do that' : `looks like ${who}`}`,
    ...evidence.map((line) => `  ${line}`),
  ]);
