import type { z } from 'zod';
import { z as zod } from 'zod';
import { isAddress, parsePrefix, printPrefix } from '../net/index.ts';
import type { Later } from './fields.ts';
import { API_VERSION, type Kind, kinds, schemas } from './schema.ts';
import { fieldsOf, itemOf, noteOf, written } from './schema-walk.ts';

/** docs/reference.md: each kind and each of its fields, from the schema alone. Markdown. */
export function printReference(): string {
  const head = [
    '# Reference of the resources',
    '',
    '<!-- Made from the schema by scripts/reference.ts. Changes made here are lost. -->',
    '',
    `Every document has \`apiVersion: ${API_VERSION}\`, a \`kind\`, a \`metadata.name\` (a DNS label: lower-case letters, digits and inner`,
    'hyphens, at most 63) and a `spec`. Files hold one document or several, in YAML or JSON; a `v1` `List` is its items. `metadata`',
    'takes what Kubernetes puts there. An unknown field is an error.',
    '',
    'YAML is read as kubectl reads it. Where YAML 1.1 (kubectl) and 1.2 differ, a bare word is an error: `yes`, `no`, `on`, `off`, `y`',
    'and `n` are booleans there, `010` is 8. Quote them, or write what you mean.',
    '',
    '**Later** marks what is understood and not yet supported: `validate` refuses it with `not yet supported: ...`.',
    '',
    'File paths are relative to the document they stand in.',
  ];
  return `${[...head, ...kinds.flatMap(printKind)].join('\n')}\n`;
}

function printKind(kind: Kind): readonly string[] {
  const schema = schemas[kind];
  const later = noteOf(schema).later === true ? ' **Later.**' : '';
  return [
    '',
    `## ${kind}`,
    '',
    `${schema.description ?? ''}${later}`,
    '',
    '| field | type | default | meaning |',
    '|---|---|---|---|',
    ...rows('spec', schema.shape.spec).map(
      ([field, type, by, meaning]) => `| \`${field}\` | ${type} | ${by} | ${meaning} |`,
    ),
  ];
}

type Row = readonly [field: string, type: string, by: string, meaning: string];

/** A row for each field below, parents before what they hold; `spec` itself needs none. */
function rows(path: string, schema: z.core.$ZodType): readonly Row[] {
  return Object.entries(fieldsOf(schema) ?? {}).flatMap(([name, field]) => {
    const here = path === 'spec' ? name : `${path}.${name}`;
    const item = itemOf(field);
    const below = item === undefined ? rows(here, field) : rows(`${here}[]`, item);
    return [[here, typeOf(field), defaultOf(field), meaningOf(field)] as const, ...below];
  });
}

function meaningOf(field: z.core.$ZodType): string {
  const description = field instanceof zod.ZodType ? (field.description ?? '') : '';
  const { later } = noteOf(field);
  return escapeBars(later === undefined ? description : `${description} **Later${laterWords(later)}.**`);
}

function laterWords(later: Later): string {
  if (later === true) return '';
  return `: ${'says' in later ? later.says : later.map((value) => `\`${value}\``).join(', ')}`;
}

/** A bar would end the cell. */
const escapeBars = (text: string): string => text.replaceAll('|', '\\|');

function typeOf(field: z.core.$ZodType): string {
  const item = itemOf(field);
  if (item !== undefined) return `list of ${typeOf(item)}`;
  const { type } = noteOf(field);
  if (type !== undefined) return escapeBars(type);
  const inner = written(field);
  if (inner instanceof zod.ZodEnum) return inner.options.map((option) => `\`${option}\``).join(', ');
  if (inner instanceof zod.ZodBoolean) return '`true`, `false`';
  if (inner instanceof zod.ZodString) return 'text';
  if (inner instanceof zod.ZodURL) return 'URL';
  if (inner instanceof zod.ZodObject || inner instanceof zod.ZodRecord) return 'map';
  throw new TypeError(`the reference has no word for the type ${inner._zod.def.type}`);
}

function defaultOf(field: z.core.$ZodType): string {
  if (field instanceof zod.ZodDefault) {
    const value: unknown = field.def.defaultValue;
    return `\`${printDefault(value)}\``;
  }
  if (field instanceof zod.ZodPrefault) return `\`${printDefault(field.def.defaultValue)}\``;
  return field instanceof zod.ZodExactOptional || field instanceof zod.ZodOptional ? '' : 'required';
}

function printDefault(value: unknown): string {
  if (!Array.isArray(value)) return typeof value === 'string' ? value : JSON.stringify(value);
  return `[${value.map(printPrefixDefault).join(', ')}]`;
}

/** The only list by default that is not empty holds prefixes. */
function printPrefixDefault(value: unknown): string {
  if (typeof value !== 'object' || value === null || !('address' in value) || !('length' in value))
    return String(value);
  const { address, length } = value;
  if (!isAddress(address) || typeof length !== 'number') throw new TypeError('a default that is no prefix');
  const printed = printPrefix({ address, length });
  if (parsePrefix(printed) === undefined) throw new TypeError(`a default that cannot be written: ${printed}`);
  return printed;
}
