import type { Plain } from './fast-yaml.ts';

/** The way to a field from the root of its document. */
export type Path = readonly (string | number)[];

/** `spec.ports[0].port`; keys with other characters as `outside["10.0.0.5"]`. */
export function printPath(path: Path): string {
  let printed = '';
  for (const step of path) {
    if (typeof step === 'number') printed += `[${step}]`;
    else if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(step)) printed += `[${JSON.stringify(step)}]`;
    else printed += printed === '' ? step : `.${step}`;
  }
  return printed;
}

/** Reads what printPath prints; what is no path gives as many steps as can be read. */
export function readPath(text: string): Path {
  const steps: (string | number)[] = [];
  for (const [, name, index, quoted] of text.matchAll(/([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/g)) {
    if (name !== undefined) steps.push(name);
    else if (index !== undefined) steps.push(Number(index));
    else if (quoted !== undefined) steps.push(String(JSON.parse(quoted)));
  }
  return steps;
}

/** The value at the path, or undefined. */
export function valueAt(data: Plain | undefined, path: Path): Plain | undefined {
  let value: Plain | undefined = data;
  for (const step of path) {
    if (isList(value)) value = typeof step === 'number' ? value[step] : undefined;
    else value = isMap(value) && Object.hasOwn(value, step) ? value[step] : undefined;
  }
  return value;
}

/** Array.isArray does not narrow readonly arrays. */
export const isList = (value: Plain | undefined): value is readonly Plain[] => Array.isArray(value);

export const isMap = (value: Plain | undefined): value is { readonly [key: string]: Plain } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether a value from a library is of JSON's data model; depth is bounded by the stack that built it. */
export function isPlain(value: unknown): value is Plain {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return true;
  if (typeof value === 'number') return true;
  if (Array.isArray(value)) return value.every(isPlain);
  if (typeof value !== 'object') return false;
  return Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isPlain);
}
