/** What `doctor` found, for people. */
import { FAULTS, type Finding } from '../verify/index.ts';
import { paint } from './color.ts';
import type { ManyHosts } from './examine.ts';

/** Each finding with its lines, why it hurts and what mends it; at the end what could not be looked for. */
export function printDiagnosis(
  { findings, notLooked, unreachable }: ManyHosts,
  hosts: readonly string[],
  color: boolean,
): string {
  const lines = findings.flatMap((finding) => [...printFinding(finding, color), '']);
  const count = Object.keys(FAULTS).length;
  const looked = hosts.filter((host) => unreachable.every((each) => each.host !== host));
  if (findings.length === 0 && looked.length > 0)
    lines.push(`nothing found on ${looked.join(', ')}: ${count} faults looked for`);
  for (const { code, host, why } of notLooked) lines.push(`not looked for on ${host}: ${code}: ${why}`);
  for (const { host, why } of unreachable) lines.push(`${host} was not looked at: ${why}`);
  return `${lines.join('\n').trimEnd()}\n`;
}

export function printFinding(finding: Finding, color: boolean): readonly string[] {
  const colors = paint(color);
  const tint = { error: colors.removed, warning: colors.changed, info: (text: string) => text } as const;
  const { severity, code, host, summary } = finding;
  return [`${tint[severity](severity)} ${colors.strong(code)} on ${host}: ${summary}`, ...printDetails(finding)];
}

const printDetails = ({ code, evidence, why, tried = [], fix }: Finding): readonly string[] => [
  ...evidence.map((line) => `    ${line}`),
  `  why   ${why}`,
  ...tried.map((line, index) => `  ${index === 0 ? 'tried' : '     '} ${line}`),
  ...fix.map((line, index) => `  ${index === 0 ? 'fix  ' : '     '} ${line}`),
  `  more  docs/faults/${code}.md`,
];
