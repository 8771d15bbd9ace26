import type { z } from 'zod';
import type { Plain } from './fast-yaml.ts';
import { nearest } from './nearest.ts';
import { isList, isMap, type Path, valueAt } from './path.ts';
import type { ProblemCode } from './problem.ts';
import type { Entry } from './read.ts';
import type { Kind } from './schema.ts';
import { namesAt } from './schema-walk.ts';

/** A problem of one document, before its place in the text is known. */
export interface Finding {
  readonly code: ProblemCode;
  readonly path: Path;
  readonly part?: 'key';
  readonly what: string;
  readonly meant?: string;
}

/** Puts zod's issue into words and codes of ours. */
export function findingsOf(kind: Kind, { data }: Entry, issue: z.core.$ZodIssue): readonly Finding[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  if (issue.code === 'unrecognized_keys') {
    const names = namesAt(kind, path);
    return issue.keys.map((key) => ({
      code: 'unknownField',
      path: [...path, key],
      part: 'key',
      what: 'unknown field',
      ...meant(
        nearest(
          key,
          names.filter((name) => !isGiven(data, [...path, name])),
        ),
      ),
    }));
  }
  const value = valueAt(data, path);
  if (value === undefined) return [{ code: 'missingField', path, what: 'is missing' }];
  return [{ path, ...describe(issue, value) }];
}

const isGiven = (data: Plain, path: Path): boolean => valueAt(data, path) !== undefined;

const meant = (word: string | undefined): { readonly meant?: string } => (word === undefined ? {} : { meant: word });

/** What an issue says of a value that is there. zod's union of issues is open to codes of later versions, hence the last line. */
function describe(issue: z.core.$ZodIssue, value: Plain): Omit<Finding, 'path'> {
  switch (issue.code) {
    case 'invalid_type':
      return { code: 'wrongType', what: wrongType(TYPE_WORDS[issue.expected] ?? issue.expected, value) };
    case 'invalid_value': {
      const allowed = issue.values.map(String);
      const what = `${show(value)} is ${neither(allowed)}`;
      return { code: 'wrongValue', what, ...meant(typeof value === 'string' ? nearest(value, allowed) : undefined) };
    }
    case 'invalid_union':
      return { code: 'wrongType', what: `${issue.message}, got ${show(value)}` };
    case 'too_small':
    case 'too_big':
      return { code: 'wrongValue', what: isList(value) ? issue.message : `${show(value)} ${issue.message}` };
    case 'custom': {
      const { code } = issue.params ?? {};
      return { code: isCustomCode(code) ? code : 'wrongValue', what: issue.message };
    }
    default:
      return { code: 'wrongValue', what: `${show(value)}: ${issue.message}` };
  }
}

/** The codes that a check in the schema may give beside wrongValue. */
const isCustomCode = (code: unknown): code is 'badTunnel' | 'mixedFamilies' | 'rangeLength' =>
  code === 'badTunnel' || code === 'mixedFamilies' || code === 'rangeLength';

const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

function wrongType(expected: string, value: Plain): string {
  if (value === null) return `has no value, expected ${expected}`;
  const quote =
    expected === 'text' && (typeof value === 'number' || typeof value === 'boolean') ? '; write it in quotes' : '';
  return `expected ${expected}, got ${show(value)}${quote}`;
}

/** A value in a message: long ones are cut, collections named. */
function show(value: Plain): string {
  if (isList(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (isMap(value)) return Object.keys(value).length === 0 ? 'an empty map' : 'a map';
  if (value === null) return 'no value';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
}

function neither(allowed: readonly string[]): string {
  const last = allowed.at(-1) ?? '';
  if (allowed.length < 2) return `not ${last}`;
  const rest = allowed.slice(0, -1).join(', ');
  return allowed.length === 2 ? `neither ${rest} nor ${last}` : `none of ${rest}, ${last}`;
}
