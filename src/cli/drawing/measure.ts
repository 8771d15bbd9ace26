/** How much room each thing of a drawing takes, and where its parts are in it. */
import { breakText, columnsOf } from './markup.ts';
import type { Card, Mark, Medium, Place, Row } from './scene.ts';

/** In CSS pixels, from the upper left. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type Size = Pick<Box, 'width' | 'height'>;

export interface PlacedPlace {
  readonly place: Place;
  readonly box: Box;
  readonly names: readonly string[];
  readonly notes: readonly string[];
  readonly rows: readonly PlacedRow[];
}

export interface PlacedRow {
  readonly row: Row;
  readonly box: Box;
  readonly lines: readonly string[];
}

export interface PlacedMedium {
  readonly medium: Medium;
  readonly box: Box;
  readonly cards: readonly PlacedCard[];
}

export interface PlacedCard {
  readonly card: Card;
  readonly box: Box;
  readonly lines: readonly string[];
}

/** Of the typewriter font at 12.5 px: 0.602 em in DejaVu Sans Mono and Menlo, the widest in use. */
export const COLUMN = 7.6;
export const LINE = 17;
/** Of the bold font of names at 16 px: a generous mean. */
const NAME_COLUMN = 10.2;
export const CHIP = 20;
export const GAP = 14;
export const GUTTER = 28;
const ROW_COLUMNS = 42;

export const badgeWidth = ({ numbers }: Pick<Card, 'numbers'>): number =>
  Math.max(20, columnsOf(printNumbers(numbers)) * COLUMN + 10);

/** `2`; in a ring `2, 4, 6…`. */
export const printNumbers = (numbers: readonly number[]): string =>
  numbers.length > 3 ? `${numbers.slice(0, 3).join(', ')}…` : numbers.join(', ');

export const MARK_WORDS: Readonly<Record<Mark, string>> = {
  ...{ arrives: 'arrives', dies: 'dies here', unknown: 'not known from here', leaves: 'leaves the known network' },
};

const rowLines = ({ text, mark }: Row): readonly string[] => [
  ...(mark === undefined ? [] : [MARK_WORDS[mark]]),
  ...breakText(text, ROW_COLUMNS, mark === undefined ? 3 : 6),
];

const notesOf = ({ notes }: Place): readonly string[] => notes.flatMap((note) => breakText(note, ROW_COLUMNS, 3));

/** A host may be named by 63 characters. */
const namesOf = ({ name }: Place): readonly string[] => breakText(name, 32, 3);

export const NAME_LINE = 20;
const HEAD = 38;

/** Name and notes. */
const headHeight = (place: Place): number =>
  HEAD + (namesOf(place).length - 1) * NAME_LINE + notesOf(place).length * LINE;

const ROW_GAP = 10;

/** `least`: the width that its links need. */
export function sizeOfPlace(place: Place, least: number): Size {
  const rows = place.rows.map(rowLines);
  const columns = Math.max(0, ...rows.flat().map(columnsOf));
  const noteColumns = Math.max(0, ...notesOf(place).map(columnsOf));
  return {
    width: Math.max(
      least,
      Math.max(...namesOf(place).map(columnsOf)) * NAME_COLUMN + 2 * GAP,
      columns * COLUMN + GUTTER + 2 * GAP,
      noteColumns * COLUMN + 2 * GAP,
      90,
    ),
    height: headHeight(place) + rows.reduce((sum, lines) => sum + lines.length * LINE + ROW_GAP, 0) + CHIP,
  };
}

export function placePlace(place: Place, box: Box): PlacedPlace {
  let y = box.y + headHeight(place) + 6;
  const rows = place.rows.map((row): PlacedRow => {
    const lines = rowLines(row);
    const own = { x: box.x + 8, y, width: box.width - 16, height: lines.length * LINE + 4 };
    y += lines.length * LINE + ROW_GAP;
    return { row, lines, box: own };
  });
  return { place, box, names: namesOf(place), notes: notesOf(place), rows };
}

/** The source, and below it the destination. */
const cardLines = ({ packet, mark }: Card): readonly string[] => [
  ...packet.replace(' → ', '\n→ ').split('\n'),
  ...(mark === undefined ? [] : [MARK_WORDS[mark]]),
];

function sizeOfCard(card: Card): Size {
  const lines = cardLines(card);
  const width = Math.max(...lines.map(columnsOf)) * COLUMN + badgeWidth(card) + 26;
  return { width, height: lines.length * LINE + 10 };
}

const LABEL = 22;
const PADDING = 10;

const frameOf = ({ kind, label, cards }: Medium): { readonly padding: number; readonly label: number } => ({
  padding: kind === 'tunnel' && cards.length > 0 ? PADDING : 0,
  label: label === undefined ? 0 : LABEL,
});

export function sizeOfMedium(medium: Medium): Size {
  if (medium.cards.length === 0) return { width: 14, height: 14 };
  const { padding, label } = frameOf(medium);
  const sizes = medium.cards.map(sizeOfCard);
  return {
    width: Math.max(
      sizes.reduce((sum, { width }) => sum + width, (sizes.length - 1) * GAP) + 2 * padding,
      columnsOf(medium.label ?? '') * COLUMN + 2 * GAP,
    ),
    height: Math.max(...sizes.map(({ height }) => height)) + label + 2 * padding,
  };
}

export function placeMedium(medium: Medium, box: Box): PlacedMedium {
  const { padding, label } = frameOf(medium);
  const sizes = medium.cards.map(sizeOfCard);
  const all = sizes.reduce((sum, { width }) => sum + width, (sizes.length - 1) * GAP);
  let x = box.x + (box.width - all) / 2;
  const cards = medium.cards.map((card): PlacedCard => {
    const { width, height } = sizeOfCard(card);
    const own = { x, y: box.y + padding + label, width, height };
    x += width + GAP;
    return { card, box: own, lines: cardLines(card) };
  });
  return { medium, box, cards };
}
