/** Ports that no table tells apart: one of them stands for all. */
import type { PortRange } from '../net/index.ts';
import type { Table } from '../nftables/index.ts';

/** Which ports the tables of others may tell apart: those before and those from a number that stands anywhere in them. */
export interface PortClasses {
  readonly classOf: (port: number) => number;
  /** One of each class in a range, the first and the last; of more than anybody writes by hand not all. */
  readonly examples: (range: PortRange) => readonly number[];
}

const MOST_EXAMPLES = 64;

/** Any number counts, whatever it stands for. */
export function portClasses(tables: readonly Table[]): PortClasses {
  const found = new Set<number>();
  const walk = (data: unknown): void => {
    if (typeof data !== 'object' || data === null) return;
    if ('kind' in data && data.kind === 'number' && 'value' in data && typeof data.value === 'number')
      found.add(data.value).add(data.value + 1);
    else for (const each of Object.values(data)) walk(each);
  };
  walk(tables);
  const bounds = [...found].sort((a, b) => a - b);
  const classOf = (port: number): number => {
    let [from, to] = [0, bounds.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((bounds[middle] ?? 0) <= port) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  const examples = ({ first, last }: PortRange): readonly number[] =>
    first === last
      ? [first]
      : [...new Set([first, ...bounds.slice(classOf(first), classOf(last)).slice(0, MOST_EXAMPLES), last])];
  return { classOf, examples };
}
