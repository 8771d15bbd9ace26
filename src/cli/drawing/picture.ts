/** The whole picture of one or several traces: title, drawings, how each ended. */

import type { TraceReport } from '../../simulate/index.ts';
import { tellSummary, tellVerdict, tellWay } from '../trace-verdict.ts';
import type { Layout } from './layout.ts';
import { breakText, escapeText, place } from './markup.ts';
import { COLUMN, LINE } from './measure.ts';
import type { Mark } from './scene.ts';
import { keyOf, type Plug, type Scene, type Step } from './scene.ts';
import { DRAWING_STYLE } from './style.ts';
import { drawIcon, drawLayout, drawLegend, drawText, LEGEND_WIDTH } from './svg.ts';

/** All there is to draw of one trace. */
export interface Drawn {
  readonly scene: Scene;
  readonly layout: Layout;
  readonly report: TraceReport;
}

const MARGIN = 16;
/** Room for a sentence. */
const NARROWEST = 400;

/** An SVG document. */
export function drawPicture(question: string, drawn: readonly Drawn[]): string {
  const width = Math.max(NARROWEST, LEGEND_WIDTH, ...drawn.map(({ layout }) => layout.width)) + 2 * MARGIN;
  const columns = Math.floor((width - 2 * MARGIN) / COLUMN);
  const parts: string[] = [];
  let y = 14;
  for (const line of breakText(question, Math.floor((width - 2 * MARGIN) / 9.6))) {
    y += 22;
    parts.push(drawText(MARGIN, y, line, 'title'));
  }
  y += 22;
  parts.push(drawLegend(MARGIN, y));
  y += 12;
  for (const [index, each] of drawn.entries()) {
    if (drawn.length > 1) {
      y += 30;
      parts.push(drawText(MARGIN, y, tellWay(index, drawn.length), 'title'));
    }
    y += 10;
    parts.push(
      `<g transform="translate(${place((width - each.layout.width) / 2)} ${place(y)})">\n${drawLayout(each.layout)}\n</g>`,
    );
    y += each.layout.height;
    const ending = drawEnding(each, MARGIN, y, width - 2 * MARGIN, columns);
    parts.push(ending.text);
    y += ending.height;
  }
  const height = y + MARGIN;
  const title = `The way of ${question}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${place(width)} ${place(height)}" width="${place(width)}" height="${place(height)}" role="img" aria-labelledby="title text">`,
    `<title id="title">${escapeText(title)}</title>`,
    `<desc id="text">${escapeText(describe(drawn))}</desc>`,
    `<style>${DRAWING_STYLE}</style>`,
    `<rect class="ground" x="0.5" y="0.5" width="${place(width - 1)}" height="${place(height - 1)}" rx="8"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

/** The sign of a verdict. */
export function signOf({ works, verdict }: TraceReport): Mark {
  if (works === true) return 'arrives';
  return works === false ? 'dies' : verdict === 'exits' ? 'leaves' : 'unknown';
}

function drawEnding(
  { report, scene }: Drawn,
  x: number,
  top: number,
  width: number,
  columns: number,
): { readonly text: string; readonly height: number } {
  const { sentence, fix } = tellVerdict(report);
  const sign = signOf(report);
  const lines = breakText(sentence, columns - 6);
  const mend = fix === undefined ? [] : breakText(`Fix: ${fix}`, columns - 6);
  const omitted = omittedText(scene);
  const rest = omitted === '' ? [] : breakText(omitted, columns);
  const height = (lines.length + mend.length) * LINE + 20 + (mend.length > 0 ? 6 : 0);
  const box = top + 12;
  const below = box + height + 4;
  const afterLines = box + 5 + lines.length * LINE + (mend.length > 0 ? 6 : 0);
  const parts = [
    `<rect class="mark ${sign}" x="${place(x)}" y="${place(box)}" width="${place(width)}" height="${place(height)}" rx="6"/>`,
    drawIcon(x + 17, box + 18, sign),
    ...drawLines(lines, x + 34, box + 5, 'code'),
    ...drawLines(mend, x + 34, afterLines, 'label'),
    ...drawLines(rest, x, below, 'fine'),
  ];
  return { text: parts.join('\n'), height: below + rest.length * LINE + 4 - top };
}

const drawLines = (lines: readonly string[], x: number, top: number, name: string): readonly string[] =>
  lines.map((line, index) => drawText(x, top + (index + 1) * LINE, line, name));

/** Hosts that are not in the picture. */
export const omittedText = ({ omitted }: Scene): string =>
  omitted.length === 0
    ? ''
    : `Off its way, not drawn: ${omitted.slice(0, 12).join(', ')}${omitted.length > 12 ? `, and ${omitted.length - 12} more` : ''}`;

/** The picture in words, for those who do not see it. */
export function describe(drawn: readonly Drawn[]): string {
  const ways = drawn.map(({ scene, report }, index) => {
    const steps = scene.steps.map((step) => describeStep(scene, step)).join(' ');
    const { sentence, fix } = tellVerdict(report);
    const title = drawn.length > 1 ? `${tellWay(index, drawn.length)}: ` : '';
    return `${title}${steps} ${sentence}${fix === undefined ? '' : ` Fix: ${fix}.`}`;
  });
  return [...ways, ...(drawn.length > 1 ? [tellSummary(drawn.map(({ report }) => report))] : [])].join(' ');
}

/** `2: the packet 192.0.2.7:40000 → 10.0.0.2:80/tcp goes from edge (sp-wg51820) to node (sp-edge-node).` */
function describeStep(scene: Scene, { direction, number, packet, from, to }: Step): string {
  const what = direction === 'request' ? 'the packet' : 'the answer';
  return `${number}: ${what} ${packet} goes from ${namePlug(scene, from)}${to === undefined ? ', and does not come out' : ` to ${namePlug(scene, to)}`}.`;
}

/** `edge (eth0)`. */
export function namePlug({ places }: Scene, { spot, link }: Plug): string {
  const name = places.find((each) => keyOf(each.spot) === keyOf(spot))?.name ?? 'elsewhere';
  return link === undefined ? name : `${name} (${link})`;
}
