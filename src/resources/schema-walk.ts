import { z } from 'zod';
import { type Later, type Note, notes } from './fields.ts';
import type { Path } from './path.ts';
import { type Kind, kinds, schemas } from './schema.ts';

/** What zod wraps around a schema: defaults and options. */
const isWrapper = (
  schema: z.core.$ZodType,
): schema is z.ZodDefault | z.ZodPrefault | z.ZodOptional | z.ZodExactOptional =>
  schema instanceof z.ZodDefault ||
  schema instanceof z.ZodPrefault ||
  schema instanceof z.ZodOptional ||
  schema instanceof z.ZodExactOptional;

/** The schema of the written form: without wrappers, and without the readers behind it. */
export function written(schema: z.core.$ZodType): z.core.$ZodType {
  if (isWrapper(schema)) return written(schema.unwrap());
  return schema instanceof z.ZodPipe ? written(schema.in) : schema;
}

/** What is noted of a schema or of what it wraps; the outer note wins. */
export function noteOf(schema: z.core.$ZodType): Note {
  const own = notes.get(schema);
  if (isWrapper(schema)) return { ...noteOf(schema.unwrap()), ...own };
  return schema instanceof z.ZodPipe ? { ...noteOf(schema.in), ...own } : (own ?? {});
}

/** The fields of a map, or undefined where any key may stand or there is no map. */
export function fieldsOf(schema: z.core.$ZodType): Readonly<Record<string, z.core.$ZodType>> | undefined {
  const inner = written(schema);
  if (inner instanceof z.ZodObject) return inner.shape;
  if (!(inner instanceof z.ZodUnion)) return undefined;
  return inner.options.map(fieldsOf).find((fields) => fields !== undefined);
}

/** What a list holds in each place, or undefined where there is no list. */
export function itemOf(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  const inner = written(schema);
  return inner instanceof z.ZodArray ? inner.element : undefined;
}

/** The names that may stand in the map at the path. */
export function namesAt(kind: Kind, path: Path): readonly string[] {
  let schema: z.core.$ZodType | undefined = schemas[kind];
  for (const step of path) {
    if (schema === undefined) return [];
    schema = typeof step === 'number' ? itemOf(schema) : fieldsOf(schema)?.[step];
  }
  return schema === undefined ? [] : Object.keys(fieldsOf(schema) ?? {});
}

/** The notes that are asked of each document, at their places; branches without any are cut off. */
export interface NoteTree {
  readonly later?: Later;
  readonly refersTo?: 'Host' | 'Tunnel';
  readonly fields: readonly (readonly [name: string, tree: NoteTree])[];
  readonly items?: NoteTree;
}

function noteTree(schema: z.core.$ZodType): NoteTree | undefined {
  const { later, refersTo } = noteOf(schema);
  const fields = Object.entries(fieldsOf(schema) ?? {}).flatMap(([name, field]) => {
    const tree = noteTree(field);
    return tree === undefined ? [] : [[name, tree] as const];
  });
  const item = itemOf(schema);
  const items = item === undefined ? undefined : noteTree(item);
  if (later === undefined && refersTo === undefined && fields.length === 0 && items === undefined) return undefined;
  return {
    fields,
    ...(later === undefined ? {} : { later }),
    ...(refersTo === undefined ? {} : { refersTo }),
    ...(items === undefined ? {} : { items }),
  };
}

/** Made once: the schemas do not change. */
export const noteTrees: ReadonlyMap<Kind, NoteTree> = new Map(
  kinds.flatMap((kind) => {
    const tree = noteTree(schemas[kind]);
    return tree === undefined ? [] : [[kind, tree] as const];
  }),
);
