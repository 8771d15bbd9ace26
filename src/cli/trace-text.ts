/** Traces for people: a walk from host to host, each stage a line, what decided under it; then the answer, and how it ended. */
import { type Flow, printFlow, type TraceReport, type WayReport } from '../simulate/index.ts';
import { type Paint, paint } from './color.ts';

export interface TraceTextOptions {
  readonly flow: Flow;
  readonly color: boolean;
  /** Of the terminal, in columns; absent: lines are as long as they are. */
  readonly width?: number;
}

/** The whole text, ending with the verdict in one sentence and what would mend it. */
export function printTraces(traces: readonly TraceReport[], { flow, color, width }: TraceTextOptions): string {
  const colors = paint(color);
  const question = colors.strong(printFlow(flow));
  const ways = traces.map((trace, index) => {
    const title = traces.length === 1 ? [] : ['', colors.strong(`Way ${index + 1} of ${traces.length}, by chance:`)];
    const verdict = traces.length === 1 ? [] : ['', ...printVerdict(trace, colors, width)];
    return [...title, ...printTrace(trace, colors, width), ...verdict];
  });
  const [only] = traces;
  const end =
    traces.length === 1 && only !== undefined ? printVerdict(only, colors, width) : printSummary(traces, colors);
  return `${[question, ...ways.flat(), '', ...end].join('\n')}\n`;
}

const printTrace = (trace: TraceReport, colors: Paint, width: number | undefined): readonly string[] => [
  '',
  ...printWay(trace, colors, width),
  ...(trace.reply === undefined ? [] : ['', colors.strong('The answer'), '', ...printWay(trace.reply, colors, width)]),
];

/** Room for the longest stage, and the bar before it. */
const STAGE = 12;
const MARGIN = 3;

/** Between two that decided: a rule of a table and another, a routing rule and its route. */
const SEVERAL = /; (?=(?:ip6?|inet|netdev|bridge) )|, (?=route )/;

function printWay({ verdict, hops }: WayReport, colors: Paint, width: number | undefined): readonly string[] {
  const lines: string[] = [];
  for (const [index, { host, stage, detail, decidedBy }] of hops.entries()) {
    const isLast = index === hops.length - 1;
    if (hops[index - 1]?.host !== host) {
      if (index > 0) lines.push(colors.faint('│'));
      lines.push(`${colors.strong('●')} ${colors.strong(host)}`);
    }
    const color = isLast ? colorOf(verdict, colors) : (text: string): string => text;
    const bar = `${colors.faint('│')}  `;
    for (const [at, line] of wrap(detail, width, MARGIN + STAGE).entries())
      lines.push(`${bar}${colors.faint((at === 0 ? stage : '').padEnd(STAGE))}${color(line)}`);
    if (decidedBy === '') continue;
    for (const each of decidedBy.split(SEVERAL))
      for (const line of wrap(each, width, MARGIN + STAGE))
        lines.push(`${bar}${' '.repeat(STAGE)}${colors.faint(line)}`);
  }
  return lines;
}

/** Green arrives, yellow is not known, red is lost. */
function colorOf(verdict: WayReport['verdict'], colors: Paint): (text: string) => string {
  if (verdict === 'delivered') return colors.added;
  return verdict === 'undecided' || verdict === 'exits' ? colors.changed : colors.removed;
}

function printVerdict(trace: TraceReport, colors: Paint, width: number | undefined): readonly string[] {
  const { works, verdict, reason, fix, reply } = trace;
  const seen = trace.clientAddressSeen === undefined ? '' : `, which sees ${trace.clientAddressSeen}`;
  if (works === true) {
    const host = trace.hops.at(-1)?.host ?? 'its end';
    const reached =
      verdict === 'exits'
        ? `leaves ${host} for a machine that is no Host${seen} and is taken to answer`
        : `reaches ${host}${seen}`;
    return wrap(`It works: the packet ${reached}, and the answer comes back.`, width, 0).map(colors.added);
  }
  // What leaves for a machine that is no Host has an answer only where that machine is taken to give one.
  const broken = reply !== undefined && (verdict === 'delivered' || verdict === 'exits') ? reply : undefined;
  const what =
    broken === undefined
      ? `The packet ${endingOf(verdict)}`
      : `The packet arrives${trace.clientAddressSeen === undefined ? '' : ` from ${trace.clientAddressSeen}`}, but its answer ${endingOf(broken.verdict)}`;
  const why = (broken ?? { reason }).reason;
  const color = works === false ? colors.removed : colors.changed;
  const mend = broken === undefined ? fix : broken.fix;
  return [
    ...wrap(`${what}${why === undefined ? '' : `: ${why}`}.`, width, 0).map(color),
    ...(mend === undefined ? [] : wrap(`Fix: ${mend}`, width, 0).map(colors.strong)),
  ];
}

function endingOf(verdict: WayReport['verdict']): string {
  switch (verdict) {
    case 'delivered':
      return 'arrives, but not where it should';
    case 'dropped':
      return 'is dropped';
    case 'rejected':
      return 'is rejected';
    case 'unreachable':
      return 'has no way';
    case 'looped':
      return 'goes in a ring';
    case 'exits':
      return 'leaves the network that is known';
    case 'undecided':
      return 'cannot be told beyond here';
  }
}

function printSummary(traces: readonly TraceReport[], colors: Paint): readonly string[] {
  const working = traces.filter(({ works }) => works === true).length;
  const text = `${working} of ${traces.length} ways work.`;
  return [working === traces.length ? colors.added(text) : colors.removed(text)];
}

/** Breaks a text at spaces so that it fits beside `indent` columns; a word that is longer stands alone. */
function wrap(text: string, width: number | undefined, indent: number): readonly string[] {
  const room = Math.max(20, (width ?? Number.POSITIVE_INFINITY) - indent);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
