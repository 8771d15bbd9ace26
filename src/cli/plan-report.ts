/** A plan as `plan -o json` gives it; the text for people is made of the same. */
import type { SetPlan } from '../apply/index.ts';
import type { PendingChange } from '../host/index.ts';
import { describeChange, type HostChange } from '../plan/index.ts';
import type { Adoption } from '../verify/index.ts';
import { type LeftAloneReport, reportLeftAlone } from './adopting.ts';
import { type DriftByHost, reportSuspects, type SuspectReport, whoOf } from './drift/report.ts';

export interface ChangeReport {
  readonly transactional: boolean;
  readonly reversible: boolean;
  readonly action: 'add' | 'change' | 'remove';
  readonly object: string;
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
  /** Somebody made it by hand, and it is taken over. */
  readonly adopted?: true;
  /** Who made it needed, behind our back; null: nobody is known. Absent where the documents ask for it. */
  readonly who?: string | null;
}

export interface HostPlanReport {
  readonly host: string;
  readonly reachable: boolean;
  /** A change that the host takes back unless it is confirmed; where there is one. */
  readonly pending?: PendingChange;
  readonly changes: readonly ChangeReport[];
  /** What changed there since our last apply, and who it looks like. */
  readonly suspects: readonly SuspectReport[];
  /** Rules made by hand that stay though they speak of what the documents ask; with --adopt alone. */
  readonly leftAlone?: readonly LeftAloneReport[];
}

export interface PlanReport {
  readonly hosts: readonly HostPlanReport[];
  /** What the plan keeps, as far as it was simulated. */
  readonly promises: readonly PromiseReport[];
}

export interface PromiseReport {
  readonly resource: string;
  readonly promise: string;
  readonly holds: boolean | 'undecided';
  /** Why it does not hold, or cannot be told. */
  readonly reason?: string;
  /** What may happen where it does not hold, as a clause. */
  readonly risk?: string;
  /** Whom others refuse on purpose, and by what; it holds for all others. */
  readonly except?: readonly string[];
  readonly trace?: unknown;
}

/** The report of a plan: hosts in the order of the documents, changes in the order they are carried out. */
export function reportPlan(
  hosts: Iterable<string>,
  plan: SetPlan,
  unreachable: ReadonlyMap<string, string>,
  promises: readonly PromiseReport[] = [],
  { drift = new Map(), adoption }: { readonly drift?: DriftByHost; readonly adoption?: Adoption | undefined } = {},
): PlanReport {
  return {
    hosts: [...hosts].map((host) => {
      const reachable = !unreachable.has(host);
      const found = reachable ? plan.hosts.find((each) => each.host === host) : undefined;
      const pending = found?.facts.pending;
      const groups = drift.get(host)?.groups ?? [];
      const who = whoOf(groups);
      return {
        host,
        reachable,
        ...(pending !== undefined && { pending }),
        changes: (found?.changes ?? []).map((change) => reportChange(change, who(change))),
        suspects: reportSuspects(groups),
        ...(adoption !== undefined && { leftAlone: reportLeftAlone(adoption, host) }),
      };
    }),
    promises,
  };
}

/** One change; `before` and `after` are null where there is none. */
export function reportChange(change: HostChange, who?: string | null): ChangeReport {
  const { transactional, reversible, action, object, name, before, after, adopted } = describeChange(change);
  return {
    ...{ transactional, reversible, action, object, name, before: before ?? null, after: after ?? null },
    ...(adopted !== undefined && { adopted }),
    ...(who !== undefined && { who }),
  };
}
