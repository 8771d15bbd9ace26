/** Traces for people: a walk from host to host, each stage a line, what decided under it; then the answer, and how it ended. */
import { type Flow, printFlow, type TraceReport, type WayReport } from '../simulate/index.ts';
import { type Paint, paint } from './color.ts';
import { splitDeciders, tellReply, tellSummary, tellVerdict, tellWay } from './trace-verdict.ts';

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
    const title = traces.length === 1 ? [] : ['', colors.strong(`${tellWay(index, traces.length)}:`)];
    const verdict = traces.length === 1 ? [] : ['', ...printVerdict(trace, colors, width)];
    return [...title, ...printTrace(trace, colors, width), ...verdict];
  });
  const [only] = traces;
  const end =
    traces.length === 1 && only !== undefined ? printVerdict(only, colors, width) : printSummary(traces, colors);
  return `${[question, ...ways.flat(), '', ...end].join('\n')}\n`;
}

/** The walk and the answer's, without the question and how it ended. */
export const printTrace = (trace: TraceReport, colors: Paint, width: number | undefined): readonly string[] => [
  '',
  ...printWay(trace, colors, width),
  ...(trace.reply === undefined
    ? []
    : ['', colors.strong(tellReply(trace)), '', ...printWay(trace.reply, colors, width)]),
];

/** Room for the longest stage, and the bar before it. */
const STAGE = 12;
const MARGIN = 3;

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
    for (const each of splitDeciders(decidedBy))
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
  const { sentence, fix } = tellVerdict(trace);
  const color = trace.works === true ? colors.added : trace.works === false ? colors.removed : colors.changed;
  return [
    ...wrap(sentence, width, 0).map(color),
    ...(fix === undefined ? [] : wrap(`Fix: ${fix}`, width, 0).map(colors.strong)),
  ];
}

const printSummary = (traces: readonly TraceReport[], colors: Paint): readonly string[] => [
  (traces.every(({ works }) => works === true) ? colors.added : colors.removed)(tellSummary(traces)),
];

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
