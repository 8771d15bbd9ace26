import { missingProgram, script, type Transport, TransportError } from '../../transport/index.ts';
import {
  isNamedFor,
  type PresharedKeyName,
  type PublicKey,
  parsePresharedKeyName,
  parsePublicKey,
  printKey,
  type WireGuardDevice,
} from '../../wireguard/index.ts';
import { FORGET_KEYS, MAKE_KEYS } from './scripts.ts';

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

/** See Driver.forgetKeys. */
export async function forgetKeys(transport: Transport, signal: AbortSignal): Promise<void> {
  const argv = script(FORGET_KEYS, await transport.stateFolder(signal));
  const { status, stderr } = await transport.run({ argv }, signal);
  if (status !== 0) throw new TransportError(transport.host, argv, `keys cannot be removed: ${stderr.trim()}`);
}

/** Where a preshared key lies, in the folder of the others. */
export const presharedKeyFile = (stateFolder: string, name: PresharedKeyName): string =>
  `${keyFolder(stateFolder)}/${name}.psk`;

/** The preshared keys of READ_KEYS whose files hold what their names say. */
export const readPresharedKeys = (text: string): readonly PresharedKeyName[] =>
  text.split('\n').flatMap((line) => {
    const [kind, name = '', sha256 = ''] = line.split(' ');
    const parsed = kind === ':file' ? parsePresharedKeyName(name) : undefined;
    return parsed !== undefined && isNamedFor(parsed, sha256) ? [parsed] : [];
  });

/** Each peer with the name of the preshared key that it has, where READ_KEYS tells it. */
export function withPresharedKeys(devices: readonly WireGuardDevice[], text: string): readonly WireGuardDevice[] {
  const names = readPresharedKeys(text);
  if (names.length === 0) return devices;
  const set = new Map(
    text.split('\n').flatMap((line) => {
      const [kind, link = '', key = '', sha256 = ''] = line.split(' ');
      const name = kind === ':peer' ? names.find((each) => isNamedFor(each, sha256)) : undefined;
      return name === undefined ? [] : [[`${link} ${key}`, name] as const];
    }),
  );
  return devices.map((device) => ({
    ...device,
    peers: device.peers.map((peer) => {
      const name = set.get(`${device.link} ${printKey(peer.publicKey)}`);
      return name === undefined ? peer : { ...peer, presharedKey: name };
    }),
  }));
}

/** The lines `LINK PUBLICKEY` of READ_KEYS and MAKE_KEYS. */
export const readKeys = (text: string): ReadonlyMap<string, PublicKey> =>
  new Map(readLines(text).map(({ link, publicKey }) => [link, publicKey]));

/** When the keys of READ_KEYS were made, in seconds since the epoch by the host's clock; those of which it says so. */
export const readKeyTimes = (text: string): ReadonlyMap<string, number> =>
  new Map(readLines(text).flatMap(({ link, made }) => (made > 0 ? [[link, made] as const] : [])));

function readLines(
  text: string,
): readonly { readonly link: string; readonly publicKey: PublicKey; readonly made: number }[] {
  return text.split('\n').flatMap((line) => {
    const [link = '', key = '', made = ''] = line.split(' ');
    const publicKey = parsePublicKey(key);
    return publicKey === undefined ? [] : [{ link, publicKey, made: Number(made) }];
  });
}
