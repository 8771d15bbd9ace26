/** Proves a fix before it is carried out: what worked before it works after it. */
import type { Compiled } from '../compile/index.ts';
import type { Network } from '../simulate/index.ts';
import { keptPromises } from './kept.ts';
import type { Promised } from './promise.ts';
import { groundOf, type Planned, verifyPlan } from './verify.ts';

export interface Mended extends Omit<Planned, 'network'> {
  /** The hosts as they stand, and as the fix will leave them. */
  readonly before: Network;
  readonly after: Network;
  /** The hosts alone, whatever documents say of them. */
  readonly hosts: Compiled;
}

/** What the hosts of a fix promise: to be reached, their listeners and connections to go on, and what held of the documents to hold. */
export function verifyMend({ before, after, hosts, ...planned }: Mended): readonly Promised[] {
  const held = new Set(
    verifyPlan({ ...planned, network: before, traces: false }).flatMap((each) =>
      each.holds === true ? [nameOf(each)] : [],
    ),
  );
  const now = verifyPlan({ ...planned, network: after });
  const ground = groundOf({ ...planned, network: after });
  return [...now.filter((each) => held.has(nameOf(each))), ...keptPromises(ground, before, hosts, planned.seen)];
}

const nameOf = ({ resource, promise }: Promised): string => `${resource}: ${promise}`;
