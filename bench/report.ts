/** What was measured as a table for people, in Markdown. */
import type { Grid, Line } from './measure.ts';
import { printSpread } from './rounds.ts';

/** One row a line, its ratio to what it stands beside, and whether its goal was met. */
export function printTable(lines: readonly Line[]): string {
  const rows = lines.map(({ what, value, unit, spread, beside, goal }) => [
    what,
    spread === undefined ? printValue(value, unit) : `${printSpread(spread)} ${unit}`,
    beside === undefined ? '' : `${printValue(beside.value, unit)} (${beside.what})`,
    beside === undefined ? '' : (value / beside.value).toFixed(2),
    goal === undefined ? '' : `${goal.text}: ${goal.met ? 'met' : 'MISSED'}`,
  ]);
  return printRows([['what', 'measured', 'beside', 'ratio', 'goal'], ['---', '--:', '---', '--:', '---'], ...rows]);
}

/** A table under its title. */
export const printGrid = ({ title, head, rows }: Grid): string =>
  `### ${title}\n\n${printRows([head, head.map((_, column) => (column === 0 ? '---' : '--:')), ...rows])}`;

const printRows = (rows: readonly (readonly string[])[]): string =>
  rows.map((cells) => `| ${cells.join(' | ')} |\n`).join('');

const printValue = (value: number, unit: Line['unit']): string =>
  `${value.toFixed((unit === 'ms' && value < 100) || unit === '%' ? 1 : 0)}${unit === '' ? '' : ` ${unit}`}`;
