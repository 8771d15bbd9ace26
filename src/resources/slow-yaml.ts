import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  Scalar,
  visit,
} from 'yaml';
import type { Plain } from './fast-yaml.ts';
import { isPlain, type Path } from './path.ts';
import type { ProblemCode } from './problem.ts';

/** A place in a text: line and column from 1. */
export interface Spot {
  readonly line: number;
  readonly column: number;
}

/** Something wrong with the text itself, before anybody asks what it means. */
interface TextProblem extends Spot {
  readonly path: Path;
  readonly code: ProblemCode;
  readonly what: string;
}

/** One document of a text as the `yaml` package reads it. Nothing but comments gives `data: undefined`. */
export interface SlowDocument {
  readonly data: Plain | undefined;
  readonly problems: readonly TextProblem[];
  /** Where the value of a field stands, or its key; the nearest parent's key where it does not exist. */
  readonly locate: (path: Path, part: 'key' | 'value') => Spot;
}

/** More aliases than any person writes; resolving them without a bound is the billion laughs. */
const MOST_ALIASES = 100;

/** Reads any YAML, with the position of everything in it. */
export function readSlowYaml(text: string): readonly SlowDocument[] {
  const lines = new LineCounter();
  const spot = (offset: number): Spot => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  let documents: readonly Document.Parsed[];
  try {
    const parsed = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      logLevel: 'silent',
      merge: true,
    });
    documents = 'empty' in parsed ? [] : parsed;
  } catch (error) {
    // Deep nesting exhausts the stack of its recursive descent.
    if (!(error instanceof RangeError)) throw error;
    const nested = { code: 'syntax', what: TOO_DEEP, path: [], line: 1, column: 1 } as const;
    return [{ data: undefined, problems: [nested], locate: () => ({ line: 1, column: 1 }) }];
  }
  return documents.map((document) => {
    // After the first error of form the rest are its echoes: twenty for one bracket.
    const broken = document.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
    const errors = document.errors.filter((error) => error.code === 'DUPLICATE_KEY' || error === broken);
    const problems: TextProblem[] = [...errors, ...document.warnings].map(({ code, message, pos }) => ({
      code: code === 'DUPLICATE_KEY' ? 'duplicateKey' : 'syntax',
      what: code === 'DUPLICATE_KEY' ? 'this key stands here twice' : inWords(message),
      path: [],
      ...spot(pos[0]),
    }));
    problems.push(...ambiguous(document, spot));
    const { data, problem } = toPlain(document, spot);
    if (problem !== undefined) problems.push(problem);
    return { data, problems, locate: (path, part) => spot(offsetOf(document, path, part)) };
  });
}

const TOO_DEEP = 'is nested too deeply';

/** What the engine says when nesting exhausts its stack means nothing to who wrote the document. */
const inWords = (message: string): string => (message.includes('call stack') ? TOO_DEEP : message);

function toPlain(document: Document.Parsed, spot: (offset: number) => Spot): { data?: Plain; problem?: TextProblem } {
  if (document.contents === null || document.errors.length > 0) return {};
  const at = { path: [], ...spot(document.contents.range[0]) };
  try {
    const data: unknown = document.toJS({ maxAliasCount: MOST_ALIASES });
    if (isPlain(data)) return { data };
    return { problem: { code: 'syntax', what: 'holds a value that JSON has no form for', ...at } };
  } catch (error) {
    // An alias without its anchor, too many aliases (ReferenceError), or nesting too deep for the stack (RangeError).
    if (error instanceof ReferenceError || error instanceof RangeError) {
      return { problem: { code: 'syntax', what: inWords(error.message), ...at } };
    }
    throw error;
  }
}

const BOOLEAN_IN_1_1 = /^(?:y|yes|on|n|no|off)$/i;
const LEADING_ZERO = /^[-+]?0[0-9_]+$/;

/** Bare words that kubectl, which reads YAML 1.1, takes for something else than we do. */
function ambiguous(document: Document.Parsed, spot: (offset: number) => Spot): readonly TextProblem[] {
  const found: TextProblem[] = [];
  visit(document, {
    Scalar(_, node, ancestors) {
      const { source, type, range } = node;
      if (source === undefined || type !== Scalar.PLAIN || !range) return;
      const boolean = BOOLEAN_IN_1_1.test(source);
      if (!boolean && !LEADING_ZERO.test(source)) return;
      const instead = boolean ? (/^(?:y|yes|on)$/i.test(source) ? 'true' : 'false') : 'an octal number';
      const without = boolean ? instead : `${Number(source.replaceAll('_', ''))}`;
      const what = `a bare ${source} is ${instead} to kubectl; write "${source}" or ${without}`;
      found.push({ code: 'ambiguousYaml', what, path: pathOf(node, ancestors), ...spot(range[0]) });
    },
  });
  return found;
}

/** The path of a node from those it stands in; a key's is that of its value. */
function pathOf(node: Node, ancestors: readonly unknown[]): Path {
  const path: (string | number)[] = [];
  for (const [depth, ancestor] of ancestors.entries()) {
    if (isPair(ancestor) && isScalar(ancestor.key)) path.push(String(ancestor.key.source ?? ancestor.key.value));
    if (isSeq(ancestor)) path.push(ancestor.items.indexOf(ancestors[depth + 1] ?? node));
  }
  return path;
}

/** The offset of a field in the text, through aliases and merges as far as they can be followed. */
function offsetOf(document: Document.Parsed, path: Path, part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let key = isNode(node) ? startOf(node) : document.range[0];
  for (const step of path) {
    const target: unknown = isAlias(node) ? node.resolve(document) : node;
    if (isMap(target)) {
      const pair = target.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (pair === undefined) return key;
      if (isNode(pair.key)) key = startOf(pair.key);
      node = pair.value;
    } else if (isSeq(target) && typeof step === 'number') {
      node = target.items[step];
      if (!isNode(node)) return key;
      key = startOf(node);
    } else return key;
  }
  // An empty value begins behind its colon, where an eye finds nothing.
  const empty = isScalar(node) && node.source === '' && node.type === Scalar.PLAIN;
  return part === 'value' && isNode(node) && !empty ? startOf(node) : key;
}

const startOf = (node: Node): number => node.range?.[0] ?? 0;
