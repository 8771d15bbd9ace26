/** Tables, chains, sets and objects as nft's scanner reads a name without quotes: kube-proxy uses `/`, `.`, `-` and `_`. */
const namePattern = /^[A-Za-z][A-Za-z0-9/_.-]{0,254}$/;
/** A word of nft's language: a field, a key, a symbol, a data type. */
const wordPattern = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
/** Printable ASCII without space, quote, backslash and semicolon: interface names, helper names. */
const textPattern = /^[!#-:<-[\]-~]{1,127}$/;
/** No quote, backslash or control character: nothing that could end the quotes or the line. */
const commentPattern = /^[^"\\\p{Cc}\u2028\u2029]*$/u;
/** The kernel's room for a comment (NFTNL_UDATA_COMMENT_MAXLEN), its end mark taken off. */
const commentBytes = 127;

/** The name of a table, chain, set, map or object, checked. Throws TypeError for what nft could read as anything else. */
export function printName(name: string): string {
  if (!namePattern.test(name)) throw new TypeError(`not a name that nft reads: ${JSON.stringify(name)}`);
  return name;
}

/** A word of nft's language, checked. Throws TypeError. */
export function printWord(word: string): string {
  if (!wordPattern.test(word)) throw new TypeError(`not a word of nft's language: ${JSON.stringify(word)}`);
  return word;
}

/** Whether nft's language could have this word. */
export const isWord = (word: string): boolean => wordPattern.test(word);

/** One or more words apart by one space, as `ip daddr` in `ct original ip daddr`, checked. Throws TypeError. */
export const printWords = (words: string): string => words.split(' ').map(printWord).join(' ');

/** Free text such as an interface name, in quotes. Throws TypeError for what would not come back as it is. */
export function printText(text: string): string {
  if (!textPattern.test(text)) throw new TypeError(`cannot be written in quotes: ${JSON.stringify(text)}`);
  return `"${text}"`;
}

/** A comment in quotes, at most 127 bytes. Throws TypeError. */
export function printComment(comment: string): string {
  if (!commentPattern.test(comment) || new TextEncoder().encode(comment).length > commentBytes) {
    throw new TypeError(`cannot be written as a comment: ${JSON.stringify(comment)}`);
  }
  return `"${comment}"`;
}

/** A whole number from 0, checked. Throws TypeError. */
export function printNumber(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`not a whole number from 0: ${value}`);
  return String(value);
}
