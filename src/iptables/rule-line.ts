/** One `-A` line as options in the parts that own them: the command's own, each `-m`, and the target. */
import type { Word } from './words.ts';

/** `! --dport 80` or `--dport ! 80`: the same. Short names stand as their long ones. */
export interface Option {
  readonly name: string;
  readonly negated: boolean;
  readonly values: readonly string[];
}

/** A match or a target with its options; `words` is its text without its name. */
export interface Part {
  readonly name: string;
  readonly options: readonly Option[];
  readonly words: string;
}

export interface RuleLine {
  /** `-s`, `-d`, `-i`, `-o`, `-p`, `-f`, by their long names. */
  readonly basics: readonly Option[];
  readonly matches: readonly Part[];
  readonly target?: Part & { readonly goes: 'jump' | 'goto' };
}

/** How many values an option of a match or target takes; undefined where that is not known. */
export type Arity = (
  part: { readonly kind: 'match' | 'jump' | 'goto'; readonly name: string },
  option: string,
) => number | undefined;

const basicNames: Readonly<Record<string, string>> = {
  ...{ '-s': '--source', '--src': '--source', '--source': '--source' },
  ...{ '-d': '--destination', '--dst': '--destination', '--destination': '--destination' },
  ...{ '-i': '--in-interface', '--in-interface': '--in-interface' },
  ...{ '-o': '--out-interface', '--out-interface': '--out-interface' },
  ...{ '-p': '--protocol', '--proto': '--protocol', '--protocol': '--protocol' },
  ...{ '-f': '--fragment', '--fragment': '--fragment' },
};
const partNames: Readonly<Record<string, 'match' | 'jump' | 'goto'>> = {
  ...{ '-m': 'match', '--match': 'match', '-j': 'jump', '--jump': 'jump', '-g': 'goto', '--goto': 'goto' },
};

/** Protocols whose match is loaded by `-p` alone, by what `-p` may call them. */
const protocolMatches: Readonly<Record<string, string>> = {
  ...{ tcp: 'tcp', '6': 'tcp', udp: 'udp', '17': 'udp', icmp: 'icmp', '1': 'icmp', sctp: 'sctp', '132': 'sctp' },
  ...{ 'ipv6-icmp': 'icmp6', icmpv6: 'icmp6', '58': 'icmp6', udplite: 'udplite', '136': 'udplite' },
  ...{ dccp: 'dccp', '33': 'dccp' },
};

interface OpenPart {
  readonly kind: 'match' | 'jump' | 'goto';
  readonly name: string;
  readonly options: Option[];
  readonly words: string[];
}

/** Sorts the words after `-A CHAIN`; a text says what cannot be read. */
export function sortWords(words: readonly Word[], arityOf: Arity): RuleLine | string {
  const basics: Option[] = [];
  const parts: OpenPart[] = [];
  let protocolMatch: OpenPart | undefined;
  for (let at = 0; at < words.length; ) {
    const start = at;
    const isNot = isBang(words[at]);
    if (isNot) at++;
    const word = words[at++];
    if (word === undefined) return 'a "!" with nothing after it';
    const name = word.text;
    const kind = partNames[name];
    if (kind !== undefined) {
      const of = words[at++]?.text;
      if (of === undefined || isNot) return `"${name}" wants a name after it and no "!" before it`;
      if (kind !== 'match' && parts.some((part) => part.kind !== 'match')) return 'more than one target';
      parts.push({ kind, name: of, options: [], words: [] });
      continue;
    }
    if (name === '-c' || name === '--set-counters') {
      at += 2;
      continue;
    }
    if (word.quoted || !isOption(word)) return `"${name}" stands where an option was meant`;
    const basic = basicNames[name];
    const owner = basic === undefined ? ownerOf(name) : undefined;
    if (basic === undefined && owner === undefined) return `"${name}" is an option of no match before it`;
    const known = basic === undefined ? owner && arityOf(owner, name) : basic === '--fragment' ? 0 : 1;
    const isLateNot = !isNot && known !== 0 && isBang(words[at]);
    if (isLateNot) at++;
    const values = known === undefined ? valuesFrom(words, at) : words.slice(at, at + known).map(({ text }) => text);
    if (known !== undefined && values.length < known) return `"${name}" lacks its value`;
    at += values.length;
    const option = { name: basic ?? name, negated: isNot || isLateNot, values };
    if (owner === undefined) basics.push(option);
    else {
      owner.options.push(option);
      owner.words.push(...words.slice(start, at).map(printWord));
    }
  }
  const target = parts.find((part) => part.kind !== 'match');
  return {
    basics,
    matches: parts.filter((part) => part.kind === 'match').map(closePart),
    ...(target !== undefined && { target: { ...closePart(target), goes: target.kind === 'goto' ? 'goto' : 'jump' } }),
  };

  /** The last part that knows the option; else the match of the protocol; else the last of all, which then is not modelled. */
  function ownerOf(option: string): OpenPart | undefined {
    const knowing = parts.findLast((part) => arityOf(part, option) !== undefined);
    if (knowing !== undefined) return knowing;
    const protocol = basics.find(({ name }) => name === '--protocol')?.values[0]?.toLowerCase();
    const match = protocol === undefined ? undefined : protocolMatches[protocol];
    if (match === undefined || arityOf({ kind: 'match', name: match }, option) === undefined) return parts.at(-1);
    if (protocolMatch === undefined) {
      protocolMatch = { kind: 'match', name: match, options: [], words: [] };
      parts.push(protocolMatch);
    }
    return protocolMatch;
  }
}

const isBang = (word: Word | undefined): boolean => word !== undefined && !word.quoted && word.text === '!';
const isOption = ({ text, quoted }: Word): boolean => !quoted && /^--?[A-Za-z0-9]/.test(text);

function valuesFrom(words: readonly Word[], at: number): readonly string[] {
  const end = words.findIndex((word, index) => index >= at && (isOption(word) || isBang(word)));
  return words.slice(at, end === -1 ? undefined : end).map(({ text }) => text);
}

const printWord = ({ text, quoted }: Word): string => (quoted ? JSON.stringify(text) : text);

const closePart = ({ name, options, words }: OpenPart): Part => ({ name, options, words: words.join(' ') });
