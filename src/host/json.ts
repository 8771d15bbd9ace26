/** Checked reading of JSON that came from a disk: every function gives the typed value or throws a JsonError that names the place. */

export class JsonError extends Error {
  constructor(path: string, wanted: string, found: unknown) {
    super(`${path}: ${wanted} expected, found ${JSON.stringify(found)?.slice(0, 60) ?? 'nothing'}`);
    this.name = 'JsonError';
  }
}

/** Reads one value found at `path` (for messages only). */
export type Reader<T> = (json: unknown, path: string) => T;

export const text: Reader<string> = (json, path) => {
  if (typeof json !== 'string') throw new JsonError(path, 'text', json);
  return json;
};

export const whole: Reader<number> = (json, path) => {
  if (typeof json !== 'number' || !Number.isSafeInteger(json) || json < 0)
    throw new JsonError(path, 'a whole number', json);
  return json;
};

export const flag: Reader<boolean> = (json, path) => {
  if (typeof json !== 'boolean') throw new JsonError(path, 'true or false', json);
  return json;
};

/** A text that `parse` understands; `what` names it in the error. */
export const parsed =
  <T>(parse: (text: string) => T | undefined, what: string): Reader<T> =>
  (json, path) => {
    const value = typeof json === 'string' ? parse(json) : undefined;
    if (value === undefined) throw new JsonError(path, what, json);
    return value;
  };

/** As the kernel lets links be called (dev_valid_name, net/core/dev.c): it may become part of a path. */
export const linkName: Reader<string> = parsed(
  (name) => (/^(?!\.{1,2}$)[^\s/]{1,15}$/.test(name) ? name : undefined),
  'the name of a link',
);

export const oneOf =
  <T extends string | number>(...allowed: readonly T[]): Reader<T> =>
  (json, path) => {
    const value = allowed.find((each) => each === json);
    if (value === undefined) throw new JsonError(path, `one of ${allowed.join(', ')}`, json);
    return value;
  };

export const list =
  <T>(read: Reader<T>): Reader<readonly T[]> =>
  (json, path) => {
    if (!Array.isArray(json)) throw new JsonError(path, 'a list', json);
    return json.map((item: unknown, index) => read(item, `${path}[${index}]`));
  };

export type Fields = { readonly [key: string]: unknown };

export const fields: Reader<Fields> = (json, path) => {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new JsonError(path, 'an object', json);
  return { ...json };
};

export const table =
  <T>(read: Reader<T>): Reader<ReadonlyMap<string, T>> =>
  (json, path) =>
    new Map(Object.entries(fields(json, path)).map(([key, value]) => [key, read(value, `${path}.${key}`)]));

/** `{ key: value }` where the field is there, `{}` where it is absent: for optional properties. */
export function optional<K extends string, T>(from: Fields, key: K, read: Reader<T>, path: string): { [P in K]?: T } {
  const value = from[key];
  const result: { [P in K]?: T } = {};
  if (value !== undefined) result[key] = read(value, `${path}.${key}`);
  return result;
}
