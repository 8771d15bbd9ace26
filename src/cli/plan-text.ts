/** A plan for people: grouped by host, + ~ - by line, long runs folded. */
import { printPending } from '../apply/index.ts';
import { type Paint, paint } from './color.ts';
import { printSuspects } from './drift/report.ts';
import type { ChangeReport, PlanReport } from './plan-report.ts';
import { printProof } from './proof.ts';

export interface PlanTextOptions {
  readonly color: boolean;
  /** Long runs of like lines stand whole. */
  readonly full: boolean;
  /** By host: what stands in brackets behind its name, and sentences about what was chosen. */
  readonly about: ReadonlyMap<string, { readonly access: string; readonly notes: readonly string[] }>;
  readonly unreachable: ReadonlyMap<string, string>;
  /** false: too little was known to plan at all. */
  readonly planned?: boolean;
  /** The summary where nothing changes. */
  readonly nothing?: string;
}

/** From how many like lines in a row the rest is only counted. */
const FOLD_AFTER = 20;

/** The whole text, ending with the summary line. */
export function printPlan(report: PlanReport, options: PlanTextOptions): string {
  const colors = paint(options.color);
  const blocks = report.hosts.map(({ host, reachable, pending, changes, suspects, leftAlone = [] }) => {
    const { access, notes } = options.about.get(host) ?? { access: '', notes: [] };
    const title = `${colors.strong(host)}${access === '' ? '' : colors.faint(` (${access})`)}`;
    if (!reachable) return [`${title}: ${colors.removed(`unreachable: ${options.unreachable.get(host) ?? ''}`)}`];
    if (options.planned === false) return [`${title}: not planned`];
    const said = [
      ...(pending === undefined ? [] : [colors.changed(`    ${printPending(pending)}`)]),
      ...notes.map((note) => colors.faint(`    ${note}`)),
      ...leftAlone.map(({ rule, why }) => colors.changed(`    left alone: ${rule}: ${why}`)),
      ...printSuspects(suspects).map((line) => colors.changed(`    ${line}`)),
    ];
    if (changes.length === 0) return [`${title}: nothing to change`, ...said];
    return [title, ...said, ...printChanges(changes, colors, options.full)];
  });
  return `${blocks.map((lines) => lines.join('\n')).join('\n')}\n\n${printProof(report.promises, colors)}${options.planned === false ? 'Nothing was planned: too little is known.' : printSummary(report, 'Plan', options.nothing)}\n`;
}

/** `Plan: 12 to add, 1 to change, 0 to remove on 2 hosts`. */
export function printSummary(
  { hosts }: PlanReport,
  verb: 'Plan' | 'Applied' | 'Destroyed' = 'Plan',
  nothing = 'No changes: the hosts are as the documents say.',
): string {
  const all = hosts.flatMap(({ changes }) => changes);
  if (all.length === 0) return nothing;
  const count = (action: ChangeReport['action']): number => all.filter((change) => change.action === action).length;
  const touched = hosts.filter(({ changes }) => changes.length > 0).length;
  const [add, change, remove] =
    verb === 'Plan' ? ['to add', 'to change', 'to remove'] : ['added', 'changed', 'removed'];
  return `${verb}: ${count('add')} ${add}, ${count('change')} ${change}, ${count('remove')} ${remove} on ${printHosts(touched)}`;
}

const printHosts = (count: number): string => (count === 1 ? '1 host' : `${count} hosts`);

function printChanges(changes: readonly ChangeReport[], colors: Paint, full: boolean): readonly string[] {
  const lines: string[] = [];
  let run = 0;
  for (const [index, change] of changes.entries()) {
    const before = changes[index - 1];
    const after = changes[index + 1];
    run = before !== undefined && alike(before, change) ? run + 1 : 1;
    if (full || run <= FOLD_AFTER) lines.push(printChange(change, colors));
    else if (after === undefined || !alike(change, after)) {
      lines.push(colors.faint(`    ... and ${run - FOLD_AFTER} more of this kind (--full shows all)`));
    }
  }
  return lines;
}

const alike = (left: ChangeReport, right: ChangeReport): boolean =>
  left.action === right.action && left.object === right.object && (left.object !== 'nft' || left.name === right.name);

function printChange({ action, object, name, before, after, adopted }: ChangeReport, colors: Paint): string {
  const what = object.padEnd(7);
  switch (action) {
    case 'add':
      return colors.added(`  + ${what} ${named(name, after)}`);
    case 'remove':
      return colors.removed(
        `  - ${what} ${named(name, before)}${adopted === true ? ' (made by hand, taken over)' : ''}`,
      );
    case 'change':
      return colors.changed(`  ~ ${what} ${name}: ${oneLine(before ?? '?')} -> ${oneLine(after ?? '?')}`);
  }
}

/** Name and text, without saying the name twice. */
function named(name: string, text: string | null): string {
  const line = text === null ? '' : oneLine(text);
  if (line === '' || line === name) return name;
  const last = name.slice(name.lastIndexOf(' ') + 1);
  if (line.startsWith(`${last}: `)) return `${name}${line.slice(last.length)}`;
  return line.startsWith(`${name} `) || line.startsWith(`${name},`) ? line : `${name}: ${line}`;
}

/** A text of several lines by its first, with how many follow. */
function oneLine(text: string): string {
  const lines = text.trim().split('\n');
  return lines.length < 2 ? (lines[0] ?? '') : `${lines[0]} ... (${lines.length} lines)`;
}
