/** What sets a WireGuard link's private key, listen port and mark. */
import type { HostChange } from '../../plan/index.ts';
import { script } from '../../transport/index.ts';
import { isPendingKey, sameKey, type WireGuardDevice, wgSetDeviceArguments } from '../../wireguard/index.ts';
import { keyFile, keyFolder } from './keys.ts';
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
