/** A host's key, written into the document of its Host. */
import { isMap, isScalar, isSeq, type Node, type Pair, parseAllDocuments, type YAMLMap } from 'yaml';

/**
 * The text with `hostKey` of one Host set, in its `spec.access.ssh` or `spec.access.agent`: nothing else of it is another, comments included. Undefined where it has no such
 * Host, or reaches it otherwise.
 */
export function withHostKey(text: string, host: string, hostKey: string): string | undefined {
  const documents = parseAllDocuments(text);
  for (const document of Array.isArray(documents) ? documents : []) {
    for (const entry of entriesOf(document.contents)) {
      const isHost = entry.get('kind') === 'Host' && entry.getIn(['metadata', 'name']) === host;
      for (const kind of isHost ? ['ssh', 'agent'] : []) {
        const access = entry.getIn(['spec', 'access', kind], true);
        if (isMap(access)) return withField(text, access, hostKey);
      }
    }
  }
  return undefined;
}

/** A document, or the items of a List. */
function entriesOf(contents: unknown): readonly YAMLMap[] {
  if (!isMap(contents)) return [];
  const items = contents.get('kind') === 'List' ? contents.get('items') : undefined;
  return isSeq(items) ? items.items.filter((item) => isMap(item)) : [contents];
}

function withField(text: string, ssh: YAMLMap, hostKey: string): string | undefined {
  const value = JSON.stringify(hostKey);
  const standing = ssh.get('hostKey', true);
  if (isScalar(standing) && standing.range) {
    const [start, end] = standing.range;
    return `${text.slice(0, start)}${value}${text.slice(end)}`;
  }
  const pair = ssh.items.at(-1);
  const end = pair === undefined ? undefined : rangeOf(pair.value)?.[1];
  const start = pair === undefined ? undefined : rangeOf(pair.key)?.[0];
  if (pair === undefined || start === undefined || end === undefined) return undefined;
  if (ssh.flow === true) return `${text.slice(0, end)}, ${keyLike(pair)}: ${value}${text.slice(end)}`;
  // On a line of its own, after what may be said behind the last one.
  const column = start - (text.lastIndexOf('\n', start) + 1);
  const newline = text.indexOf('\n', end);
  const at = newline === -1 ? text.length : newline;
  const isCrLf = text.charAt(at - 1) === '\r';
  const before = isCrLf ? at - 1 : at;
  const line = `${isCrLf ? '\r' : ''}\n${' '.repeat(column)}${keyLike(pair)}: ${value}`;
  return `${text.slice(0, before)}${line}${text.slice(before)}`;
}

const rangeOf = (node: unknown): Node['range'] => (isScalar(node) ? node.range : undefined);

/** In quotes where the others are: the file may be JSON. */
const keyLike = ({ key }: Pair): string => (isScalar(key) && key.type === 'QUOTE_DOUBLE' ? '"hostKey"' : 'hostKey');
