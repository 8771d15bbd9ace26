/** What sets a WireGuard link's private key, listen port and mark, and its peers. */
import type { HostChange, HostObject } from '../../plan/index.ts';
import { script } from '../../transport/index.ts';
import {
  isPendingKey,
  printKey,
  sameKey,
  type WireGuardDevice,
  type WireGuardPeer,
  wgSetDeviceArguments,
  wgSetPeerArguments,
} from '../../wireguard/index.ts';
import { keyFile, keyFolder, presharedKeyFile } from './keys.ts';
import { EXCHANGE_KEY } from './scripts.ts';
import type { Step } from './steps.ts';

type Device = Omit<WireGuardDevice, 'peers'>;

/** The key is the one that the key file has; where the link is to have another than it had, the file changes with it. */
export function deviceStep(change: HostChange, after: Device, stateFolder: string): Step {
  const { link, publicKey: key } = after;
  const argv = wgSetDeviceArguments(after, keyFile(stateFolder, link));
  const old =
    change.action === 'change' && change.before.kind === 'device' ? change.before.device.publicKey : undefined;
  if (old === undefined || key === undefined || isPendingKey(key) || sameKey(old, key))
    return { kind: 'wg', link, items: [{ change, words: argv.slice(2) }] };
  const exchange = script(EXCHANGE_KEY, keyFolder(stateFolder), link, key, 'wg', ...argv);
  return { kind: 'rekey', change, link, argv: exchange };
}

/** What adds the peer, or changes it from what it was before. */
export const setPeerArguments = (
  { link, peer, meaning }: Extract<HostObject, { readonly kind: 'peer' }>,
  stateFolder: string,
  before?: WireGuardPeer,
): readonly string[] =>
  wgSetPeerArguments(
    link,
    { ...peer, ...(meaning && { endpoint: meaning }) },
    presharedKeyOf(peer, stateFolder, before),
  );

/** One that nobody knows stays. */
function presharedKeyOf(
  { publicKey, presharedKey: key }: WireGuardPeer,
  stateFolder: string,
  before: WireGuardPeer | undefined,
): string | undefined {
  if (key === before?.presharedKey || key === 'unknown') return undefined;
  if (key === undefined) return '/dev/null';
  if (key === 'pending') throw new TypeError(`not to be told to wg yet: the preshared key of ${printKey(publicKey)}`);
  return presharedKeyFile(stateFolder, key);
}
