/** A strict look at markup: what an XML parser must refuse is thrown, and the texts come back. */

const NAME = '[A-Za-z_][-A-Za-z0-9_.:]*';
const TAG = new RegExp(`^<(?<close>/?)(?<name>${NAME})(?<attributes>(?:\\s+${NAME}="[^"<]*")*)\\s*(?<empty>/?)>`);
const REFERENCE = /&(?:#(\d+);)?/g;

export interface Element {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  /** Of the element and all in it. */
  readonly text: string;
}

/** Reads a document of one root element (XML 1.0, without comments, sections and instructions: a drawing has none). */
export function readMarkup(text: string): readonly Element[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML forbids them
  const forbidden = /(?![\t\n\r])[\u0000-\u001f\ufffe\uffff\p{Cs}]/u.exec(text);
  if (forbidden !== null) throw new Error(`no XML character at ${forbidden.index}`);
  const elements: { name: string; attributes: Map<string, string>; text: string }[] = [];
  const open: typeof elements = [];
  let rest = text.trimEnd();
  while (rest !== '') {
    if (!rest.startsWith('<')) {
      const end = rest.indexOf('<');
      const raw = end === -1 ? rest : rest.slice(0, end);
      if (open.length === 0) throw new Error(`text outside the root: ${raw.slice(0, 40)}`);
      const shown = dereference(raw);
      for (const each of open) each.text += shown;
      rest = rest.slice(raw.length);
      continue;
    }
    const match = TAG.exec(rest);
    if (match?.groups === undefined) throw new Error(`no tag: ${rest.slice(0, 60)}`);
    const { close, name = '', attributes = '', empty } = match.groups;
    rest = rest.slice(match[0].length);
    if (close === '/') {
      if (open.pop()?.name !== name || attributes !== '') throw new Error(`</${name}> closes another element`);
      continue;
    }
    if (open.length === 0 && elements.length > 0) throw new Error(`a second root: ${name}`);
    const element = { name, attributes: new Map<string, string>(), text: '' };
    for (const [, key = '', value = ''] of attributes.matchAll(/([^\s=]+)="([^"]*)"/g)) {
      if (element.attributes.has(key)) throw new Error(`${name} has ${key} twice`);
      element.attributes.set(key, dereference(value));
    }
    elements.push(element);
    if (empty !== '/') open.push(element);
  }
  if (open.length > 0) throw new Error(`never closed: ${open.map(({ name }) => name).join(', ')}`);
  return elements;
}

const dereference = (raw: string): string =>
  raw.replace(REFERENCE, (reference, code: string | undefined) => {
    if (code === undefined) throw new Error(`no character reference: ${reference}`);
    return String.fromCodePoint(Number(code));
  });
