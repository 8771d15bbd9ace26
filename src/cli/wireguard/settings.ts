/** Settings of a pod that a run changes, or has changed for it, and what they were: in memory, and beside the link's name for whoever comes after a kill. */
import { writeFileSync } from 'node:fs';
import { ALIAS, readSetting } from './look.ts';

/** What they were, by their paths below /proc/sys. */
const before = new Map<string, string>();

/** All that can be among them, by what they are called in the alias of the link, which holds 255 bytes. */
const NAMES = new Map([
  ['redirects', 'net/ipv4/conf/all/send_redirects'],
  ['valid_mark', 'net/ipv4/conf/all/src_valid_mark'],
  ['forward4', 'net/ipv4/ip_forward'],
  ['forward6', 'net/ipv6/conf/all/forwarding'],
]);
const REDIRECTS = NAMES.get('redirects') ?? '';

/** The link's alias: how it is known again, and `; before: forward4=0` for what was changed. */
export function aliasWithSettings(): string {
  const noted = [...NAMES].flatMap(([name, path]) => (before.has(path) ? [`${name}=${before.get(path)}`] : []));
  return noted.length === 0 ? ALIAS : `${ALIAS}; before: ${noted.join(' ')}`;
}

/** What a killed run noted in the alias of its link. What this one noted itself stays. */
export function recall(alias: string | undefined): void {
  for (const [, name = '', value = ''] of alias?.matchAll(/(?<= )([a-z0-9_]+)=([0-9])(?= |$)/g) ?? []) {
    const path = NAMES.get(name);
    if (path !== undefined && !before.has(path)) before.set(path, value);
  }
}

/** The kernel's own WireGuard sends no redirects from when a link of it comes up, in the whole namespace (wg_open in drivers/net/wireguard/device.c). */
export function noteRedirects(): void {
  const now = readSetting(REDIRECTS);
  if (now !== undefined && !before.has(REDIRECTS)) before.set(REDIRECTS, now);
}

/** Sets it where it is not so already; false where it may not be written. */
export function ensure(path: string, value: string, changes: string[]): boolean {
  const now = readSetting(path);
  if (now === value) return true;
  if (now === undefined || !writeSetting(path, value)) return false;
  if (!before.has(path)) before.set(path, now);
  changes.push(`${path}=${value}`);
  return true;
}

/** As they were, once the link is gone that had `alias`. `isAnother`: the kernel has other tunnels, for which it keeps redirects away. */
export function putSettingsBack(alias: string | undefined, isAnother: boolean): void {
  recall(alias);
  for (const [path, value] of before) if (path !== REDIRECTS || !isAnother) writeSetting(path, value);
  before.clear();
}

function writeSetting(path: string, value: string): boolean {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
    return true;
  } catch {
    return false;
  }
}
