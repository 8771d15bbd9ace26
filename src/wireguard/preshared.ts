/** Preshared keys, of which nobody but the two hosts may know more than a name. */

/**
 * `TUNNEL.ID`, ID being the first 16 hexadecimal digits of the SHA-256 of the key as its file has it: base64 and a line end. It tells
 * whether two hosts have the same one. The file is named so, with `.psk` behind.
 */
export type PresharedKeyName = `${string}.${string}` & { readonly brand: 'PresharedKeyName' };

/** Of a peer's: `pending`: not made yet; `unknown`: one is set, and none of the files that we know has it. */
export type PresharedKey = PresharedKeyName | 'pending' | 'unknown';

const ID_DIGITS = 16;
const NAME = /^.+\.[0-9a-f]{16}$/;

/** Reads a name, or gives undefined. */
export const parsePresharedKeyName = (text: string): PresharedKeyName | undefined =>
  isPresharedKeyName(text) ? text : undefined;

const isPresharedKeyName = (text: string): text is PresharedKeyName => NAME.test(text);

/** What a key's file holds, for `key` of 32 bytes. */
export const presharedKeyText = (key: Buffer): string => `${key.toString('base64')}\n`;

/** The name of a key by the SHA-256 of its file, in hexadecimal. */
export function namePresharedKey(tunnel: string, sha256: string): PresharedKeyName {
  const name = parsePresharedKeyName(`${tunnel}.${idOf(sha256)}`);
  if (name === undefined) throw new TypeError(`no name of a preshared key: ${tunnel}`);
  return name;
}

/** Whether the file of that name holds what has this SHA-256, in hexadecimal. */
export const isNamedFor = (name: PresharedKeyName, sha256: string): boolean => name.endsWith(`.${idOf(sha256)}`);

const idOf = (sha256: string): string => sha256.slice(0, ID_DIGITS);

export const tunnelOfPresharedKey = (name: PresharedKeyName): string => name.slice(0, -ID_DIGITS - 1);

/** For people. */
export function printPresharedKey(key: PresharedKey): string {
  if (key === 'pending') return 'a preshared key that is made by apply';
  return key === 'unknown' ? 'a preshared key of somebody else' : `preshared key ${key.slice(-ID_DIGITS)}`;
}

/** Whether no handshake can succeed between two ends that have these: both must have the same one, or none. */
export const presharedKeysDiffer = (one: PresharedKey | undefined, other: PresharedKey | undefined): boolean => {
  if (one === other || one === 'unknown' || other === 'unknown') return false;
  if (one !== undefined && other !== undefined) return one !== 'pending' && other !== 'pending';
  return true;
};
