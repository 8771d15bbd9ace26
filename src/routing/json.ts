/** What `ip -j` prints, field by field. An error names the command and the place, as the text came from another host. */
import { type Address, isNestedTooDeep, parseAddress } from '../net/index.ts';

/** One object of a command's output, and where it stood there, for messages. */
export interface Entry {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly at: string;
}

/** The objects of a command's output. No output at all is an empty list; `{}`, which old versions print for what a filter left out, is skipped. */
export function readEntries(command: readonly string[], text: string): readonly Entry[] {
  const source = `output of "${command.join(' ')}"`;
  if (text.trim() === '') return [];
  return entriesOf(parseJson(source, text), source);
}

/** The objects of a list inside an entry; none where the field is absent. */
export function listField(entry: Entry, name: string): readonly Entry[] {
  const value = entry.fields[name];
  return value === undefined ? [] : entriesOf(value, `${entry.at}, ${name}`);
}

/** One object inside an entry. */
export function objectField(entry: Entry, name: string): Entry | undefined {
  const value = entry.fields[name];
  if (value === undefined) return undefined;
  if (!isObject(value)) throw wrong(entry, name, 'an object');
  return { fields: value, at: `${entry.at}, ${name}` };
}

/** `ip` gives `null` for the lower device of a link that has none of its kind: `sit0`, `tunl0` (iplink's IFLA_LINK of 0). */
export function textField(entry: Entry, name: string): string | undefined {
  const value = entry.fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw wrong(entry, name, 'a text');
  return value;
}

/** A whole number from 0: a JSON number, or text in decimal or 0x hexadecimal, as versions of `ip` differ. */
export function numberField(entry: Entry, name: string): number | undefined {
  const value = entry.fields[name];
  if (value === undefined) return undefined;
  const number = typeof value === 'string' && /^(?:[0-9]+|0x[0-9a-f]+)$/i.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) throw wrong(entry, name, 'a number');
  return number;
}

/** Whether a flag is set: `ip` prints it as `true` or as `null`, and leaves it out where it is not. */
export const hasField = (entry: Entry, name: string): boolean => name in entry.fields && entry.fields[name] !== false;

export function addressField(entry: Entry, name: string): Address | undefined {
  const text = textField(entry, name);
  if (text === undefined) return undefined;
  const address = parseAddress(text);
  if (address === undefined) throw wrong(entry, name, 'an address');
  return address;
}

/** The `flags` list: `UP`, `onlink`. */
export function flagsOf(entry: Entry): ReadonlySet<unknown> {
  const value = entry.fields.flags ?? [];
  if (!Array.isArray(value)) throw wrong(entry, 'flags', 'a list');
  return new Set<unknown>(value);
}

/** What must be there. */
export function required<T>(entry: Entry, name: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`${entry.at}: ${name} is missing: ${shorten(entry.fields)}`);
  return value;
}

/** The error for a field that is not what `ip` prints there. */
export const wrong = (entry: Entry, name: string, expected: string): Error =>
  new Error(`${entry.at}: ${name}: ${shorten(entry.fields[name])} is not ${expected}`);

/** The fields not named in `known`, or undefined where there are none. */
export function otherFields(entry: Entry, known: ReadonlySet<string>): Record<string, unknown> | undefined {
  const others = Object.entries(entry.fields).filter(([name]) => !known.has(name));
  return others.length === 0 ? undefined : Object.fromEntries(others);
}

function parseJson(source: string, text: string): unknown {
  if (isNestedTooDeep(text)) throw new Error(`${source}: nested too deep`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${source}: not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function entriesOf(value: unknown, source: string): readonly Entry[] {
  if (!Array.isArray(value)) throw new Error(`${source}: ${shorten(value)} is not a list`);
  return value.flatMap((fields: unknown, index) => {
    const at = `${source}, entry ${index + 1}`;
    if (!isObject(fields)) throw new Error(`${at}: ${shorten(fields)} is not an object`);
    return Object.keys(fields).length === 0 ? [] : [{ fields, at }];
  });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Enough of a value to recognise it. */
const shorten = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 120);
