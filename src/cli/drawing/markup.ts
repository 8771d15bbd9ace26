/** Text in drawings: escaped, measured and broken into lines. It comes from hosts, and may be anything. */

/**
 * For element content and attribute values of XML and HTML. What XML 1.0 cannot hold at all (production 2, Char: most control characters,
 * halves of surrogate pairs) and what turns the direction of the text after it (Unicode's bidi controls) is shown as U+FFFD.
 */
export const escapeText = (text: string): string =>
  text.replace(FORBIDDEN, '\ufffd').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const FORBIDDEN = /(?![\t\n])[\p{Cc}\p{Cs}\p{Bidi_Control}\ufffe\uffff]/gu;

/** Beyond Latin, Greek, Cyrillic and arrows a character may take the room of two (East Asian Width). */
const widthOf = (character: string): number => ((character.codePointAt(0) ?? 0) >= 0x2e80 ? 2 : 1);

/** In columns of a typewriter font. */
export const columnsOf = (text: string): number => [...text].reduce((sum, character) => sum + widthOf(character), 0);

/** Breaks a text at spaces into lines of at most `columns`, and words that are longer wherever they must be; the last of `most` lines ends with `…` where more follows. */
export function breakText(text: string, columns: number, most = Number.POSITIVE_INFINITY): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).flatMap((each) => cutWord(each, columns))) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (columnsOf(longer) <= columns) line = longer;
    else {
      lines.push(line);
      line = word;
    }
  }
  lines.push(line);
  if (lines.length <= most) return lines;
  const last = cutWord(`${lines[most - 1] ?? ''}`, columns - 1)[0] ?? '';
  return [...lines.slice(0, most - 1), `${last}…`];
}

function cutWord(word: string, columns: number): readonly string[] {
  const parts: string[] = [];
  let part = '';
  for (const character of word) {
    if (part !== '' && columnsOf(part) + widthOf(character) > columns) {
      parts.push(part);
      part = '';
    }
    part += character;
  }
  return [...parts, part];
}

/** Coordinates with one digit after the point: the same everywhere, and short. */
export const place = (value: number): string => String(Math.round(value * 10) / 10);
