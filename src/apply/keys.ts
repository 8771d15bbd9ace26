/** Keys that must be on the hosts before these are armed, and those that are left of what is over. */
import { createHash, randomBytes } from 'node:crypto';
import type { HostFacts } from '../host/index.ts';
import { namePresharedKey, presharedKeyText } from '../wireguard/index.ts';
import type { ManagedHost } from './observe.ts';
import type { SetPlan } from './prepare.ts';
import type { Progress } from './progress.ts';

interface MakeOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** Makes those that are missing: private keys on their hosts, preshared ones here, for both hosts of a tunnel, and kept by nobody else. */
export async function makeKeys(
  concerned: readonly ManagedHost[],
  shown: SetPlan,
  { signal, onProgress }: MakeOptions,
): Promise<void> {
  for (const { host, aim, facts } of shown.hosts) {
    const managed = concerned.find(({ name }) => name === host);
    if (managed === undefined || aim.keyLinks.every((link) => facts.keys.has(link))) continue;
    onProgress?.({ kind: 'keys', host });
    await managed.driver.makeKeys(aim.keyLinks, signal);
  }
  for (const [tunnel, hosts] of presharedOf(shown)) {
    if (hosts.length < 2)
      throw new Error(
        `Tunnel ${tunnel}: its preshared key is made for both ends at once, and only ${hosts.join()} can be asked; nothing was changed`,
      );
    const text = presharedKeyText(randomBytes(32));
    const name = namePresharedKey(tunnel, createHash('sha256').update(text).digest('hex'));
    for (const managed of concerned) {
      if (!hosts.includes(managed.name)) continue;
      onProgress?.({ kind: 'keys', host: managed.name });
      await managed.driver.takePresharedKey(name, text, signal);
    }
  }
}

/** Tunnels for which a preshared key is made, with the hosts that get it. */
function presharedOf({ hosts }: SetPlan): ReadonlyMap<string, readonly string[]> {
  const wanted = new Map<string, string[]>();
  for (const { host, aim } of hosts)
    for (const tunnel of new Set(aim.presharedFor)) wanted.set(tunnel, [...(wanted.get(tunnel) ?? []), host]);
  return wanted;
}

export const makesPreshared = (plan: SetPlan): boolean => presharedOf(plan).size > 0;

/** Whether a killed exchange of keys left some that are in no use: no name of a link ends so, and what is in use the record names. */
export const leavesKeys = ({ keys, presharedKeys = [], record }: HostFacts): boolean =>
  [...keys.keys()].some((name) => /_$|\.(next|before)$/.test(name)) ||
  presharedKeys.some(
    (name) =>
      ![...(record?.sets.values() ?? [])].some(({ tunnels }) => tunnels.some(({ peer }) => peer.presharedKey === name)),
  );
