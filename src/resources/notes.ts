import type { Plain } from './fast-yaml.ts';
import { isList, isMap, type Path, printPath } from './path.ts';
import type { Kind } from './schema.ts';
import { type NoteTree, noteTrees } from './schema-walk.ts';

/** A field of a document that is understood and cannot be used yet. */
interface NotYet {
  readonly path: Path;
  readonly what: string;
}

/** A name that should be another document's. */
export interface Reference {
  readonly path: Path;
  readonly kind: 'Host' | 'Tunnel';
  readonly name: string;
}

/** What a document says that the schema alone does not judge. */
export interface Noted {
  readonly notYet: readonly NotYet[];
  readonly references: readonly Reference[];
}

/** `known`: kinds that this reader takes though they cannot be carried out yet. Reads the data as written, so that a wrong field hides neither what is not yet supported nor a reference beside it. */
export function findNoted(kind: Kind, data: Plain, known: ReadonlySet<Kind> = new Set()): Noted {
  const notYet: NotYet[] = [];
  const references: Reference[] = [];
  /** The way to where the search stands; copied only when something is found. */
  const path: (string | number)[] = [];
  const tree = noteTrees.get(kind);
  if (tree === undefined) return { notYet, references };
  const { later, ...usable } = tree;
  if (later === true && !known.has(kind)) notYet.push({ path: ['kind'], what: `not yet supported: kind ${kind}` });
  else search(usable, data);
  return { notYet, references };

  function search({ later, refersTo, fields, items }: NoteTree, value: Plain): void {
    const words = later === undefined ? undefined : notYetWords(later, value, path);
    if (words !== undefined) notYet.push({ path: [...path], what: `not yet supported: ${words}` });
    if (refersTo !== undefined && typeof value === 'string') {
      references.push({ path: [...path], kind: refersTo, name: value });
    }
    if (isMap(value)) {
      for (const [field, tree] of fields) {
        const inner = value[field];
        if (inner !== undefined) step(field, tree, inner);
      }
    }
    if (items !== undefined && isList(value)) {
      for (const [index, item] of value.entries()) step(index, items, item);
    }
  }

  function step(name: string | number, tree: NoteTree, value: Plain): void {
    path.push(name);
    search(tree, value);
    path.pop();
  }
}

/** What of a value cannot be used yet, in words; undefined if all can. */
function notYetWords(later: NonNullable<NoteTree['later']>, value: Plain, path: Path): string | undefined {
  // All of these stand under `spec`, which says nothing.
  if (later === true) return printPath(path.slice(1));
  if ('found' in later) return later.found(value) ? later.says : undefined;
  const scalar = typeof value === 'string' || typeof value === 'boolean';
  return scalar && later.includes(value) ? `${printPath(path.slice(1))} ${value}` : undefined;
}
