/** What a plan promises, simulated before anything is changed: shown by plan, held against by apply. */
import type { ManagedHost } from '../apply/index.ts';
import type { Compiled } from '../compile/index.ts';
import type { HostFacts } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { type Adoption, type Seen, verifyPlan } from '../verify/index.ts';
import type { Paint } from './color.ts';
import { CommandFailure } from './exit.ts';
import type { PromiseReport } from './plan-report.ts';
import { sightAll, socketsOf } from './sightings.ts';
import { listEntries } from './standing.ts';

/** Every promise of the set under this plan; `traces`: with the trace of the packet that breaks it or leaves it undecided. */
export const provePlan = (
  set: ResourceSet,
  compiled: Compiled,
  facts: ReadonlyMap<string, HostFacts>,
  { adoption, ...how }: { readonly traces: boolean; readonly seen: Seen; readonly adoption?: Adoption | undefined },
): readonly PromiseReport[] =>
  verifyPlan({
    ...{ set, compiled, facts, ...how },
    ...(adoption !== undefined && { facts: adoption.facts, live: facts, taken: adoption.taken }),
  });

/** Who listens on the hosts, and which connections they track: what the plan must not break. */
export async function lookForUsers(managed: readonly ManagedHost[], signal: AbortSignal): Promise<Seen> {
  const [sighted, entries] = await Promise.all([sightAll(managed, signal), listEntries(managed, signal)]);
  return { sockets: socketsOf(sighted), entries };
}

export interface ProofFlags {
  /** Undecided refuses too. */
  readonly requireProof?: boolean;
  /** Promises, or resources with all of theirs, that may be broken. */
  readonly accept?: readonly string[];
}

/**
 * Throws where a promise does not hold (with --require-proof: is not proven) and was not accepted by name. Of those that were accepted a
 * sentence each: what does not hold, why, and what may happen.
 */
export function requirePromises(
  promises: readonly PromiseReport[],
  { requireProof, accept = [] }: ProofFlags,
): readonly string[] {
  const isAccepted = ({ resource, promise }: PromiseReport): boolean =>
    accept.includes(resource) || accept.includes(`${resource}: ${promise}`);
  const unkept = promises.filter(({ holds }) => holds === false || (requireProof === true && holds === 'undecided'));
  const broken = unkept.filter((each) => !isAccepted(each));
  const [first] = broken;
  if (first === undefined) {
    const lines = unkept.slice(0, SHOWN).map((each) => `accepted: ${printPromise(each)}${printRisk(each)}`);
    const more = unkept.slice(SHOWN);
    const risks = new Set(more.flatMap(({ risk }) => risk ?? []));
    return more.length === 0 ? lines : [...lines, `accepted: ${more.length} more. The risk: ${[...risks].join('; ')}.`];
  }
  const lines = broken.slice(0, SHOWN).map((each) => `  ${printPromise(each)}`);
  const more = broken.length > SHOWN ? [`  ... and ${broken.length - SHOWN} more`] : [];
  throw new CommandFailure(
    `nothing was changed: ${unkeptOf(broken)}\n${[...lines, ...more].join('\n')}\n` +
      `--accept "${first.resource}: ${first.promise}" goes on with it ${first.holds === false ? 'broken' : 'open'}${first.risk === undefined ? '' : `: ${mayBe(first)}${first.risk}`}.`,
  );
}

/** `2 promises do not hold, a promise is not proven`. */
function unkeptOf(broken: readonly PromiseReport[]): string {
  const open = broken.filter(({ holds }) => holds === 'undecided').length;
  const count = (number: number, one: string, many: string): readonly string[] =>
    number === 0 ? [] : [number === 1 ? `a promise ${one}` : `${number} promises ${many}`];
  return [
    ...count(broken.length - open, 'does not hold', 'do not hold'),
    ...count(open, 'is not proven', 'are not proven'),
  ].join(', ');
}

/** What is not known may be as bad. */
const mayBe = ({ holds }: PromiseReport): string => (holds === false ? '' : 'it may be that ');

const printRisk = (each: PromiseReport): string =>
  each.risk === undefined ? '' : `. The risk: ${mayBe(each)}${each.risk}.`;

const printPromise = ({ resource, promise, holds, reason }: PromiseReport): string =>
  `${resource}: ${promise}: ${holds === 'undecided' ? 'undecided' : 'does not hold'}${reason === undefined ? '' : `: ${reason}`}`;

/** `Proven: 12 promises hold, 1 undecided`, and each that does not hold or is undecided with its reason. */
export function printProof(promises: readonly PromiseReport[], colors: Paint): string {
  if (promises.length === 0) return '';
  const broken = promises.filter(({ holds }) => holds === false);
  const open = promises.filter(({ holds }) => holds === 'undecided');
  const lines = [
    ...broken.slice(0, SHOWN).map((each) => colors.removed(`  ${printPromise(each)}`)),
    ...open.slice(0, SHOWN).map((each) => colors.changed(`  ${printPromise(each)}`)),
  ];
  const count = promises.length - broken.length - open.length;
  const parts = [
    `${count} ${count === 1 ? 'promise holds' : 'promises hold'}`,
    ...(broken.length === 0 ? [] : [`${broken.length} ${broken.length === 1 ? 'does' : 'do'} not`]),
    ...(open.length === 0 ? [] : [`${open.length} undecided`]),
  ];
  return `${[`Simulated: ${parts.join(', ')}`, ...lines, ...printExceptions(promises, colors)].join('\n')}\n`;
}

/** Whom others refuse on purpose: once, of how many promises ever. */
function printExceptions(promises: readonly PromiseReport[], colors: Paint): readonly string[] {
  const counts = new Map<string, number>();
  for (const { except = [] } of promises) for (const each of except) counts.set(each, (counts.get(each) ?? 0) + 1);
  const more = counts.size > SHOWN ? [`... and ${counts.size - SHOWN} kinds of clients more`] : [];
  const lines = [...counts]
    .slice(0, SHOWN)
    .map(([who, count]) => `not for ${who}${count === 1 ? '' : ` (${count} promises)`}`);
  return [...lines, ...more].map((line) => colors.changed(`  ${line}`));
}

/** Of each kind; -o json has all. */
const SHOWN = 10;
