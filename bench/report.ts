/** What was measured as a table for people, in Markdown. */
import type { Line } from './measure.ts';

/** One row a line, its ratio to what it stands beside, and whether its goal was met. */
export function printTable(lines: readonly Line[]): string {
  const rows = lines.map(({ what, value, unit, beside, goal }) => [
    what,
    printValue(value, unit),
    beside === undefined ? '' : `${printValue(beside.value, unit)} (${beside.what})`,
    beside === undefined ? '' : (value / beside.value).toFixed(2),
    goal === undefined ? '' : `${goal.text}: ${goal.met ? 'met' : 'MISSED'}`,
  ]);
  return [['what', 'measured', 'beside', 'ratio', 'goal'], ['---', '--:', '---', '--:', '---'], ...rows]
    .map((cells) => `| ${cells.join(' | ')} |\n`)
    .join('');
}

const printValue = (value: number, unit: Line['unit']): string =>
  `${value.toFixed(unit === 'ms' && value < 100 ? 1 : 0)}${unit === '' ? '' : ` ${unit}`}`;
