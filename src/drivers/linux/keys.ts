import { missingProgram, script, type Transport, TransportError } from '../../transport/index.ts';
import { type PublicKey, parsePublicKey } from '../../wireguard/index.ts';
import { MAKE_KEYS } from './scripts.ts';

/** Where the private key of a link lies; the folder and the file are root's alone. */
export const keyFile = (stateFolder: string, link: string): string => `${stateFolder}/keys/${link}.key`;

export const keyFolder = (stateFolder: string): string => `${stateFolder}/keys`;

/** Makes the private keys that are missing, on the host, and gives the public keys of all `links`. Throws a TransportError. */
export async function makeKeys(
  transport: Transport,
  links: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PublicKey>> {
  if (links.length === 0) return new Map();
  const argv = script(MAKE_KEYS, keyFolder(await transport.stateFolder(signal)), ...links);
  const { stdout, stderr, status } = await transport.run({ argv }, signal);
  if (status === 127) throw new TransportError(transport.host, ['wg', 'genkey'], missingProgram('wg'));
  if (status !== 0) throw new TransportError(transport.host, ['wg', 'genkey'], `keys cannot be made: ${stderr.trim()}`);
  const keys = readKeys(stdout);
  const missing = links.filter((link) => !keys.has(link));
  if (missing.length === 0) return keys;
  throw new TransportError(transport.host, ['wg', 'pubkey'], `no public key came for ${missing.join(', ')}`);
}

/** The lines `LINK PUBLICKEY` of READ_KEYS and MAKE_KEYS. */
export function readKeys(text: string): ReadonlyMap<string, PublicKey> {
  const keys = new Map<string, PublicKey>();
  for (const line of text.split('\n')) {
    const [link = '', key = ''] = line.split(' ');
    const publicKey = parsePublicKey(key);
    if (publicKey !== undefined) keys.set(link, publicKey);
  }
  return keys;
}
