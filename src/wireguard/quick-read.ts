/** Reads a wg-quick file as wg-quick and wg do, and says of a broken one where it is so. */
import type { QuickFile, QuickPeer, QuickProblem } from './quick-file.ts';
import { INTERFACE_KEYS, type InterfaceDraft, PEER_KEYS, type PeerDraft, type Section } from './quick-keys.ts';

export type QuickReading =
  | { readonly kind: 'file'; readonly file: QuickFile }
  | { readonly kind: 'problems'; readonly problems: readonly QuickProblem[] };

/** All problems of the text at once, or what it says. Comments begin with `#`, in commands too, as wg-quick has it. */
export function readQuickFile(text: string): QuickReading {
  const problems: QuickProblem[] = [];
  const say = (at: Place, path: string, what: string, meant?: string): void => {
    problems.push({ line: at.line, column: at.column, path, what: hideKeys(what), ...(meant && { meant }) });
  };
  const draft: InterfaceDraft = {
    ...{ addresses: [], dns: [], searchDomains: [], hooks: [], table: 'auto', saveConfig: false },
  };
  const peers: PeerDraft[] = [];
  let interfaces = 0;
  let section: Section | 'unknown' | undefined;
  for (const each of linesOf(text)) {
    if (each.kind === 'section') {
      section = SECTIONS.get(each.name.toLowerCase()) ?? 'unknown';
      if (section === 'unknown') say(each, each.name, 'is no section of a WireGuard file', '[Interface], or [Peer]');
      if (section === 'Interface' && ++interfaces > 1) say(each, each.name, 'stands twice', 'one [Interface] a file');
      if (section === 'Peer') peers.push({ allowedIps: [], line: each.line });
    } else if (section === undefined) say(each, each.key, 'stands before any section', '[Interface] above it');
    else if (section !== 'unknown') readField(each, section, { draft, peer: peers.at(-1) }, problems, say);
  }
  if (interfaces === 0 && problems.length === 0)
    say({ line: 1, column: 1 }, '[Interface]', 'is not there', 'a section [Interface]');
  const complete = completeOf(peers, problems, say);
  return problems.length === 0
    ? { kind: 'file', file: { interface: draft, peers: complete } }
    : { kind: 'problems', problems: problems.toSorted(byPlace) };
}

interface Place {
  readonly line: number;
  readonly column: number;
}
type Say = (at: Place, path: string, what: string, meant?: string) => void;

const byPlace = (left: Place, right: Place): number => left.line - right.line || left.column - right.column;

/** What was put at a wrong place may be a key. */
const hideKeys = (text: string): string => text.replace(/[A-Za-z0-9+/]{43}=?/g, '(a key)');

const SECTIONS: ReadonlyMap<string, Section> = new Map([
  ['[interface]', 'Interface'],
  ['[peer]', 'Peer'],
]);

type Line = Place &
  (
    | { readonly kind: 'section'; readonly name: string }
    | { readonly kind: 'field'; readonly key: string; readonly value: string | undefined; readonly valueColumn: number }
  );

/** A line without `=` is a key without a value. */
function linesOf(text: string): readonly Line[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  return lines.flatMap((raw, index): readonly Line[] => {
    const bare = raw.replace(/#.*$/, '').trimEnd();
    const content = bare.trimStart();
    if (content === '') return [];
    const place = { line: index + 1, column: bare.length - content.length + 1 };
    if (content.startsWith('[')) return [{ kind: 'section', name: hideKeys(content), ...place }];
    const equals = bare.indexOf('=');
    const after = equals === -1 ? undefined : bare.slice(equals + 1);
    return [
      {
        ...{ kind: 'field', ...place, key: nameOf(equals === -1 ? content : bare.slice(0, equals).trim()) },
        ...{ value: after?.trim(), valueColumn: bare.length - (after?.trimStart().length ?? 0) + 1 },
      },
    ];
  });
}

/** What is no name may be a key that lost its own. */
const nameOf = (text: string): string => /^[A-Za-z0-9_-]{1,24}(?=$|\s)/.exec(text)?.[0] ?? 'this line';

function readField(
  { key, value, line, column, valueColumn }: Extract<Line, { readonly kind: 'field' }>,
  section: Section,
  { draft, peer }: { readonly draft: InterfaceDraft; readonly peer: PeerDraft | undefined },
  problems: QuickProblem[],
  say: Say,
): void {
  const path = `[${section}] ${key}`;
  const [ofInterface, ofPeer] = [INTERFACE_KEYS.get(key.toLowerCase()), PEER_KEYS.get(key.toLowerCase())];
  const refuse = (what: string, meant?: string): void => say({ line, column: valueColumn }, path, what, meant);
  if (value === '' && MAY_BE_EMPTY.test(key)) return;
  if (value === undefined || value === '') say({ line, column }, path, 'has no value', 'KEY = VALUE');
  else if (section === 'Interface' && ofInterface !== undefined) ofInterface.read({ value, line }, draft, refuse);
  else if (section === 'Peer' && ofPeer !== undefined && peer !== undefined) ofPeer.read({ value, line }, peer, refuse);
  else problems.push({ line, column, path, ...strange(section, key) });
}

/** As web panels write them; an empty list is one. */
const MAY_BE_EMPTY = /^(?:(?:pre|post)(?:up|down)|address|allowedips|dns)$/i;

/** AmneziaWG's own, which hide the protocol; a kernel's WireGuard does not know them. */
const AMNEZIA = /^(?:jc|jmin|jmax|s[1-4]|h[1-4]|i[1-5]|j[1-3]|itime)$/;

/** What is wrong with a key that the section does not have. */
function strange(section: Section, key: string): Pick<QuickProblem, 'what' | 'known'> {
  const lower = key.toLowerCase();
  const [own, others] = section === 'Interface' ? [INTERFACE_KEYS, PEER_KEYS] : [PEER_KEYS, INTERFACE_KEYS];
  if (others.has(lower)) return { what: `belongs to [${section === 'Interface' ? 'Peer' : 'Interface'}]` };
  if (AMNEZIA.test(lower)) return { what: "is AmneziaWG's, and no key of WireGuard" };
  return { what: 'is no key of this section', known: [...own.values()].map(({ name }) => name) };
}

/** wg takes the later of two peers with one key, and moves allowed IPs from the earlier: hardly what was meant. */
function completeOf(peers: readonly PeerDraft[], problems: readonly QuickProblem[], say: Say): readonly QuickPeer[] {
  const seen = new Map<string, number>();
  return peers.flatMap(({ line, publicKey, ...rest }, index): readonly QuickPeer[] => {
    const end = peers[index + 1]?.line ?? Number.POSITIVE_INFINITY;
    const place = { line, column: 1 };
    if (publicKey === undefined) {
      const isSaid = problems.some((each) => each.path === '[Peer] PublicKey' && each.line > line && each.line < end);
      if (!isSaid) say(place, '[Peer] PublicKey', 'is not there', "the peer's public key");
      return [];
    }
    const first = seen.get(publicKey);
    if (first !== undefined)
      say(place, '[Peer] PublicKey', `is that of the peer of line ${first} too`, 'a key for each');
    seen.set(publicKey, line);
    return [{ ...rest, publicKey }];
  });
}
