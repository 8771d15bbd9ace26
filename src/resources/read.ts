import { type Plain, readFastYaml } from './fast-yaml.ts';
import { JsonError, readJson } from './json.ts';
import { isList, isMap, type Path, printPath } from './path.ts';
import type { Position, Problem } from './problem.ts';
import { readSlowYaml, type Spot } from './slow-yaml.ts';

/** A text with the name to show for it: a file's path, or `<stdin>`. */
export interface SourceText {
  readonly name: string;
  readonly text: string;
}

/** Where a document stands, or an item of a List. It outlives the document's data. */
export interface EntryPlace {
  readonly file: string;
  /** Steps before the entry's own fields: the place in its List. */
  readonly base: Path;
  /** Found by reading the text again, so only where there is something to say. */
  readonly locate: (path: Path, part?: 'key' | 'value') => Position;
}

/** One document, or one item of a List. */
export interface Entry {
  readonly data: Plain;
  readonly place: EntryPlace;
}

/**
 * Reads all documents of a text: YAML or JSON, several in a row, Lists opened. Empty ones are left out; what is wrong is added
 * to `problems`. One by one, so that ten thousand are never held at once.
 */
export function* readEntries(source: SourceText, problems: Problem[]): Generator<Entry> {
  const text = source.text.startsWith('\ufeff') ? source.text.slice(1) : source.text;
  const isJson = source.name.endsWith('.json');
  if (isJson || /^\s*\{/.test(text)) {
    const read = readJsonEntries(source.name, text);
    if (Array.isArray(read)) return yield* read;
    // What begins with a brace may still be YAML's flow style.
    if (isJson) {
      problems.push(read);
      return;
    }
  }
  yield* readYamlEntries(source.name, text, problems);
}

function* readYamlEntries(file: string, text: string, problems: Problem[]): Generator<Entry> {
  const read = lastOnly((chunk: Chunk) => readSlowYaml(chunk.text));
  const lineOf = lineCounter(text);
  const toPosition = (chunk: Chunk, { line, column }: Spot): Position => ({
    file,
    line: line + lineOf(chunk.start) - 1,
    column,
  });
  const open = (chunk: Chunk, index: number, data: Plain): readonly Entry[] => {
    const locate: EntryPlace['locate'] = (path, part = 'value') =>
      toPosition(chunk, read(chunk)[index]?.locate(path, part) ?? { line: 1, column: 1 });
    return openList({ data, place: { file, base: [], locate } });
  };
  for (const chunk of split(text)) {
    const fast = readFastYaml(chunk.text);
    if (fast !== undefined) {
      if (fast.data !== null) yield* open(chunk, 0, fast.data);
      continue;
    }
    for (const [index, { data, problems: found }] of read(chunk).entries()) {
      for (const { code, what, path, ...spot } of found) {
        problems.push({ code, what, path: printPath(path), at: toPosition(chunk, spot) });
      }
      // After a wrong indentation nearly every field would be reported again, as unknown.
      const readable = found.every(({ code }) => code !== 'syntax');
      if (readable && data !== undefined && data !== null) yield* open(chunk, index, data);
    }
  }
}

interface Chunk {
  readonly text: string;
  /** Its offset in the whole text. */
  readonly start: number;
}

/** Cuts before each line that begins with `---`, which YAML allows nowhere but between documents (1.2.2, 9.1.2). */
function* split(text: string): Generator<Chunk> {
  // Directives and end marks reach beyond the next `---`.
  if (/^(?:%|\.\.\.)/m.test(text)) {
    yield { text, start: 0 };
    return;
  }
  let start = 0;
  for (let mark = text.indexOf('\n---'); mark !== -1; mark = text.indexOf('\n---', mark + 1)) {
    if (mark + 4 < text.length && !' \n\t\r'.includes(text.charAt(mark + 4))) continue;
    yield { text: text.slice(start, mark + 1), start };
    start = mark + 1;
  }
  yield { text: text.slice(start), start };
}

/** The entries of a JSON text, or what is wrong with it. */
function readJsonEntries(file: string, text: string): Entry[] | Problem {
  const lineOf = lineCounter(text);
  const toPosition = (offset: number): Position => {
    const line = lineOf(offset);
    return { file, line, column: offset - text.lastIndexOf('\n', offset - 1) };
  };
  /** The offsets of all members, `key value` by path: as many strings, so only once there is a problem. */
  const offsets = lastOnly((whole: string) => {
    const found = new Map<string, readonly [key: number, value: number]>();
    readJson(whole, (path, key, value) => found.set(printPath(path), [key, value]));
    return found;
  });
  try {
    return readJson(text).flatMap(({ data, start }, index) => {
      if (data === null) return [];
      const locate: EntryPlace['locate'] = (path, part = 'value') => {
        for (let steps = path.length; steps > 0; steps--) {
          const found = offsets(text).get(printPath([index, ...path.slice(0, steps)]));
          if (found !== undefined) return toPosition(steps === path.length && part === 'value' ? found[1] : found[0]);
        }
        return toPosition(start);
      };
      return openList({ data, place: { file, base: [], locate } });
    });
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const code = error.duplicate ? 'duplicateKey' : 'syntax';
    return { code, what: error.message, path: '', at: toPosition(error.offset) };
  }
}

/** `kind: List` of `v1`, as `kubectl get -o yaml` prints, is its items. */
function openList(entry: Entry): readonly Entry[] {
  const { data, place } = entry;
  if (!isMap(data) || data.apiVersion !== 'v1' || data.kind !== 'List' || !isList(data.items)) return [entry];
  return data.items.map((item, index) => {
    const base = ['items', index];
    const locate: EntryPlace['locate'] = (path, part) => place.locate([...base, ...path], part);
    return { data: item, place: { file: place.file, base, locate } };
  });
}

/** Keeps the last answer alone: many problems of one document read it once, ten thousand documents are never held at once. */
function lastOnly<Question, Answer>(answer: (question: Question) => Answer): (question: Question) => Answer {
  let last: { readonly question: Question; readonly answer: Answer } | undefined;
  return (question) => {
    if (last?.question !== question) last = { question, answer: answer(question) };
    return last.answer;
  };
}

/** Gives the line of an offset, from 1. The text is looked through at the first question. */
function lineCounter(text: string): (offset: number) => number {
  let starts: number[] | undefined;
  return (offset) => {
    if (starts === undefined) {
      starts = [0];
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', end + 1)) starts.push(end + 1);
    }
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
