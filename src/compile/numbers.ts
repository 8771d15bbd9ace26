/** Marks, routing tables and rule priorities: chosen from what is free on the host, and kept from then on. */
import type { HostFacts, HostNumbers } from '../host/index.ts';
import type { Table } from '../nftables/index.ts';
import type { Forwarding, NumberRange } from '../resources/index.ts';
import { SALLYPORT_PROTOCOL } from '../routing/index.ts';

/**
 * Below Tailscale's 5210, above what people write by hand; `ip rule` looks at lower numbers first and main stands at 32766.
 * The tables bear the same numbers: iproute2's rt_tables names none of them.
 */
const PRIORITIES: NumberRange = { first: 5000, last: 5209 };
const TABLES: NumberRange = { first: 5000, last: 5999 };

/**
 * Bits of the 32-bit marks, best first. Taken by others in their defaults: 0x00ff0000 Tailscale, 0xffff0000 Calico, 0x4000 and 0x8000 kube-proxy,
 * 0x0f00 and the upper half Cilium, 51820 (0xca6c) wg-quick. The low byte is what hand-written rules use, and those stand on the host to be seen.
 */
const MASKS = [0x000000ff, 0x00ff0000, 0xff000000, 0x0f000000, 0x000f0000, 0x00003000] as const;

/** Bits in use on the host by others: in rules (`fwmark`) and in tables that are not ours. */
export function foreignMarkBits(facts: HostFacts): number {
  let bits = 0;
  for (const { mark, protocol } of facts.state.rules) {
    if (mark === undefined || protocol === SALLYPORT_PROTOCOL) continue;
    // A full mask compares the whole mark: the bits it means are those of the value.
    bits |= mark.mask === 0xffffffff ? mark.value : mark.mask;
  }
  for (const table of facts.state.tables) if (!isOurs(table)) bits |= markBits(table);
  return bits >>> 0;
}

const isOurs = ({ family, name }: Table): boolean => family === 'inet' && name === 'sallyport';

/** The bits of all constants that stand in a statement about a packet or connection mark. */
function markBits(table: Table): number {
  let bits = 0;
  for (const chain of table.chains)
    for (const { statements } of chain.rules)
      for (const statement of statements) {
        const found = { isMark: false, bits: 0 };
        collect(statement, found);
        if (found.isMark) bits |= found.bits;
      }
  return bits;
}

/** Walks anything made of plain data: modelled statements and the JSON of opaque ones alike. */
function collect(data: unknown, found: { isMark: boolean; bits: number }): void {
  if (typeof data === 'number') {
    // A complement (`mark & 0xffff00ff`) keeps the bits it names; those it clears are the ones in use.
    const value = data >>> 0;
    found.bits |= countBits(value) > 16 ? ~value : value;
  } else if (typeof data === 'object' && data !== null) {
    for (const [name, value] of Object.entries(data)) {
      if (name === 'key' && value === 'mark') found.isMark = true;
      else if (name !== 'handle') collect(value, found);
    }
  }
}

function countBits(value: number): number {
  let count = 0;
  for (let rest = value >>> 0; rest !== 0; rest &= rest - 1) count++;
  return count;
}

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
  const others = foreignMarkBits(facts);
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
  others: number,
  clashes: { path: string; what: string }[],
): HostNumbers['mark'] {
  const named = wanted.mark;
  if (named !== undefined) {
    if ((named.mask & others) !== 0)
      clashes.push({
        path: 'spec.forwarding.mark.mask',
        what: `${hex(named.mask)} overlaps the mark bits ${hex(others & named.mask)} that other rules on the host use`,
      });
    return named;
  }
  if (kept !== undefined) return kept.mark;
  const mask = MASKS.find((candidate) => (candidate & others) === 0);
  if (mask === undefined) {
    clashes.push({
      path: 'spec.forwarding.mark',
      what: `no free bits for marks: other rules on the host use ${hex(others)}; name bits that are free with mark: {value, mask}`,
    });
    return { value: markStep(MASKS[0]), mask: MASKS[0] };
  }
  return { value: markStep(mask), mask };
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
