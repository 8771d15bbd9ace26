/** A scene with its places, as SVG. */
import type { Layout, PlacedChip, Track } from './layout.ts';
import { columnsOf, escapeText, place } from './markup.ts';
import {
  type Box,
  badgeWidth,
  COLUMN,
  GUTTER,
  LINE,
  NAME_LINE,
  type PlacedCard,
  type PlacedMedium,
  type PlacedPlace,
  type PlacedRow,
  printNumbers,
} from './measure.ts';
import type { Direction, Mark } from './scene.ts';

/** The drawing alone, for a group of an SVG. */
export function drawLayout({ places, chips, media, tracks }: Layout): string {
  return [
    ...media.map(drawFrame),
    ...tracks.filter(({ isTunnel }) => isTunnel).map((track) => `<path class="tube" d="${pathOf(track)}"/>`),
    ...places.map(drawPlace),
    ...tracks.map(drawTrack),
    ...chips.map(drawChip),
    ...media.map(drawLabel),
    ...media.flatMap(({ medium, cards, box }) =>
      medium.cards.length > 0
        ? cards.map(drawCard)
        : [`<rect class="dot" ${at({ x: box.x + 2, y: box.y + 2, width: 10, height: 10 })} rx="5"/>`],
    ),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

const at = ({ x, y, width, height }: Box): string =>
  `x="${place(x)}" y="${place(y)}" width="${place(width)}" height="${place(height)}"`;

export const drawText = (x: number, y: number, text: string, name: string, anchor?: 'middle'): string =>
  `<text class="${name}" x="${place(x)}" y="${place(y)}"${anchor === undefined ? '' : ` text-anchor="${anchor}"`}>${escapeText(text)}</text>`;

const middleOf = ({ x, width }: Box): number => x + width / 2;

const drawFrame = ({ medium, box }: PlacedMedium): string =>
  medium.kind === 'tunnel' && medium.cards.length > 0 ? `<rect class="tunnel" ${at(box)} rx="12"/>` : '';

/** Over the lines, which pass behind it. */
const drawLabel = ({ medium: { label, kind }, box }: PlacedMedium): string =>
  label === undefined ? '' : drawText(middleOf(box), box.y + 17, label, `label on-${kind}`, 'middle');

function drawPlace({ place: { spot, isIdle }, box, names, notes, rows }: PlacedPlace): string {
  const kind = `${spot.kind === 'host' ? 'host' : 'outside'}${isIdle === true ? ' idle' : ''}`;
  const below = box.y + 50 + (names.length - 1) * NAME_LINE;
  return [
    `<g class="${kind}">`,
    `<rect class="box" ${at(box)} rx="${spot.kind === 'host' ? 8 : 22}"/>`,
    ...names.map((name, index) => drawText(middleOf(box), box.y + 30 + index * NAME_LINE, name, 'name', 'middle')),
    ...notes.map((note, index) => drawText(middleOf(box), below + index * LINE, note, 'fine', 'middle')),
    ...rows.map((row, index) => drawRow(row, rows[index - 1])),
    '</g>',
  ].join('');
}

/** The number stands at the first row of a visit. */
function drawRow({ row: { direction, after, mark }, box, lines }: PlacedRow, above: PlacedRow | undefined): string {
  const x = box.x + GUTTER + 2;
  const isSame = above !== undefined && above.row.after === after && above.row.direction === direction;
  const [badgeX, badgeY] = [box.x + 14, box.y + 10];
  const badge = isSame
    ? ''
    : after === undefined
      ? drawStart(badgeX, badgeY, direction)
      : drawBadge(badgeX, badgeY, String(after), 20, direction);
  return [
    mark === undefined
      ? ''
      : `<rect class="mark ${mark}" ${at({ ...box, y: box.y - 2, height: box.height + 2 })} rx="5"/>`,
    badge,
    mark === undefined ? '' : drawIcon(x + 7, box.y + 10, mark),
    ...lines.map((line, index) => {
      const isWord = mark !== undefined && index === 0;
      return drawText(isWord ? x + 19 : x, box.y + 14 + index * LINE, line, isWord ? `word ${mark}` : 'code');
    }),
  ].join('');
}

/** A circle for the packet, a square for its answer. */
function drawBadge(x: number, y: number, text: string, width: number, direction: Direction): string {
  const box = { x: x - width / 2, y: y - 10, width, height: 20 };
  return `<rect class="badge ${direction}" ${at(box)} rx="${direction === 'request' ? 10 : 3}"/>${drawText(x, y + 4.5, text, 'number', 'middle')}`;
}

/** Where the host itself sends it. */
const drawStart = (x: number, y: number, direction: Direction): string =>
  direction === 'request'
    ? `<circle class="badge ${direction}" cx="${place(x)}" cy="${place(y)}" r="5"/>`
    : `<rect class="badge ${direction}" ${at({ x: x - 5, y: y - 5, width: 10, height: 10 })}/>`;

/** A sign for each mark: a tick, a cross, a question mark, an arrow out. */
export function drawIcon(x: number, y: number, mark: Mark): string {
  const shape: Readonly<Record<Mark, string>> = {
    arrives: 'M-3.5 0.2 L-1 3 L4 -3',
    dies: 'M-3.2 -3.2 L3.2 3.2 M3.2 -3.2 L-3.2 3.2',
    unknown: 'M-2.6 -2 C-2.6 -5.4 2.9 -5.2 2.7 -1.8 C2.6 0 0 0.2 0 2 M0 4.1 L0 4.9',
    leaves: 'M-4 0 L4 0 M0.8 -3.2 L4 0 L0.8 3.2',
  };
  return `<g transform="translate(${place(x)} ${place(y)})"><circle class="sign ${mark}" r="8"/><path class="stroke" d="${shape[mark]}"/></g>`;
}

const drawChip = ({ link, box, isIdle }: PlacedChip): string =>
  `<g${isIdle ? ' class="idle"' : ''}><rect class="chip" ${at(box)} rx="5"/>${drawText(middleOf(box), box.y + 14.5, link, 'code', 'middle')}</g>`;

function drawCard({ card, box, lines }: PlacedCard): string {
  const { direction, numbers, mark } = card;
  const width = badgeWidth(card);
  const text = box.x + width + 16;
  return [
    `<g><rect class="card ${direction}${mark === undefined ? '' : ` ${mark}`}" ${at(box)} rx="8"/>`,
    drawBadge(box.x + 8 + width / 2, box.y + 5 + (LINE * 2) / 2, printNumbers(numbers), width, direction),
    ...lines.map((line, index) => {
      const y = box.y + 17 + index * LINE;
      const isWord = mark !== undefined && index === lines.length - 1;
      return isWord
        ? `${drawIcon(box.x + 8 + width / 2, y - 4, mark)}${drawText(text, y, line, `word ${mark}`)}`
        : drawText(text, y, line, 'code');
    }),
    '</g>',
  ].join('');
}

const HEAD = 9;

/** Smooth, and upright at every point. The head takes the room of the end. */
function pathOf({ points, hasHead }: Track): string {
  const parts: string[] = [];
  for (const [index, { x, y: whole }] of points.entries()) {
    const before = points[index - 1];
    if (before === undefined) {
      parts.push(`M${place(x)} ${place(whole)}`);
      continue;
    }
    const y = hasHead && index === points.length - 1 ? whole - Math.sign(whole - before.y) * HEAD : whole;
    const half = (before.y + y) / 2;
    parts.push(`C${place(before.x)} ${place(half)} ${place(x)} ${place(half)} ${place(x)} ${place(y)}`);
  }
  return parts.join(' ');
}

function drawTrack(track: Track): string {
  const line = `<path class="track ${track.direction}" d="${pathOf(track)}"/>`;
  const [end, before] = [track.points.at(-1), track.points.at(-2)];
  if (!track.hasHead || end === undefined || before === undefined) return line;
  const back = end.y - Math.sign(end.y - before.y) * (HEAD + 1);
  const head = `M${place(end.x)} ${place(end.y)} L${place(end.x - 5.5)} ${place(back)} L${place(end.x + 5.5)} ${place(back)} Z`;
  return `${line}<path class="head ${track.direction}" d="${head}"/>`;
}

/** What the shapes and lines mean, in one row. */
export function drawLegend(x: number, y: number): string {
  const line = (from: number, direction: Direction, text: string): string =>
    `<path class="track ${direction}" d="M${place(from)} ${place(y)} H${place(from + 26)}"/>${drawBadge(from + 38, y, '1', 20, direction)}${drawText(from + 54, y + 4.5, text, 'fine')}`;
  return line(x, 'request', 'the packet') + line(x + LEGEND_STEP, 'answer', 'its answer');
}

const LEGEND_STEP = 54 + columnsOf('the packet') * COLUMN + 18;
export const LEGEND_WIDTH = LEGEND_STEP * 2;
