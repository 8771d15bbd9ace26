/** A page: each trace's picture, the walk of hops beside it, how it ended. No script, nothing from elsewhere. */
import type { Hop, WayReport } from '../../simulate/index.ts';
import { splitDeciders, tellReply, tellSummary, tellVerdict, tellWay } from '../trace-verdict.ts';
import { escapeText, place } from './markup.ts';
import { MARK_WORDS } from './measure.ts';
import { type Drawn, describe, namePlug, omittedText, signOf } from './picture.ts';
import { type Direction, type Mark, markOf, type Scene, type Step } from './scene.ts';
import { DRAWING_STYLE } from './style.ts';
import { drawIcon, drawLayout } from './svg.ts';

/** An HTML document. */
export function drawPage(question: string, drawn: readonly Drawn[]): string {
  const title = escapeText(`The way of ${question}`);
  const sections = drawn.map((each, index) => drawSection(each, index, drawn.length));
  const summary = drawn.length > 1 ? `<p>${escapeText(tellSummary(drawn.map(({ report }) => report)))}</p>\n` : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${DRAWING_STYLE}${PAGE_STYLE}</style>
</head>
<body>
<h1>${escapeText(question)}</h1>
${summary}${sections.join('\n')}
</body>
</html>
`;
}

function drawSection(drawn: Drawn, index: number, count: number): string {
  const { scene, report } = drawn;
  const { works, reply } = report;
  const { sentence, fix } = tellVerdict(report);
  const sign = signOf(report);
  const omitted = omittedText(scene);
  const walk = (title: string, way: WayReport, direction: Direction): readonly string[] => {
    const mark = markOf(works, report, reply, direction);
    return [heading(count > 1 ? 3 : 2, title), ...drawWalk(scene, way, { direction, mark, level: count > 1 ? 4 : 3 })];
  };
  return [
    '<section>',
    ...(count > 1 ? [heading(2, tellWay(index, count))] : []),
    `<div class="verdict ${sign}">${drawSign(sign)}<div><p>${escapeText(sentence)}</p>${fix === undefined ? '' : `<p class="fix"><b>Fix:</b> ${escapeText(fix)}</p>`}</div></div>`,
    '<div class="way">',
    '<figure>',
    drawInline(drawn, index),
    `<figcaption><span class="badge request">1</span> the packet, a solid line <span class="badge answer">1</span> its answer, a dashed line${omitted === '' ? '' : `<br>${escapeText(omitted)}`}</figcaption>`,
    '</figure>',
    '<div class="walk">',
    ...walk('The packet', report, 'request'),
    ...(reply === undefined ? [] : walk(tellReply(report), reply, 'answer')),
    '</div>',
    '</div>',
    '</section>',
  ].join('\n');
}

const heading = (level: number, text: string): string => `<h${level}>${escapeText(text)}</h${level}>`;

const drawSign = (mark: Mark): string =>
  `<svg class="icon" viewBox="-8 -8 16 16" width="20" height="20" role="img" aria-label="${MARK_WORDS[mark]}">${drawIcon(0, 0, mark)}</svg>`;

function drawInline({ scene, layout, report }: Drawn, index: number): string {
  const [width, height] = [place(layout.width), place(layout.height)];
  const least = place(layout.width * 0.7);
  return `<svg viewBox="0 0 ${width} ${height}" style="width:min(100%,${width}px);min-width:min(${least}px,${width}px)" role="img" aria-labelledby="title-${index} text-${index}">
<title id="title-${index}">The network, and the way through it</title>
<desc id="text-${index}">${escapeText(describe([{ scene, layout, report }]))}</desc>
${drawLayout(layout)}
</svg>`;
}

interface WalkOptions {
  readonly direction: Direction;
  /** How its end is marked. */
  readonly mark: Mark;
  /** Of the headings. */
  readonly level: number;
}

/** The hops, host by host, and between them what crosses. The mark stands at whichever is last. */
function drawWalk(
  scene: Scene,
  { hops, reason }: WayReport,
  { direction, mark, level }: WalkOptions,
): readonly string[] {
  const steps = scene.steps.filter((step) => step.direction === direction);
  if (hops.length === 0 && steps.length === 0)
    return [`<p class="end ${mark}">${drawMark(mark)} ${escapeText(reason ?? '')}</p>`];
  const last = steps.at(-1);
  const endsBetween = last !== undefined && last.after === hops.length;
  const parts: string[] = [];
  for (const [index, hop] of hops.entries()) {
    const crossed = steps.filter(({ after }) => after === index);
    const isFirst = index === 0 || crossed.length > 0 || hops[index - 1]?.host !== hop.host;
    if (isFirst && index > 0) parts.push('</ol>');
    parts.push(...crossed.map((step) => drawStep(scene, step)));
    if (isFirst) parts.push(heading(level, hop.host), '<ol>');
    parts.push(drawHop(hop, index === hops.length - 1 && !endsBetween ? mark : undefined));
  }
  if (hops.length > 0) parts.push('</ol>');
  const after = steps.filter((step) => step.after === hops.length);
  return [...parts, ...after.map((step) => drawStep(scene, step, step === last ? mark : undefined))];
}

const drawMark = (mark: Mark): string => `<strong>${drawSign(mark)} ${MARK_WORDS[mark]}</strong>`;

function drawStep(scene: Scene, { direction, number, packet, from, to }: Step, mark?: Mark): string {
  const end = mark === undefined ? '' : `<br>${drawMark(mark)}`;
  const where = `${namePlug(scene, from)} → ${to === undefined ? 'does not come out' : namePlug(scene, to)}`;
  return `<p class="step${mark === undefined ? '' : ` end ${mark}`}"><span class="badge ${direction}">${number}</span> <span>${escapeText(where)}<br><code>${escapeText(packet)}</code>${end}</span></p>`;
}

function drawHop({ stage, detail, decidedBy }: Hop, mark: Mark | undefined): string {
  const word = mark === undefined ? '' : `${drawMark(mark)} `;
  const deciders = splitDeciders(decidedBy).map((each) => `<code>${escapeText(each)}</code>`);
  return `<li${mark === undefined ? '' : ` class="end ${mark}"`}><span class="stage">${escapeText(stage)}</span><div>${word}${escapeText(detail)}${deciders.join('')}</div></li>`;
}

const PAGE_STYLE = `
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1320px; padding: 16px; background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere }
h1 { font-size: 21px } h2 { font-size: 18px } section > h2 { margin-top: 36px } h3 { margin: 18px 0 6px; font-size: 16px } h4 { margin: 14px 0 4px; font-size: 15px }
code { font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.verdict { display: flex; gap: 12px; padding: 10px 14px; border: 1px solid var(--open); border-radius: 8px; background: var(--open-ground) }
.verdict.dies { border-color: var(--bad); background: var(--bad-ground) } .verdict.arrives { border-color: var(--good); background: var(--good-ground) }
.verdict p { margin: 0 } .verdict .fix { margin-top: 6px }
.icon { flex: none; vertical-align: -4px }
figure { margin: 16px 0; overflow-x: auto } figure > svg { display: block; margin: 0 auto; height: auto }
figcaption { margin-top: 8px; color: var(--fine); text-align: center; font-size: 13.5px }
.badge { display: inline-block; min-width: 21px; padding: 0 5px; line-height: 21px; border-radius: 11px; background: var(--go); color: var(--on); font-weight: 700; font-size: 12.5px; text-align: center }
.badge.answer { border-radius: 3px; background: var(--back) }
.walk ol { margin: 0; padding: 0; list-style: none; border-left: 2px solid var(--rim) }
.walk li { display: grid; grid-template-columns: 92px 1fr; gap: 8px; padding: 3px 8px 3px 10px }
.walk li code { display: block; color: var(--fine) }
.stage { color: var(--fine) }
.step { display: flex; gap: 10px; align-items: flex-start; margin: 10px 0; padding: 6px 10px; background: var(--box); border-radius: 8px }
.step .badge { flex: none }
.end { border-radius: 0 6px 6px 0; background: var(--open-ground) } .end.dies { background: var(--bad-ground) } .end.arrives { background: var(--good-ground) }
.walk .end code { color: var(--text) }
@media (min-width: 960px) {
  .way { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 32px; align-items: start }
  figure { position: sticky; top: 8px; max-height: calc(100vh - 16px); overflow: auto }
}
@media (max-width: 480px) { .walk li { grid-template-columns: 1fr; gap: 0 } }
`;
