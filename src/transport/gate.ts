/**
 * What a host's gate is told: a forced command of authorized_keys there, which lets through what it knows. Texts for a shell lie in the gate
 * and are called by name; no shell reads a request.
 */
import type { Output } from './transport.ts';

/** The gate that this version of Sallyport speaks to. */
export interface GateWords {
  /** A sum of its text: another gate refuses whatever it is told. */
  readonly sum: string;
  /** The names of the texts that it has. */
  readonly names: ReadonlyMap<string, string>;
}

/** The status of what was refused. */
const REFUSED = 48;
const REFUSAL = /^sallyport-gate: (.*)$/m;

/** One word as the gate reads it: bytes that are not plain as %XX, a word of none as `=`. */
export function encodeGateWord(word: string): string {
  if (word === '') return '=';
  if (/^[\w./,:@+-]*$/.test(word)) return word;
  let encoded = '';
  for (const byte of Buffer.from(word)) {
    const character = String.fromCharCode(byte);
    encoded += /[\w./,:@+-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }
  return encoded;
}

/** The command in place of which sshd runs the gate, with a word for each of `argv`. */
export function gateRequest(argv: readonly string[], { sum, names }: GateWords): string {
  const words = argv.map((word, index) => {
    const name = argv[index - 1] === '-c' && argv[index - 2] === 'sh' ? names.get(word) : undefined;
    return name === undefined ? encodeGateWord(word) : `@${name}`;
  });
  return ['sallyport', sum, ...words].join(' ');
}

/** What a gate said that let a command not through; undefined of a command that failed by itself. */
export function gateRefusal({ status, stderr }: Pick<Output, 'status' | 'stderr'>): string | undefined {
  const said = status === REFUSED ? REFUSAL.exec(stderr)?.[1] : undefined;
  return said === undefined ? undefined : `its gate does not let through ${said}`;
}

/** Of a login that did not come to its first word: why, where the gate has to do with it. */
export function gateProblem(stderr: string): string | undefined {
  const said = REFUSAL.exec(stderr)?.[1];
  if (said !== undefined) return `its gate says: ${said}`;
  return /\bsallyport(?:-gate)?: (?:command )?not found/.test(stderr)
    ? 'no gate answers there: sallyport host adopt puts it there'
    : undefined;
}
