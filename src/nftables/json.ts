/** A JSON object, its fields not yet looked at. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether it is a JSON object: no array, no null. */
export const isObject = (json: unknown): json is JsonObject =>
  typeof json === 'object' && json !== null && !Array.isArray(json);

/** The members of a JSON array, not yet looked at; undefined for anything else. */
export const arrayOf = (json: unknown): readonly unknown[] | undefined => (Array.isArray(json) ? json : undefined);

/** The name and content of a JSON object with one field, which is how nft writes every object, statement and expression. */
export function onlyField(json: unknown): readonly [string, unknown] | undefined {
  if (!isObject(json)) return undefined;
  const [name, ...others] = Object.keys(json); // no entries: this runs for each element of large sets
  return name === undefined || others.length > 0 ? undefined : [name, json[name]];
}

/** Whether the object has no field but these: with another it says something that the reader does not know. */
export const hasOnly = (json: JsonObject, ...fields: readonly string[]): boolean =>
  Object.keys(json).every((field) => fields.includes(field));

/** A text, or several; nft writes one flag without its array. Undefined for anything else. */
export function textsOf(json: unknown): readonly string[] | undefined {
  if (typeof json === 'string') return [json];
  const members = arrayOf(json);
  const texts = members?.filter((member) => typeof member === 'string');
  return texts !== undefined && texts.length === members?.length ? texts : undefined;
}

/** The readings of all members; undefined if one of them has none. */
export function readAll<T>(
  members: readonly unknown[],
  read: (member: unknown, index: number) => T | undefined,
): readonly T[] | undefined {
  const all: T[] = [];
  for (const [index, member] of members.entries()) {
    const one = read(member, index);
    if (one === undefined) return undefined;
    all.push(one);
  }
  return all;
}
