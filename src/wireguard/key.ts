import type { PendingKey, PublicKey } from './device.ts';

/** 43 characters of base64 for 32 bytes; the last carries four bits and two zeros, so only these spell a key canonically (RFC 4648, 3.5). */
const KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** Reads a public key as `wg` prints it, or gives undefined: 44 characters of base64, canonical, no space. */
export const parsePublicKey = (text: string): PublicKey | undefined => (isPublicKey(text) ? text : undefined);

const isPublicKey = (text: string): text is PublicKey => KEY.test(text);

/** Whether the key will be known only after the first apply. */
export const isPendingKey = (key: PublicKey | PendingKey): key is PendingKey => typeof key !== 'string';

/** The key for people; for a pending one `(public key of HOST/TUNNEL, known after apply)`. */
export const printKey = (key: PublicKey | PendingKey): string =>
  isPendingKey(key) ? `(public key of ${key.pendingHost}/${key.pendingTunnel}, known after apply)` : key;

/** Whether both are the same key, or pending for the same end. */
export const sameKey = (left: PublicKey | PendingKey, right: PublicKey | PendingKey): boolean =>
  isPendingKey(left) || isPendingKey(right) ? printKey(left) === printKey(right) : left === right;
