/** Marks, routing tables and rule priorities: chosen from what is free on the host, and kept from then on. */
import type { HostFacts, HostNumbers } from '../host/index.ts';
import type { Forwarding, NumberRange } from '../resources/index.ts';
import { SALLYPORT_PROTOCOL } from '../routing/index.ts';
import { bitsOf, foreignMarks, type MarkUse } from './foreign-marks.ts';

/**
 * Below Tailscale's 5210, above what people write by hand; `ip rule` looks at lower numbers first and main stands at 32766.
 * The tables bear the same numbers: iproute2's rt_tables names none of them.
 */
const PRIORITIES: NumberRange = { first: 5000, last: 5209 };
const TABLES: NumberRange = { first: 5000, last: 5999 };

/**
 * Bits of the 32-bit marks, best first. Taken by others in their defaults: 0x00ff0000 Tailscale, 0xffff0000 Calico, 0x4000 and 0x8000 kube-proxy,
 * 0x0f00 and the upper half Cilium (0x80 on AWS), 51820 (0xca6c) wg-quick. The low byte is what hand-written rules use, and those stand on the host
 * to be seen; the upper half comes late, for Cilium's programs write it where no rule shows it, and Calico takes of its half what it comes to need.
 */
const MASKS = [
  ...[0x000000ff, 0x0000007f, 0x00003f00],
  ...[0x00ff0000, 0xff000000, 0x0f000000, 0x000f0000, 0x00003000],
] as const;

/** The lowest set bit of a mask: the step from one mark to the next. */
export const markStep = (mask: number): number => (mask & -mask) >>> 0;

/** How many values a mask has room for, beside zero. */
export const markRoom = (mask: number): number => (mask >>> 0) / markStep(mask);

export interface Numbered {
  readonly numbers: HostNumbers;
  /** Plain sentences; each with the field of the Host that would mend it. */
  readonly clashes: readonly { readonly path: string; readonly what: string }[];
}

/**
 * Numbers for the tunnels (`SET/TUNNEL`) whose connections must return by them. What the host's record holds is kept;
 * what the Host resource names is taken, and a clash with others' rules is reported.
 */
export function chooseNumbers(facts: HostFacts, wanted: Forwarding, tunnels: readonly string[]): Numbered {
  const clashes: { path: string; what: string }[] = [];
  const kept = facts.record?.numbers;
  const others = foreignMarks(facts);
  const mark = chooseMark(kept, wanted, others, clashes);
  const priorities = wanted.priorities ?? PRIORITIES;
  const tables = wanted.tables ?? TABLES;
  const usedPriorities = new Set(
    facts.state.rules.filter(({ protocol }) => protocol !== SALLYPORT_PROTOCOL).map(({ priority }) => priority),
  );
  const usedTables = new Set([
    ...facts.state.routes.filter(({ protocol }) => protocol !== SALLYPORT_PROTOCOL).map(({ table }) => table),
    ...facts.state.rules.flatMap(({ action, protocol }) =>
      action.kind === 'lookup' && protocol !== SALLYPORT_PROTOCOL ? [action.table] : [],
    ),
  ]);
  const firstFree = (range: NumberRange, used: ReadonlySet<number>, path: string): number => {
    for (let number = range.first; number <= range.last; number++) if (!used.has(number)) return number;
    clashes.push({ path, what: `no number from ${range.first} to ${range.last} is free on the host` });
    return range.last;
  };
  const inside = (number: number | undefined, range: NumberRange): number | undefined =>
    number !== undefined && number >= range.first && number <= range.last ? number : undefined;

  const suppressPriority =
    inside(kept?.suppressPriority, priorities) ?? firstFree(priorities, usedPriorities, 'spec.forwarding.priorities');
  usedPriorities.add(suppressPriority);
  const chosen = new Map<string, { index: number; table: number; priority: number }>();
  const usedIndexes = new Set<number>();
  const after = { first: suppressPriority + 1, last: priorities.last };
  for (const tunnel of tunnels) {
    const before = kept?.tunnels.get(tunnel);
    const table = inside(before?.table, tables);
    const priority = inside(before?.priority, after);
    if (before === undefined || table === undefined || priority === undefined) continue;
    chosen.set(tunnel, { index: before.index, table, priority });
    usedIndexes.add(before.index);
    usedTables.add(table);
    usedPriorities.add(priority);
  }
  // The two highest values of the mask are the edge's own: see table.ts.
  const indexes = { first: Math.max(1, Math.floor(mark.value / markStep(mark.mask))), last: markRoom(mark.mask) - 2 };
  for (const tunnel of tunnels) {
    if (chosen.has(tunnel)) continue;
    const index = firstFree(indexes, usedIndexes, 'spec.forwarding.mark');
    const table = firstFree(tables, usedTables, 'spec.forwarding.tables');
    const priority = firstFree(after, usedPriorities, 'spec.forwarding.priorities');
    chosen.set(tunnel, { index, table, priority });
    usedIndexes.add(index);
    usedTables.add(table);
    usedPriorities.add(priority);
  }
  return { numbers: { mark, suppressPriority, tunnels: chosen }, clashes };
}

function chooseMark(
  kept: HostNumbers | undefined,
  wanted: Forwarding,
  others: readonly MarkUse[],
  clashes: { path: string; what: string }[],
): HostNumbers['mark'] {
  const named = wanted.mark;
  const clashOf = ({ mask }: HostNumbers['mark']): string | undefined => {
    const first = others.find(({ bits }) => (bits & mask) !== 0);
    return first && `${hex(mask)} overlaps the mark bits ${hex(bitsOf(others) & mask)} that others use: ${first.by}`;
  };
  if (named !== undefined) {
    const clash = clashOf(named);
    if (clash !== undefined) clashes.push({ path: 'spec.forwarding.mark.mask', what: clash });
    return named;
  }
  if (kept !== undefined) {
    const clash = clashOf(kept.mark);
    // Another mask would take established connections from their tunnels: that is for the user to say.
    if (clash !== undefined)
      clashes.push({
        path: 'spec.forwarding.mark',
        what: `${clash}; the marks were chosen by an earlier apply, when it was not there: name bits that are free with mark: {value, mask}`,
      });
    return kept.mark;
  }
  const mask = MASKS.find((candidate) => (candidate & bitsOf(others)) === 0);
  if (mask === undefined) {
    clashes.push({
      path: 'spec.forwarding.mark',
      what: `no free bits for marks: other rules on the host use ${hex(bitsOf(others))}: ${namedUses(others)}; name bits that are free with mark: {value, mask}`,
    });
    return { value: markStep(MASKS[0]), mask: MASKS[0] };
  }
  return { value: markStep(mask), mask };
}

/** Those that take bits no other before them takes; of many the first. */
function namedUses(uses: readonly MarkUse[]): string {
  const named: string[] = [];
  let known = 0;
  for (const { bits, by } of uses) {
    if ((bits & ~known) === 0) continue;
    known |= bits;
    named.push(`${hex(bits)} by ${by}`);
  }
  return named.length > 5 ? `${named.slice(0, 5).join('; ')}; and ${named.length - 5} more` : named.join('; ');
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
